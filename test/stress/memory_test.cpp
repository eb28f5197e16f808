// TestMemoryBenchmark_IsolatedParti: what a process with W workers costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "configuration.h"
#include "launch_test.h"

namespace parti::stress {
namespace {

constexpr double kSecondsEach = 4.6;         // server, start, quiet, 10 renewals, end
constexpr double kLeastLivePerWorker = 512;  // bytes; a worker that costs less was not there

class TestMemoryBenchmark_IsolatedParti : public LaunchTest, public testing::WithParamInterface<Configuration> {
protected:
    // 50 workers may not cost the same as 1, nor need other threads.
    void expect_plausible(const LaunchSample& one, const LaunchSample& many, std::uint32_t workers) {
        EXPECT_EQ(one.threads, many.threads) << "1 worker: " << text_of(one.threads) << "\n"
                                             << workers << " workers: " << text_of(many.threads);
        if (!measures()) return;
        const double further = static_cast<double>(many.live_bytes) - static_cast<double>(one.live_bytes);
        EXPECT_GT(further, kLeastLivePerWorker * (workers - 1))
            << "implausible: " << workers - 1 << " further workers cost nothing";
        // Anonymous memory counts whole pages that were ever touched: a few workers may fit into what the first one's start had
        // used.
        if (workers < 25) return;
        EXPECT_GT(many.window.rss_anon.median, one.window.rss_anon.median)
            << "implausible: " << workers << " workers cost the same as 1";
    }
};

constexpr Seconds kLaunches{.standard = 35, .nightly = 270};
const Budget of_1w_100p("TestMemoryBenchmark_IsolatedParti.Launches/1w_100p", {.smoke = 12, .standard = 35, .nightly = 270});
const Budget of_5w_100p("TestMemoryBenchmark_IsolatedParti.Launches/5w_100p", kLaunches);
const Budget of_10w("TestMemoryBenchmark_IsolatedParti.Launches/10w_*", kLaunches);
const Budget of_25w_500p("TestMemoryBenchmark_IsolatedParti.Launches/25w_500p", kLaunches);
const Budget of_50w_500p("TestMemoryBenchmark_IsolatedParti.Launches/50w_500p", kLaunches);

const Budget of_100w_1000p("TestMemoryBenchmark_IsolatedParti.Launches/100w_1000p", {.nightly = 50});
const Budget of_250w_5000p("TestMemoryBenchmark_IsolatedParti.Launches/250w_5000p", {.nightly = 160});
const Budget of_1000w_10000p("TestMemoryBenchmark_IsolatedParti.Launches/1000w_10000p", {.nightly = 180});

// More than 100 workers renew every 2 s, so that the machine measures memory and not its own load; their window is 10 renewals
// always.
LaunchPlan plan_of(const Configuration& c, std::uint64_t window_renewals) {
    LaunchPlan plan{.workers = c.workers, .partitions = c.partitions, .window_renewals = c.workers < 100 ? window_renewals : 10};
    if (c.workers > 100) {
        plan.heartbeat = std::chrono::seconds(2);
        plan.config = R"({"timing":{"heartbeat":"2000ms","ttl":"6000ms","margin":"600ms","stop_budget":"1000ms",)"
                      R"("leader_publish_timeout":"6000ms"}})";
    }
    return plan;
}

TEST_P(TestMemoryBenchmark_IsolatedParti, Launches) {
    const LaunchPlan plan = plan_of(GetParam(), window_renewals());
    const std::uint64_t count = launches(profile() >= Profile::nightly ? 4 : 5);  // 4 are the fewest that are judged
    set_window(std::to_string(plan.window_renewals) + " renewals");
    print_budget(count + 1, kSecondsEach + 0.3 * static_cast<double>(plan.window_renewals - 10));
    LaunchPlan first = plan;
    first.workers = 1;
    first.window_renewals = 0;
    const auto one = launch(first, Subject::memory);
    ASSERT_TRUE(one);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto launched = launch(plan, Subject::memory);
        ASSERT_TRUE(launched);
        record_launch(launched->sample);
        EXPECT_TRUE(!measures() || launched->sample.sampling_share < 0.01)
            << "the sampling costs " << launched->sample.sampling_share * 100 << " % of a core; less than 1 % is allowed";
        if (plan.workers > 1) expect_plausible(one->sample, launched->sample, plan.workers);
        EXPECT_TRUE(!measures() || launched->sample.window.threads_constant) << "the number of threads changed within the window";
    }
    std::printf("threads: %s\n", text_of(one->sample.threads).c_str());
}

INSTANTIATE_TEST_SUITE_P(, TestMemoryBenchmark_IsolatedParti,
                         testing::Values(Configuration{1, 100}, Configuration{5, 100}, Configuration{10, 100},
                                         Configuration{10, 500}, Configuration{25, 500}, Configuration{50, 500},
                                         Configuration{100, 1000}, Configuration{250, 5000}, Configuration{1000, 10'000}),
                         case_name);

}  // namespace
}  // namespace parti::stress
