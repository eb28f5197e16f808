// recovery_of: after a burst, are messages handled again as they were before it, and from when on?
//
// Model     The latency's quantile in windows of half a second each. What is usual is the middle window of the calm before the
//           burst. A window is as before when it is within `within` of that, or no worse than the calm's own second worst window:
//           the machine's noise is in both, and one freak of it allows nothing. Recovered means: some windows in a row were as
//           before (one alone is luck), and the median of the last ones is (else it did not last).
//           Everything is a ratio within one run; no time by itself is judged.
// Units     ns.
// Threads   Pure functions and values.
// Source    SUITE.md section 2: "latency back within 1.2x".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "testutil/ledger.h"

namespace parti::test {

struct RecoveryRule {
    double within = 1.2;
    double quantile = 0.95;
    std::int64_t window_ns = 500'000'000;
    std::size_t least = 10;    // messages in a window, else it says nothing and is left out
    std::size_t in_a_row = 2;  // windows
    std::size_t last = 8;      // windows, at the end
    std::size_t fewest = 4;    // windows of the calm, and of what comes after the burst
};

struct Recovery {
    double usual_ns = 0;                   // median of the calm's windows
    double allowed_ns = 0;                 // `within` times that, or the calm's second worst window
    double last_ns = 0;                    // median of the last windows
    std::optional<std::int64_t> after_ns;  // until the first of the windows in a row that are as before; nothing: never

    double ratio() const { return last_ns / usual_ns; }
    bool recovered() const { return after_ns.has_value() && last_ns <= allowed_ns; }
};
// "p95 usually 0.60 ms, at most 0.72 ms is as before; 0.63 ms at the end, as before after 500 ms"
std::string describe(const Recovery& recovery);

struct Span {
    std::int64_t from_ns = 0, to_ns = 0;  // of intended times
};
// Nothing: there are too few windows, or they have too few messages.
std::optional<Recovery> recovery_of(const LedgerReport& report, Span calm, Span after, const RecoveryRule& rule = {});

}  // namespace parti::test
