#include "testutil/diff.h"

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/promote.h"

namespace parti::report {
namespace {

Baseline baseline_of(const std::vector<TestResult>& tests) {
    std::vector<PromoteSource> sources;
    for (const char* const run : {"a", "b", "c"}) sources.push_back({run, run, tests});
    auto promotion = promote(sources, std::nullopt, "test", false);
    EXPECT_TRUE(promotion.has_value()) << (promotion ? "" : promotion.error().text);
    return std::move(promotion->baseline);
}

Report compare_ok(const std::optional<Baseline>& baseline, const std::vector<TestResult>& results) {
    auto report = compare(baseline, results);
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().text);
    return report ? std::move(*report) : Report{};
}

const Row& row_of(const Report& report, const std::string& metric) {
    for (const Row& row : report.rows) {
        if (row.metric == metric) return row;
    }
    ADD_FAILURE() << "no row " << metric;
    std::abort();
}

TEST(Diff, TheSameFiguresPass) {
    const auto report = compare_ok(baseline_of({usual_result()}), {usual_result()});
    EXPECT_EQ(report.exit, ExitCode::pass);
    EXPECT_EQ(report.compared, 6U);
    EXPECT_EQ(report.recorded, 1U);
    for (const Row& row : report.rows)
        EXPECT_EQ(row.verdict, row.kind == Kind::advisory ? Verdict::info : Verdict::pass) << row.metric;
}

TEST(Diff, FifteenPercentMoreMemoryIsARegression) {
    const auto report = compare_ok(baseline_of({usual_result()}), {usual_result("TestScale_Small/3w", 1.15)});
    EXPECT_EQ(report.exit, ExitCode::regression);
    EXPECT_EQ(row_of(report, "rss_anon").verdict, Verdict::fail);
    EXPECT_EQ(report.failed, 1U);
}

TEST(Diff, AMetricVanishesOnlyWhenItsOwnTestRanAndPassed) {
    const Baseline baseline = baseline_of({usual_result(), usual_result("TestScale_Other/1w")});
    TestResult result = usual_result();
    std::erase_if(result.metrics, [](const Metric& metric) { return metric.name == "threads"; });
    const auto report = compare_ok(baseline, {result});
    EXPECT_EQ(report.exit, ExitCode::regression);
    EXPECT_EQ(row_of(report, "threads").verdict, Verdict::fail);
    EXPECT_NE(row_of(report, "threads").note.find("vanished"), std::string::npos);
    for (const Row& row : report.rows) EXPECT_EQ(row.test, "TestScale_Small/3w");  // the other test did not run

    for (const TestStatus status : {TestStatus::failed, TestStatus::started}) {
        result.status = status;
        const auto unfinished = compare_ok(baseline, {result});
        EXPECT_EQ(unfinished.exit, ExitCode::test_failed);
        EXPECT_EQ(unfinished.failed, 0U);
        EXPECT_NE(unfinished.conclusion.find("TestScale_Small/3w"), std::string::npos);
    }
}

// As a launch test writes it when no launch came to rest.
TEST(Diff, WhatWasNotMeasuredHasNotVanishedAndIsInconclusive) {
    TestResult result = usual_result();
    metric_in(result, "rss_anon").launches.clear();
    metric_in(result, "rss_anon").note = "no launch came to rest";
    const auto report = compare_ok(baseline_of({usual_result()}), {result});
    const Row& row = row_of(report, "rss_anon");
    EXPECT_EQ(row.verdict, Verdict::inconclusive);
    EXPECT_EQ(row.note, "not measured: no launch came to rest");
    EXPECT_EQ(row.before, 2000);
    EXPECT_EQ(report.inconclusive, 1U);
    EXPECT_EQ(report.failed, 0U);
    EXPECT_EQ(report.exit, ExitCode::pass) << report.conclusion;
}

TEST(Diff, AnAdvisoryMetricMayVanish) {
    TestResult result = usual_result();
    std::erase_if(result.metrics, [](const Metric& metric) { return metric.name == "rss"; });
    EXPECT_EQ(compare_ok(baseline_of({usual_result()}), {result}).exit, ExitCode::pass);
}

TEST(Diff, UnitDirectionAndKindMustBeTheBaselines) {
    const Baseline baseline = baseline_of({usual_result()});
    const auto edited = [&](const std::function<void(Metric&)>& edit) {
        TestResult result = usual_result();
        edit(metric_in(result, "startup"));
        auto report = compare(baseline, {result});
        EXPECT_FALSE(report.has_value());
        return report ? Problem{} : report.error();
    };
    for (const auto& [problem, word] : {std::pair{edited([](Metric& m) { m.unit = Unit::us; }), "unit"},
                                        std::pair{edited([](Metric& m) { m.direction = Direction::higher; }), "direction"},
                                        std::pair{edited([](Metric& m) { m.kind = Kind::latency; }), "kind"}}) {
        EXPECT_EQ(problem.code, ExitCode::bad_input);
        EXPECT_NE(problem.text.find("TestScale_Small/3w/startup." + std::string(word)), std::string::npos) << problem.text;
    }
}

TEST(Diff, AMetricThatDoesNotGateOnlyWarns) {
    TestResult before = usual_result();
    metric_in(before, "rss_anon").gate = false;
    TestResult now = usual_result("TestScale_Small/3w", 1.5);
    metric_in(now, "rss_anon").gate = false;
    const auto report = compare_ok(baseline_of({before}), {now});
    EXPECT_EQ(row_of(report, "rss_anon").verdict, Verdict::warn);
    EXPECT_EQ(report.exit, ExitCode::pass);
}

TEST(Diff, AnotherWindowOrModeIsNotComparableButForExactCounts) {
    for (const bool window : {true, false}) {
        TestResult result = usual_result("TestScale_Small/3w", 2);
        (window ? result.protocol.window : result.protocol.mode) = "other";
        const auto report = compare_ok(baseline_of({usual_result()}), {result});
        EXPECT_EQ(row_of(report, "rss_anon").verdict, Verdict::inconclusive);
        EXPECT_EQ(row_of(report, "threads").verdict, Verdict::pass);
        EXPECT_TRUE(row_of(report, "threads").gates);
        EXPECT_EQ(report.exit, ExitCode::pass);
        ASSERT_EQ(report.reasons.size(), 1U);
        EXPECT_NE(report.reasons.front().find("other"), std::string::npos);
    }
}

TEST(Diff, NothingComparableIsItsOwnExitCode) {
    TestResult only_times = usual_result();
    std::erase_if(only_times.metrics, [](const Metric& metric) { return metric.kind != Kind::duration; });
    const Baseline baseline = baseline_of({only_times});
    only_times.fingerprint.set("cpu_model", "another");
    const auto report = compare_ok(baseline, {only_times});
    EXPECT_EQ(report.exit, ExitCode::not_comparable);
    EXPECT_NE(report.conclusion.find("cpu_model"), std::string::npos) << report.conclusion;
    EXPECT_EQ(compare_ok(baseline, {}).exit, ExitCode::not_comparable);
    const auto fresh = compare_ok(std::nullopt, {usual_result()});
    EXPECT_EQ(fresh.exit, ExitCode::not_comparable);
    EXPECT_EQ(row_of(fresh, "startup").verdict, Verdict::fresh);
}

TEST(Diff, ANewMetricIsNewAndNeverASilentPass) {
    TestResult result = usual_result();
    result.metrics.push_back(metric_of("fds", Kind::exact, Unit::count, {9}));
    const auto report = compare_ok(baseline_of({usual_result()}), {result});
    EXPECT_EQ(row_of(report, "fds").verdict, Verdict::fresh);
    EXPECT_EQ(report.fresh, 1U);
    EXPECT_EQ(report.exit, ExitCode::pass);
}

TEST(Diff, ASanitizerBuildSaysThatMemoryIsNotMeasuredAndPasses) {
    const Baseline baseline = baseline_of({usual_result()});
    TestResult result = usual_result();
    result.fingerprint.set("sanitizer", "address+undefined");
    for (Metric& metric : result.metrics) {
        if (metric.kind == Kind::exact) continue;
        metric.launches.clear();
        metric.note = "sanitizer build";
    }
    const auto report = compare_ok(baseline, {result});
    EXPECT_EQ(report.exit, ExitCode::pass);
    EXPECT_NE(report.conclusion.find("memory not measured"), std::string::npos) << report.conclusion;
    EXPECT_NE(row_of(report, "rss_anon").note.find("not measured: sanitizer build"), std::string::npos);
    metric_in(result, "threads").launches = {6};
    EXPECT_EQ(compare_ok(baseline, {result}).exit, ExitCode::regression);  // exact counts gate everywhere
}

TEST(Diff, AThresholdSetInReviewReplacesTheKinds) {
    Baseline baseline = baseline_of({usual_result()});
    const auto now = usual_result("TestScale_Small/3w", 1.15);
    baseline.metrics.at("TestScale_Small/3w/rss_anon").relative_threshold = 0.2;
    EXPECT_EQ(compare_ok(baseline, {now}).failed, 0U);
}

}  // namespace
}  // namespace parti::report
