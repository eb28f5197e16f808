// trend: does a series grow, and how fast: Theil-Sen slopes with bounds, Mann-Kendall, and the rules a soak and a window are
// judged by.
//
// Role      Pure functions; the soak test and the slope tests call them, the unit tests hold them to measured false-alarm rates.
// Model     Samples of one process are autocorrelated, so that tests on raw samples see growth where there is none. judge_trend()
//           therefore drops the beginning, takes the medians of 20 equal pieces of time, and suspects growth only when
//           Mann-Kendall is beyond 1 %, the slope times the time exceeds a floor, its lower bound half of that floor, and both
//           halves show half of the slope. One suspicion is none: judge_soak() asks for the same again on an extension of equal
//           length.
// Units     x in seconds or counts, y in any one unit; slopes are y per x.
// Threads   Pure functions.
// Cost      Quadratic in the points of a slope: some hundred of them.
// Source    SUITE-STUDY sections 5, 6.1 and 6.2 (project's design notes); measured in report_trend_test.cpp.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace parti::report {

struct Point {
    double x = 0, y = 0;
};

struct MannKendall {
    double s = 0, variance = 0, z = 0;  // z: continuity corrected
};
MannKendall mann_kendall(std::span<const double> values);

// A straight line through points that may share their x (launches of one configuration do).
struct Line {
    double slope = 0, intercept = 0;
    double lower = 0, upper = 0;  // of the slope; the outermost pairs when there are too few points for the level
    double max_residual = 0;      // largest |y - line|, relative to the median of y
    std::size_t points = 0;
};
inline constexpr double kTwoSided95 = 1.96, kOneSided95 = 1.645;
// Requires two different x.
Line theil_sen(std::span<const Point> points, double z_of_bounds = kTwoSided95);

// Medians of `bins` equal pieces of the time from the first to the last point; an empty piece is left out.
std::vector<Point> binned_medians(std::span<const Point> points, std::size_t bins);

struct TrendRule {
    double floor = 0;              // growth below it is none, in units of y
    double floor_relative = 0.05;  // or below this share of the median
    std::size_t bins = 20;
    double z = 2.326;  // 1 %, one-sided
};
struct Trend {
    bool suspect = false;
    std::string why;  // the first condition that does not hold; or what is suspected
    double z = 0, slope = 0, lower = 0, growth = 0, floor = 0, median = 0;
    double first_half = 0, second_half = 0;  // slopes
    double skipped = 0;                      // share of the time that was left out at the beginning
    std::size_t bins = 0;
};
inline constexpr double kWarmUp = 0.25;
// `skip`: share of the time to drop at the beginning; with `settle` more of it, up to a half, while the slope of what remains
// still falls. Requires points ascending by x.
Trend judge_trend(std::span<const Point> points, const TrendRule& rule, double skip = kWarmUp, bool settle = true);

enum class SoakVerdict { steady, warn, leak };
std::string_view name(SoakVerdict verdict);
// Suspected in the run and again in its extension: leak; in the run alone: warn.
SoakVerdict judge_soak(const Trend& run, const Trend& extension);

// A leak grows with operations, the allocator's drift does not: do the two slopes, each divided by its rate of operations, agree?
bool proportional(double slope, double rate, double other_slope, double other_rate, double tolerance = 0.3);

// The memory of a window has settled: its drift over the window is below 1 % of its median (S-6.1).
struct Plateau {
    bool reached = true;
    double drift = 0;  // slope times window, relative to the median
};
Plateau judge_plateau(std::span<const Point> points, double tolerance = 0.01);

}  // namespace parti::report
