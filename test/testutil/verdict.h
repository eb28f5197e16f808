// judge: is a metric's current set of launches worse than its baseline's?
//
// Model     FAIL needs all three: the effect above the threshold, its lower 95 % bound above half of it, and an absolute change
//           above the floor. Exact metrics are compared value by value, in both directions. Too few launches (n < 4) or noise
//           above half of the threshold give INCONCLUSIVE with the smallest change that could have been seen; noise does not
//           excuse a change whose lower bound alone exceeds the threshold.
//           Thresholds: memory +10 %, duration +50 %, latency +50 % (p99: +100 %), throughput -25 %, CPU time +25 %.
//           Floors: memory 64 kB (the processes measured have 1 to 4 MB: 256 kB would hide 15 % of 1.1 MB, and 64 kB is still
//           above the page granularity of thread stacks and allocator arenas), duration 50 ms, latency 1 ms, CPU time 10 ms (one
//           tick) or 1 ns where the unit is ns. A metric may bring its own floor (a slope in bytes per worker needs a smaller
//           one).
// Threads   Pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "testutil/metric.h"

namespace parti::report {

enum class Verdict { pass, warn, fail, improved, inconclusive, fresh, info };
std::string_view name(Verdict verdict);  // PASS WARN FAIL IMPROVED INCONCLUSIVE NEW INFO

inline constexpr std::size_t kFewestLaunches = 4;

struct Threshold {
    double relative = 0;  // of the baseline, in the bad direction; 0 = exact
    double floor = 0;     // in the metric's unit
};
Threshold default_threshold(const Metric& metric);

struct Judgement {
    Verdict verdict = Verdict::info;
    double change = 0;            // current / baseline - 1
    std::optional<double> bound;  // the same with 95 % confidence, on the good side of `change`
    std::string note;
};
// Requires: neither set is empty; metric.kind is not advisory.
Judgement judge(const Metric& metric, const Threshold& threshold, std::span<const double> baseline,
                std::span<const double> current);

}  // namespace parti::report
