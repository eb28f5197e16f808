// What the tests of the suite leave for the report beside their metrics: the findings from before the run, and the lines of the
// slopes; a run with another store and strategy; and memory that never came to rest. Tests of one run, in their order, in one
// process: the first ones write results, the last ones read them, and the page that is made of them.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "overhead.h"
#include "own_run.h"
#include "testutil/json_file.h"
#include "testutil/preflight_record.h"
#include "testutil/process.h"
#include "testutil/run_folder.h"
#include "testutil/server_monitor.h"

namespace parti::stress {
namespace {

namespace fs = std::filesystem;

// The run that all tests here write into.
const OwnRun& the_run() {
    static const OwnRun run(
        "records",
        [](const OwnRun& own) {
            return report::write_preflight(
                own.root(), {"2026-01-02T03:04:05Z", {{"preflight: memory free", "21.5 GB"}}, {"the machine is busy: x"}});
        },
        [](const OwnRun& own) { return report::take_preflight(own.root(), own.folder()); });
    return run;
}

class TestRecords_First : public StressTest {
protected:
    static void SetUpTestSuite() { the_run(); }
};

TEST_F(TestRecords_First, Anomaly) {
    note_anomaly("odd", "line one\nline two");
    record_count("threads", 9);
}

class TestRecords_Drift : public LaunchTest {
protected:
    static void SetUpTestSuite() { the_run(); }
    void record_one(bool plateau, double kilobytes) {
        LaunchSample sample;
        sample.plateau = plateau;
        sample.drift = plateau ? 0 : 0.034;
        sample.window.rss_anon.median = kilobytes * 1024;
        sample.live_bytes = 1'000'000;
        record_launch(sample);
    }
};

TEST_F(TestRecords_Drift, NoLaunchCameToRest) {
    record_one(false, 1700);
    record_one(false, 1800);
}

class TestRecords_Rest : public TestRecords_Drift {};

TEST_F(TestRecords_Rest, OneOfThreeCameToRest) {
    record_one(false, 1700);
    record_one(true, 1500);
    record_one(false, 1800);
}

class TestRecords_Slope : public OverheadTest {
protected:
    // Launches that cost 1000 kB and 10 kB a worker, give or take 10 kB, as TestMemoryBenchmark_IsolatedParti would have left
    // them.
    static void SetUpTestSuite() {
        for (const double workers : {1.0, 10.0, 50.0}) {
            report::TestResult result;
            result.test = "TestMemoryBenchmark_IsolatedParti/" + std::to_string(static_cast<int>(workers)) + "w_500p";
            result.run = the_run().folder().filename();
            result.status = report::TestStatus::passed;
            result.started = result.finished = report::utc_now();
            result.fingerprint = report::local_fingerprint();
            result.protocol.window = "10 renewals";
            for (const char* name : {"rss_anon", "live_heap"}) {
                report::Metric metric;
                metric.name = name;
                metric.unit = report::Unit::kB;
                metric.kind = report::Kind::anon_memory;
                for (const double more : {10, -5, 0, -10, 5}) metric.launches.push_back(1000 + 10 * workers + more);
                result.metrics.push_back(metric);
            }
            const auto written = report::write_result(the_run().folder() / report::result_file_name(result.test), result);
            ASSERT_TRUE(written) << written.error().text;
        }
    }
};

TEST_F(TestRecords_Slope, OverLaunchesOfTheSameRun) {
    if (!measures()) return;  // nothing is measured here, so nothing is fitted
    set_window("10 renewals");
    ASSERT_TRUE(measure({{1, 500, 1}, {10, 500, 10}, {50, 500, 50}}, 5, 1));
    conclude("worker");
}

class TestRecords_Variant : public StressTest {
protected:
    static void SetUpTestSuite() { the_run(); }
    static void vary(const char* store, const char* strategy) {
        ::setenv("PARTI_STRESS_STORE", store, 1);
        ::setenv("PARTI_STRESS_STRATEGY", strategy, 1);
    }
    static void TearDownTestSuite() {
        ::unsetenv("PARTI_STRESS_STORE");
        ::unsetenv("PARTI_STRESS_STRATEGY");
    }
};

TEST_F(TestRecords_Variant, ReachesEveryFleet) {
    vary("disk", "");
    EXPECT_NONFATAL_FAILURE(new_fleet({.partitions = 1}), "storage 'disk' must be file or memory");
    vary("memory", "no_such");
    test::WorkerProcessOptions two;
    two.workers = 2;
    {
        auto fleet = new_fleet({.partitions = 20});
        ASSERT_TRUE(fleet);
        const auto refused = fleet->add(two);
        ASSERT_FALSE(refused);
        EXPECT_THAT(refused.error(), testing::HasSubstr("no_such"));
    }
    vary("memory", "consistent_hash");
    auto fleet = new_fleet({.partitions = 20, .config = R"({"storage": "file"})"});
    ASSERT_TRUE(fleet);
    const auto added = fleet->add(two);
    ASSERT_TRUE(added) << added.error();
    const auto started = fleet->process(*added).start_workers(0);
    ASSERT_TRUE(started) << started.error();
    const auto balance = fleet->wait_balanced(test::Milliseconds(20000), 2);
    ASSERT_TRUE(balance) << balance.error();
    EXPECT_FALSE(evens_out() || moves_least()) << "consistent_hash promises neither";
    const auto stats = test::read_server_stats(fleet->server().monitor_url());
    ASSERT_TRUE(stats) << stats.error();
    EXPECT_GT(stats->store_memory, 0U);
    EXPECT_EQ(stats->store_file, 0U);
    end_fleet(std::move(fleet));
    record_count("threads", 9);
}

report::TestResult result_of(const char* test) {
    const auto result = report::read_result(the_run().folder() / report::result_file_name(test));
    EXPECT_TRUE(result) << result.error().text;
    return result ? *result : report::TestResult();
}

TEST(RecordsOfARun, ItsFirstTestTellsWhatWasFoundBeforeIt) {
    const report::TestResult first = result_of("TestRecords_First"), second = result_of("TestRecords_Slope");
    EXPECT_EQ(first.details.environment.at("preflight: memory free"), "21.5 GB");
    EXPECT_EQ(second.details.environment.at("preflight: memory free"), "21.5 GB");
    const auto texts_of = [](const report::TestResult& result) {
        std::vector<std::string> texts;
        for (const report::Anomaly& anomaly : result.details.anomalies) {
            if (anomaly.text.find("is not quiet after") == std::string::npos)
                texts.push_back(anomaly.text + "|" + anomaly.excerpt);
        }
        return texts;
    };
    EXPECT_THAT(texts_of(first), testing::ElementsAre("preflight: the machine is busy: x|", "odd|line one\nline two"));
    EXPECT_EQ(first.details.anomalies.front().time, "2026-01-02T03:04:05Z") << "when it was found, not when the test began";
    EXPECT_THAT(texts_of(second), testing::IsEmpty());
}

TEST(RecordsOfARun, AVariantIsNamedAndDoesNotGate) {
    const report::TestResult varied = result_of("TestRecords_Variant");
    EXPECT_EQ(varied.protocol.mode, "prod, store memory, strategy consistent_hash");
    EXPECT_THAT(varied.protocol.replay, testing::HasSubstr(" PARTI_STRESS_STORE=memory PARTI_STRESS_STRATEGY=consistent_hash /"));
    EXPECT_THAT(result_of("TestRecords_First").protocol.replay, testing::Not(testing::HasSubstr("PARTI_STRESS_ST")));
    ASSERT_NE(varied.find("threads"), nullptr);
    EXPECT_FALSE(varied.find("threads")->gate);
    ASSERT_NE(result_of("TestRecords_First").find("threads"), nullptr);
    EXPECT_TRUE(result_of("TestRecords_First").find("threads")->gate);
}

TEST(RecordsOfARun, MemoryThatNeverCameToRestIsNotMeasuredAndSaysWhy) {
    // this build measures nothing, at rest or not
    if (!report::why_not_measured(report::local_fingerprint()).empty()) GTEST_SKIP() << "this build measures nothing";
    const report::TestResult drifting = result_of("TestRecords_Drift"), resting = result_of("TestRecords_Rest");
    for (const char* name : {"rss_anon", "live_heap"}) {
        const report::Metric* const none = drifting.find(name);
        ASSERT_NE(none, nullptr) << name << " vanishes";
        EXPECT_FALSE(none->measured());
        EXPECT_EQ(none->kind, report::Kind::anon_memory);
        EXPECT_THAT(none->note, testing::HasSubstr("no launch came to rest: memory drifted by +3.4 %"));
        ASSERT_NE(resting.find(name), nullptr);
        EXPECT_EQ(resting.find(name)->launches.size(), 1U) << "only the launch that came to rest counts";
        EXPECT_EQ(resting.find(name)->note, "");
    }
    EXPECT_EQ(resting.find("rss_anon")->launches.front(), 1500);
    EXPECT_EQ(drifting.find("memory_drift")->launches.size(), 2U);
}

TEST(RecordsOfARun, TheSlopesLinesAreDrawn) {
    const report::TestResult slope = result_of("TestRecords_Slope");
    if (!report::why_not_measured(report::local_fingerprint()).empty()) {
        EXPECT_TRUE(slope.details.fits.empty());
        GTEST_SKIP() << "this build measures nothing";  // so there is nothing to fit
    }
    ASSERT_EQ(slope.details.fits.size(), 2U);
    for (const report::Fit& fit : slope.details.fits) {
        EXPECT_EQ(fit.x, "workers");
        EXPECT_EQ(fit.points.size(), 15U);
        EXPECT_NEAR(fit.slope, 10, 0.5);
        EXPECT_NEAR(fit.intercept, 1000, 10);
        ASSERT_TRUE(fit.bound);
        EXPECT_GT(*fit.bound, 0);
        EXPECT_NEAR(fit.residual, 0.01, 0.002);
    }
    const fs::path page = the_run().root() / "report.html";
    test::ProcessOptions options;
    options.path = STRESS_REPORT;
    options.args = {"report", the_run().root().string(), "--html", page.string(), "--baseline", the_run().root().string()};
    auto report = test::ChildProcess::start(options);
    ASSERT_TRUE(report) << report.error();
    ASSERT_TRUE(report->wait(test::Milliseconds(20000)));
    std::ostringstream html;
    html << std::ifstream(page).rdbuf();
    for (const char* shown :
         {"rss_anon over workers (TestRecords_Slope)", "live_heap over workers (TestRecords_Slope)", "the machine is busy: x"}) {
        EXPECT_THAT(html.str(), testing::HasSubstr(shown));
    }
}

}  // namespace
}  // namespace parti::stress
