#include "testutil/promote.h"

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/json_file.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

std::vector<PromoteSource> three_runs(const TestResult& result) {
    return {{"first", "a", {result}}, {"second", "b", {result}}, {"third", "c", {result}}};
}

void expect_refused(const std::vector<PromoteSource>& sources, ExitCode code, const std::vector<std::string>& parts) {
    const auto promotion = promote(sources, std::nullopt, "because", false);
    ASSERT_FALSE(promotion.has_value());
    EXPECT_EQ(promotion.error().code, code);
    for (const auto& part : parts) EXPECT_NE(promotion.error().text.find(part), std::string::npos) << promotion.error().text;
}

TEST(Promote, KeepsTheRawLaunchesOfEveryRun) {
    auto sources = three_runs(usual_result());
    metric_in(sources[1].tests[0], "rss_anon").launches = {2100, 2101};
    const auto promotion = promote(sources, std::nullopt, "because", false);
    ASSERT_TRUE(promotion.has_value()) << promotion.error().text;
    const auto& metric = promotion->baseline.metrics.at("TestScale_Small/3w/rss_anon");
    ASSERT_EQ(metric.runs.size(), 3U);
    EXPECT_EQ(metric.runs[1], (std::vector<double>{2100, 2101}));
    EXPECT_EQ(metric.launches().size(), 12U);
    EXPECT_EQ(promotion->baseline.tests.at("TestScale_Small/3w").runs, (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(promotion->baseline.reason, "because");
}

TEST(Promote, RefusesWhatMakesNoBaseline) {
    auto sources = three_runs(usual_result());
    sources.pop_back();
    expect_refused(sources, ExitCode::bad_input, {"TestScale_Small/3w", "2 runs", "at least 3"});
    EXPECT_TRUE(promote(sources, std::nullopt, "because", true).has_value());
    EXPECT_FALSE(promote(three_runs(usual_result()), std::nullopt, " ", false).has_value());

    sources = three_runs(usual_result());
    sources[2].run = "a";
    expect_refused(sources, ExitCode::bad_input, {"third", "given twice"});

    for (const TestStatus status : {TestStatus::failed, TestStatus::started}) {
        sources = three_runs(usual_result());
        sources[1].tests[0].status = status;
        expect_refused(sources, ExitCode::test_failed, {"second", "TestScale_Small/3w", std::string(name(status))});
    }

    sources = three_runs(usual_result());
    sources[2].tests[0].fingerprint.set("nproc", "64");
    expect_refused(sources, ExitCode::bad_input, {"third", "one class", "nproc"});

    sources = three_runs(usual_result());
    metric_in(sources[0].tests[0], "threads").launches = {5, 6};
    expect_refused(sources, ExitCode::bad_input, {"TestScale_Small/3w/threads", "exact", "from 5 to 6"});

    sources = three_runs(usual_result());
    metric_in(sources[1].tests[0], "startup").unit = Unit::us;
    expect_refused(sources, ExitCode::bad_input, {"second", "startup", "unit"});

    sources = three_runs(usual_result());
    sources[1].tests[0].protocol.window = "other";
    expect_refused(sources, ExitCode::bad_input, {"second", "window"});

    sources = three_runs(usual_result());
    sources[1].tests[0].versions["suite"] = "9";
    expect_refused(sources, ExitCode::bad_input, {"second", "suite", "'9'"});

    TestResult sanitized = usual_result();
    sanitized.fingerprint.set("sanitizer", "thread");
    expect_refused(three_runs(sanitized), ExitCode::bad_input, {"sanitizers (thread)"});
}

TEST(Promote, WarnsOfADirtyTreeAndOfAMetricThatCannotJudge) {
    TestResult result = usual_result();
    result.dirty = true;
    metric_in(result, "startup").launches = {100, 200, 300, 400, 500};
    const auto promotion = promote(three_runs(result), std::nullopt, "because", false);
    ASSERT_TRUE(promotion.has_value()) << promotion.error().text;
    std::string remarks;
    for (const auto& remark : promotion->remarks) remarks += remark + "\n";
    EXPECT_NE(remarks.find("uncommitted"), std::string::npos) << remarks;
    EXPECT_NE(remarks.find("startup cannot judge"), std::string::npos) << remarks;
    EXPECT_EQ(remarks.find("rss_anon"), std::string::npos) << remarks;
    EXPECT_TRUE(promotion->baseline.dirty);
}

TEST(Promote, KeepsTheLastFiveMediansAndThresholdsSetByHand) {
    std::optional<Baseline> baseline;
    for (int round = 0; round < 8; ++round) {
        auto promotion = promote(three_runs(usual_result("TestScale_Small/3w", 1 + 0.01 * round)), baseline, "because", false);
        ASSERT_TRUE(promotion.has_value()) << promotion.error().text;
        baseline = std::move(promotion->baseline);
        if (round == 0) baseline->metrics.at("TestScale_Small/3w/rss_anon").relative_threshold = 0.3;
    }
    const auto& metric = baseline->metrics.at("TestScale_Small/3w/rss_anon");
    ASSERT_EQ(metric.history.size(), kHistoryKept);
    EXPECT_EQ(metric.history.front().median, 2040);
    EXPECT_EQ(metric.history.back().median, 2120);
    EXPECT_EQ(median(metric.launches()), 2140);
    EXPECT_EQ(metric.relative_threshold, 0.3);
}

TEST(Promote, TestsThatDidNotRunAreKeptWithinTheClassOnly) {
    const auto old = promote(three_runs(usual_result("TestScale_Old/1w")), std::nullopt, "because", false);
    ASSERT_TRUE(old.has_value());
    const auto same = promote(three_runs(usual_result()), old->baseline, "because", false);
    ASSERT_TRUE(same.has_value());
    EXPECT_EQ(same->baseline.metrics.count("TestScale_Old/1w/rss_anon"), 1U);
    TestResult elsewhere = usual_result();
    elsewhere.fingerprint.set("cpu_model", "another");
    const auto other = promote(three_runs(elsewhere), old->baseline, "because", false);
    ASSERT_TRUE(other.has_value());
    EXPECT_EQ(other->baseline.metrics.count("TestScale_Old/1w/rss_anon"), 0U);
    EXPECT_NE(other->remarks.back().find("left out"), std::string::npos);
}

TEST(BaselineFile, ReadsBackWhatWasWrittenAndIsSorted) {
    const TempFolder folder;
    auto promotion = promote(three_runs(usual_result()), std::nullopt, "because", false);
    ASSERT_TRUE(promotion.has_value());
    Baseline& baseline = promotion->baseline;
    baseline.metrics.begin()->second.relative_threshold = 0.25;
    baseline.metrics.begin()->second.history.push_back({"2026-01-01T00:00:00Z", "abc", 12});
    ASSERT_TRUE(write_baseline(folder / "b.json", baseline).has_value());
    const auto read = read_baseline(folder / "b.json");
    ASSERT_TRUE(read.has_value()) << read.error().text;
    ASSERT_TRUE(write_baseline(folder / "c.json", *read).has_value());
    EXPECT_EQ(slurp(folder / "b.json"), slurp(folder / "c.json"));
    EXPECT_EQ(read->metrics.size(), baseline.metrics.size());
    EXPECT_EQ(read->metrics.begin()->second.relative_threshold, 0.25);
    EXPECT_EQ(read->metrics.begin()->second.history.front().median, 12);
}

TEST(BaselineFile, EachBrokenRuleNamesFileKeyAndRule) {
    const TempFolder folder;
    const auto promotion = promote(three_runs(usual_result()), std::nullopt, "because", false);
    ASSERT_TRUE(promotion.has_value());
    ASSERT_TRUE(write_baseline(folder / "b.json", promotion->baseline).has_value());
    const Json whole = Json::parse(slurp(folder / "b.json"));
    const std::string key = "TestScale_Small/3w/rss_anon";
    const auto expect = [&](const std::function<void(Json&)>& edit, const std::vector<std::string>& parts) {
        Json edited = whole;
        edit(edited);
        spill(folder / "b.json", edited.dump());
        const auto read = read_baseline(folder / "b.json");
        ASSERT_FALSE(read.has_value()) << parts.front();
        EXPECT_EQ(read.error().code, ExitCode::bad_input);
        for (const auto& part : parts) EXPECT_NE(read.error().text.find(part), std::string::npos) << read.error().text;
    };
    expect([](Json& j) { j["schema"] = "parti-stress-baseline/7"; }, {"b.json: schema", "baseline/7", "baseline/1"});
    expect([](Json& j) { j.erase("reason"); }, {"b.json: reason", "missing"});
    expect([&](Json& j) { j["metrics"][key]["launches"] = Json::array(); }, {key, "launches", "empty"});
    expect([&](Json& j) { j["metrics"][key]["launches"] = {1, 2}; }, {key, "launches", "one array of numbers per run"});
    expect([&](Json& j) { j["metrics"][key]["launches"][0][0] = 0.5; }, {key, "launches", "whole number"});
    expect([&](Json& j) { j["metrics"][key]["unit"] = "KiB"; }, {key, "unit", "'KiB'"});
    expect([&](Json& j) { j["metrics"][key]["threshold"] = 0; }, {key, "threshold", "above 0"});
    expect([&](Json& j) { j["metrics"][key]["test"] = "Other"; }, {key, "test", "'Other'"});
    expect([](Json& j) { j["tests"] = Json::object(); }, {"metrics.TestScale_Small/3w/", "not among the tests"});
}

TEST(BaselineFile, OfEqualOnesTheProfilesOwnIsChosen) {
    const TempFolder folder;
    TestResult standard = usual_result();
    TestResult nightly = standard;
    nightly.protocol.window = "200 renewals";
    nightly.protocol.environment["PARTI_STRESS_PROFILE"] = "nightly";
    const auto name = baseline_file_name(standard);
    EXPECT_EQ(baseline_file_name(nightly), name.substr(0, name.size() - 5) + "-nightly.json");
    for (const TestResult& result : {standard, nightly}) {
        auto promotion = promote(three_runs(result), std::nullopt, baseline_file_name(result), false);
        ASSERT_TRUE(promotion.has_value());
        ASSERT_TRUE(write_baseline(folder / baseline_file_name(result), promotion->baseline).has_value());
    }
    for (const TestResult& result : {standard, nightly}) {
        const auto choice = choose_baseline(folder.path(), result.fingerprint, {result});
        ASSERT_TRUE(choice && choice->baseline);
        EXPECT_EQ(choice->baseline->reason, baseline_file_name(result));
    }
}

TEST(BaselineFile, TheBestMatchOfAFolderIsChosenAndNamed) {
    const TempFolder folder;
    const auto write = [&](const std::string& file, const std::vector<std::string>& changed) {
        TestResult result = usual_result();
        for (const auto& key : changed) result.fingerprint.set(key, "another");
        auto promotion = promote(three_runs(result), std::nullopt, file, false);
        ASSERT_TRUE(promotion.has_value());
        ASSERT_TRUE(write_baseline(folder / file, promotion->baseline).has_value());
    };
    const auto chosen = [&]() {
        const auto choice = choose_baseline(folder.path(), made_up_machine());
        EXPECT_TRUE(choice.has_value());
        return choice && choice->baseline ? choice->baseline->reason + " | " + choice->why : std::string("none");
    };
    EXPECT_EQ(chosen(), "none");
    write("a.json", {"libc", "runner"});  // only exact counts gate
    EXPECT_EQ(chosen().rfind("a.json", 0), 0U) << chosen();
    write("b.json", {"cpu_model", "nproc", "kernel", "virt", "runner"});  // memory gates too, though more keys differ
    EXPECT_EQ(chosen().rfind("b.json", 0), 0U) << chosen();
    EXPECT_NE(chosen().find("differs in cpu_model"), std::string::npos) << chosen();
    write("c.json", {"kernel"});
    EXPECT_EQ(chosen().rfind("c.json", 0), 0U) << chosen();
    spill(folder / "d.json", "{\"schema\":");
    const auto choice = choose_baseline(folder.path(), made_up_machine());
    ASSERT_FALSE(choice.has_value());
    EXPECT_NE(choice.error().text.find("d.json"), std::string::npos);
}

}  // namespace
}  // namespace parti::report
