// What the scenarios make of a load generator that did not keep to its plan: figures that are "not measured", with the reason,
// and criteria that are neither held nor broken by them. Results are made up; the criteria are the suite's own.
//
// Tests of one run, in their order, in one process: the first ones write results, the last one reads them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "own_run.h"
#include "scenario.h"
#include "testutil/run_folder.h"

namespace parti::stress {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMs = 1'000'000;

// The run that all tests here write into.
const OwnRun& the_run() {
    static const OwnRun run("scenario");
    return run;
}

// 2,000 messages, one a millisecond, each handled after `latency`; all that a scenario records of its load's time.
ScenarioResult made_up(std::int64_t latency_ns) {
    ScenarioResult result;
    for (std::int64_t i = 0; i < 2000; ++i) result.ledger.latencies.push_back({i * kMs, latency_ns});
    result.ledger.counts.confirmed = result.ledger.counts.handlings = result.load.due = 2000;
    result.end_ns = result.planned_ns = 2000 * kMs;
    return result;
}

class MadeUp : public ScenarioTest {
protected:
    static void SetUpTestSuite() { the_run(); }
    void record_all(const ScenarioResult& result) {
        record_classes(result);
        record_latency("after_", result, 0, result.end_ns);
    }
};
// Under the names of the tests that criteria name: 400 ms are too much for both.
class TestScenario_Peak : public MadeUp {};
class TestScenario_Spike : public MadeUp {};
class TestScenario_Dropped : public MadeUp {};

TEST_F(TestScenario_Peak, Late) {
    ScenarioResult late = made_up(400 * kMs);
    late.load.late_p99_ns = 21 * kMs;
    record_all(late);
}
TEST_F(TestScenario_Spike, OnTime) {
    ScenarioResult on_time = made_up(400 * kMs);
    on_time.load.late_p99_ns = 20 * kMs;
    record_all(on_time);
}
TEST_F(TestScenario_Dropped, OneOfTwoLaunches) {
    ScenarioResult dropped = made_up(400 * kMs);
    dropped.load.dropped = 1;
    record_latency("after_", dropped, 0, dropped.end_ns);
    record_latency("after_", made_up(5 * kMs), 0, dropped.end_ns);
}

report::TestResult result_of(const char* test) {
    const auto result = report::read_result(the_run().folder() / report::result_file_name(test));
    EXPECT_TRUE(result) << result.error().text;
    return result ? *result : report::TestResult();
}

TEST(MadeUpResults, ALateGeneratorMeasuresNoLatencyAndBreaksNoCriterion) {
    // this build measures nothing, whatever the generator did
    if (!report::why_not_measured(report::local_fingerprint()).empty()) GTEST_SKIP() << "this build measures nothing";
    const report::TestResult late = result_of("TestScenario_Peak"), on_time = result_of("TestScenario_Spike");
    ASSERT_EQ(late.status, report::TestStatus::passed);
    for (const char* metric : {"after_p50", "after_p95", "after_p99", "after_max"}) {
        ASSERT_NE(late.find(metric), nullptr) << metric;
        EXPECT_FALSE(late.find(metric)->measured()) << metric;
        EXPECT_THAT(late.find(metric)->note, testing::HasSubstr("late: p99 21.0 ms, at most 20 ms"));
        ASSERT_NE(on_time.find(metric), nullptr) << metric;
        EXPECT_EQ(on_time.find(metric)->launches, std::vector<double>{400'000}) << metric;
    }
    // too few for it: absent, so that a criterion of it would be noticed
    EXPECT_EQ(late.find("after_p99.9"), nullptr);
    EXPECT_TRUE(late.find("lost")->measured()) << "what the ledger counts does not depend on the generator's times";
    EXPECT_TRUE(late.details.distributions.empty());

    const auto criteria = report::read_criteria(fs::path(CRITERIA_FILE));
    ASSERT_TRUE(criteria) << criteria.error().text;
    const auto judged = report::evaluate(*criteria, {late, on_time});
    ASSERT_TRUE(judged) << judged.error().text;
    const auto state_of = [&](const std::string& test) {
        for (const auto& one : *judged) {
            if (one.test == test && one.metric == "after_p95") return std::string(report::name(one.state)) + ": " + one.note;
        }
        return "no criterion of " + test;
    };
    EXPECT_THAT(state_of("TestScenario_Peak"), testing::HasSubstr("not evaluated: not measured: the load generator was late"));
    EXPECT_EQ(state_of("TestScenario_Spike"), "BROKEN: ");
}

TEST(MadeUpResults, WhatAnotherLaunchMeasuredIsMeasured) {
    // this build measures nothing, whatever the generator did
    if (!report::why_not_measured(report::local_fingerprint()).empty()) GTEST_SKIP() << "this build measures nothing";
    const report::TestResult result = result_of("TestScenario_Dropped");
    ASSERT_NE(result.find("after_p95"), nullptr);
    EXPECT_EQ(result.find("after_p95")->launches, std::vector<double>{5000});
    EXPECT_EQ(result.find("after_p95")->note, "");
}

}  // namespace
}  // namespace parti::stress
