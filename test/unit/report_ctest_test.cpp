// What ctest makes of the stress fixtures: labels, timeouts, order, and a diff of what ran now and nothing else.
#include <algorithm>
#include <array>
#include <set>

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/json_file.h"

namespace parti::report {
namespace {

struct CtestTest {
    std::string name;
    std::map<std::string, Json> properties;

    bool has_label(const std::string& label) const {
        const auto found = properties.find("LABELS");
        return found != properties.end() && std::count(found->second.begin(), found->second.end(), Json(label)) == 1;
    }
    Json get(const std::string& property) const {
        const auto found = properties.find(property);
        return found == properties.end() ? Json() : found->second;
    }
};

constexpr std::array kSuiteLabels{"stress", "soak", "ladder", "matrix"};

std::vector<CtestTest> registered(const std::filesystem::path& build) {
    const Ended ended =
        run_command("cd " + shell_quoted(build.string()) + " && " + shell_quoted(CTEST_PROGRAM) + " --show-only=json-v1");
    EXPECT_EQ(ended.exit, 0) << ended.output;
    const Json listing = Json::parse(ended.output, nullptr, false);
    EXPECT_TRUE(listing.is_object()) << ended.output;
    std::vector<CtestTest> tests;
    if (!listing.is_object()) return tests;
    for (const Json& test : listing.at("tests")) {
        CtestTest entry{test.at("name").get<std::string>(), {}};
        for (const Json& property : test.value("properties", Json::array()))
            entry.properties[property.at("name")] = property.at("value");
        tests.push_back(std::move(entry));
    }
    return tests;
}

// The rules that make `ctest -L stress --timeout 900` do what it says; for the labels of the long tests too.
void check_stress_tests(const std::vector<CtestTest>& tests, std::size_t& cases) {
    std::size_t fixtures = 0;
    for (const CtestTest& test : tests) {
        for (const Json& label : test.get("LABELS")) {
            const bool matches = label.get<std::string>().find("stress") != std::string::npos;
            EXPECT_EQ(matches, label == "stress") << test.name << ": ctest -L stress would also find label " << label;
        }
        const bool fixture = test.name == "stress_begin" || test.name == "stress_diff";
        const auto labels =
            std::count_if(kSuiteLabels.begin(), kSuiteLabels.end(), [&](const char* label) { return test.has_label(label); });
        if (labels == 0) {
            EXPECT_FALSE(fixture) << test.name;
            continue;
        }
        EXPECT_EQ(labels, 1) << test.name;
        EXPECT_TRUE(test.get("TIMEOUT").is_number() && test.get("TIMEOUT") >= 60) << test.name;
        EXPECT_TRUE(test.get("TIMEOUT") <= 900 || test.has_label("soak")) << test.name;
        EXPECT_EQ(test.get("RUN_SERIAL"), Json(true)) << test.name;
        EXPECT_EQ(test.get("RESOURCE_LOCK"), Json({"stress_box"})) << test.name;
        if (test.name == "stress_preflight") {
            EXPECT_EQ(test.get("FIXTURES_SETUP"), Json({"stress_preflight"}));
            continue;
        }
        if (fixture) {
            ++fixtures;
            continue;
        }
        ++cases;
        EXPECT_EQ(test.get("FIXTURES_REQUIRED"), Json({"stress_run"})) << test.name;
        EXPECT_EQ(test.name.find_first_of(" #;"), std::string::npos) << test.name;
        EXPECT_EQ(test.has_label("memory"), test.name.find("TestMemoryBenchmark") != std::string::npos) << test.name;
        EXPECT_EQ(test.has_label("scale"), test.name.find("TestScale") != std::string::npos) << test.name;
    }
    EXPECT_EQ(fixtures, 2U);
}

TEST(CtestOfThisBuild, StressTestsKeepTheRules) {
    std::size_t cases = 0;
    check_stress_tests(registered(OUR_BUILD_FOLDER), cases);
}

// A build folder of the small project around report_fake_stress, with a baseline of three of its own runs.
class CtestFixtures : public ::testing::Test {
protected:
    void SetUp() override {
        std::filesystem::create_directory(folder_ / "baselines");
        const Ended configured = configure("");
        ASSERT_EQ(configured.exit, 0) << configured.output;
    }
    Ended configure(const std::string& more) {
        return run_command(shell_quoted(CMAKE_PROGRAM) + " -S " + shell_quoted(STRESS_PROJECT) + " -B " + shell_quoted(build_) +
                           " -G " + shell_quoted(CMAKE_GENERATOR_NAME) + " -DFAKE_STRESS=" + shell_quoted(FAKE_STRESS) +
                           " -DSTRESS_FIXTURES=" + shell_quoted(STRESS_FIXTURES) + " -DPARTI_STRESS_REPORT=" +
                           shell_quoted(STRESS_REPORT) + " -DPARTI_STRESS_BASELINES=" + shell_quoted(folder_ / "baselines") +
                           " -DPARTI_STRESS_RESULTS=" + shell_quoted(results_) + " " + more);
    }
    // Names with their TIMEOUT, without the fixtures; every one keeps the rules.
    std::map<std::string, Json> timeouts() {
        const auto tests = registered(build_);
        std::size_t cases = 0;
        check_stress_tests(tests, cases);
        std::map<std::string, Json> out;
        for (const CtestTest& test : tests) {
            if (test.get("FIXTURES_REQUIRED") == Json({"stress_run"})) out[test.name] = test.get("TIMEOUT");
        }
        EXPECT_EQ(out.size(), cases);
        return out;
    }
    Ended ctest(const std::string& arguments, const std::string& environment = "") {
        return run_command("cd " + shell_quoted(build_) + " && env -u PARTI_STRESS_RUN_DIR " + environment + " " +
                           shell_quoted(CTEST_PROGRAM) + " -j 4 " + arguments);
    }
    void make_baseline() {
        std::string command =
            shell_quoted(STRESS_REPORT) + " promote --reason test --baseline " + shell_quoted(folder_ / "baselines");
        for (int i = 0; i < 3; ++i) {
            const Ended ended = ctest("-L stress");
            ASSERT_EQ(ended.exit, 0) << ended.output;
            command += " --from " + shell_quoted(open_run(results_)->folder.string());
        }
        const Ended promoted = run_command(command);
        ASSERT_EQ(promoted.exit, 0) << promoted.output;
    }
    std::string diff() { return slurp(results_ + "/diff.txt"); }
    static void contains(const std::string& text, const std::string& part) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " not in:\n" << text;
    }
    // Positions of the "N/M Test #.." lines by test name.
    static std::vector<std::string> order(const std::string& output) {
        std::vector<std::string> names;
        std::istringstream lines(output);
        for (std::string line; std::getline(lines, line);) {
            const auto at = line.find("Test #");
            if (at == std::string::npos || line.find("sec") == std::string::npos) continue;
            const auto begin = line.find(": ", at) + 2;
            names.push_back(line.substr(begin, line.find(' ', begin) - begin));
        }
        return names;
    }

    TempFolder folder_;
    std::string build_ = (folder_ / "build").string();
    std::string results_ = (folder_ / "results").string();
};

TEST_F(CtestFixtures, EveryCaseIsATestWithItsLabelsTimeoutAndLock) {
    const auto tests = registered(build_);
    std::size_t cases = 0;
    check_stress_tests(tests, cases);
    EXPECT_EQ(cases, 4U);
    for (const CtestTest& test : tests) {
        if (test.get("FIXTURES_REQUIRED") != Json({"stress_run"})) continue;
        EXPECT_EQ(test.get("ENVIRONMENT"),
                  Json({"PARTI_STRESS_RUN_DIR=" + results_, "PARTI_STRESS_PROFILE=standard", "FAKE_MARK=1"}))
            << test.name;
        EXPECT_EQ(test.has_label("ladder"), test.name == "TestScenario_FakeLadder.Climbs") << test.name;
    }
}

TEST_F(CtestFixtures, AProfileHasTheTestsThatDeclareABudgetForItAndTheirTimeouts) {
    using Map = std::map<std::string, Json>;
    EXPECT_EQ(timeouts(), (Map{{"Sizes/TestMemoryBenchmark_Fake.Fleet/1w_100p", 75},
                               {"Sizes/TestMemoryBenchmark_Fake.Fleet/5w_100p", 75},
                               {"TestScale_Fake.Small", 60},
                               {"TestScenario_FakeLadder.Climbs", 60}}));
    ASSERT_EQ(configure("-DPARTI_STRESS_PROFILE=nightly").exit, 0);
    EXPECT_EQ(timeouts(), (Map{{"Sizes/TestMemoryBenchmark_Fake.Fleet/1w_100p", 500},
                               {"Sizes/TestMemoryBenchmark_Fake.Fleet/5w_100p", 500},
                               {"TestScale_Fake.Small", 75},
                               {"TestScenario_FakeLadder.Climbs", 60},
                               {"TestScenario_FakeSoak.Lasts", 2250}}));
    ASSERT_EQ(configure("-DPARTI_STRESS_PROFILE=smoke").exit, 0);
    EXPECT_EQ(timeouts(),
              (Map{{"Sizes/TestMemoryBenchmark_Fake.Fleet/1w_100p", 60}, {"Sizes/TestMemoryBenchmark_Fake.Fleet/5w_100p", 60}}));
    ASSERT_EQ(configure("-DPARTI_STRESS_PROFILE=soak").exit, 0);
    EXPECT_EQ(timeouts(), (Map{{"TestScenario_FakeSoak.Lasts", 9000}}));
}

TEST_F(CtestFixtures, AWrongProfileIsNamedWithTheChoices) {
    const Ended configured = configure("-DPARTI_STRESS_PROFILE=nighty");
    EXPECT_NE(configured.exit, 0);
    contains(configured.output, "PARTI_STRESS_PROFILE='nighty' must be one of");
    contains(configured.output, "smoke;standard;nightly;soak;soak4h");
    const Ended again = configure("");
    EXPECT_EQ(again.exit, 0) << "the wrong one was kept: " << again.output;
    const Ended started = run_command("PARTI_STRESS_PROFILE=nighty " + shell_quoted(FAKE_STRESS));
    EXPECT_EQ(started.exit, 104) << started.output;
    contains(started.output, "PARTI_STRESS_PROFILE='nighty' must be one of smoke, standard, nightly, soak, soak4h");
}

TEST_F(CtestFixtures, TheLongTestsRunByTheirOwnLabelWithBeginAndDiff) {
    const Ended ended = ctest("-L ladder");
    EXPECT_EQ(ended.exit, 0) << ended.output;
    EXPECT_EQ(order(ended.output), (std::vector<std::string>{"stress_begin", "TestScenario_FakeLadder.Climbs", "stress_diff"}));
}

TEST_F(CtestFixtures, BeginIsFirstDiffIsLastAndWithoutABaselineItIsSkipped) {
    const Ended ended = ctest("-L stress --timeout 900 --no-tests=error");
    EXPECT_EQ(ended.exit, 0) << ended.output;
    const auto names = order(ended.output);
    ASSERT_EQ(names.size(), 5U) << ended.output;
    EXPECT_EQ(names.front(), "stress_begin");
    EXPECT_EQ(names.back(), "stress_diff");
    contains(ended.output, "Skipped");
    contains(diff(), "there is no baseline");
}

TEST_F(CtestFixtures, ARegressionFailsTheRunAndOneTestIsJudgedAlone) {
    make_baseline();
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_EQ(ctest("-L stress").exit, 0);
    contains(diff(), "PASS: 6 compared, 6 PASS");

    const Ended worse = ctest("-L stress", "FAKE_MEMORY_PERCENT=115");
    EXPECT_NE(worse.exit, 0) << worse.output;
    contains(worse.output, "stress_diff");
    contains(diff(), "REGRESSION: 6 compared");

    // The regression above lies in the results of an earlier run; now one test runs.
    const Ended one = ctest("-R TestScale_Fake");
    EXPECT_EQ(one.exit, 0) << one.output;
    EXPECT_EQ(order(one.output).size(), 3U) << one.output;
    contains(diff(), "PASS: 2 compared, 2 PASS");
    contains(diff(), "2 tests of the baseline did not run now");

    const Ended none = ctest("-R stress_diff");
    EXPECT_EQ(none.exit, 0) << none.output;
    contains(diff(), "no test ran in this run");

    const Ended smaller = ctest("-L stress", "FAKE_MEMORY_PERCENT=105");
    EXPECT_EQ(smaller.exit, 0) << smaller.output;
}

TEST_F(CtestFixtures, AFailIsRepeatedAndOnlyAConfirmedOneFailsTheRun) {
    make_baseline();
    ASSERT_FALSE(HasFatalFailure());
    const Ended again = ctest("-R TestScale_Fake", "FAKE_MEMORY_PERCENT=115");
    EXPECT_NE(again.exit, 0) << again.output;
    contains(diff(), "confirmed by fresh launches: 2300 kB (+15.0 %)");
    const Ended once =
        ctest("-R TestScale_Fake", "FAKE_MEMORY_PERCENT=115 FAKE_SECOND_PERCENT=100 FAKE_MARKS=" + folder_.path().string());
    EXPECT_EQ(once.exit, 0) << once.output;
    contains(diff(), "WARN");
    contains(diff(), "not confirmed: fresh launches 2000 kB");
}

TEST_F(CtestFixtures, CriteriaAreCheckedFirstAndJudgedLast) {
    make_baseline();
    ASSERT_FALSE(HasFatalFailure());
    const auto with = [&](const std::string& expression) {
        spill(folder_ / "limits.json",
              R"({"schema": "parti-stress-criteria/1", "bands": [], "criteria": [{"tests": "TestScale_*", "expression": ")" +
                  expression + R"(", "why": "a test"}]})");
        const Ended configured = configure("-DPARTI_STRESS_CRITERIA=" + shell_quoted(folder_ / "limits.json"));
        EXPECT_EQ(configured.exit, 0) << configured.output;
        return ctest("-R TestScale_Fake --output-on-failure");
    };
    EXPECT_EQ(with("rss_anon<3MB").exit, 0) << diff();
    contains(diff(), "criteria: 1 of 1 held");
    EXPECT_NE(with("rss_anon<1MB").exit, 0);
    contains(diff(), "CRITERION BROKEN: TestScale_Fake/small rss_anon<1MB");
    const Ended unknown = with("rss_anom<1MB");
    EXPECT_NE(unknown.exit, 0);
    contains(unknown.output, "'rss_anom' is unknown");
    contains(unknown.output, "Not Run");
}

TEST_F(CtestFixtures, ACrashAndAFailureAreSeenAndTheDiffStillRuns) {
    make_baseline();
    ASSERT_FALSE(HasFatalFailure());
    const Ended crashed = ctest("-R TestScale_Fake", "FAKE_CRASH=1");
    EXPECT_NE(crashed.exit, 0);
    EXPECT_EQ(order(crashed.output).back(), "stress_diff") << crashed.output;
    contains(diff(), "TEST FAILED: TestScale_Fake/small (did not finish)");
    EXPECT_EQ(diff().find("vanished"), std::string::npos) << diff();
    EXPECT_NE(ctest("-R TestScale_Fake", "FAKE_FAIL=1").exit, 0);
    contains(diff(), "TEST FAILED: TestScale_Fake/small");
}

TEST_F(CtestFixtures, ASanitizerBuildPassesAndSaysThatMemoryWasNotMeasured) {
    make_baseline();
    ASSERT_FALSE(HasFatalFailure());
    const Ended ended = ctest("-L stress", "FAKE_SANITIZER=address+undefined");
    EXPECT_EQ(ended.exit, 0) << ended.output;
    contains(diff(), "PASS: memory not measured, because the build has sanitizers (address+undefined)");
}

TEST_F(CtestFixtures, AProgramThatIsNotBuiltFailsAmongTheStressTests) {
    ASSERT_EQ(run_command("sed -i 's|" + std::string(FAKE_STRESS) + "|/no/such/program|g' " + shell_quoted(build_) +
                          "/fake_stress_stress_tests.cmake")
                  .exit,
              0);
    const Ended ended = ctest("-L stress");
    EXPECT_NE(ended.exit, 0) << ended.output;
    contains(ended.output, "fake_stress_NOT_BUILT");
}

}  // namespace
}  // namespace parti::report
