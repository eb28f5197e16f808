// TestScale_SmallCluster, TestScale_LargeCluster: how fast W workers of one process are Stable and balanced, and what that moves
// and costs; in the large ones also what a tenth more of them moves when it joins and leaves, and what the server counts at rest.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "launch_test.h"

namespace parti::stress {
namespace {

using report::Unit;
using test::Milliseconds;

constexpr Milliseconds kBalanced{30000};

struct Milestones {
    double balanced_ms = 0;  // from the command to start to the last grant
    double moved_ratio = 0;  // grants per partition; 1: nothing was ever moved
};

Milestones milestones_of(const Launched& launched, std::uint32_t partitions) {
    const LaunchSample& s = launched.sample;
    Milestones m;
    const auto last = launched.timeline.last_grant_between(s.started_ns, s.balanced_by_ns);
    m.balanced_ms = last ? static_cast<double>(*last - s.started_ns) / 1e6 : 0;
    m.moved_ratio = static_cast<double>(launched.timeline.grants_between(s.started_ns, s.balanced_by_ns)) / partitions;
    return m;
}

class ClusterTest : public LaunchTest {
protected:
    void record_start(const Launched& launched, const LaunchPlan& plan, const std::string& how) {
        const LaunchSample& s = launched.sample;
        const Milestones m = milestones_of(launched, plan.partitions);
        record_duration("stable_" + how, s.stable_ms);
        // Without the size, a start is either caught in one plan or evened out after the settle pause: two modes, too far apart
        // to gate.
        record_duration("balanced_" + how, m.balanced_ms, plan.expected_workers);
        record_companion("grants_per_partition_" + how, Unit::ratio, m.moved_ratio);
        record_companion("max_over_mean", Unit::ratio, s.balance.max_over_mean());
        record_companion("rss_anon", Unit::kB, kilobytes(s.window.rss_anon.median));
        record_count("threads", static_cast<double>(s.thread_count));
        EXPECT_TRUE(!evens_out() || s.balance.most - s.balance.least <= 1)
            << "the strategy balances to one partition; here are " << s.balance.least << " to " << s.balance.most << " a worker";
        // Whoever is first is granted everything at once, and what the others must have is moved to them, once.
        EXPECT_TRUE(!moves_least() || m.moved_ratio <= 2.0) << "partitions were moved more than once: " << m.moved_ratio;
    }
};

class TestScale_SmallCluster : public ClusterTest, public testing::WithParamInterface<std::uint32_t> {};

const Budget of_1w("TestScale_SmallCluster.Start/1w_100p", {.standard = 20, .nightly = 20});
const Budget of_3w("TestScale_SmallCluster.Start/3w_100p", {.smoke = 6, .standard = 20, .nightly = 20});
const Budget of_5w("TestScale_SmallCluster.Start/5w_100p", {.standard = 20, .nightly = 20});
const Budget of_10w("TestScale_SmallCluster.Start/10w_100p", {.standard = 20, .nightly = 20});

TEST_P(TestScale_SmallCluster, Start) {
    const std::uint64_t count = launches(5);
    set_window("start only");
    print_budget(2 * count, 1.4);
    std::vector<bool> plans(2 * count);  // with expected_workers, and without
    for (std::size_t i = 0; i < plans.size(); ++i) plans[i] = i % 2 == 0;
    std::shuffle(plans.begin(), plans.end(), random());
    for (const bool expected : plans) {
        const LaunchPlan plan{.workers = GetParam(), .partitions = 100, .expected_workers = expected, .window_renewals = 0};
        const auto launched = launch(plan, Subject::times);
        ASSERT_TRUE(launched);
        record_start(*launched, plan, expected ? "expected" : "unexpected");
    }
}

std::string small_name(const testing::TestParamInfo<std::uint32_t>& param) {
    return name_of({.workers = param.param, .partitions = 100});
}
INSTANTIATE_TEST_SUITE_P(, TestScale_SmallCluster, testing::Values(1U, 3U, 5U, 10U), small_name);

class TestScale_LargeCluster : public ClusterTest, public testing::WithParamInterface<std::uint32_t> {
protected:
    // A change of size, to be found again in the history.
    struct Change {
        const char* name = "";
        std::int64_t from_ns = 0, to_ns = 0;
        std::size_t fewest_grants = 0;
    };

    // A tenth more workers join in a process of their own, together, and leave together.
    void join_and_leave(test::Fleet& fleet, const LaunchPlan& plan) {
        const std::uint32_t more = plan.workers / 10;
        const std::size_t fewest = plan.partitions / (plan.workers + more) * more;
        test::WorkerProcessOptions options;
        options.label = "joined";
        options.workers = more;
        const auto index = fleet.add(options);
        ASSERT_TRUE(index) << index.error();
        Change join{"join", test::boot_now_ns(), 0, fewest};
        const auto started = fleet.process(*index).start_workers(0);
        ASSERT_TRUE(started) << started.error();
        const auto joined = fleet.wait_even(kBalanced, plan.workers + more);
        ASSERT_TRUE(joined) << joined.error();
        join.to_ns = test::boot_now_ns();
        Change leave{"leave", test::boot_now_ns(), 0, fewest};
        const auto ended = fleet.leave(*index, kBalanced);
        ASSERT_TRUE(ended) << ended.error();
        const auto left = fleet.wait_even(kBalanced, plan.workers);
        ASSERT_TRUE(left) << left.error();
        leave.to_ns = test::boot_now_ns();
        changes_ = {join, leave};
    }

    void record_change(const Change& change, const test::Timeline& timeline) {
        const auto last = timeline.last_grant_between(change.from_ns, change.to_ns);
        ASSERT_TRUE(last) << change.name << ": nothing was granted";
        const std::size_t grants = timeline.grants_between(change.from_ns, change.to_ns);
        const double balanced = static_cast<double>(*last - change.from_ns) / 1e6;
        const double unowned = static_cast<double>(timeline.longest_gap_ns(change.from_ns, change.to_ns)) / 1e6;
        const double moves = static_cast<double>(grants) / static_cast<double>(change.fewest_grants);
        const std::string name = change.name;
        std::printf("  %-6s balanced after %5.0f ms, %3zu grants (%.2f x the fewest), longest unowned %.1f ms\n", change.name,
                    balanced, grants, moves, unowned);
        record_duration(name + "_balanced", balanced, false);  // one plan, or two around the settle pause
        record_companion(name + "_moves", Unit::ratio, moves, "grants against the fewest that the change of size demands");
        record_companion(name + "_longest_unowned", Unit::ms, unowned);
        if (evens_out()) {
            EXPECT_GE(grants, change.fewest_grants) << name;
        }
        // Those that come or go together are not seen together, so a partition may go to one of them and on to the next.
        if (moves_least()) {
            EXPECT_LE(grants, 3 * change.fewest_grants) << name << ": partitions are moved without need";
        }
    }

    std::vector<Change> changes_;
};

const Budget of_large("TestScale_LargeCluster.StartJoinLeave/*", {.standard = 35, .nightly = 35});

TEST_P(TestScale_LargeCluster, StartJoinLeave) {
    const LaunchPlan plan{.workers = GetParam(), .partitions = 500, .window_renewals = 0};
    const std::uint64_t count = launches(5);
    set_window("start only");
    print_budget(count, 4);
    for (std::uint64_t i = 0; i < count; ++i) {
        const bool last = i + 1 == count;
        const auto launched = launch(plan, Subject::times, [&](test::Fleet& fleet) {
            if (last) record_server_at_rest(fleet);
            if (!HasFatalFailure()) join_and_leave(fleet, plan);
        });
        ASSERT_TRUE(launched);
        record_start(*launched, plan, "expected");
        record_duration("assignment", launched->sample.covered_ms);
        for (const Change& change : changes_) record_change(change, launched->timeline);
    }
}

std::string large_name(const testing::TestParamInfo<std::uint32_t>& param) {
    return name_of({.workers = param.param, .partitions = 500});
}
INSTANTIATE_TEST_SUITE_P(, TestScale_LargeCluster, testing::Values(10U, 25U, 50U), large_name);

}  // namespace
}  // namespace parti::stress
