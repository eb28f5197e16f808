// TestScale_SmallCluster: how fast W workers of one process are Stable and balanced, and what it moves and costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "launch_test.h"

namespace parti::stress {
namespace {

constexpr std::uint32_t kPartitions = 100;

struct Milestones {
    double balanced_ms = 0;   // from the command to start to the last grant
    double moved_ratio = 0;   // grants per partition; 1: nothing was ever moved
};

Milestones milestones_of(const Launched& launched) {
    const LaunchSample& s = launched.sample;
    Milestones m;
    const auto last = launched.timeline.last_grant_between(s.started_ns, s.balanced_by_ns);
    m.balanced_ms = last ? static_cast<double>(*last - s.started_ns) / 1e6 : 0;
    m.moved_ratio = static_cast<double>(launched.timeline.grants_between(s.started_ns, s.balanced_by_ns)) / kPartitions;
    return m;
}

class TestScale_SmallCluster : public LaunchTest, public testing::WithParamInterface<std::uint32_t> {};

const Budget of_1w("TestScale_SmallCluster.Start/1w_100p", {.standard = 20, .nightly = 20});
const Budget of_3w("TestScale_SmallCluster.Start/3w_100p", {.smoke = 6, .standard = 20, .nightly = 20});
const Budget of_5w("TestScale_SmallCluster.Start/5w_100p", {.standard = 20, .nightly = 20});
const Budget of_10w("TestScale_SmallCluster.Start/10w_100p", {.standard = 20, .nightly = 20});

TEST_P(TestScale_SmallCluster, Start) {
    const std::uint32_t workers = GetParam();
    const std::uint64_t count = launches(5);
    set_window("start only");
    print_budget(2 * count, 1.4);
    std::vector<bool> plans(2 * count);  // with expected_workers, and without
    for (std::size_t i = 0; i < plans.size(); ++i) plans[i] = i % 2 == 0;
    std::shuffle(plans.begin(), plans.end(), random());
    for (const bool expected : plans) {
        const auto launched = launch(
            {.workers = workers, .partitions = kPartitions, .expected_workers = expected, .window_renewals = 0}, Subject::times);
        ASSERT_TRUE(launched);
        const LaunchSample& s = launched->sample;
        const Milestones m = milestones_of(*launched);
        const std::string how = expected ? "expected" : "unexpected";
        record_duration("stable_" + how, s.stable_ms);
        // Without the size, a start is either caught in one plan or evened out after the settle pause: two modes, too far apart to gate.
        record_duration("balanced_" + how, m.balanced_ms, expected);
        record_companion("grants_per_partition_" + how, report::Unit::ratio, m.moved_ratio);
        record_companion("max_over_mean", report::Unit::ratio, s.balance.max_over_mean());
        record_companion("rss_anon", report::Unit::kB, kilobytes(s.window.rss_anon.median));
        record_count("threads", static_cast<double>(s.thread_count));
        EXPECT_LE(s.balance.most - s.balance.least, 1U) << "the default strategy balances to one partition";
        // Whoever is first is granted everything at once, and what the others must have is moved to them, once.
        EXPECT_LE(m.moved_ratio, 2.0) << "partitions were moved more than once";
    }
}

std::string case_name(const testing::TestParamInfo<std::uint32_t>& param) {
    return name_of({.workers = param.param, .partitions = kPartitions});
}
INSTANTIATE_TEST_SUITE_P(, TestScale_SmallCluster, testing::Values(1U, 3U, 5U, 10U), case_name);

}  // namespace
}  // namespace parti::stress
