// What holds for every strategy, and what round-robin and the hash ring promise. Sticky: sticky_test.cpp.
#include "strategy_cases.h"

#include <functional>
#include <numeric>

namespace parti::assign {
namespace {

constexpr std::int64_t kHeaviestAllowed = 1'000'000'000;

std::vector<std::shared_ptr<const Strategy>> all_strategies() {
    return {round_robin(), consistent_hash({.virtual_nodes = 1, .seed = 7}), consistent_hash({.virtual_nodes = 20}), sticky(),
            sticky({.epsilon = 0.1})};
}

// Any fleet, any partitions, any history.
Group draw_group(base::Rng& rng) {
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
    const bool capacities = rng.chance(1, 2);
    for (std::uint64_t i = 0; i < workers; ++i) {
        group.join(static_cast<std::uint32_t>(3 * i + rng.below(3)),
                   capacities ? static_cast<std::uint32_t>(1 + rng.below(8)) : 1);
    }
    for (std::size_t i = 0; i < group.partitions().size(); ++i) {
        if (rng.chance(3, 4)) group.own(i, group.workers()[rng.below(workers)].number.value);
    }
    return group;
}

TEST(Strategy, CoversEveryPartitionAndAnswersAlikeEachTime) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 300; ++round) {
        const Group group = draw_group(rng);
        for (const auto& strategy : all_strategies()) {
            SCOPED_TRACE(testing::Message() << strategy->name() << ", round " << round);
            Group first = group;
            Group second = group;
            first.plan(*strategy);  // checks coverage
            second.plan(*strategy);
            EXPECT_EQ(first.last_plan(), second.last_plan());
            if (testing::Test::HasFailure()) return;
        }
    }
}

TEST(Strategy, ServesTheExtremes) {
    for (const auto& strategy : all_strategies()) {
        SCOPED_TRACE(strategy->name());
        Group nothing(3, {});
        EXPECT_EQ(nothing.plan(*strategy).total_weight, 0);
        EXPECT_TRUE(nothing.last_plan().empty());

        Group alone(1, equal_partitions(10));
        EXPECT_EQ(alone.plan(*strategy).max_over_fair, 1.0);

        Group more_workers(50, equal_partitions(7));
        more_workers.plan(*strategy);
        EXPECT_EQ(more_workers.owners().size(), 7U);

        Group heavy(7, partitions_with(std::vector<std::int64_t>(100, kHeaviestAllowed)));
        heavy.plan(*strategy);

        if (strategy->name() == "consistent_hash") continue;  // see ConsistentHash.BoundsItsRing

        Group capacities(0, partitions_with({1, kHeaviestAllowed, 5, 1, 1, kHeaviestAllowed}));
        capacities.join(0, 1);
        capacities.join(1, 1'000'000);
        capacities.join(kWorkerNumberMax, 999'999);
        capacities.plan(*strategy);
    }
}

TEST(RoundRobin, BalancesToOne) {
    for (const std::size_t workers : {1U, 3U, 10U, 64U}) {
        Group group(workers, equal_partitions(100));
        group.plan(*round_robin());
        const auto counts = group.counts();
        EXPECT_LE(*std::max_element(counts.begin(), counts.end()) - *std::min_element(counts.begin(), counts.end()), 1)
            << workers;
    }
}

TEST(ConsistentHash, MovesOnlyToTheOneThatCame) {
    Group group(16, equal_partitions(1024));
    group.plan(*consistent_hash());
    const auto before = group.owners();
    group.join(99);
    const PlanMeasure joined = group.plan(*consistent_hash());
    EXPECT_GT(joined.moved, 0U);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(group.owners()[i] == before[i] || group.owners()[i] == 99);
    group.leave(99);
    EXPECT_EQ(group.plan(*consistent_hash()).moved, 0U);  // orphans do not count as moved
    EXPECT_EQ(group.owners(), before);
}

TEST(ConsistentHash, MovesAboutTheShareOfOneWorker) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    double moved = 0;
    double overload = 0;
    constexpr int kRounds = 20;
    for (int round = 0; round < kRounds; ++round) {
        const auto strategy = consistent_hash({.seed = rng.next()});
        Group group(16, equal_partitions(1024));
        overload += group.plan(*strategy).max_over_fair / kRounds;
        group.join(16);
        moved += static_cast<double>(group.plan(*strategy).moved) / 1024 / kRounds;
    }
    EXPECT_NEAR(moved, 1.0 / 17, 0.012);
    EXPECT_LT(overload, 1.30);
    EXPECT_GT(overload, 1.05);
}

TEST(ConsistentHash, GivesLoadByCapacity) {
    Group group(0, equal_partitions(20'000));
    group.join(0, 1);
    group.join(1, 2);
    group.join(2, 5);
    group.plan(*consistent_hash());
    const auto counts = group.counts();
    EXPECT_NEAR(static_cast<double>(counts[0]) / 20'000, 1.0 / 8, 0.03);
    EXPECT_NEAR(static_cast<double>(counts[1]) / 20'000, 2.0 / 8, 0.04);
    EXPECT_NEAR(static_cast<double>(counts[2]) / 20'000, 5.0 / 8, 0.05);
}

// Asks for 225 million points.
TEST(ConsistentHash, BoundsItsRing) {
    Group group(0, equal_partitions(1000));
    group.join(0, 1);
    group.join(1, 1'000'000);
    group.join(kWorkerNumberMax, 500'000);
    group.plan(*consistent_hash());
    EXPECT_NEAR(static_cast<double>(group.counts()[1]) / 1000, 2.0 / 3, 0.1);
}

TEST(ConsistentHash, DependsOnSeedAndNumbersOnly) {
    const auto owners = [](std::uint64_t seed) {
        Group group(10, equal_partitions(500));
        group.plan(*consistent_hash({.seed = seed}));
        return group.owners();
    };
    EXPECT_EQ(owners(1), owners(1));
    EXPECT_NE(owners(1), owners(2));
    // The same on every machine: a plan written down.
    Group group(10, equal_partitions(500));
    group.plan(*consistent_hash());
    EXPECT_EQ(plan_digest(group.last_plan()), 1952248783622070414U);
}

TEST(PlanCheck, NamesWhatIsWrong) {
    const Group group(3, equal_partitions(2));
    const std::vector<std::int32_t> previous(2, kNobody);
    const StrategyInput input{group.workers(), group.partitions(), previous};
    EXPECT_TRUE(check_plan(input, std::vector<std::int32_t>{0, 2}));
    const auto detail = [&](const std::vector<std::int32_t>& plan) {
        const auto result = check_plan(input, plan);
        EXPECT_FALSE(result);
        return result ? std::string() : result.error().detail;
    };
    EXPECT_EQ(detail({0}), "the plan has 1 entries; there must be one for each of the 2 partitions");
    EXPECT_EQ(detail({0, 1, 2}), "the plan has 3 entries; there must be one for each of the 2 partitions");
    EXPECT_EQ(detail({0, 3}), "the plan gives partition 'p.0000001' to worker index 3; it must be in 0..2");
    EXPECT_EQ(detail({kNobody, 0}), "the plan gives partition 'p.0000000' to worker index -1; it must be in 0..2");
}

TEST(PlanMeasure, CountsLoadAndMoves) {
    Group group(0, partitions_with({10, 20, 30, 40}));
    group.join(1, 1);
    group.join(2, 3);
    const std::vector<std::int32_t> previous = {0, 0, kNobody, 1};
    const StrategyInput input{group.workers(), group.partitions(), previous};
    const PlanMeasure measure = measure_plan(input, std::vector<std::int32_t>{0, 1, 0, 0});
    EXPECT_EQ(measure.total_weight, 100);
    EXPECT_EQ(measure.moved_weight, 60);
    EXPECT_EQ(measure.moved, 2U);
    EXPECT_DOUBLE_EQ(measure.max_over_fair, 80.0 / 25.0);
    EXPECT_EQ(measure.max_overload, 55);
}

}  // namespace
}  // namespace parti::assign
