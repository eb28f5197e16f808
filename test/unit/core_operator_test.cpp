// What operators and outages ask of a group: freeze, drain, a requested plan, mass failures, takeovers, alerts, rolling upgrades.
#include <gtest/gtest.h>

#include <algorithm>

#include "core_bench.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

Config config() {
    Config out;
    out.group = "g";
    out.timing = fast_test_timing();
    return out;
}

void control(CoreBench& bench, ControlRecord record) {
    bench.scribble(Bucket::assignment, control_key(), std::make_shared<const ControlRecord>(std::move(record)));
}

std::vector<std::size_t> owned(CoreBench& bench) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < bench.size(); ++i) out.push_back(bench.node(i).dead ? 0 : bench.node(i).tokens.size());
    return out;
}

bool balanced(CoreBench& bench, std::size_t each) {
    const auto counts = owned(bench);
    return bench.covered() && std::all_of(counts.begin(), counts.end(), [each](std::size_t n) { return n == each; });
}

TEST(CoreFreeze, MovesNothingForAJoinAdoptsOrphansAndPlansWhenThawed) {
    CoreBench bench(config(), 20);
    bench.add();
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    control(bench, {.frozen = true});
    bench.run_for(100ms);
    EXPECT_EQ(bench.core(bench.leader()).phase(), LeaderPhase::frozen);
    const std::size_t third = bench.add();
    bench.run_for(20s);
    EXPECT_EQ(owned(bench), (std::vector<std::size_t>{10, 10, 0}));

    const std::size_t follower = bench.leader() == 0 ? 1 : 0;
    bench.node(follower).dead = true;
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 10s)) << "orphans are adopted even when frozen";
    EXPECT_EQ(bench.core(bench.leader()).phase(), LeaderPhase::frozen);
    EXPECT_EQ(bench.node(third).tokens.size(), 10u);

    const std::size_t fourth = bench.add();
    bench.run_for(20s);
    EXPECT_EQ(bench.node(fourth).tokens.size(), 0u);
    control(bench, {.frozen = false});
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(fourth).tokens.size() >= 6; }, 5s));
    ASSERT_TRUE(bench.run_until([&] { return bench.core(bench.leader()).phase() == LeaderPhase::idle; }, 1s));
}

TEST(CoreFreeze, OutlivesItsLeader) {
    CoreBench bench(config(), 20);
    bench.add();
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    control(bench, {.frozen = true});
    bench.run_for(1s);
    bench.node(bench.leader()).dead = true;
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 10s));
    bench.add();
    bench.run_for(10s);
    const auto counts = owned(bench);
    EXPECT_EQ(std::count(counts.begin(), counts.end(), 20u), 1) << "the joined worker got nothing";
}

TEST(CoreFreeze, AnUnreadableControlRecordChangesNothingAndIsReported) {
    CoreBench bench(config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    control(bench, {.frozen = true});
    bench.run_for(100ms);
    bench.scribble(Bucket::assignment, control_key(),
                   std::make_shared<const Unreadable>(Unreadable{{Errc::malformed_record, "control is not JSON"}, false}));
    bench.run_for(100ms);
    EXPECT_EQ(bench.core(0).phase(), LeaderPhase::frozen);
    EXPECT_TRUE(bench.node(0).said("control is not JSON"));
    bench.scribble(Bucket::assignment, control_key(), Absent{});
    EXPECT_TRUE(bench.run_until([&] { return bench.core(0).phase() == LeaderPhase::idle; }, 5s))
        << "a deleted record asks for nothing";
}

TEST(CoreDrain, EmptiesASessionKeepsTheOthersWhereTheyAreAndTakesItBackAfterwards) {
    CoreBench bench(config(), 30);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    const auto kept_before = bench.node(0).tokens;
    control(bench, {.drain = {to_string(bench.core(2).session())}});
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.empty(); }, 5s));
    EXPECT_EQ(bench.core(2).state(), State::stable);
    EXPECT_TRUE(bench.node(2).said("operators drain this worker"));
    for (const auto& [grant, partition] : kept_before)
        EXPECT_TRUE(bench.node(0).tokens.contains(grant)) << partition << " was touched";
    bench.run_for(5s);
    EXPECT_TRUE(bench.node(2).tokens.empty());
    control(bench, {});
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
}

TEST(CoreDrain, AnInstanceStaysDrainedOverItsRestartAndWhileFrozen) {
    CoreBench bench(config(), 20);
    bench.add();
    Config named = config();
    named.instance = "pod-b";
    bench.add(named);
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    control(bench, {.frozen = true, .drain = {"pod-b"}});
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.empty(); }, 5s));
    bench.feed(1, core::Stop{});
    bench.run_for(2s);
    const std::size_t again = bench.add(named);
    bench.run_for(10s);
    EXPECT_EQ(bench.core(again).state(), State::stable);
    EXPECT_TRUE(bench.node(again).tokens.empty());
}

TEST(CoreDrain, OfEverybodyLeavesThePartitionsWhereTheyAreAndSaysSo) {
    CoreBench bench(config(), 20);
    bench.add();
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    control(bench, {.drain = {to_string(bench.core(0).session()), to_string(bench.core(1).session())}});
    bench.run_for(5s);
    EXPECT_TRUE(balanced(bench, 10));
    EXPECT_TRUE(bench.node(bench.leader()).said("every worker is being drained"));
}

TEST(CoreRebalance, ARequestIsPlannedAtOnceAndOnceEvenAcrossAChangeOfLeader) {
    Config c = config();
    c.timing.planned_scale_window = 1h;
    c.timing.settle_pause = 1h;
    c.timing.cold_start_window = 100ms;
    CoreBench bench(c, 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.core(0).at_rest(); }, 5s));
    bench.add();
    bench.run_for(10s);
    EXPECT_EQ(owned(bench), (std::vector<std::size_t>{20, 0})) << "the window is still open";
    control(bench, {.rebalance = 1});
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 1s));
    ASSERT_TRUE(bench.run_until([&] { return bench.head().rebalanced == 1; }, 1s));
    const std::uint64_t plans = bench.core(0).stats().plans;
    bench.run_for(10s);
    EXPECT_EQ(bench.core(0).stats().plans, plans);

    bench.node(0).dead = true;
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 10s));
    bench.add();
    bench.run_for(10s);
    EXPECT_EQ(bench.node(1).tokens.size(), 20u) << "a request that was carried out is not carried out again by the next leader";
}

TEST(CoreRefresh, ReachesEveryWorkerOnceAndNotThoseWhoComeLater) {
    CoreBench bench(config(), 20);
    bench.add();
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    control(bench, {.refresh = 1});
    bench.run_for(1s);
    const std::size_t late = bench.add();
    bench.run_for(3s);
    EXPECT_EQ(bench.node(0).refreshes, 1);
    EXPECT_EQ(bench.node(1).refreshes, 1);
    EXPECT_EQ(bench.node(late).refreshes, 0);
}

struct MassCase {
    std::size_t workers;
    std::size_t lost;
    bool grace;
};

class CoreMassFailure : public ::testing::TestWithParam<MassCase> {};

TEST_P(CoreMassFailure, DelaysDeathsOnlyWhenMoreThanHalfAndAtLeastFourGoTogether) {
    const MassCase& c = GetParam();
    Config config_with_grace = config();
    config_with_grace.timing.recovery_grace = 20s;
    config_with_grace.expected_workers = static_cast<std::uint32_t>(c.workers);
    CoreBench bench(config_with_grace, 10 * c.workers);
    for (std::size_t i = 0; i < c.workers; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 10s));
    const std::size_t chief = bench.leader();
    for (std::size_t i = 0, lost = 0; lost < c.lost; ++i) {
        if (i == chief) continue;
        bench.node(i).dead = true;
        ++lost;
    }
    const Duration crash = config_with_grace.timing.ttl + config_with_grace.timing.margin + 500ms;
    EXPECT_EQ(bench.run_until([&] { return bench.covered(); }, crash), !c.grace);
    EXPECT_EQ(bench.node(chief).said("went silent together"), c.grace);
    EXPECT_TRUE(bench.run_until([&] { return bench.covered(); }, config_with_grace.timing.recovery_grace + 1s))
        << "the grace ends";
}

INSTANTIATE_TEST_SUITE_P(Sizes, CoreMassFailure,
                         ::testing::Values(MassCase{8, 1, false}, MassCase{8, 4, false}, MassCase{8, 5, true},
                                           MassCase{8, 7, true}, MassCase{4, 3, false}, MassCase{5, 4, true}),
                         [](const auto& test) {
                             return std::to_string(test.param.lost) + "of" + std::to_string(test.param.workers);
                         });

TEST(CoreMassFailureReturn, ThoseWhoComeBackWithinTheGraceKeepTheirSessions) {
    Config c = config();
    c.policy = Policy::keep;
    c.timing.recovery_grace = 20s;
    CoreBench bench(c, 60);
    for (int i = 0; i < 6; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 10s));
    const std::size_t chief = bench.leader();
    for (std::size_t i = 0; i < 6; ++i) {
        if (i != chief) bench.cut(i);
    }
    bench.run_for(5s);
    for (std::size_t i = 0; i < 6; ++i) {
        if (i != chief) bench.heal(i);
    }
    bench.run_for(5s);
    EXPECT_TRUE(balanced(bench, 10));
    EXPECT_TRUE(bench.node(chief).said("went silent together"));
    for (std::size_t i = 0; i < 6; ++i) {
        std::string notes;
        for (const std::size_t n : {i, chief}) {
            for (const std::string& note : bench.node(n).notes) notes += "\n  " + note;
        }
        EXPECT_EQ(bench.core(i).stats().sessions_lost, 0u) << i << notes;
    }
    bench.node((chief + 1) % 6).dead = true;
    EXPECT_TRUE(bench.run_until([&] { return bench.covered(); }, c.timing.ttl + c.timing.margin + 500ms))
        << "the guard is armed anew, and off";
}

// Three workers: too few for the guard. Whoever is back first must not declare the others dead for an outage of the store.
TEST(CoreKeep, AnOutageOfTheStoreEndsNoSession) {
    Config c = config();
    c.policy = Policy::keep;
    CoreBench bench(c, 30);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 10s));
    for (std::size_t i = 0; i < 3; ++i) bench.cut(i);
    bench.run_for(60s);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(bench.core(i).state(), State::degraded);
        EXPECT_EQ(bench.core(i).alert(), AlertLevel::info);
        EXPECT_EQ(bench.node(i).tokens.size(), 10u);
        bench.node(i).alerts.clear();
    }
    for (const std::size_t i : {1u, 2u, 0u}) {  // one after the other
        bench.heal(i);
        bench.run_for(300ms);
    }
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(bench.core(i).stats().sessions_lost, 0u) << i;
        EXPECT_EQ(bench.node(i).alerts, std::vector<AlertLevel>{AlertLevel::none});
    }
    EXPECT_EQ(bench.leaders(), 1u);
}

TEST(CoreAlert, RisesWithTimeAndEndsWithTheNextLease) {
    Config c = config();
    CoreBench bench(c, 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    bench.cut(0);
    bench.run_for(11min);
    EXPECT_EQ(bench.node(0).alerts,
              (std::vector<AlertLevel>{AlertLevel::info, AlertLevel::warning, AlertLevel::error, AlertLevel::critical}));
    EXPECT_EQ(bench.core(0).alert(), AlertLevel::critical);
    bench.heal(0);
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    EXPECT_EQ(bench.node(0).alerts.back(), AlertLevel::none);
    EXPECT_EQ(bench.core(0).alert(), AlertLevel::none);
}

Config named(InstanceTakeover takeover) {
    Config c = config();
    c.instance = "pod-a";
    c.instance_takeover = takeover;
    return c;
}

TEST(CoreTakeover, TrustTakesTheNumberAtOnceAndTheOldProcessStops) {
    CoreBench bench(config(), 20);
    bench.add(named(InstanceTakeover::trust));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    const auto number = bench.core(0).number();
    const std::size_t next = bench.add(named(InstanceTakeover::trust));
    ASSERT_TRUE(bench.run_until(
        [&] { return bench.core(next).state() == State::stable && bench.core(0).state() == State::stopped; }, 500ms));
    EXPECT_EQ(bench.core(next).number(), number);
    EXPECT_TRUE(bench.node(0).said("taken over by another process with instance name 'pod-a'"));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    bench.run_for(10s);
    EXPECT_TRUE(bench.covered()) << "nobody takes it back";
}

TEST(CoreTakeover, WaitTakesASilentNumberAndTheOldProcessStopsWhenItWakes) {
    CoreBench bench(config(), 20);
    bench.add(named(InstanceTakeover::wait));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    const auto number = bench.core(0).number();
    bench.cut(0);
    const std::size_t next = bench.add(named(InstanceTakeover::wait));
    bench.run_for(1s);
    EXPECT_NE(bench.core(next).state(), State::stable) << "it waits for ttl + margin";
    ASSERT_TRUE(bench.run_until([&] { return bench.core(next).state() == State::stable; }, 1s));
    EXPECT_EQ(bench.core(next).number(), number);
    bench.heal(0);
    ASSERT_TRUE(bench.run_until([&] { return bench.core(0).state() == State::stopped; }, 2s));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
}

TEST(CoreTakeover, WaitGoesOnWithoutTheNameWhenItsHolderLives) {
    CoreBench bench(config(), 20);
    bench.add(named(InstanceTakeover::wait));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    const std::size_t next = bench.add(named(InstanceTakeover::wait));
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    EXPECT_NE(bench.core(next).number(), bench.core(0).number());
    EXPECT_TRUE(bench.node(next).said("in use by worker"));
}

// Old workers read major 1 only; new ones read 2. Nobody is ever sent what it cannot read.
TEST(CoreUpgrade, TheRecordMajorFollowsTheOldestLivingWorkerUpAndDown) {
    CoreBench bench(config(), 20);
    bench.add(config(), 1);
    bench.add(config(), 1);
    ASSERT_TRUE(bench.run_until([&] { return balanced(bench, 10); }, 5s));
    const std::size_t first_new = bench.add(config(), 2);
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && !bench.node(first_new).tokens.empty(); }, 5s));
    EXPECT_EQ(bench.head().major, 1u);
    bench.feed(0, core::Stop{});  // the leader, and then the other old one
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.core(0).state() == State::stopped; }, 5s));
    EXPECT_EQ(bench.head().major, 1u);
    bench.feed(1, core::Stop{});
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.head().major == 2; }, 5s));
    for (const auto& [key, entry] : bench.store()) {
        const auto* record = std::get_if<AssignmentPtr>(&entry.value);
        EXPECT_TRUE(record == nullptr || (*record)->major == 2u);
    }
    const std::size_t old_again = bench.add(config(), 1);
    ASSERT_TRUE(bench.run_until(
        [&] { return bench.covered() && bench.node(old_again).tokens.size() == 10 && bench.node(first_new).tokens.size() == 10; },
        10s))
        << "an old one joins: back to 1";
    EXPECT_EQ(bench.head().major, 1u);
    EXPECT_EQ(bench.core(first_new).stats().sessions_lost, 0u);
}

}  // namespace
}  // namespace parti::test
