// Expressions and the criteria file: what is understood, what is refused and how, and what follows from figures.
#include "testutil/criteria.h"

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/diff.h"
#include "testutil/json_file.h"

namespace parti::report {
namespace {

Expression expression(const std::string& text) {
    auto parsed = parse_expression(text);
    EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error().text);
    return parsed ? std::move(*parsed) : Expression{};
}

TEST(Expression, MetricAggregateComparisonAndLimit) {
    const Expression memory = expression("rss_anon.p50<40MB");
    EXPECT_EQ(memory.metric, "rss_anon");
    EXPECT_EQ(memory.aggregate, Aggregate::percentile);
    EXPECT_EQ(memory.percent, 50);
    EXPECT_EQ(memory.comparison, Comparison::less);
    EXPECT_EQ(in_unit(memory.limit, Unit::kB), 40 * 1024);

    const Expression alone = expression("p(95)<200ms");
    EXPECT_EQ(alone.metric, "");
    EXPECT_EQ(alone.aggregate_text, "p95");
    EXPECT_EQ(in_unit(alone.limit, Unit::us), 200'000);

    const Expression rate = expression(" rate <= 0.1 % ");
    EXPECT_EQ(rate.aggregate, Aggregate::rate);
    EXPECT_NEAR(*in_unit(rate.limit, Unit::ratio), 0.001, 1e-15);

    const Expression named = expression("latency.p(99.9)>=1s");
    EXPECT_EQ(named.metric, "latency");
    EXPECT_EQ(named.aggregate_text, "p99.9");
    EXPECT_EQ(named.percent, 99.9);

    const Expression plain = expression("threads==9");
    EXPECT_EQ(plain.metric, "threads");
    EXPECT_FALSE(plain.aggregate);
}

TEST(Expression, AMetricMayHaveDotsAndLookLikeAnAggregate) {
    EXPECT_EQ(expression("p99.9<1s").aggregate_text, "p99.9");
    EXPECT_EQ(expression("a.b.max<1").metric, "a.b");
    EXPECT_EQ(expression("p<1").metric, "p");
}

TEST(Expression, MalformedTextIsRefusedWithItselfAndTheRule) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"", "no comparison"},           {"rss", "no comparison"},        {"<5", "must stand before"},
        {"rss<", "must be a number"},    {"rss<abc", "must be a number"}, {"rss<5XB", "unknown unit"},
        {"rss<5mb", "unknown unit"},     {"rss<<5", "must be a number"},  {"rss=5", "one of < <="},
        {"rss!5", "one of < <="},        {"p(101)<5", "p(0) to p(100)"},  {"p(x)<5", "p(0) to p(100)"},
        {"rss.p()<5", "p(0) to p(100)"}, {"r s<5", "must consist of"},    {"rss<1e999", "unknown unit"},
        {"rss<nan", "must be a number"}, {"rss<5 MB 3", "unknown unit"},  {"rss<--5", "must be a number"},
        {"p(95<5", "p(0) to p(100)"}};
    for (const auto& [text, rule] : cases) {
        const auto parsed = parse_expression(text);
        ASSERT_FALSE(parsed.has_value()) << text;
        EXPECT_EQ(parsed.error().code, ExitCode::bad_input);
        EXPECT_NE(parsed.error().text.find(rule), std::string::npos) << text << ": " << parsed.error().text;
        EXPECT_NE(parsed.error().text.find("'" + text), std::string::npos) << parsed.error().text;
    }
}

// Any bytes at all are refused or understood, never more.
TEST(Expression, RandomTextNeverDoesHarm) {
    base::Rng rng(test_seed());
    const std::string alphabet = "prs_.()<>=!059 %kMBuns/-\xff\x01";
    std::size_t understood = 0;
    for (int i = 0; i < 100'000; ++i) {
        std::string text;
        for (std::uint64_t length = rng.next() % 14; length > 0; --length) text += alphabet[rng.next() % alphabet.size()];
        const auto parsed = parse_expression(text);
        understood += parsed ? 1U : 0U;
        if (!parsed) {
            EXPECT_EQ(parsed.error().code, ExitCode::bad_input);
        }
    }
    EXPECT_GT(understood, 0U);
}

TEST(Expression, AggregatesAndComparisons) {
    const std::vector<double> launches{5, 1, 4, 2, 3};
    EXPECT_EQ(aggregate({"m", Aggregate::median, 0}, launches), 3);
    EXPECT_EQ(aggregate({"m", Aggregate::minimum, 0}, launches), 1);
    EXPECT_EQ(aggregate({"m", Aggregate::maximum, 0}, launches), 5);
    EXPECT_EQ(aggregate({"m", Aggregate::average, 0}, launches), 3);
    EXPECT_EQ(aggregate({"m", Aggregate::count, 0}, launches), 5);
    EXPECT_EQ(aggregate({"m", Aggregate::percentile, 0}, launches), 1);
    EXPECT_EQ(aggregate({"m", Aggregate::percentile, 40}, launches), 2);  // nearest rank
    EXPECT_EQ(aggregate({"m", Aggregate::percentile, 100}, launches), 5);
    EXPECT_TRUE(holds(Comparison::less, 1, 2) && !holds(Comparison::less, 2, 2) && holds(Comparison::at_most, 2, 2));
    EXPECT_TRUE(holds(Comparison::more, 3, 2) && !holds(Comparison::more, 2, 2) && holds(Comparison::at_least, 2, 2));
    EXPECT_TRUE(holds(Comparison::equal, 2, 2) && holds(Comparison::unequal, 1, 2) && !holds(Comparison::unequal, 2, 2));
}

TEST(Expression, UnitsConvertWithinTheirKindOnly) {
    EXPECT_EQ(in_unit({1, "GB"}, Unit::kB), 1024 * 1024);
    EXPECT_EQ(in_unit({2, "kB"}, Unit::bytes), 2048);
    EXPECT_EQ(in_unit({1, "min"}, Unit::ms), 60'000);
    EXPECT_EQ(in_unit({5, ""}, Unit::count), 5);
    EXPECT_EQ(in_unit({0, ""}, Unit::ms), 0);
    EXPECT_EQ(in_unit({10, "/s"}, Unit::per_s), 10);
    EXPECT_FALSE(in_unit({5, ""}, Unit::ms));
    EXPECT_FALSE(in_unit({5, "ms"}, Unit::kB));
    EXPECT_FALSE(in_unit({5, "%"}, Unit::count));
}

TEST(Pattern, StarsAndQuestionMarks) {
    EXPECT_TRUE(matches("*", "") && matches("*", "a/b") && matches("a*c", "abbc") && matches("a?c", "abc") &&
                matches("*_*w", "x_10w"));
    EXPECT_FALSE(matches("a*c", "abcd") || matches("a?c", "ac") || matches("", "a") || matches("a", ""));
}

// A criteria file of one criterion and no band, or with one of them replaced.
class CriteriaFile : public ::testing::Test {
protected:
    Outcome<Criteria> read(const std::string& criteria, const std::string& bands = "", const std::string& metrics = "") {
        const auto file = folder_ / "criteria.json";
        spill(file, R"({"schema": "parti-stress-criteria/1", "metrics": {)" + metrics + R"(}, "criteria": [)" + criteria +
                        R"(], "bands": [)" + bands + "]}");
        return read_criteria(file);
    }
    // What begin says: the problem's text, empty when all is known.
    std::string begin(const std::string& criteria, const std::string& bands = "", const std::string& metrics = "") {
        const auto file = read(criteria, bands, metrics);
        if (!file) return file.error().text;
        Known known;
        known.tests = {"TestScale_Small/3w", "TestScenario_Load"};
        known.metrics["TestScale_Small/3w"] = {
            {"rss_anon", Unit::kB}, {"startup", Unit::ms}, {"moves", Unit::ratio}, {"wait_p95", Unit::us}};
        const auto checked = check_known(*file, known);
        if (!checked) {
            EXPECT_EQ(checked.error().code, ExitCode::bad_input);
        }
        return checked ? "" : checked.error().text;
    }
    static std::string one(const std::string& expression, const std::string& more = "",
                           const std::string& tests = "TestScale_*") {
        return R"({"tests": ")" + tests + R"(", "expression": ")" + expression + R"(", "why": "a test")" + more + "}";
    }
    static void says(const std::string& problem, const std::vector<std::string>& parts) {
        for (const auto& part : parts) EXPECT_NE(problem.find(part), std::string::npos) << part << " not in: " << problem;
    }
    TempFolder folder_;
};

TEST_F(CriteriaFile, WhatIsKnownPasses) {
    EXPECT_EQ(begin(one("rss_anon.p50<40MB")), "");
    EXPECT_EQ(begin(one("p(95)<200ms", R"(, "metric": "wait")")), "");
    EXPECT_EQ(begin(one("wait.p95<200ms")), "");
    EXPECT_EQ(begin(one("rate<1%", R"(, "metric": "moves")")), "");
    EXPECT_EQ(begin(one("p99<1s", "", "TestScenario_*"), "", R"("p99": "us")"), "");
    EXPECT_EQ(begin(one("rss_anon.count>=5")), "");
}

TEST_F(CriteriaFile, UnknownTestsMetricsAndUnitsAreRefusedAtTheStart) {
    says(begin(one("rss_anon<40MB", "", "TestNoSuch*")), {"criteria.json", "criteria[0]", "TestNoSuch*", "match no test"});
    says(begin(one("rss_anom<40MB")), {"criteria[0]", "'rss_anom<40MB'", "metric 'rss_anom'", "unknown"});
    says(begin(one("p99<1s")), {"metric 'p99'", "unknown"});
    says(begin(one("p(95)<1s", R"(, "metric": "delay")")), {"'delay_p95' or 'delay'", "unknown"});
    says(begin(one("rss_anon<40ms")), {"unit 'ms' does not fit", "measured in kB", "B kB MB GB"});
    says(begin(one("rss_anon<40")), {"a unit is missing", "measured in kB"});
    says(begin(one("rate<1%", R"(, "metric": "startup")")), {"rate is of a metric in unit ratio", "'startup' is in ms"});
    says(begin("", R"({"tests": "*", "metric": "nothing", "healthy": "<1MB", "warning": "<2MB", "why": "x"})"),
         {"bands[0]", "'nothing'", "unknown"});
    says(begin("", R"({"tests": "*", "metric": "startup", "healthy": "<1MB", "warning": "<2MB", "why": "x"})"),
         {"bands[0]", "does not fit"});
}

TEST_F(CriteriaFile, MalformedEntriesNameTheirPlace) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {R"({"expression": "rss<1MB", "why": "x"})", "criteria[0].tests"},
        {R"({"tests": "*", "why": "x"})", "criteria[0].expression"},
        {R"({"tests": "*", "expression": "rss<1MB"})", "criteria[0].why"},
        {R"({"tests": "*", "expression": 5, "why": "x"})", "criteria[0].expression"},
        {one("rss<1MB", R"(, "abort_on_fail": "yes")"), "criteria[0].abort_on_fail"},
        {one("rss<1MB", R"(, "abort_on_fail": true, "grace": "10 parsecs")"), "criteria[0].grace"},
        {one("rss<1MB", R"(, "abort_on_fail": true, "grace": "10MB")"), "criteria[0].grace"},
        {one("rss<1MB", R"(, "grace": "10s")"), "criteria[0].grace"},
        {"7", "criteria[0]"}};
    for (const auto& [entry, place] : cases) {
        const auto file = read(entry);
        ASSERT_FALSE(file.has_value()) << entry;
        EXPECT_EQ(file.error().code, ExitCode::bad_input);
        EXPECT_NE(file.error().text.find(place), std::string::npos) << file.error().text;
    }
    const auto band = [](const std::string& healthy, const std::string& warning) {
        return R"({"tests": "*", "metric": "m", "healthy": ")" + healthy + R"(", "warning": ")" + warning + R"(", "why": "x"})";
    };
    for (const auto& [healthy, warning] : std::vector<std::pair<std::string, std::string>>{{"<2MB", "<1MB"},
                                                                                           {"<1MB", "<1MB"},
                                                                                           {"<1MB", ">2MB"},
                                                                                           {"<1MB", "<=2MB"},
                                                                                           {">1/s", ">2/s"},
                                                                                           {"<1MB", "<2s"},
                                                                                           {"1MB", "<2MB"},
                                                                                           {"<", "<2"}}) {
        EXPECT_FALSE(read("", band(healthy, warning)).has_value()) << healthy << " " << warning;
    }
    EXPECT_TRUE(read("", band(">=10/s", ">=5/s")).has_value());
    EXPECT_FALSE(read("", "", R"("m": "furlongs")").has_value());
    spill(folder_ / "other.json", R"({"schema": "parti-stress-criteria/1", "criteria": [], "bands": [], "treshold": []})");
    const auto misspelt = read_criteria(folder_ / "other.json");
    ASSERT_FALSE(misspelt.has_value());
    EXPECT_NE(misspelt.error().text.find("treshold"), std::string::npos);
}

TEST_F(CriteriaFile, EveryByteThatIsMissingIsNoticed) {
    const auto file = folder_ / "criteria.json";
    ASSERT_TRUE(read(one("rss_anon<40MB", R"(, "abort_on_fail": true, "grace": "3s")"), "", R"("p99": "us")").has_value());
    const std::string whole = slurp(file);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        spill(file, whole.substr(0, length));
        EXPECT_FALSE(read_criteria(file).has_value()) << whole.substr(0, length);
    }
}

TEST_F(CriteriaFile, EvaluatesEveryTestThatHasTheMetricAndSaysWhenNoneHas) {
    const auto criteria = read(one("rss_anon.max<2005kB") + "," + one("startup<1s") + "," + one("absent<1MB"));
    ASSERT_TRUE(criteria.has_value());
    const auto results = evaluate(*criteria, {usual_result(), usual_result("TestScale_Big/9w", 2), usual_result("Other/1w")});
    ASSERT_TRUE(results.has_value());
    ASSERT_EQ(results->size(), 5U);
    EXPECT_EQ(results->at(0).state, CriterionState::broken);
    EXPECT_EQ(results->at(0).value, 2010);
    EXPECT_EQ(results->at(0).limit, 2005);
    EXPECT_EQ(results->at(1).test, "TestScale_Big/9w");
    EXPECT_EQ(results->at(1).state, CriterionState::broken);
    EXPECT_EQ(results->at(2).state, CriterionState::held);
    EXPECT_EQ(results->at(4).state, CriterionState::not_evaluated);
    EXPECT_NE(results->at(4).note.find("none of the 2 tests"), std::string::npos);
}

TEST_F(CriteriaFile, ACriterionOfOneTestThatPassesWithoutItsMetricIsBroken) {
    const auto criteria = read(one("absent<1MB", "", "TestScale_Big/9w"));
    ASSERT_TRUE(criteria.has_value());
    TestResult result = usual_result("TestScale_Big/9w", 2);
    auto results = evaluate(*criteria, {result});
    ASSERT_TRUE(results.has_value());
    EXPECT_EQ(results->front().state, CriterionState::broken);
    EXPECT_NE(results->front().note.find("none of the 1 tests"), std::string::npos);
    TestResult sanitized = result;
    sanitized.fingerprint.set("sanitizer", "address");
    results = evaluate(*criteria, {sanitized});
    ASSERT_TRUE(results.has_value());
    EXPECT_EQ(results->front().state, CriterionState::not_evaluated);
    result.status = TestStatus::failed;  // it says itself what is wrong
    results = evaluate(*criteria, {result});
    ASSERT_TRUE(results.has_value());
    EXPECT_EQ(results->front().state, CriterionState::not_evaluated);
}

TEST_F(CriteriaFile, WhatWasNotMeasuredIsNotEvaluated) {
    const auto criteria = read(one("rss_anon<1MB"));
    TestResult result = usual_result();
    metric_in(result, "rss_anon").launches.clear();
    metric_in(result, "rss_anon").note = "sanitizer build";
    const auto results = evaluate(*criteria, {result});
    ASSERT_TRUE(results.has_value());
    EXPECT_EQ(results->front().state, CriterionState::not_evaluated);
    EXPECT_NE(results->front().note.find("sanitizer build"), std::string::npos);
}

// As a scenario writes it whose load generator was late: not the same as a test that passes without the metric, which is broken.
TEST_F(CriteriaFile, WhatOneTestCouldNotMeasureIsNotBroken) {
    const auto criteria = read(one("p(95)<1ms", R"(, "metric": "after")", "TestScenario_Load"));
    ASSERT_TRUE(criteria.has_value());
    const auto judge = [&](std::vector<double> launches, const std::string& note) {
        Metric metric = metric_of("after_p95", Kind::advisory, Unit::us, std::move(launches));
        metric.note = note;
        const TestResult result = result_of("TestScenario_Load", {metric});
        const auto results = evaluate(*criteria, {result});
        EXPECT_TRUE(results.has_value());
        auto report = compare(std::nullopt, {result});
        EXPECT_TRUE(apply_criteria(*report, *criteria, {result}).has_value());
        return std::pair(results->front(), report->exit);
    };
    const auto [unmeasured, quiet] = judge({}, "the load generator was late");
    EXPECT_EQ(unmeasured.state, CriterionState::not_evaluated);
    EXPECT_EQ(unmeasured.note, "not measured: the load generator was late");
    EXPECT_NE(quiet, ExitCode::criterion);
    const auto [measured, alarmed] = judge({2000}, "");
    EXPECT_EQ(measured.state, CriterionState::broken);
    EXPECT_EQ(alarmed, ExitCode::criterion);
}

TEST_F(CriteriaFile, ABrokenCriterionIs99AndAFailedTestComesFirst) {
    const auto criteria = read(one("rss_anon<1MB"));
    TestResult result = usual_result();
    auto report = compare(std::nullopt, {result});
    ASSERT_TRUE(apply_criteria(*report, *criteria, {result}).has_value());
    EXPECT_EQ(report->exit, ExitCode::criterion);
    EXPECT_NE(report->conclusion.find("CRITERION BROKEN: TestScale_Small/3w rss_anon<1MB"), std::string::npos)
        << report->conclusion;
    result.status = TestStatus::failed;
    report = compare(std::nullopt, {result});
    ASSERT_TRUE(apply_criteria(*report, *criteria, {result}).has_value());
    EXPECT_EQ(report->exit, ExitCode::test_failed);
}

TEST_F(CriteriaFile, AbortsOnlyWhatItShallAndOnlyAfterItsGrace) {
    const auto criteria = read(one("rss_anon<1MB", R"(, "abort_on_fail": true, "grace": "3s")") + "," + one("startup<1ms"));
    ASSERT_TRUE(criteria.has_value());
    const auto metrics = usual_result().metrics;
    const auto live = [&](const std::string& test, double seconds) {
        return evaluate_live(*criteria, test, metrics, std::chrono::duration<double>(seconds)).size();
    };
    EXPECT_EQ(live("TestScale_Small/3w", 2.9), 0U);
    EXPECT_EQ(live("TestScale_Small/3w", 3.0), 1U);
    EXPECT_EQ(live("Other", 9), 0U);
}

TEST_F(CriteriaFile, BandsTouchAndEveryValueIsInExactlyOne) {
    const auto criteria = read("", R"({"tests": "*", "metric": "rss", "healthy": "<2MB", "warning": "<4MB", "why": "x"},
                                      {"tests": "*", "metric": "rate", "healthy": ">=100/s", "warning": ">=50/s", "why": "x"})");
    ASSERT_TRUE(criteria.has_value());
    const auto band = [&](const std::string& metric, Unit unit, double value) {
        return *band_of(*criteria, "T", metric_of(metric, Kind::advisory, unit, {1}), value);
    };
    EXPECT_EQ(band("rss", Unit::kB, 2047), Band::healthy);
    EXPECT_EQ(band("rss", Unit::kB, 2048), Band::warning);
    EXPECT_EQ(band("rss", Unit::kB, 4095), Band::warning);
    EXPECT_EQ(band("rss", Unit::kB, 4096), Band::critical);
    EXPECT_EQ(band("rate", Unit::per_s, 100), Band::healthy);
    EXPECT_EQ(band("rate", Unit::per_s, 99), Band::warning);
    EXPECT_EQ(band("rate", Unit::per_s, 49), Band::critical);
    EXPECT_EQ(band("other", Unit::kB, 1), Band::none);
    EXPECT_FALSE(band_of(*criteria, "T", metric_of("rss", Kind::advisory, Unit::ms, {1}), 1).has_value());
}

TEST(Criteria, ListedTestsAreNamedAsTheirResultFiles) {
    const std::string listing =
        "Running main() from gtest_main.cc\nTestMemory.\n  Launches/1w_100p  # GetParam() = 1w_100p\n  Launches/5w_100p  # "
        "GetParam() = a/b\nTestScale.\n  Slope\n";
    EXPECT_EQ(listed_tests(listing), (std::vector<std::string>{"TestMemory/1w_100p", "TestMemory/5w_100p", "TestScale"}));
}

TEST(Criteria, TheCommittedFileIsUnderstood) {
    const auto criteria = read_criteria(std::filesystem::path(CRITERIA_FILE));
    ASSERT_TRUE(criteria.has_value()) << criteria.error().text;
    EXPECT_GE(criteria->criteria.size(), 10U);
    EXPECT_GE(criteria->bands.size(), 4U);
}

}  // namespace
}  // namespace parti::report
