// Inputs for strategies: fleets and partition sets, from a seed; and the steps of a fleet's life.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <parti/strategy.h>

#include "assign/plan_check.h"
#include "assign/plan_measure.h"
#include "base/rng.h"

namespace parti::assign {

inline std::vector<Partition> partitions_with(const std::vector<std::int64_t>& weights) {
    std::vector<Partition> out;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        std::string digits = std::to_string(i);
        out.push_back(Partition::from_id(std::string("p.").append(7 - digits.size(), '0').append(digits), weights[i]).value());
    }
    return out;
}
inline std::vector<Partition> equal_partitions(std::size_t count) { return partitions_with(std::vector<std::int64_t>(count, 1)); }

// Weights by rank to the power of -exponent, in a seeded order.
inline std::vector<Partition> zipf_partitions(std::size_t count, double exponent, std::uint64_t seed) {
    std::vector<std::int64_t> weights;
    for (std::size_t rank = 1; rank <= count; ++rank) {
        weights.push_back(std::max<std::int64_t>(1, std::llround(1e6 * std::pow(static_cast<double>(rank), -exponent))));
    }
    base::Rng rng(seed);
    for (std::size_t i = weights.size(); i > 1; --i) std::swap(weights[i - 1], weights[rng.below(i)]);
    return partitions_with(weights);
}

// A group: who is there, what there is, and who owns it now. Owners are numbers, so that fleets may change.
class Group {
public:
    Group(std::size_t workers, std::vector<Partition> partitions) : partitions_(std::move(partitions)) {
        for (std::uint32_t n = 0; n < workers; ++n) join(n);
        owner_.assign(partitions_.size(), -1);
    }
    // `zone` is kept as a view.
    void join(std::uint32_t number, std::uint32_t capacity = 1, std::string_view zone = {}) {
        const StrategyWorker worker{{number}, capacity, zone};
        workers_.insert(std::lower_bound(workers_.begin(), workers_.end(), worker, by_number), worker);
    }
    void leave(std::uint32_t number) {
        std::erase_if(workers_, [number](const StrategyWorker& w) { return w.number.value == number; });
    }
    void set_partitions(std::vector<Partition> partitions) {
        std::vector<std::int64_t> owner;
        for (const Partition& p : partitions) {
            const auto at = std::lower_bound(partitions_.begin(), partitions_.end(), p);
            owner.push_back(at != partitions_.end() && *at == p ? owner_[static_cast<std::size_t>(at - partitions_.begin())]
                                                                : -1);
        }
        partitions_ = std::move(partitions);
        owner_ = std::move(owner);
    }
    void disown(std::size_t partition) { owner_[partition] = -1; }
    void own(std::size_t partition, std::uint32_t number) { owner_[partition] = number; }

    // Runs the strategy, checks the plan, takes it over and returns its measures.
    PlanMeasure plan(const Strategy& strategy) {
        std::vector<std::int32_t> previous;
        for (const std::int64_t number : owner_) previous.push_back(index_of(number));
        const StrategyInput input{workers_, partitions_, previous};
        plan_ = strategy.assign(input);
        const auto checked = check_plan(input, plan_);
        EXPECT_TRUE(checked) << checked.error().message();
        if (!checked) return {};
        const PlanMeasure measure = measure_plan(input, plan_);
        for (std::size_t i = 0; i < plan_.size(); ++i) owner_[i] = workers_[static_cast<std::size_t>(plan_[i])].number.value;
        return measure;
    }

    const std::vector<StrategyWorker>& workers() const { return workers_; }
    const std::vector<Partition>& partitions() const { return partitions_; }
    const std::vector<std::int64_t>& owners() const { return owner_; }
    const std::vector<std::int32_t>& last_plan() const { return plan_; }
    std::int64_t total_weight() const {
        std::int64_t total = 0;
        for (const Partition& p : partitions_) total += p.weight();
        return total;
    }
    std::int64_t heaviest() const {
        std::int64_t out = 0;
        for (const Partition& p : partitions_) out = std::max(out, p.weight());
        return out;
    }
    std::vector<std::int64_t> counts() const {
        std::vector<std::int64_t> out(workers_.size());
        for (const std::int64_t number : owner_) ++out[static_cast<std::size_t>(index_of(number))];
        return out;
    }

    std::int64_t total_capacity() const {
        std::int64_t total = 0;
        for (const StrategyWorker& w : workers_) total += w.capacity;
        return total;
    }
    // Per worker; partitions without a living owner count for nobody.
    std::vector<std::int64_t> loads() const {
        std::vector<std::int64_t> out(workers_.size());
        for (std::size_t i = 0; i < owner_.size(); ++i) {
            const std::int32_t at = index_of(owner_[i]);
            if (at != kNobody) out[static_cast<std::size_t>(at)] += partitions_[i].weight();
        }
        return out;
    }
    std::int64_t load_of(std::uint32_t number) const { return loads()[static_cast<std::size_t>(index_of(number))]; }

private:
    static bool by_number(const StrategyWorker& a, const StrategyWorker& b) { return a.number < b.number; }
    std::int32_t index_of(std::int64_t number) const {
        if (number < 0) return kNobody;
        const StrategyWorker wanted{{static_cast<std::uint32_t>(number)}, 1, {}};
        const auto at = std::lower_bound(workers_.begin(), workers_.end(), wanted, by_number);
        return at != workers_.end() && at->number == wanted.number ? static_cast<std::int32_t>(at - workers_.begin()) : kNobody;
    }

    std::vector<StrategyWorker> workers_;
    std::vector<Partition> partitions_;
    std::vector<std::int64_t> owner_;
    std::vector<std::int32_t> plan_;
};

inline constexpr std::int64_t kHeaviestAllowed = 1'000'000'000;

// Any fleet, any partitions, any history.
inline Group draw_group(base::Rng& rng) {
    const auto draw_weights = [&rng] {
        std::vector<std::int64_t> weights;
        const std::uint64_t count = rng.chance(1, 10) ? 0 : rng.below(200);
        const std::uint64_t kind = rng.below(4);
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::int64_t any = rng.between(1, 1000);
            weights.push_back(kind == 0           ? 1
                              : kind == 1         ? any
                              : kind == 2         ? any * any * any
                              : rng.chance(1, 20) ? kHeaviestAllowed
                                                  : 1);
        }
        return weights;
    };
    Group group(0, partitions_with(draw_weights()));
    const std::uint64_t workers = 1 + rng.below(30);
    static constexpr std::array<std::string_view, 5> kZones = {"", "a", "b", "c", "d"};
    const std::uint64_t zones = rng.chance(1, 2) ? 0 : rng.below(kZones.size());
    const bool capacities = rng.chance(1, 2);
    for (std::uint64_t i = 0; i < workers; ++i) {
        group.join(static_cast<std::uint32_t>(3 * i + rng.below(3)),
                   capacities ? static_cast<std::uint32_t>(1 + rng.below(8)) : 1, kZones[zones == 0 ? 0 : rng.below(zones + 1)]);
    }
    for (std::size_t i = 0; i < group.partitions().size(); ++i) {
        if (rng.chance(3, 4)) group.own(i, group.workers()[rng.below(workers)].number.value);
    }
    return group;
}

inline std::uint64_t strategy_seed() {
    const char* text = std::getenv("PARTI_SEED");
    return text == nullptr ? 20240607 : std::strtoull(text, nullptr, 0);
}
inline std::string strategy_replay(std::uint64_t seed) {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    return std::string("replay: PARTI_SEED=").append(std::to_string(seed)).append(" parti_assign_test --gtest_filter=") +
           info->test_suite_name() + "." + info->name();
}

}  // namespace parti::assign
