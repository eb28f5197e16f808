#include "testutil/change_points.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include <boost/math/distributions/students_t.hpp>

namespace parti::report {
namespace {

struct Moments {
    double mean = 0, variance = 0;  // of the sample
};

Moments moments_of(std::span<const double> values) {
    const double n = static_cast<double>(values.size());
    Moments moments;
    moments.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    for (const double value : values) moments.variance += (value - moments.mean) * (value - moments.mean);
    moments.variance /= n - 1;
    return moments;
}

struct Cut {
    std::size_t at = 0;
    double distance = 0;
};

// The cut with the largest energy distance. Sums of |x - y| within both parts and between them are carried from cut to cut.
std::optional<Cut> best_cut(std::span<const double> part, std::size_t fewest) {
    const std::size_t n = part.size();
    if (n < 2 * fewest) return std::nullopt;
    const auto distances_to = [&](double value, std::size_t from, std::size_t to) {
        double sum = 0;
        for (std::size_t i = from; i < to; ++i) sum += std::fabs(value - part[i]);
        return sum;
    };
    double left = 0, right = 0, between = 0;
    for (std::size_t i = 0; i < n; ++i) right += distances_to(part[i], i + 1, n);
    std::optional<Cut> best;
    for (std::size_t cut = 1; cut <= n - fewest; ++cut) {  // part[cut - 1] moves from right to left
        const double value = part[cut - 1];
        const double to_left = distances_to(value, 0, cut - 1);
        const double to_right = distances_to(value, cut, n);
        left += to_left;
        right -= to_right;
        between += to_right - to_left;
        if (cut < fewest) continue;
        const double a = static_cast<double>(cut);
        const double b = static_cast<double>(n - cut);
        const double energy = 2 * between / (a * b) - 2 * left / (a * a) - 2 * right / (b * b);
        const double distance = a * b / (a + b) * energy;
        if (!best || distance > best->distance) best = Cut{cut, distance};
    }
    return best;
}

void search(std::span<const double> series, std::size_t from, std::size_t to, const ChangePointOptions& options,
            std::vector<std::size_t>& found) {
    const auto part = series.subspan(from, to - from);
    const auto cut = best_cut(part, options.fewest);
    if (!cut || welch_p(part.first(cut->at), part.subspan(cut->at)) > options.most_p) return;
    found.push_back(from + cut->at);
    search(series, from, from + cut->at, options, found);
    search(series, from + cut->at, to, options, found);
}

// Each cut between the neighbouring ones; at most a window of values on each side.
std::vector<ChangePoint> describe(std::span<const double> series, const std::vector<std::size_t>& cuts,
                                  const ChangePointOptions& options) {
    std::vector<ChangePoint> points;
    for (std::size_t i = 0; i < cuts.size(); ++i) {
        const std::size_t end = i + 1 < cuts.size() ? cuts[i + 1] : series.size();
        const std::size_t begin = i == 0 ? 0 : cuts[i - 1];
        const std::size_t n_before = std::min(options.window, cuts[i] - begin);
        const auto before = series.subspan(cuts[i] - n_before, n_before);
        const auto after = series.subspan(cuts[i], std::min(options.window, end - cuts[i]));
        ChangePoint point{cuts[i], moments_of(before).mean, moments_of(after).mean, 0, welch_p(before, after)};
        const double scale = std::fabs(point.before);
        point.change = scale > 0 ? (point.after - point.before) / scale : (point.after == 0 ? 0.0 : 1e9);
        points.push_back(point);
    }
    return points;
}

}  // namespace

double welch_p(std::span<const double> a, std::span<const double> b) {
    const Moments x = moments_of(a);
    const Moments y = moments_of(b);
    const double n = static_cast<double>(a.size());
    const double m = static_cast<double>(b.size());
    const double u = x.variance / n;
    const double v = y.variance / m;
    if (u + v <= 0) return x.mean == y.mean ? 1 : 0;
    const double t = std::fabs(x.mean - y.mean) / std::sqrt(u + v);
    const double freedom = (u + v) * (u + v) / (u * u / (n - 1) + v * v / (m - 1));
    return 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(freedom), t));
}

std::vector<ChangePoint> change_points(std::span<const double> series, const ChangePointOptions& options) {
    std::vector<std::size_t> cuts;
    const std::size_t step = std::max<std::size_t>(options.window / 2, 1);
    for (std::size_t from = 0;; from += step) {
        const std::size_t to = std::min(from + options.window, series.size());
        search(series, from, to, options, cuts);
        if (to == series.size()) break;
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    // Overlapping windows may see one step twice, an observation or two apart.
    const auto crowded = [&](std::size_t a, std::size_t b) { return b - a < options.fewest; };
    for (;;) {
        const auto near = std::adjacent_find(cuts.begin(), cuts.end(), crowded);
        if (near == cuts.end()) break;
        const auto both = describe(series, {*near}, options).front().p <= describe(series, {*(near + 1)}, options).front().p;
        cuts.erase(both ? near + 1 : near);
    }
    for (;;) {
        const auto points = describe(series, cuts, options);
        const auto weakness = [&](const ChangePoint& point) {
            return point.p > options.most_p ? 2 + point.p : (std::fabs(point.change) < options.least_change ? 1 : 0);
        };
        const auto weakest = std::max_element(
            points.begin(), points.end(), [&](const ChangePoint& a, const ChangePoint& b) { return weakness(a) < weakness(b); });
        if (weakest == points.end() || weakness(*weakest) == 0) return points;
        cuts.erase(cuts.begin() + (weakest - points.begin()));
    }
}

}  // namespace parti::report
