// change_points: where a series of nightly figures has moved for good, in steps too small for any single diff.
//
// Model     E-divisive: of all ways to cut a stretch in two, the one with the largest energy distance between the parts; accepted
//           when Welch's t-test between the parts gives p <= 0.001 (deterministic, where the original permutes), and then each
//           part again. At the end the weakest cut is withdrawn until all that are left separate their neighbours with p <= 0.001
//           and a step of at least 5 % of the mean before. Series longer than a window of 50 are searched in windows that overlap
//           by half, so that an old history does not hide a recent step. Advisory: a step is seen after some nights only.
// Units     Any one unit; `change` is relative to the mean before.
// Cost      O(window^2) a cut.
// Threads   Pure functions.
// Source    Matteson and James, "A nonparametric approach for multiple change point analysis" (2014); arXiv 2301.03034 for the
//           t-test, the window and the limits.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace parti::report {

struct ChangePointOptions {
    std::size_t window = 50;
    std::size_t fewest = 4;  // observations on each side of a cut
    double most_p = 0.001;
    double least_change = 0.05;
};

struct ChangePoint {
    std::size_t index = 0;         // of the first value after the step
    double before = 0, after = 0;  // means of the stretches on both sides
    double change = 0;             // after / before - 1
    double p = 1;
};

// In order of index.
std::vector<ChangePoint> change_points(std::span<const double> series, const ChangePointOptions& options = {});

// Two-sided p of Welch's t-test; 0 for two constants that differ, 1 for two that do not. Requires: at least two values each.
double welch_p(std::span<const double> a, std::span<const double> b);

}  // namespace parti::report
