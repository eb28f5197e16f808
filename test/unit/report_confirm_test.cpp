// What comes after the first verdict: confirmation, the machine's own slowness, causes, A/B, and tables of several runs.
#include "testutil/confirm.h"

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/ab.h"
#include "testutil/common_mode.h"
#include "testutil/promote.h"
#include "testutil/side_by_side.h"

namespace parti::report {
namespace {

const std::string kTest = "TestScale_Small/3w";

Baseline three_runs(const std::vector<TestResult>& tests) {
    std::vector<PromoteSource> sources;
    for (const char* const run : {"a", "b", "c"}) sources.push_back({run, run, tests, {}});
    auto promotion = promote(sources, std::nullopt, "test", false);
    EXPECT_TRUE(promotion.has_value()) << (promotion ? "" : promotion.error().text);
    return std::move(promotion->baseline);
}

Report compared(const std::optional<Baseline>& baseline, const std::vector<TestResult>& results) {
    auto report = compare(baseline, results);
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().text);
    return report ? std::move(*report) : Report{};
}

const Row& row(const Report& report, const std::string& metric) {
    for (const Row& one : report.rows) {
        if (one.metric == metric) return one;
    }
    ADD_FAILURE() << "no row " << metric;
    std::abort();
}

TEST(Confirm, AFailThatFreshLaunchesShowTooStays) {
    const Baseline baseline = three_runs({usual_result()});
    Report report = compared(baseline, {usual_result(kTest, 1.2)});
    EXPECT_EQ(tests_to_repeat(report), std::vector<std::string>{kTest});
    confirm(report, compared(baseline, {usual_result(kTest, 1.18)}), {});
    EXPECT_EQ(report.exit, ExitCode::regression);
    EXPECT_EQ(row(report, "rss_anon").verdict, Verdict::fail);
    EXPECT_EQ(row(report, "rss_anon").confirmation, Confirmation::confirmed);
    EXPECT_EQ(row(report, "rss_anon").repeated, 2360);
    EXPECT_EQ(row(report, "rss_anon").n_repeated, 5U);
    EXPECT_NE(row(report, "rss_anon").note.find("confirmed by fresh launches: 2360 kB (+18.0 %)"), std::string::npos);
}

TEST(Confirm, AFailThatFreshLaunchesDoNotShowBecomesWarn) {
    const Baseline baseline = three_runs({usual_result()});
    for (const double factor : {1.0, 1.07, 0.5}) {
        Report report = compared(baseline, {usual_result(kTest, 1.2)});
        confirm(report, compared(baseline, {usual_result(kTest, factor)}), {});
        EXPECT_EQ(report.exit, ExitCode::pass) << factor;
        EXPECT_EQ(row(report, "rss_anon").verdict, Verdict::warn);
        EXPECT_EQ(row(report, "rss_anon").confirmation, Confirmation::not_confirmed);
        EXPECT_NE(row(report, "rss_anon").note.find("not confirmed: fresh launches"), std::string::npos);
        EXPECT_EQ(report.failed, 0U);
        EXPECT_EQ(report.warned, 1U);
    }
}

TEST(Confirm, WhatCouldNotBeRepeatedStaysFailAndSaysWhy) {
    const Baseline baseline = three_runs({usual_result()});
    TestResult broken = usual_result();
    broken.status = TestStatus::failed;
    const std::vector<std::pair<Report, std::map<std::string, std::string>>> cases{
        {compared(baseline, {}), {{kTest, "no time"}}}, {compared(baseline, {}), {}}, {compared(baseline, {broken}), {}}};
    for (const auto& [repeated, why_not] : cases) {
        Report report = compared(baseline, {usual_result(kTest, 1.2)});
        confirm(report, repeated, why_not);
        EXPECT_EQ(report.exit, ExitCode::regression);
        EXPECT_EQ(row(report, "rss_anon").confirmation, Confirmation::not_repeated);
        EXPECT_NE(row(report, "rss_anon").note.find("not repeated: "), std::string::npos);
    }
}

TEST(Confirm, AVanishedMetricMustVanishAgain) {
    const Baseline baseline = three_runs({usual_result()});
    TestResult without = usual_result();
    std::erase_if(without.metrics, [](const Metric& metric) { return metric.name == "threads"; });
    Report report = compared(baseline, {without});
    confirm(report, compared(baseline, {without}), {});
    EXPECT_EQ(row(report, "threads").confirmation, Confirmation::confirmed);
    EXPECT_EQ(report.exit, ExitCode::regression);
    report = compared(baseline, {without});
    confirm(report, compared(baseline, {usual_result()}), {});
    EXPECT_EQ(row(report, "threads").verdict, Verdict::warn);
}

TEST(Confirm, NothingFailedNothingIsRepeated) {
    EXPECT_TRUE(tests_to_repeat(compared(three_runs({usual_result()}), {usual_result()})).empty());
}

// Five runs or more of a baseline show how far runs lie apart on this machine; three times that is the least limit.
TEST(HistoricalNoise, RaisesTheLimitFromFiveRunsOn) {
    const auto baseline = [](const std::vector<double>& factors) {
        std::vector<PromoteSource> sources;
        for (std::size_t i = 0; i < factors.size(); ++i)
            sources.push_back({std::to_string(i), std::to_string(i), {usual_result(kTest, factors[i])}, {}});
        return promote(sources, std::nullopt, "test", false)->baseline;
    };
    const auto limit = [&](const std::vector<double>& factors) {
        return row(compared(baseline(factors), {usual_result(kTest, 1.13)}), "rss_anon");
    };
    EXPECT_EQ(limit({0.95, 1.0, 1.05, 1.0}).limit, 0.10);         // four runs say nothing
    EXPECT_EQ(limit({1.0, 1.001, 0.999, 1.0, 1.0}).limit, 0.10);  // quiet ones neither
    EXPECT_EQ(limit({1.0, 1.001, 0.999, 1.0, 1.0}).verdict, Verdict::fail);
    const Row raised = limit({0.95, 1.0, 1.05, 0.96, 1.04});
    EXPECT_NEAR(raised.limit, 3 * 1.4826 * 0.04, 0.001);
    EXPECT_NE(raised.verdict, Verdict::fail);
    EXPECT_NE(raised.note.find("limit raised to 17.8 %: 3 x the spread of the baseline's 5 runs"), std::string::npos)
        << raised.note;
}

TestResult many_times(double factor, double one_more = 1) {
    TestResult result = usual_result();
    for (int i = 0; i < 6; ++i) {
        const double all = factor * (i == 0 ? one_more : 1);
        std::vector<double> launches;
        for (const double ms : {1000, 1010, 990, 1005, 995}) launches.push_back(std::round(ms * all));
        result.metrics.push_back(metric_of("step_" + std::to_string(i), Kind::duration, Unit::ms, launches));
    }
    return result;
}

TEST(CommonMode, ASlowerMachineIsSaidInsteadOfManyFails) {
    const Baseline baseline = three_runs({many_times(1)});
    const Report shifted = compared(baseline, {many_times(1.6)});
    EXPECT_GT(shifted.common_mode.value_or(0), 1.5);
    EXPECT_EQ(shifted.exit, ExitCode::not_comparable);
    EXPECT_NE(shifted.conclusion.find("not comparable, because the machine is slower"), std::string::npos) << shifted.conclusion;
    EXPECT_EQ(row(shifted, "step_1").verdict, Verdict::inconclusive);
    EXPECT_NE(row(shifted, "step_1").note.find("machine shift"), std::string::npos);
}

TEST(CommonMode, OneSlowTimeAmongOthersStillFails) {
    const Baseline baseline = three_runs({many_times(1)});
    EXPECT_EQ(compared(baseline, {many_times(1, 2)}).exit, ExitCode::regression);
    const Report both = compared(baseline, {many_times(1.6, 2)});  // a slower machine and a regression
    EXPECT_EQ(row(both, "step_0").verdict, Verdict::fail);
    EXPECT_EQ(row(both, "step_1").verdict, Verdict::inconclusive);
    EXPECT_EQ(both.exit, ExitCode::regression);
}

TEST(CommonMode, NeverExcusesMemory) {
    TestResult result = many_times(1.6);
    for (double& value : metric_in(result, "rss_anon").launches) value *= 1.5;
    EXPECT_EQ(compared(three_runs({many_times(1)}), {result}).exit, ExitCode::regression);
}

TEST(Cause, IsTheExitCodeWhenAllFailedTestsShareIt) {
    const auto exit_of = [](std::vector<std::optional<ExitCode>> causes) {
        std::vector<TestResult> results;
        for (std::size_t i = 0; i < causes.size(); ++i) {
            results.push_back(usual_result("T/" + std::to_string(i)));
            if (!causes[i]) continue;
            results.back().status = TestStatus::failed;
            results.back().cause = *causes[i];
        }
        return compared(std::nullopt, results).exit;
    };
    EXPECT_EQ(exit_of({ExitCode::leak, std::nullopt}), ExitCode::leak);
    EXPECT_EQ(exit_of({ExitCode::orphan, ExitCode::orphan}), ExitCode::orphan);
    EXPECT_EQ(exit_of({ExitCode::criterion}), ExitCode::criterion);
    EXPECT_EQ(exit_of({ExitCode::leak, ExitCode::orphan}), ExitCode::test_failed);
    EXPECT_EQ(exit_of({ExitCode::leak, ExitCode::test_failed}), ExitCode::test_failed);
}

TEST(Cause, IsKeptInTheResultFile) {
    TempFolder folder;
    TestResult result = usual_result();
    result.status = TestStatus::failed;
    result.cause = ExitCode::leak;
    result.protocol.program = "/x/tests";
    result.protocol.filter = "A.B/1w";
    result.protocol.environment = {{"PARTI_STRESS_LAUNCHES", "3"}};
    ASSERT_TRUE(write_result(folder / "r.json", result).has_value());
    const auto read = read_result(folder / "r.json");
    ASSERT_TRUE(read.has_value()) << read.error().text;
    EXPECT_EQ(read->cause, ExitCode::leak);
    EXPECT_EQ(read->protocol, result.protocol);
    EXPECT_EQ(read->duration(), std::chrono::seconds(1));
    std::string text = slurp(folder / "r.json");
    text.replace(text.find("\"cause\": 98"), 11, "\"cause\": 97");
    spill(folder / "r.json", text);
    EXPECT_NE(read_result(folder / "r.json").error().text.find("cause"), std::string::npos);
}

std::vector<TestResult> single_launches(double factor, const std::string& worker = "") {
    std::vector<TestResult> launches;
    const TestResult whole = usual_result(kTest, factor);
    for (std::size_t i = 0; i < 5; ++i) {
        TestResult one = whole;
        one.protocol.launches = 1;
        if (!worker.empty()) one.versions["worker_host_sha256"] = worker;
        for (Metric& metric : one.metrics) metric.launches = {metric.launches[i]};
        launches.push_back(one);
    }
    return launches;
}

Report builds(const std::vector<TestResult>& a, const std::vector<TestResult>& b) {
    auto report = compare_builds(merge_launches(a), merge_launches(b), "A");
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().text);
    return report ? std::move(*report) : Report{};
}

TEST(AB, LaunchesAreMergedAndJudgedByTheSameRules) {
    EXPECT_EQ(merge_launches(single_launches(1)).front().metrics.front().launches.size(), 5U);
    EXPECT_EQ(merge_launches(single_launches(1)).front().protocol.launches, 5U);
    EXPECT_EQ(builds(single_launches(1), single_launches(1)).exit, ExitCode::pass);
    EXPECT_EQ(builds(single_launches(1), single_launches(1.15)).exit, ExitCode::regression);
    EXPECT_EQ(builds(single_launches(1), single_launches(1.05)).exit, ExitCode::pass);
    EXPECT_EQ(builds(single_launches(1.15), single_launches(1)).exit, ExitCode::pass);
}

TEST(AB, AnotherCompilerGatesAndIsARemark) {
    auto b = single_launches(1.15);
    for (TestResult& result : b) result.fingerprint.set("compiler", "clang");
    const Report report = builds(single_launches(1), b);
    EXPECT_EQ(report.exit, ExitCode::regression);
    EXPECT_NE(std::find_if(report.remarks.begin(), report.remarks.end(),
                           [](const std::string& r) { return r.find("compiler differs") == 0; }),
              report.remarks.end());
}

TEST(AB, TheSameWorkerHostIsNoise) {
    EXPECT_EQ(builds(single_launches(1, "abc"), single_launches(1.15, "abc")).exit, ExitCode::pass);
    EXPECT_EQ(builds(single_launches(1, "abc"), single_launches(1.15, "def")).exit, ExitCode::regression);
}

TEST(AB, TheSameWorkerHostWithOtherSettingsIsNot) {
    auto b = single_launches(1.15, "abc");
    for (TestResult& result : b) result.protocol.environment["PARTI_STRESS_INJECT_MEMORY"] = "15%";
    const Report report = builds(single_launches(1, "abc"), b);
    EXPECT_EQ(report.exit, ExitCode::regression);
    const std::string remark = "settings differ: PARTI_STRESS_INJECT_MEMORY '' against '15%'";
    EXPECT_EQ(std::count(report.remarks.begin(), report.remarks.end(), remark), 1);
}

TEST(AB, OnlyAsMetricIsAWarningAndOnlyBsIsNew) {
    auto without = single_launches(1);
    for (TestResult& result : without) std::erase_if(result.metrics, [](const Metric& metric) { return metric.name == "cpu"; });
    const Report gone = builds(single_launches(1), without);
    EXPECT_EQ(gone.exit, ExitCode::pass);
    EXPECT_EQ(row(gone, "cpu").verdict, Verdict::warn);
    EXPECT_EQ(row(builds(without, single_launches(1)), "cpu").verdict, Verdict::fresh);
}

TEST(AB, AFailedTestOfBFailsAndOneOfAIsLeftOut) {
    auto failed = single_launches(1);
    failed[3].status = TestStatus::failed;
    EXPECT_EQ(builds(single_launches(1), failed).exit, ExitCode::test_failed);
    EXPECT_EQ(builds(failed, single_launches(1)).exit, ExitCode::not_comparable);
}

TEST(SideBySide, MediansAndRatiosToTheFirstColumn) {
    const auto table = side_by_side(
        {{"file", {usual_result()}, false}, {"memory", {usual_result(kTest, 1.5)}, false}, {"none", {}, false}}, "*", "rss*");
    ASSERT_TRUE(table.has_value()) << table.error().text;
    ASSERT_EQ(table->rows.size(), 2U);
    const SideRow& anon = table->rows[1];
    EXPECT_EQ(anon.metric, "rss_anon");
    EXPECT_EQ(anon.cells[0].median, 2000);
    EXPECT_EQ(anon.cells[1].median, 3000);
    EXPECT_EQ(anon.cells[1].ratio, 1.5);
    EXPECT_TRUE(anon.cells[1].certain);
    EXPECT_FALSE(anon.cells[2].median);
    const std::string text = render_text(*table);
    EXPECT_NE(text.find("x1.50"), std::string::npos) << text;
    EXPECT_NE(render_markdown(*table).find("| TestScale_Small/3w | rss_anon | 2000 kB"), std::string::npos)
        << render_markdown(*table);
}

TEST(SideBySide, DifferentTestsAndSeveralRunsOfOne) {
    const auto table = side_by_side(
        {{"one", {usual_result("Fleet/1p"), usual_result("Fleet/1p")}, true}, {"three", {usual_result("Fleet/3p", 1.2)}, true}});
    ASSERT_TRUE(table.has_value());
    ASSERT_EQ(table->rows.size(), 7U);
    EXPECT_EQ(table->rows.front().cells[0].n, 10U);
    TestResult other = usual_result();
    metric_in(other, "startup").unit = Unit::us;
    EXPECT_FALSE(side_by_side({{"a", {usual_result()}, false}, {"b", {other}, false}}).has_value());
}

TEST(SideBySide, NoiseIsNotCalledADifference) {
    const auto table =
        side_by_side({{"a", {usual_result()}, false}, {"b", {usual_result(kTest, 1.001)}, false}}, "*", "rss_anon");
    ASSERT_TRUE(table.has_value());
    EXPECT_FALSE(table->rows.front().cells[1].certain);
    EXPECT_NE(render_text(*table).find("x1.00 ~"), std::string::npos) << render_text(*table);
}

}  // namespace
}  // namespace parti::report
