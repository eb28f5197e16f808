// common_mode: have all times become slower together, as on a slower machine?
//
// Model     The median of current / baseline over every measured time (durations, latencies, CPU time, and the inverse of
//           throughputs) that may gate. One change of the code rarely moves all of them by the same factor; a machine that runs
//           slower does. Above 1.2 discount_machine_shift() judges each failed time once more against a baseline that is slower
//           by that factor; what does not fail then is INCONCLUSIVE and the report says that an interleaved A/B run decides.
//           Memory and counts are left alone.
// Threads   Pure functions.
#pragma once

#include <optional>

#include "testutil/diff.h"

namespace parti::report {

inline constexpr double kMachineShift = 1.2;
inline constexpr std::size_t kFewestTimes = 5;

// Nothing with fewer than kFewestTimes of them.
std::optional<double> common_mode(const Report& report);
void discount_machine_shift(Report& report);

}  // namespace parti::report
