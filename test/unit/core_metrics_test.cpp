// The counters of Worker::stats() that stories of several workers move.
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

std::uint64_t plans_by(const WorkerStats& stats, PlanReason reason) { return stats.plans_by[static_cast<std::size_t>(reason)]; }
std::uint64_t entered(const WorkerStats& stats, State state) { return stats.states_entered[static_cast<std::size_t>(state)]; }

bool settled(CoreBench& bench) {
    for (std::size_t i = 0; i < bench.size(); ++i) {
        if (!bench.node(i).dead && bench.core(i).state() != State::stopped && !bench.core(i).at_rest()) return false;
    }
    return bench.covered();
}

TEST(CoreMetrics, ALeaderCountsWhoComesAndGoesAndWhyItPlans) {
    CoreBench bench(config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    EXPECT_EQ(bench.core(0).stats().workers_joined, 0U) << "who was there is no join";
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return settled(bench) && bench.node(1).tokens.size() == 10; }, 5s));
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return settled(bench) && bench.node(2).tokens.size() >= 6; }, 5s));
    WorkerStats stats = bench.core(0).stats();
    EXPECT_EQ(stats.workers_joined, 2U);
    EXPECT_EQ(stats.workers_lost, 0U);
    EXPECT_EQ(stats.active_workers, 3U);
    EXPECT_EQ(stats.partitions, 20U);
    EXPECT_EQ(stats.orphaned, 0U);
    EXPECT_GE(plans_by(stats, PlanReason::membership), 2U);
    EXPECT_EQ(plans_by(stats, PlanReason::request), 0U);
    EXPECT_EQ(stats.moved_partitions, bench.core(0).stats().partitions_lost + bench.core(1).stats().partitions_lost);
    EXPECT_GE(stats.moved_partitions, 16U);
    EXPECT_EQ(bench.core(1).stats().active_workers, 0U) << "only a leader knows";

    const std::uint64_t orphan_plans = plans_by(stats, PlanReason::orphans);
    bench.feed(1, core::Stop{});
    ASSERT_TRUE(bench.run_until([&] { return bench.core(1).state() == State::stopped && settled(bench); }, 5s));
    bench.node(2).dead = true;
    ASSERT_TRUE(bench.run_until([&] { return bench.core(0).stats().orphaned > 0; }, 5s)) << "seen while nobody owns them";
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    stats = bench.core(0).stats();
    EXPECT_EQ(stats.workers_lost, 2U);
    EXPECT_EQ(stats.deaths_declared, 1U);
    EXPECT_EQ(stats.orphaned, 0U);
    EXPECT_GT(plans_by(stats, PlanReason::orphans), orphan_plans);

    bench.scribble(Bucket::assignment, control_key(), std::make_shared<const ControlRecord>(ControlRecord{.rebalance = 1}));
    ASSERT_TRUE(bench.run_until([&] { return plans_by(bench.core(0).stats(), PlanReason::request) == 1; }, 5s));
    bench.replace_partitions(25);
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    stats = bench.core(0).stats();
    EXPECT_GE(plans_by(stats, PlanReason::partitions), 1U);
    EXPECT_EQ(stats.partitions, 25U);
    std::uint64_t sum = 0;
    for (const std::uint64_t n : stats.plans_by) sum += n;
    EXPECT_EQ(sum, stats.plans);
}

TEST(CoreMetrics, MovesAreCountedOnceHoweverLongTheyTake) {
    CoreBench bench(config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    bench.node(0).release_at_once = false;
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.node(0).unreleased.size() == 10; }, 5s));
    bench.add();  // other plans are made while the first losses are still draining
    bench.run_for(1s);
    const std::uint64_t revoked = bench.core(0).stats().partitions_lost;
    EXPECT_GE(revoked, 10U);
    EXPECT_EQ(bench.core(0).stats().moved_partitions, revoked);
}

TEST(CoreMetrics, ARebalanceLastsUntilEverybodyHasAcknowledged) {
    CoreBench bench(config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    bench.node(0).release_at_once = false;
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.node(0).unreleased.size() == 10; }, 5s));
    const WorkerStats before = bench.core(0).stats();
    EXPECT_EQ(before.rebalances, 2U) << "the first plan, and an empty record for who joined";
    bench.run_for(700ms);
    EXPECT_EQ(bench.core(0).stats().rebalances, before.rebalances) << "it is not over";
    bench.feed(0, core::ReleaseDone{std::exchange(bench.node(0).unreleased, {})});
    bench.node(0).release_at_once = true;
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    const WorkerStats after = bench.core(0).stats();
    EXPECT_EQ(after.rebalances, before.rebalances + 1);
    EXPECT_GE(after.rebalance_time_last, 700ms);
    EXPECT_LT(after.rebalance_time_last, 2s);
    EXPECT_EQ(after.rebalance_time, before.rebalance_time + after.rebalance_time_last);
}

TEST(CoreMetrics, HeartbeatsAndStatesAndTroubleAreCounted) {
    CoreBench bench(config(), 4);
    bench.latency = 5ms;
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    bench.run_for(3s);
    WorkerStats stats = bench.core(0).stats();
    EXPECT_GE(stats.renewals, 9U);
    EXPECT_EQ(stats.renewal_time, static_cast<std::int64_t>(stats.renewals) * stats.renewal_time_max)
        << "every one takes the same here";
    EXPECT_GE(stats.renewal_time_max, 10ms);
    EXPECT_EQ(stats.records_confirmed > 0, true);
    EXPECT_GE(stats.publish_time, static_cast<std::int64_t>(stats.records_confirmed) * 10ms);
    EXPECT_EQ(entered(stats, State::stable), 1U);
    EXPECT_EQ(entered(stats, State::fenced), 0U);
    const Duration claiming = stats.unreliable_time;
    bench.cut(0);
    bench.run_for(60s);
    EXPECT_EQ(bench.core(0).stats().alerts_raised, 1U);
    EXPECT_EQ(bench.core(0).stats().alert, AlertLevel::info);
    bench.heal(0);
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    stats = bench.core(0).stats();
    EXPECT_EQ(stats.alert, AlertLevel::none);
    EXPECT_EQ(entered(stats, State::fenced), 1U);
    EXPECT_EQ(entered(stats, State::stable), 2U);
    EXPECT_EQ(stats.leaderships, 2U);
    EXPECT_EQ(stats.leaderships_lost, 1U);
    EXPECT_GE(stats.unreliable_time, claiming + 59s);
    EXPECT_LE(stats.unreliable_time, claiming + 65s);
}

// The record is replaced, or the store lost it: requests are counted from anew.
TEST(CoreMetrics, ARefreshIsHeardAfterTheCounterWentBack) {
    CoreBench bench(config(), 4);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return settled(bench); }, 5s));
    const auto ask = [&](std::uint64_t refresh) {
        bench.scribble(Bucket::assignment, control_key(),
                       std::make_shared<const ControlRecord>(ControlRecord{.refresh = refresh}));
        bench.run_for(100ms);
        return bench.node(0).refreshes;
    };
    EXPECT_EQ(ask(5), 1);
    EXPECT_EQ(ask(5), 1);
    EXPECT_EQ(ask(0), 1) << "replaced: nothing is asked";
    EXPECT_EQ(ask(1), 2);
}

}  // namespace
}  // namespace parti::test
