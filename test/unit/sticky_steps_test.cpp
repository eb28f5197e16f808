// Sticky: zones, the churn budget, and long lives of fleets.
#include "strategy_cases.h"

#include <map>

namespace parti::assign {
namespace {

std::map<std::string_view, std::int64_t> zone_loads(const Group& group) {
    std::map<std::string_view, std::int64_t> out;
    const auto loads = group.loads();
    for (std::size_t i = 0; i < loads.size(); ++i) out[group.workers()[i].zone] += loads[i];
    return out;
}
using Loads = std::map<std::string_view, std::int64_t>;

std::uint64_t fewest_moves_to_even(const Group& group) {
    auto held = group.loads();  // of weights 1
    std::sort(held.rbegin(), held.rend());
    const auto workers = static_cast<std::int64_t>(held.size());
    const auto partitions = static_cast<std::int64_t>(group.partitions().size());
    std::int64_t moves = 0;
    for (std::int64_t i = 0; i < workers; ++i) {
        const std::int64_t quota = partitions / workers + (i < partitions % workers ? 1 : 0);
        moves += std::max<std::int64_t>(0, held[static_cast<std::size_t>(i)] - quota);
    }
    return static_cast<std::uint64_t>(moves);
}
void expect_even(const Group& group) {
    const auto loads = group.loads();
    EXPECT_LE(*std::max_element(loads.begin(), loads.end()) - *std::min_element(loads.begin(), loads.end()), 1);
}

// ---- zones

Group two_zones(std::size_t partitions) {
    Group group(0, equal_partitions(partitions));
    for (std::uint32_t n = 0; n < 8; ++n) group.join(n, 1, n < 4 ? "a" : "b");
    return group;
}

TEST(StickyZones, TheRestIsSpreadOverZones) {
    Group group = two_zones(12);
    EXPECT_EQ(group.plan(*sticky()).moved, 0U);
    EXPECT_EQ(zone_loads(group), (Loads{{"a", 6}, {"b", 6}}));
    expect_even(group);
    Group ignored = two_zones(12);
    ignored.plan(*sticky({.spread_zones = false}));
    EXPECT_EQ(zone_loads(ignored), (Loads{{"a", 8}, {"b", 4}}));
}

TEST(StickyZones, AnUnevenStartIsMendedWithTheFewestMoves) {
    Group group = two_zones(12);
    for (std::size_t i = 0; i < 12; ++i) group.own(i, static_cast<std::uint32_t>(i % 8));  // 0 to 3 have two
    EXPECT_EQ(zone_loads(group), (Loads{{"a", 8}, {"b", 4}}));
    Group ignored = group;
    EXPECT_EQ(group.plan(*sticky()).moved, 2U);
    EXPECT_EQ(zone_loads(group), (Loads{{"a", 6}, {"b", 6}}));
    expect_even(group);
    EXPECT_EQ(group.plan(*sticky()).moved, 0U);
    EXPECT_EQ(ignored.plan(*sticky({.spread_zones = false})).moved, 0U);
}

// Who gives is chosen by zone among equals: the newcomer's partition comes from the other zone, and nothing needs mending.
TEST(StickyZones, ANewcomerTakesFromTheZoneThatHasMore) {
    Group group = two_zones(12);
    group.plan(*sticky());
    group.join(8, 1, "a");
    EXPECT_EQ(group.plan(*sticky()).moved, 1U);
    EXPECT_EQ(zone_loads(group), (Loads{{"a", 7}, {"b", 5}}));
    expect_even(group);
}

TEST(StickyZones, ATolerantOneLeavesZonesAloneToo) {
    Group group(0, equal_partitions(100));
    for (std::uint32_t n = 0; n < 8; ++n) group.join(n, 1, n < 4 ? "a" : "b");
    for (std::size_t i = 0; i < 100; ++i) group.own(i, static_cast<std::uint32_t>(i % 8));  // 13 or 12 each: 52 and 48
    EXPECT_EQ(zone_loads(group), (Loads{{"a", 52}, {"b", 48}}));
    EXPECT_EQ(Group(group).plan(*sticky({.epsilon = 0.05})).moved, 0U);
    EXPECT_EQ(Group(group).plan(*sticky({.epsilon = 0.03})).moved, 1U);
    EXPECT_EQ(Group(group).plan(*sticky()).moved, 2U);
}

TEST(StickyZones, ALostZoneCostsItsShareAndComesBack) {
    Group group(0, equal_partitions(90));
    for (std::uint32_t n = 0; n < 9; ++n) group.join(n, 1, n % 3 == 0 ? "a" : n % 3 == 1 ? "b" : "c");
    group.plan(*sticky());
    EXPECT_EQ(zone_loads(group), (Loads{{"a", 30}, {"b", 30}, {"c", 30}}));
    for (const std::uint32_t n : {0U, 3U, 6U}) group.leave(n);
    EXPECT_EQ(group.plan(*sticky()).moved, 0U);  // orphans alone
    EXPECT_EQ(zone_loads(group), (Loads{{"b", 45}, {"c", 45}}));
    for (const std::uint32_t n : {0U, 3U, 6U}) group.join(n, 1, "a");
    EXPECT_EQ(group.plan(*sticky()).moved, 30U);
    EXPECT_EQ(zone_loads(group), (Loads{{"a", 30}, {"b", 30}, {"c", 30}}));
}

// Equal weights, any capacities, zones and history: no zone is more than the heaviest partition above another, against their
// shares; and workers are as even as without zones.
TEST(StickyZones, AreEvenAtNoCostForWorkers) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    static constexpr std::array<std::string_view, 5> kZones = {"", "a", "b", "c", "d"};
    for (int round = 0; round < 500; ++round) {
        SCOPED_TRACE(round);
        Group group(0, equal_partitions(1 + rng.below(150)));
        const std::uint64_t workers = 1 + rng.below(20);
        const std::uint64_t zones = 2 + rng.below(4);
        for (std::uint32_t n = 0; n < workers; ++n) group.join(n, 1, kZones[rng.below(zones)]);
        for (std::size_t i = 0; i < group.partitions().size(); ++i) {
            if (rng.chance(4, 5)) group.own(i, static_cast<std::uint32_t>(rng.below(1 + rng.below(workers))));
        }
        group.plan(*sticky());
        expect_even(group);
        const auto partitions = static_cast<std::int64_t>(group.partitions().size());
        std::map<std::string_view, std::int64_t> members;
        for (const StrategyWorker& w : group.workers()) ++members[w.zone];
        std::int64_t most = std::numeric_limits<std::int64_t>::min();
        std::int64_t least = std::numeric_limits<std::int64_t>::max();
        for (const auto& [zone, load] : zone_loads(group)) {
            const std::int64_t overload = load * static_cast<std::int64_t>(workers) - partitions * members[zone];
            most = std::max(most, overload);
            least = std::min(least, overload);
        }
        EXPECT_LE(most - least, static_cast<std::int64_t>(workers));  // one partition
        EXPECT_EQ(group.plan(*sticky()).moved, 0U);
        if (testing::Test::HasFailure()) return;
    }
}

TEST(StickyZones, HoldTheBoundAndComeToRestForAnyGroup) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 300; ++round) {
        SCOPED_TRACE(round);
        const Group drawn = draw_group(rng);
        if (drawn.partitions().empty()) continue;
        for (const double epsilon : {0.0, 0.1}) {
            Group group = drawn;
            const PlanMeasure measure = group.plan(*sticky({.epsilon = epsilon}));
            if (epsilon == 0) {
                EXPECT_LE(measure.max_overload, group.heaviest());
            }
            EXPECT_EQ(group.plan(*sticky({.epsilon = epsilon})).moved, 0U);
        }
        if (testing::Test::HasFailure()) return;
    }
}

TEST(StickyZones, TooManyAreIgnored) {
    std::vector<std::string> names;
    for (int i = 0; i < 300; ++i) names.push_back("z" + std::to_string(i));
    Group with(0, equal_partitions(1000));
    Group without(0, equal_partitions(1000));
    for (std::uint32_t n = 0; n < 600; ++n) {
        with.join(n, 1, names[n / 2]);
        without.join(n);
    }
    with.plan(*sticky());
    without.plan(*sticky());
    EXPECT_EQ(with.last_plan(), without.last_plan());
}

// ---- churn budget

struct Life {
    std::uint64_t plans = 0;
    std::uint64_t moved = 0;
};
// Until a plan moves nothing, as the leader does it.
Life run_out(Group& group, const Strategy& strategy, std::uint64_t budget) {
    Life out;
    for (;;) {
        const PlanMeasure measure = group.plan(strategy);
        EXPECT_LE(measure.moved, budget);
        if (measure.moved == 0) return out;
        ++out.plans;
        out.moved += measure.moved;
        if (testing::Test::HasFailure()) return out;
    }
}

TEST(StickyBudget, MovesInPartsWhatOnePlanWouldMove) {
    Group group(10, equal_partitions(1000));
    group.plan(*sticky());
    group.join(10);
    group.join(11);
    Group at_once = group;
    const std::uint64_t all = at_once.plan(*sticky()).moved;
    EXPECT_EQ(all, 166U);
    const Life life = run_out(group, *sticky({.max_moves = 50}), 50);
    EXPECT_EQ(life.plans, 4U);
    EXPECT_EQ(life.moved, all);
    EXPECT_EQ(group.owners(), at_once.owners());
}

TEST(StickyBudget, ComesToTheSameEndForAnyGroup) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 200; ++round) {
        SCOPED_TRACE(round);
        Group group = draw_group(rng);
        const std::uint64_t budget = 1 + rng.below(10);
        const auto strategy = sticky({.max_moves = static_cast<std::uint32_t>(budget)});
        EXPECT_TRUE(strategy->works_in_steps());
        group.plan(*strategy);  // places the orphans, all of them
        EXPECT_EQ(std::count(group.owners().begin(), group.owners().end(), -1), 0);
        Group at_once = group;
        at_once.plan(*sticky());
        run_out(group, *strategy, budget);
        EXPECT_EQ(group.owners(), at_once.owners());
        if (testing::Test::HasFailure()) return;
    }
}

TEST(StickyBudget, TheMostUsefulMovesComeFirst) {
    Group group(4, equal_partitions(80));
    for (std::size_t i = 0; i < 80; ++i) group.own(i, i < 50 ? 0 : i < 75 ? 1 : 2);
    EXPECT_EQ(group.plan(*sticky({.max_moves = 10})).moved, 10U);
    EXPECT_EQ(group.loads(), (std::vector<std::int64_t>{40, 25, 8, 7}));
}

TEST(StickyBudget, CountsOwnedPartitionsOnly) {
    Group group(4, equal_partitions(80));
    for (std::size_t i = 0; i < 80; ++i) {
        if (i < 40) group.own(i, 0);
    }
    EXPECT_EQ(group.plan(*sticky({.max_moves = 3})).moved, 3U);
    const auto loads = group.loads();
    EXPECT_EQ(loads[0], 37);
    EXPECT_EQ(loads[1] + loads[2] + loads[3], 43);
}

TEST(StickyBudget, AShareIsOfAllPartitionsAndAtLeastOne) {
    const auto moved = [](std::size_t partitions, StickyOptions options) {
        Group group(2, equal_partitions(partitions));
        for (std::size_t i = 0; i < partitions; ++i) group.own(i, 0);
        return group.plan(*sticky(options)).moved;
    };
    EXPECT_EQ(moved(100, {.max_moves_share = 0.1}), 10U);
    EXPECT_EQ(moved(99, {.max_moves_share = 0.1}), 9U);
    EXPECT_EQ(moved(4, {.max_moves_share = 0.1}), 1U);
    EXPECT_EQ(moved(100, {.max_moves = 5, .max_moves_share = 0.1}), 5U);
    EXPECT_EQ(moved(100, {.max_moves = 15, .max_moves_share = 0.1}), 10U);
    EXPECT_EQ(moved(100, {.max_moves_share = 1e-9}), 1U);
    EXPECT_EQ(moved(100, {}), 50U);
}

// ---- long lives

// Stickiness: over a whole life, every plan moves the fewest partitions that make the fleet even, whoever comes and goes, in any
// number at once.
TEST(StickyLife, EveryPlanMovesTheFewest) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    Group group(10, equal_partitions(300));
    group.plan(*sticky());
    for (int round = 0; round < 1000; ++round) {
        SCOPED_TRACE(round);
        for (std::uint64_t changes = 1 + rng.below(4); changes > 0; --changes) {
            const auto number = static_cast<std::uint32_t>(rng.below(60));
            const bool there = std::any_of(group.workers().begin(), group.workers().end(),
                                           [&](const StrategyWorker& w) { return w.number.value == number; });
            if (!there) group.join(number);
            if (there && group.workers().size() > 1) group.leave(number);
        }
        const std::uint64_t fewest = fewest_moves_to_even(group);
        EXPECT_EQ(group.plan(*sticky()).moved, fewest);
        expect_even(group);
        if (testing::Test::HasFailure()) return;
    }
}

// librdkafka's PoorRoundRobinAssignmentScenario: five topics of 2, 1, 2, 1 and 2 partitions, over which round-robin is uneven.
TEST(StickyLife, PoorRoundRobinAssignmentScenario) {
    std::vector<Partition> partitions;
    for (const char* id : {"t1.0", "t1.1", "t2.0", "t3.0", "t3.1", "t4.0", "t5.0", "t5.1"}) {
        partitions.push_back(Partition::from_id(id).value());
    }
    Group group(4, partitions);
    group.plan(*sticky());
    EXPECT_EQ(group.loads(), (std::vector<std::int64_t>{2, 2, 2, 2}));
    group.leave(1);
    EXPECT_EQ(group.plan(*sticky()).moved, 0U);
    expect_even(group);
}

// A worker that was away comes back to nothing it had (its partitions live elsewhere), and takes the fewest: librdkafka's stale
// generation.
TEST(StickyLife, AReturningWorkerTakesItsShareAndNoMore) {
    Group group(3, equal_partitions(9));
    group.plan(*sticky());
    group.leave(2);
    group.plan(*sticky());
    group.join(2);
    EXPECT_EQ(group.plan(*sticky()).moved, 3U);
    EXPECT_EQ(group.loads(), (std::vector<std::int64_t>{3, 3, 3}));
}

}  // namespace
}  // namespace parti::assign
