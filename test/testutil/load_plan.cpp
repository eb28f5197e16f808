#include "testutil/load_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace parti::test {
namespace {

double seconds(std::chrono::milliseconds duration) { return static_cast<double>(duration.count()) / 1000; }
double count_of(const LoadPhase& phase) { return (phase.rate_from + phase.rate_to) / 2 * seconds(phase.duration); }

}  // namespace

std::string_view name(Weights weights) {
    switch (weights) {
        case Weights::uniform: return "uniform";
        case Weights::zipf: return "zipf";
        case Weights::hot: return "hot";
    }
    return "?";
}

double LoadPlan::messages() const {
    return std::accumulate(phases.begin(), phases.end(), 0.0, [](double sum, const LoadPhase& p) { return sum + count_of(p); });
}

std::chrono::milliseconds LoadPlan::duration() const {
    return std::accumulate(phases.begin(), phases.end(), std::chrono::milliseconds(0),
                           [](auto sum, const LoadPhase& p) { return sum + p.duration; });
}

Outcome<void> check_plan(const LoadPlan& plan) {
    constexpr double kRateMax = 1e6;
    if (plan.partitions == 0) return failure("partitions (0) must be at least 1");
    if (plan.phases.empty()) return failure("phases (0) must be at least 1");
    for (const LoadPhase& phase : plan.phases) {
        if (phase.duration.count() <= 0)
            return failure("a phase's duration (" + std::to_string(phase.duration.count()) + " ms) must be above 0");
        for (const double rate : {phase.rate_from, phase.rate_to}) {
            if (!(rate >= 0 && rate <= kRateMax))
                return failure("a phase's rate (" + std::to_string(rate) + ") must be in 0..1000000");
        }
    }
    if (!(plan.zipf_exponent > 0)) return failure("zipf_exponent (" + std::to_string(plan.zipf_exponent) + ") must be above 0");
    for (const double share : {plan.hot_partitions, plan.hot_share}) {
        if (!(share > 0 && share < 1))
            return failure("hot_partitions and hot_share (" + std::to_string(share) + ") must be between 0 and 1");
    }
    return {};
}

LoadSchedule::LoadSchedule(LoadPlan plan) : plan_(std::move(plan)), random_(plan_.seed) {
    if (!check_plan(plan_)) {
        plan_.phases.clear();
        return;
    }
    weigh();
}

void LoadSchedule::weigh() {
    const std::size_t n = plan_.partitions;
    std::vector<std::uint32_t> order(n);  // heaviest first
    std::iota(order.begin(), order.end(), 0U);
    for (std::size_t i = n - 1; i > 0; --i) std::swap(order[i], order[random_() % (i + 1)]);
    const auto hot = static_cast<std::size_t>(std::max(1.0, std::round(plan_.hot_partitions * static_cast<double>(n))));
    std::vector<double> weight(n);
    for (std::size_t rank = 0; rank < n; ++rank) {
        double w = 1;
        if (plan_.weights == Weights::zipf) w = 1 / std::pow(static_cast<double>(rank + 1), plan_.zipf_exponent);
        if (plan_.weights == Weights::hot && hot < n) {
            w = rank < hot ? plan_.hot_share / static_cast<double>(hot) : (1 - plan_.hot_share) / static_cast<double>(n - hot);
        }
        weight[order[rank]] = w;
    }
    const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
    cumulative_.resize(n);
    double so_far = 0;
    for (std::size_t i = 0; i < n; ++i) cumulative_[i] = so_far += weight[i] / sum;
    cumulative_.back() = 1;
}

std::uint32_t LoadSchedule::draw() {
    const double u = static_cast<double>(random_() >> 11U) * 0x1p-53;  // [0, 1); the same on every machine
    const auto at = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, u);
    return static_cast<std::uint32_t>(at - cumulative_.begin());
}

double LoadSchedule::share(std::uint32_t partition) const {
    return cumulative_[partition] - (partition == 0 ? 0 : cumulative_[partition - 1]);
}

std::optional<DueMessage> LoadSchedule::next() {
    while (phase_ < plan_.phases.size()) {
        const LoadPhase& phase = plan_.phases[phase_];
        const double in_phase = static_cast<double>(index_) - before_;
        if (in_phase >= count_of(phase)) {
            before_ += count_of(phase);
            phase_begin_ns_ += std::chrono::nanoseconds(phase.duration).count();
            ++phase_;
            continue;
        }
        // The time at which the integral of the rate is in_phase, in the form that needs no division by the slope.
        const double slope = (phase.rate_to - phase.rate_from) / seconds(phase.duration);
        const double root = std::sqrt(std::max(0.0, phase.rate_from * phase.rate_from + 2 * slope * in_phase));
        const double at = in_phase <= 0 ? 0 : 2 * in_phase / (phase.rate_from + root);
        ++index_;
        return DueMessage{phase_begin_ns_ + static_cast<std::int64_t>(at * 1e9), draw()};
    }
    return std::nullopt;
}

}  // namespace parti::test
