#include "testutil/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace parti::report {
namespace {

double middle_of_sorted(const std::vector<double>& sorted) {
    const std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

}  // namespace

double median(std::span<const double> values) {
    std::vector<double> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    return middle_of_sorted(sorted);
}

double median_absolute_deviation(std::span<const double> values) {
    const double centre = median(values);
    std::vector<double> distances;
    distances.reserve(values.size());
    for (const double value : values) distances.push_back(std::fabs(value - centre));
    return median(distances);
}

double relative_noise(std::span<const double> values) {
    const double centre = std::fabs(median(values));
    const double spread = 1.4826 * median_absolute_deviation(values);
    if (centre > 0) return spread / centre;
    return spread > 0 ? 1.0 : 0.0;
}

double coefficient_of_variation(std::span<const double> values) {
    if (values.size() < 2) return 0;
    const double n = static_cast<double>(values.size());
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    return mean == 0 ? 0 : std::sqrt(squares / (n - 1)) / std::fabs(mean);
}

Effect hodges_lehmann(std::span<const double> baseline, std::span<const double> current, double smallest) {
    std::vector<double> differences;
    differences.reserve(baseline.size() * current.size());
    for (const double x : baseline) {
        for (const double y : current) differences.push_back(std::log(std::max(y, smallest)) - std::log(std::max(x, smallest)));
    }
    std::sort(differences.begin(), differences.end());

    Effect effect;
    effect.estimate = middle_of_sorted(differences);
    const double n = static_cast<double>(baseline.size());
    const double m = static_cast<double>(current.size());
    const double rank = std::floor(n * m / 2 - 1.645 * std::sqrt(n * m * (n + m + 1) / 12));
    if (rank >= 0) {
        const auto k = static_cast<std::size_t>(rank);
        effect.lower = differences[k];
        effect.upper = differences[differences.size() - 1 - k];
    }
    return effect;
}

double smallest_detectable(double threshold, double noise, std::size_t n) {
    return std::max(threshold, 3 * noise / std::sqrt(static_cast<double>(std::max<std::size_t>(n, 1))));
}

}  // namespace parti::report
