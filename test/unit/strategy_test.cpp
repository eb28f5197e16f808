// What holds for every strategy, and what round-robin and the hash ring promise. The bounded hashes: bounded_hash_test.cpp;
// sticky: sticky_test.cpp.
#include "strategy_cases.h"

#include <functional>
#include <iostream>
#include <limits>
#include <numeric>

namespace parti::assign {
namespace {

std::vector<std::shared_ptr<const Strategy>> all_strategies() {
    return {round_robin(),
            consistent_hash({.virtual_nodes = 1, .seed = 7}),
            consistent_hash({.virtual_nodes = 20}),
            weighted_consistent_hash({.virtual_nodes = 20}),
            weighted_consistent_hash({.virtual_nodes = 1, .seed = 7, .load_bound = 1.01}),
            rendezvous(),
            rendezvous({.seed = 7, .load_bound = 1.01}),
            sticky(),
            sticky({.epsilon = 0.1}),
            sticky({.max_moves = 3}),
            sticky({.max_moves_share = 0.01, .spread_zones = false})};
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

        if (strategy->name().find("consistent_hash") != std::string_view::npos) continue;  // see ConsistentHash.BoundsItsRing

        Group capacities(0, partitions_with({1, kHeaviestAllowed, 5, 1, 1, kHeaviestAllowed}));
        capacities.join(0, 1);
        capacities.join(1, 1'000'000);
        capacities.join(kWorkerNumberMax, 999'999);
        capacities.plan(*strategy);
    }
}

TEST(Strategy, HashesAndRoundRobinDoNotLookAtHistory) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 100; ++round) {
        const Group group = draw_group(rng);
        for (const auto& strategy : all_strategies()) {
            if (strategy->name() == "sticky") continue;
            SCOPED_TRACE(testing::Message() << strategy->name() << ", round " << round);
            Group with = group;
            Group without = group;
            for (std::size_t i = 0; i < without.partitions().size(); ++i) without.disown(i);
            with.plan(*strategy);
            without.plan(*strategy);
            EXPECT_EQ(with.last_plan(), without.last_plan());
        }
    }
}

TEST(Strategy, IsFoundByName) {
    EXPECT_EQ(strategy_names().size(), 5U);
    EXPECT_EQ(strategy_names().front(), "sticky");
    for (const std::string_view name : strategy_names()) {
        const auto found = strategy_from_name(name);
        ASSERT_TRUE(found) << name;
        EXPECT_EQ((*found)->name(), name);
        EXPECT_TRUE((*found)->validate());
        EXPECT_FALSE((*found)->works_in_steps());
    }
    const auto unknown = strategy_from_name("best");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Errc::invalid_config);
    EXPECT_EQ(unknown.error().detail,
              "strategy 'best' must be one of sticky, round_robin, consistent_hash, weighted_consistent_hash, rendezvous");
}

TEST(Strategy, NamesTheOptionThatIsInvalidAndStillKeepsTheContract) {
    const double nan = std::nan("");
    const double infinity = std::numeric_limits<double>::infinity();
    const std::vector<std::pair<std::shared_ptr<const Strategy>, std::string>> cases = {
        {sticky({.epsilon = -0.1}), "sticky: epsilon (-0.1) must be a number in 0..1"},
        {sticky({.epsilon = 1.5}), "sticky: epsilon (1.5) must be a number in 0..1"},
        {sticky({.epsilon = nan}), "sticky: epsilon (nan) must be a number in 0..1"},
        {sticky({.max_moves_share = 0}), "sticky: max_moves_share (0) must be a number above 0, at most 1"},
        {sticky({.max_moves_share = 1.01}), "sticky: max_moves_share (1.01) must be a number above 0, at most 1"},
        {sticky({.max_moves_share = nan}), "sticky: max_moves_share (nan) must be a number above 0, at most 1"},
        {consistent_hash({.virtual_nodes = 0}), "consistent_hash: virtual_nodes (0) must be in 1..10000"},
        {consistent_hash({.virtual_nodes = 10'001}), "consistent_hash: virtual_nodes (10001) must be in 1..10000"},
        {weighted_consistent_hash({.virtual_nodes = 0}), "weighted_consistent_hash: virtual_nodes (0) must be in 1..10000"},
        {weighted_consistent_hash({.load_bound = 1}), "weighted_consistent_hash: load_bound (1) must be a number in 1.01..10"},
        {rendezvous({.load_bound = 1.009}), "rendezvous: load_bound (1.009) must be a number in 1.01..10"},
        {rendezvous({.load_bound = infinity}), "rendezvous: load_bound (inf) must be a number in 1.01..10"},
        {rendezvous({.load_bound = nan}), "rendezvous: load_bound (nan) must be a number in 1.01..10"},
    };
    for (const auto& [strategy, message] : cases) {
        const auto checked = strategy->validate();
        ASSERT_FALSE(checked) << message;
        EXPECT_EQ(checked.error().code, Errc::invalid_config);
        EXPECT_EQ(checked.error().detail, message);
        Group group(5, equal_partitions(40));
        group.plan(*strategy);  // checks coverage
    }
    for (const auto& strategy : all_strategies()) EXPECT_TRUE(strategy->validate()) << strategy->name();
    EXPECT_TRUE(rendezvous({.load_bound = 10})->validate());
    EXPECT_TRUE(sticky({.epsilon = 1, .max_moves = 1, .max_moves_share = 1e-6})->validate());
}

// Plans written down: the same on every machine, and whoever changes one changes where a user's cached work is.
TEST(Strategy, PlansAreTheOnesWrittenDown) {
    struct Golden {
        std::string_view name;
        std::uint64_t fresh, joined, left;
    };
    static constexpr std::array<Golden, 5> kGolden = {{
        {"sticky", 17355785098628256595U, 5148413191060303329U, 259938441692839110U},
        {"round_robin", 10062303177727058725U, 3650603095573387237U, 10062303177727058725U},
        {"consistent_hash", 3394600764223721450U, 14681982251762569146U, 18415992958288383930U},
        {"weighted_consistent_hash", 17830471337424678246U, 8854285347193481206U, 2101656906284048893U},
        {"rendezvous", 1944694596709583845U, 15734496611307790571U, 14885875032264586739U},
    }};
    for (const Golden& golden : kGolden) {
        SCOPED_TRACE(golden.name);
        const auto strategy = strategy_from_name(golden.name).value();
        std::vector<std::int64_t> weights;
        for (std::int64_t i = 0; i < 1024; ++i) weights.push_back(1 + 1'000'000 / (1 + (i * 7919) % 1024));
        Group group(0, partitions_with(weights));
        const std::array<std::string_view, 3> zones = {"a", "b", "c"};
        for (std::uint32_t n = 0; n < 16; ++n) group.join(n, 1 + n % 3, zones[n % 3]);
        group.plan(*strategy);
        EXPECT_EQ(plan_digest(group.last_plan()), golden.fresh);
        group.join(40, 2, "b");
        group.plan(*strategy);
        EXPECT_EQ(plan_digest(group.last_plan()), golden.joined);
        group.leave(7);
        group.plan(*strategy);
        EXPECT_EQ(plan_digest(group.last_plan()), golden.left);
    }
}

// The table of docs/STRATEGIES.md. Movement against the theoretical minimum: the newcomer's fair share; what the leaver had.
struct Documented {
    std::string_view name;
    bool equal;  // weights; else by rank to the power of -0.6
    double most_over_fair, joined, left;
};
constexpr std::array<Documented, 10> kDocumented = {{
    {"sticky", true, 1.02, 1.001, 1.001},
    {"sticky", false, 1.02, 1.8, 1.8},
    {"rendezvous", true, 1.27, 1.3, 1.3},  // 1.25, rounded up to whole partitions
    {"rendezvous", false, 1.27, 1.4, 1.4},
    {"weighted_consistent_hash", true, 1.27, 1.3, 1.3},
    {"weighted_consistent_hash", false, 1.27, 1.4, 1.4},
    {"consistent_hash", true, 2.2, 1.3, 1.001},
    {"consistent_hash", false, 3.5, 1.4, 1.001},
    {"round_robin", true, 1.02, 17, 17},
    {"round_robin", false, 3.5, 17, 18},
}};

TEST(Strategy, BalancesAndMovesAsDocumented) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    constexpr int kRounds = 20;
    for (const Documented& documented : kDocumented) {
        SCOPED_TRACE(testing::Message() << documented.name << (documented.equal ? ", equal" : ", zipf"));
        const auto strategy = strategy_from_name(documented.name).value();
        base::Rng rng(seed);
        double joined = 0;
        double left = 0;
        double most = 0;
        for (int round = 0; round < kRounds; ++round) {
            // The plain weights are alike each time: other numbers make another fleet.
            const auto first = static_cast<std::uint32_t>(rng.below(10'000));
            Group group(0, documented.equal ? equal_partitions(1024) : zipf_partitions(1024, 0.6, rng.next()));
            for (std::uint32_t n = 0; n < 16; ++n) group.join(first + 2 * n);
            most = std::max(most, group.plan(*strategy).max_over_fair);
            group.join(first + 2 * static_cast<std::uint32_t>(rng.below(17)) + 1);
            const PlanMeasure plus = group.plan(*strategy);
            joined += 17 * static_cast<double>(plus.moved_weight) / static_cast<double>(plus.total_weight) / kRounds;
            most = std::max(most, plus.max_over_fair);
            const std::uint32_t gone = first + 2 * static_cast<std::uint32_t>(rng.below(16));
            const std::int64_t orphaned = group.load_of(gone);
            group.leave(gone);
            const PlanMeasure minus = group.plan(*strategy);
            left += static_cast<double>(minus.moved_weight + orphaned) / static_cast<double>(orphaned) / kRounds;
            most = std::max(most, minus.max_over_fair);
        }
        std::cout << "[ figure   ] " << documented.name << (documented.equal ? " equal" : " zipf") << " 1024p/16w: max/mean "
                  << most << ", +1 moves " << joined << " x the minimum, -1 " << left << " x\n";
        EXPECT_LE(most, documented.most_over_fair);
        EXPECT_LE(joined, documented.joined);
        EXPECT_LE(left, documented.left);
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
    EXPECT_LT(overload, 1.36);
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
