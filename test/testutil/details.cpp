#include "testutil/details.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace parti::report {
namespace {

std::string text_of(double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.10g", value);
    return text;
}

std::string check_finite(const char* what, double value) {
    return std::isfinite(value) ? std::string() : std::string(what) + " " + text_of(value) + " must be a finite number";
}

}  // namespace

std::string check(const Curve& series) {
    if (auto bad = check_name(series.name); !bad.empty()) return bad;
    if (series.times_ms.empty()) return "times: a series must have at least one point";
    if (series.times_ms.size() != series.values.size()) {
        return "values: " + std::to_string(series.values.size()) + " values for " + std::to_string(series.times_ms.size()) +
               " times; there must be as many";
    }
    if (series.times_ms.size() > kMostPoints) {
        return "times: " + std::to_string(series.times_ms.size()) + " points, at most " + std::to_string(kMostPoints) +
               " are kept";
    }
    double previous = -INFINITY;
    for (const double t : series.times_ms) {
        if (auto bad = check_finite("times:", t); !bad.empty()) return bad;
        if (t < previous) return "times: " + text_of(t) + " comes after " + text_of(previous) + "; times must ascend";
        previous = t;
    }
    for (const double v : series.values) {
        if (auto bad = check_finite("values:", v); !bad.empty()) return bad;
    }
    return {};
}

std::string check(const Fit& fit) {
    if (auto bad = check_name(fit.name); !bad.empty()) return bad;
    if (fit.x.empty()) return "x: must say what the points are at";
    if (fit.points.size() < 2) return "points: " + std::to_string(fit.points.size()) + " points, a line needs at least 2";
    for (const auto& [x, y] : fit.points) {
        if (auto bad = check_finite("points: x", x); !bad.empty()) return bad;
        if (auto bad = check_finite("points: y", y); !bad.empty()) return bad;
    }
    if (auto bad = check_finite("intercept:", fit.intercept); !bad.empty()) return bad;
    if (auto bad = check_finite("slope:", fit.slope); !bad.empty()) return bad;
    if (fit.bound && !(std::isfinite(*fit.bound) && *fit.bound >= 0))
        return "bound: " + text_of(*fit.bound) + " must be a finite number >= 0";
    if (!(std::isfinite(fit.residual) && fit.residual >= 0))
        return "residual: " + text_of(fit.residual) + " must be a finite number >= 0";
    return {};
}

std::string check(const Distribution& distribution) {
    if (auto bad = check_name(distribution.name); !bad.empty()) return bad;
    if (distribution.percentiles.empty()) return "percentiles: there must be at least one";
    double previous = -INFINITY;
    for (const auto& [percent, value] : distribution.percentiles) {
        const std::string name = "percentiles: " + percentile_name(percent);
        if (!(percent > 0 && percent <= 100)) return name + " must be above 0 and at most 100";
        if (auto bad = check_finite((name + ":").c_str(), value); !bad.empty()) return bad;
        if (value < previous) return name + ": " + text_of(value) + " is below a lower percentile's " + text_of(previous);
        if (distribution.n < fewest_for(percent)) {
            return name + ": needs at least " + std::to_string(fewest_for(percent)) + " observations, n is " +
                   std::to_string(distribution.n);
        }
        previous = value;
    }
    return {};
}

std::string check(const Anomaly& anomaly) {
    if (anomaly.text.empty()) return "text: must say what was odd";
    if (anomaly.time.empty()) return "time: must say when";
    if (anomaly.excerpt.size() > kMostExcerpt) {
        return "excerpt: has " + std::to_string(anomaly.excerpt.size()) + " bytes, at most " + std::to_string(kMostExcerpt) +
               " are kept";
    }
    return {};
}

Curve thinned(Curve series, std::size_t most) {
    const std::size_t n = std::min(series.times_ms.size(), series.values.size());
    if (n <= most || most < 2) return series;
    const std::size_t stretches = most / 2;
    Curve kept{series.name, series.unit, {}, {}, series.note};
    for (std::size_t s = 0; s < stretches; ++s) {
        const auto begin = static_cast<std::ptrdiff_t>(s * n / stretches);
        const auto end = static_cast<std::ptrdiff_t>((s + 1) * n / stretches);
        const auto [low, high] = std::minmax_element(series.values.begin() + begin, series.values.begin() + end);
        for (const auto at : {std::min(low, high), std::max(low, high)}) {
            kept.times_ms.push_back(series.times_ms[static_cast<std::size_t>(at - series.values.begin())]);
            kept.values.push_back(*at);
            if (low == high) break;
        }
    }
    return kept;
}

double largest_residual(const std::vector<std::pair<double, double>>& points, double intercept, double slope) {
    double largest = 0;
    for (const auto& [x, y] : points) {
        if (y != 0) largest = std::max(largest, std::fabs(y - intercept - slope * x) / std::fabs(y));
    }
    return largest;
}

Fit fit_of(std::string name, std::string x, Unit unit, const std::vector<Point>& points, const Line& line, double scale) {
    Fit fit{std::move(name), std::move(x), unit, {}, line.intercept * scale, line.slope * scale, {}, 0};
    for (const Point& point : points) fit.points.emplace_back(point.x, point.y * scale);
    fit.bound = std::max({line.upper - line.slope, line.slope - line.lower, 0.0}) * scale;
    fit.residual = largest_residual(fit.points, fit.intercept, fit.slope);
    return fit;
}

std::uint64_t fewest_for(double percent) {
    if (percent <= 95 || percent >= 100) return 1;
    return percent <= 99 ? 1000 : 10'000;
}

std::string percentile_name(double percent) { return percent == 100 ? "max" : "p" + text_of(percent); }

}  // namespace parti::report
