#include "testutil/trend.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "testutil/statistics.h"

namespace parti::report {
namespace {

// Variance of Kendall's S over n points of which groups of equal x say nothing about each other.
double variance_of_s(std::span<const Point> points) {
    const auto term = [](double n) { return n * (n - 1) * (2 * n + 5); };
    std::vector<double> xs;
    for (const Point& p : points) xs.push_back(p.x);
    std::sort(xs.begin(), xs.end());
    double sum = term(static_cast<double>(xs.size()));
    for (std::size_t i = 0; i < xs.size();) {
        const auto end = static_cast<std::size_t>(std::upper_bound(xs.begin(), xs.end(), xs[i]) - xs.begin());
        if (end - i > 1) sum -= term(static_cast<double>(end - i));
        i = end;
    }
    return sum / 18;
}

std::vector<double> y_of(std::span<const Point> points) {
    std::vector<double> out;
    out.reserve(points.size());
    for (const Point& p : points) out.push_back(p.y);
    return out;
}

double duration_of(std::span<const Point> points) { return points.empty() ? 0 : points.back().x - points.front().x; }

std::span<const Point> after(std::span<const Point> points, double share) {
    if (points.empty()) return points;
    const double from = points.front().x + share * duration_of(points);
    const auto first = std::lower_bound(points.begin(), points.end(), from, [](const Point& p, double x) { return p.x < x; });
    return points.subspan(static_cast<std::size_t>(first - points.begin()));
}

double slope_of(std::span<const Point> points) { return points.size() < 2 ? 0 : theil_sen(points).slope; }

// The slope of the first half is more than twice that of the second: something is still filling up.
bool still_settling(std::span<const Point> points, std::size_t bins) {
    const auto medians = binned_medians(points, bins);
    if (medians.size() < 6) return false;
    const auto all = std::span<const Point>(medians);
    const double first = slope_of(all.first(all.size() / 2));
    return first > 0 && first > 2 * slope_of(all.subspan(all.size() / 2));
}

std::string conditions(const Trend& t, const TrendRule& rule) {
    char text[160];
    if (!(t.z > rule.z)) {
        std::snprintf(text, sizeof text, "no trend (z %.2f, %.2f needed)", t.z, rule.z);
    } else if (!(t.growth > t.floor)) {
        std::snprintf(text, sizeof text, "growth %.0f is not above the floor %.0f", t.growth, t.floor);
    } else if (!(t.lower * t.growth / t.slope > t.floor / 2)) {
        std::snprintf(text, sizeof text, "certain growth %.0f is not above half of the floor %.0f", t.lower * t.growth / t.slope,
                      t.floor);
    } else if (!(t.first_half > t.slope / 2 && t.second_half > t.slope / 2)) {
        std::snprintf(text, sizeof text, "not steady: slopes of the halves %.3g and %.3g, of all %.3g", t.first_half,
                      t.second_half, t.slope);
    } else {
        return {};
    }
    return text;
}

}  // namespace

MannKendall mann_kendall(std::span<const double> values) {
    MannKendall out;
    for (std::size_t i = 0; i < values.size(); ++i) {
        for (std::size_t j = i + 1; j < values.size(); ++j) out.s += values[j] > values[i] ? 1 : values[j] < values[i] ? -1 : 0;
    }
    const double n = static_cast<double>(values.size());
    out.variance = n * (n - 1) * (2 * n + 5) / 18;
    if (out.s != 0 && out.variance > 0) out.z = (out.s - (out.s > 0 ? 1 : -1)) / std::sqrt(out.variance);
    return out;
}

Line theil_sen(std::span<const Point> points, double z_of_bounds) {
    Line line;
    line.points = points.size();
    std::vector<double> slopes;
    for (std::size_t i = 0; i < points.size(); ++i) {
        for (std::size_t j = i + 1; j < points.size(); ++j) {
            const double dx = points[j].x - points[i].x;
            if (dx != 0) slopes.push_back((points[j].y - points[i].y) / dx);
        }
    }
    if (slopes.empty()) return line;
    std::sort(slopes.begin(), slopes.end());
    line.slope = median(slopes);
    const double pairs = static_cast<double>(slopes.size());
    const double rank = std::floor((pairs - z_of_bounds * std::sqrt(variance_of_s(points))) / 2);
    const auto k = static_cast<std::size_t>(std::max(rank - 1, 0.0));
    line.lower = slopes[k];
    line.upper = slopes[slopes.size() - 1 - k];
    std::vector<double> rest;
    for (const Point& p : points) rest.push_back(p.y - line.slope * p.x);
    line.intercept = median(rest);
    const double middle = std::fabs(median(y_of(points)));
    for (const double r : rest) line.max_residual = std::max(line.max_residual, std::fabs(r - line.intercept));
    if (middle > 0) line.max_residual /= middle;
    return line;
}

std::vector<Point> binned_medians(std::span<const Point> points, std::size_t bins) {
    std::vector<Point> out;
    if (points.empty() || bins == 0) return out;
    const double width = duration_of(points) / static_cast<double>(bins);
    std::size_t next = 0;
    for (std::size_t bin = 0; bin < bins && next < points.size(); ++bin) {
        const double end = points.front().x + width * static_cast<double>(bin + 1);
        std::vector<double> inside;
        while (next < points.size() && (points[next].x < end || bin + 1 == bins)) inside.push_back(points[next++].y);
        if (!inside.empty()) out.push_back({end - width / 2, median(inside)});
    }
    return out;
}

Trend judge_trend(std::span<const Point> points, const TrendRule& rule, double skip, bool settle) {
    constexpr double kSkipMost = 0.5, kSkipStep = 0.05;
    Trend trend;
    trend.skipped = skip;
    while (settle && trend.skipped + kSkipStep <= kSkipMost + 1e-9 && still_settling(after(points, trend.skipped), rule.bins)) {
        trend.skipped += kSkipStep;
    }
    const auto bins = binned_medians(after(points, trend.skipped), rule.bins);
    trend.bins = bins.size();
    if (bins.size() < rule.bins / 2 || bins.size() < 8) {
        trend.why = "only " + std::to_string(bins.size()) + " of " + std::to_string(rule.bins) + " pieces of time have samples";
        return trend;
    }
    const auto all = std::span<const Point>(bins);
    const auto values = y_of(all);
    const Line line = theil_sen(all, kOneSided95);
    trend.z = mann_kendall(values).z;
    trend.slope = line.slope;
    trend.lower = line.lower;
    trend.median = median(values);
    const double time = duration_of(after(points, trend.skipped));
    trend.growth = line.slope * time;
    trend.floor = std::max(rule.floor, rule.floor_relative * std::fabs(trend.median));
    trend.first_half = slope_of(all.first(all.size() / 2));
    trend.second_half = slope_of(all.subspan(all.size() / 2));
    trend.why = conditions(trend, rule);
    trend.suspect = trend.why.empty();
    if (trend.suspect) {
        char text[128];
        std::snprintf(text, sizeof text, "grows by %.0f in %.0f s (certainly by %.0f), z %.2f", trend.growth, time,
                      trend.lower * time, trend.z);
        trend.why = text;
    }
    return trend;
}

std::string_view name(SoakVerdict verdict) {
    switch (verdict) {
        case SoakVerdict::steady: return "steady";
        case SoakVerdict::warn: return "WARN";
        case SoakVerdict::leak: return "LEAK";
    }
    return "?";
}

SoakVerdict judge_soak(const Trend& run, const Trend& extension) {
    if (!run.suspect) return SoakVerdict::steady;
    return extension.suspect ? SoakVerdict::leak : SoakVerdict::warn;
}

bool proportional(double slope, double rate, double other_slope, double other_rate, double tolerance) {
    if (!(rate > 0) || !(other_rate > 0) || !(slope > 0) || !(other_slope > 0)) return false;
    const double one = slope / rate, other = other_slope / other_rate;
    return std::fabs(one - other) <= tolerance * std::max(one, other);
}

Plateau judge_plateau(std::span<const Point> points, double tolerance) {
    Plateau plateau;
    if (points.size() < 3) return plateau;
    const double middle = median(y_of(points));
    if (!(middle > 0)) return plateau;
    plateau.drift = slope_of(points) * duration_of(points) / middle;
    plateau.reached = std::fabs(plateau.drift) < tolerance;
    return plateau;
}

}  // namespace parti::report
