#include "testutil/verdict.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "testutil/statistics.h"

namespace parti::report {
namespace {

std::string percent(double ratio) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g %%", ratio * 100);
    return text;
}

// A floor given in microseconds or bytes, in the metric's own unit.
double floor_in(Unit unit, double microseconds, double bytes) {
    switch (unit) {
        case Unit::us: return microseconds;
        case Unit::ms: return microseconds / 1000;
        case Unit::ns: return microseconds * 1000;
        case Unit::kB: return bytes / 1024;
        case Unit::bytes: return bytes;
        case Unit::count:
        case Unit::per_s:
        case Unit::ratio: return 0;
    }
    return 0;
}

double relative_change(double before, double now) {
    if (before == now) return 0;
    if (before == 0) return now > 0 ? 1e9 : -1e9;
    return (now - before) / std::fabs(before);
}

Judgement judge_exact(const Metric& metric, std::span<const double> baseline, std::span<const double> current) {
    Judgement result;
    const double expected = median(baseline);
    result.change = relative_change(expected, median(current));
    const auto other = std::find_if(current.begin(), current.end(), [&](double value) { return value != expected; });
    if (other == current.end()) {
        result.verdict = Verdict::pass;
        return result;
    }
    result.verdict = Verdict::fail;
    const auto changed = std::count_if(current.begin(), current.end(), [&](double value) { return value != expected; });
    result.note = "exact: " + format_value(*other, metric.unit) + " instead of " + format_value(expected, metric.unit) + " in " +
                  std::to_string(changed) + " of " + std::to_string(current.size()) + " launches";
    return result;
}

}  // namespace

std::string_view name(Verdict verdict) {
    switch (verdict) {
        case Verdict::pass: return "PASS";
        case Verdict::warn: return "WARN";
        case Verdict::fail: return "FAIL";
        case Verdict::improved: return "IMPROVED";
        case Verdict::inconclusive: return "INCONCLUSIVE";
        case Verdict::fresh: return "NEW";
        case Verdict::info: return "INFO";
    }
    return "?";
}

Threshold default_threshold(const Metric& metric) {
    Threshold threshold;
    constexpr double kMemoryFloor = 64 * 1024;
    switch (metric.kind) {
        case Kind::exact: break;
        case Kind::anon_memory: threshold = {0.10, floor_in(metric.unit, 0, kMemoryFloor)}; break;
        case Kind::duration: threshold = {0.50, floor_in(metric.unit, 50'000, 0)}; break;
        case Kind::latency: threshold = {metric.stat.starts_with("p99") ? 1.0 : 0.50, floor_in(metric.unit, 1'000, 0)}; break;
        case Kind::throughput: threshold = {0.25, 0}; break;
        case Kind::cpu_time: threshold = {0.25, metric.unit == Unit::ns ? 1 : floor_in(metric.unit, 10'000, 0)}; break;
        case Kind::advisory: break;
    }
    if (metric.floor) threshold.floor = *metric.floor;
    return threshold;
}

Judgement judge(const Metric& metric, const Threshold& threshold, std::span<const double> baseline,
                std::span<const double> current) {
    if (metric.kind == Kind::exact) return judge_exact(metric, baseline, current);

    Judgement result;
    const Effect effect = hodges_lehmann(baseline, current);
    const bool lower_is_better = metric.direction == Direction::lower;
    // How much worse, as a positive fraction of the baseline: growth, or loss where more is better.
    const auto worse = [&](double log_ratio) { return lower_is_better ? std::expm1(log_ratio) : -std::expm1(log_ratio); };
    const auto certain = lower_is_better ? effect.lower : effect.upper;   // it is at least this much worse
    const auto possible = lower_is_better ? effect.upper : effect.lower;  // and at most this much
    const double before = median(baseline);
    const double moved = std::fabs(median(current) - before);
    const double noise = std::max(relative_noise(baseline), relative_noise(current));
    const std::size_t n = std::min(baseline.size(), current.size());
    const double limit = threshold.relative;
    result.change = before == 0 ? relative_change(before, median(current)) : std::expm1(effect.estimate);
    if (certain && before != 0) result.bound = std::expm1(*certain);

    const std::string detectable = "smallest detectable change " + percent(smallest_detectable(limit, noise, n));
    if (n < kFewestLaunches || !certain) {
        result.verdict = Verdict::inconclusive;
        result.note =
            "n = " + std::to_string(n) + " launches, at least " + std::to_string(kFewestLaunches) + " are needed; " + detectable;
        return result;
    }
    const double effect_size = worse(effect.estimate);
    const double at_least = worse(*certain);
    const bool unmistakable = at_least > limit && moved > threshold.floor;
    const bool noise_is_below_floor = 3 * noise * std::fabs(before) < threshold.floor && moved <= threshold.floor;
    if (noise > limit / 2 && !unmistakable && !noise_is_below_floor) {
        result.verdict = Verdict::inconclusive;
        result.note = "noise " + percent(noise) + "; " + detectable;
    } else if (effect_size > limit && at_least > limit / 2 && moved > threshold.floor) {
        result.verdict = Verdict::fail;
    } else if (effect_size > limit / 2 && at_least > 0 && moved > threshold.floor / 2) {
        result.verdict = Verdict::warn;
        if (effect_size > limit && moved <= threshold.floor) {
            result.note = "below the floor of " + format_value(threshold.floor, metric.unit);
        }
    } else if (worse(*possible) < -limit / 2 && moved > threshold.floor) {
        result.verdict = Verdict::improved;
        result.note = "consider a new baseline";
    } else {
        result.verdict = Verdict::pass;
    }
    return result;
}

}  // namespace parti::report
