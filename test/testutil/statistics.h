// Statistics over launches: medians, spread, and the Hodges-Lehmann effect between two sets of launches with its confidence
// bounds.
//
// Model     Few observations (5 to 20), not normally distributed, with outliers: only ranks and medians are used. The effect is
//           the median of all pairwise differences of logarithms, that is, a ratio; its bounds are order statistics of the same
//           differences (one-sided 95 % each, normal approximation of the Mann-Whitney distribution).
// Units     Inputs in any one unit; effects are natural logarithms of current / baseline.
// Threads   Pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace parti::report {

double median(std::span<const double> values);                     // requires: not empty
double median_absolute_deviation(std::span<const double> values);  // requires: not empty
// 1.4826 * MAD / median: the standard deviation relative to the median that normal noise of this MAD would have. 0 for a median
// of 0 without spread, 1 for a median of 0 with spread.
double relative_noise(std::span<const double> values);
double coefficient_of_variation(std::span<const double> values);  // sample standard deviation / mean; 0 for fewer than two values

struct Effect {
    double estimate = 0;                 // ln(current / baseline)
    std::optional<double> lower, upper;  // absent when there are too few pairs for a bound
};
// Requires: neither is empty. Values below `smallest` count as `smallest`, since a ratio needs numbers above zero.
Effect hodges_lehmann(std::span<const double> baseline, std::span<const double> current, double smallest = 1e-9);

// The smallest relative change that n launches with this noise can show reliably, never below the threshold (S-6.1).
double smallest_detectable(double threshold, double noise, std::size_t n);

}  // namespace parti::report
