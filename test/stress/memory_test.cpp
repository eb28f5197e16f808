// TestMemoryBenchmark_IsolatedParti and _PerWorkerOverhead: what a process with W workers costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "configuration.h"
#include "launch_test.h"
#include "testutil/statistics.h"

namespace parti::stress {
namespace {

constexpr double kSecondsEach = 4.6;         // server, start, quiet, 10 renewals, end
constexpr double kLeastLivePerWorker = 512;  // bytes; a worker that costs less was not there

class TestMemoryBenchmark_IsolatedParti : public LaunchTest, public testing::WithParamInterface<Configuration> {
protected:
    // 50 workers may not cost the same as 1, nor need other threads.
    void expect_plausible(const LaunchSample& one, const LaunchSample& many, std::uint32_t workers) {
        EXPECT_EQ(one.threads, many.threads) << "1 worker: " << text_of(one.threads) << "\n" << workers << " workers: " << text_of(many.threads);
        if (!measures()) return;
        const double further = static_cast<double>(many.live_bytes) - static_cast<double>(one.live_bytes);
        EXPECT_GT(further, kLeastLivePerWorker * (workers - 1)) << "implausible: " << workers - 1 << " further workers cost nothing";
        // Anonymous memory counts whole pages that were ever touched: a few workers may fit into what the first one's start had used.
        if (workers < 25) return;
        EXPECT_GT(many.window.rss_anon.median, one.window.rss_anon.median) << "implausible: " << workers << " workers cost the same as 1";
    }
};

constexpr Seconds kLaunches{.standard = 35, .nightly = 290};
const Budget of_1w_100p("TestMemoryBenchmark_IsolatedParti.Launches/1w_100p", {.smoke = 12, .standard = 35, .nightly = 290});
const Budget of_5w_100p("TestMemoryBenchmark_IsolatedParti.Launches/5w_100p", kLaunches);
const Budget of_10w("TestMemoryBenchmark_IsolatedParti.Launches/10w_*", kLaunches);
const Budget of_25w_500p("TestMemoryBenchmark_IsolatedParti.Launches/25w_500p", kLaunches);
const Budget of_50w_500p("TestMemoryBenchmark_IsolatedParti.Launches/50w_500p", kLaunches);

TEST_P(TestMemoryBenchmark_IsolatedParti, Launches) {
    const LaunchPlan plan{.workers = GetParam().workers, .partitions = GetParam().partitions, .window_renewals = window_renewals()};
    const std::uint64_t count = launches(window_renewals() > 10 ? 4 : 5);  // 4 are the fewest that are judged
    set_window(std::to_string(plan.window_renewals) + " renewals");
    print_budget(count + 1, kSecondsEach + 0.3 * static_cast<double>(plan.window_renewals - 10));
    const auto one = launch({.workers = 1, .partitions = plan.partitions, .window_renewals = 0}, Subject::memory);
    ASSERT_TRUE(one);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto launched = launch(plan, Subject::memory);
        ASSERT_TRUE(launched);
        record_launch(launched->sample);
        if (plan.workers > 1) expect_plausible(one->sample, launched->sample, plan.workers);
        EXPECT_TRUE(!measures() || launched->sample.window.threads_constant) << "the number of threads changed within the window";
    }
    std::printf("threads: %s\n", text_of(one->sample.threads).c_str());
}

INSTANTIATE_TEST_SUITE_P(, TestMemoryBenchmark_IsolatedParti,
                         testing::Values(Configuration{1, 100}, Configuration{5, 100}, Configuration{10, 100}, Configuration{10, 500},
                                         Configuration{25, 500}, Configuration{50, 500}),
                         case_name);

struct Line {
    double slope = 0, intercept = 0, slope_error = 0;  // standard error; 0 for fewer than three points
};

Line least_squares(const std::vector<std::pair<double, double>>& points) {
    const double n = static_cast<double>(points.size());
    double x = 0, y = 0;
    for (const auto& p : points) {
        x += p.first / n;
        y += p.second / n;
    }
    double xx = 0, xy = 0;
    for (const auto& p : points) {
        xx += (p.first - x) * (p.first - x);
        xy += (p.first - x) * (p.second - y);
    }
    Line line;
    line.slope = xy / xx;
    line.intercept = y - line.slope * x;
    double residual = 0;
    for (const auto& p : points) residual += std::pow(p.second - line.intercept - line.slope * p.first, 2);
    if (points.size() > 2) line.slope_error = std::sqrt(residual / (n - 2) / xx);
    return line;
}

Line theil_sen(const std::vector<std::pair<double, double>>& points) {
    std::vector<double> slopes;
    for (const auto& a : points) {
        for (const auto& b : points) {
            if (b.first > a.first) slopes.push_back((b.second - a.second) / (b.first - a.first));
        }
    }
    Line line;
    line.slope = report::median(slopes);
    std::vector<double> intercepts;
    for (const auto& p : points) intercepts.push_back(p.second - line.slope * p.first);
    line.intercept = report::median(intercepts);
    return line;
}

class TestMemoryBenchmark_PerWorkerOverhead : public LaunchTest {
protected:
    using Points = std::vector<std::pair<double, double>>;  // workers, bytes

    // One observation a round: the slope over that round's launches, one of each configuration.
    void record_round(const std::string& what, const Points& round) {
        const Line line = theil_sen(round);
        report::Metric slope;
        slope.name = what + "_per_worker";
        slope.unit = report::Unit::bytes;
        slope.kind = report::Kind::anon_memory;
        slope.stat = "slope";
        slope.floor = 2048;
        record(slope, line.slope);
        report::Metric first;
        first.name = what + "_first_worker";
        first.unit = report::Unit::kB;
        first.kind = report::Kind::anon_memory;
        first.stat = "intercept + slope";
        record(first, kilobytes(line.intercept + line.slope));
    }

    void print_fit(const std::string& what, const Points& all) const {
        const Line fit = least_squares(all);
        const Line robust = theil_sen(all);
        std::printf("%s: %.1f kB for each further worker (95 %%: +-%.1f; Theil-Sen %.1f), %.0f kB for a process with its first one\n",
                    what.c_str(), kilobytes(fit.slope), 1.96 * kilobytes(fit.slope_error), kilobytes(robust.slope),
                    kilobytes(fit.intercept + fit.slope));
    }
};

const Budget of_slope("TestMemoryBenchmark_PerWorkerOverhead.Slope", {.standard = 115, .nightly = 115});

TEST_F(TestMemoryBenchmark_PerWorkerOverhead, Slope) {
    constexpr double kTarget = 24 * 1024;
    std::vector<std::uint32_t> sizes = {1, 5, 10, 20, 30};
    const std::uint64_t rounds = launches(5);
    set_window("10 renewals");
    print_budget(rounds * sizes.size(), kSecondsEach);
    Points anonymous, live;
    std::optional<test::ThreadNames> threads;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        std::shuffle(sizes.begin(), sizes.end(), random());
        Points anonymous_now, live_now;
        for (const std::uint32_t workers : sizes) {
            const auto launched = launch({.workers = workers, .partitions = 500}, Subject::memory);
            ASSERT_TRUE(launched);
            const LaunchSample& s = launched->sample;
            anonymous_now.emplace_back(workers, s.window.rss_anon.median);
            live_now.emplace_back(workers, static_cast<double>(s.live_bytes));
            if (!threads) threads = s.threads;
            EXPECT_EQ(*threads, s.threads) << "threads depend on the number of workers: " << text_of(s.threads);
            record_count("threads", static_cast<double>(s.thread_count));
        }
        record_round("rss_anon", anonymous_now);
        record_round("live_heap", live_now);
        anonymous.insert(anonymous.end(), anonymous_now.begin(), anonymous_now.end());
        live.insert(live.end(), live_now.begin(), live_now.end());
    }
    if (!measures()) return;
    print_fit("anonymous memory", anonymous);
    print_fit("live heap", live);
    const double slope = median_of("rss_anon_per_worker");
    record_companion("rss_anon_per_worker_error", report::Unit::bytes, 1.96 * least_squares(anonymous).slope_error,
                     "half width of the 95 % interval of the least squares over all launches");
    std::printf("target: at most %.0f kB of anonymous memory for each further worker: %s (%.1f kB)\n", kTarget / 1024,
                slope <= kTarget ? "reached" : "MISSED", slope / 1024);
    EXPECT_GT(median_of("live_heap_per_worker"), kLeastLivePerWorker) << "implausible: a further worker costs nothing";
}

}  // namespace
}  // namespace parti::stress
