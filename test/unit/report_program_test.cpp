// Every exit code of stress-report, through the program itself.
#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/fingerprint.h"
#include "testutil/json_file.h"
#include "testutil/preflight_record.h"

namespace parti::report {
namespace {

class Program : public ::testing::Test {
protected:
    Ended run(const std::vector<std::string>& arguments) {
        std::string command = shell_quoted(STRESS_REPORT);
        for (const auto& argument : arguments) command.append(" ").append(shell_quoted(argument));
        return run_command(command);
    }
    // A baseline of three runs of these results.
    void make_baseline(const std::vector<TestResult>& results) {
        std::vector<std::string> arguments{"promote", "--baseline", baseline_, "--reason", "test"};
        for (int i = 0; i < 3; ++i) {
            arguments.emplace_back("--from");
            arguments.push_back(write_run(root_.path(), results).string());
        }
        const auto promoted = run(arguments);
        ASSERT_EQ(promoted.exit, 0) << promoted.output;
    }
    void expect(const Ended& ended, ExitCode code, const std::vector<std::string>& parts) {
        EXPECT_EQ(ended.exit, static_cast<int>(code)) << ended.output;
        for (const auto& part : parts)
            EXPECT_NE(ended.output.find(part), std::string::npos) << part << " not in:\n" << ended.output;
    }
    std::string write(const std::vector<TestResult>& results) { return write_run(root_.path(), results).string(); }

    TempFolder root_;
    TempFolder files_;
    std::string baseline_ = (files_ / "baseline.json").string();
};

TEST_F(Program, PromoteThenDiffIsAllPass) {
    make_baseline({usual_result(), usual_result("TestScale_Other/1w")});
    const auto ended =
        run({"diff", baseline_, write({usual_result(), usual_result("TestScale_Other/1w")}), "--text", files_ / "d.txt",
             "--markdown", files_ / "d.md", "--json", files_ / "d.json", "--summary", files_ / "s.md"});
    expect(ended, ExitCode::pass, {"rss_anon", "5 vs 15", "PASS: 12 compared, 12 PASS\n"});
    const Json json = Json::parse(slurp(files_ / "d.json"));
    EXPECT_EQ(json.at("exit"), 0);
    EXPECT_EQ(json.at("rows").size(), 14U);
    for (const Json& row : json.at("rows")) EXPECT_TRUE(row.at("verdict") == "PASS" || row.at("verdict") == "INFO") << row;
    EXPECT_NE(slurp(files_ / "d.txt").find("PASS: 12 compared"), std::string::npos);
    EXPECT_NE(slurp(files_ / "d.md").find("| TestScale_Small/3w | rss_anon | 2000 kB | 2000 kB |"), std::string::npos);
    EXPECT_NE(slurp(files_ / "s.md").find("some cpu_model"), std::string::npos);
}

TEST_F(Program, ARegressionIs97) {
    make_baseline({usual_result()});
    expect(run({"diff", baseline_, write({usual_result("TestScale_Small/3w", 1.15)})}), ExitCode::regression,
           {"rss_anon", "2300 kB", "+15.0 %", "+10.0 %", "FAIL", "REGRESSION: 6 compared"});
    expect(run({"diff", baseline_, write({usual_result("TestScale_Small/3w", 1.05)})}), ExitCode::pass, {"PASS"});
}

TEST_F(Program, AFailedOrCrashedTestIs1EvenBesideARegression) {
    make_baseline({usual_result(), usual_result("TestScale_Other/1w")});
    TestResult failed = usual_result("TestScale_Other/1w");
    failed.status = TestStatus::failed;
    expect(run({"diff", baseline_, write({usual_result("TestScale_Small/3w", 1.5), failed})}), ExitCode::test_failed,
           {"TEST FAILED: TestScale_Other/1w"});
    failed.status = TestStatus::started;
    failed.metrics.clear();
    expect(run({"diff", baseline_, write({failed})}), ExitCode::test_failed,
           {"DID NOT FINISH", "TestScale_Other/1w (did not finish)"});
}

TEST_F(Program, AVanishedMetricIs97) {
    make_baseline({usual_result()});
    TestResult result = usual_result();
    std::erase_if(result.metrics, [](const Metric& metric) { return metric.name == "cpu"; });
    expect(run({"diff", baseline_, write({result})}), ExitCode::regression, {"cpu", "vanished: the test passed without it"});
}

TEST_F(Program, NothingToLookAtIs100) {
    make_baseline({usual_result()});
    expect(run({"diff", baseline_, files_ / "absent"}), ExitCode::setup, {"absent", "does not exist"});
    expect(run({"diff", baseline_, files_.path()}), ExitCode::setup, {"current", "begin"});
    expect(run({"diff", baseline_, write({usual_result()}), "--text", files_ / "no/such/folder"}), ExitCode::setup,
           {"no/such/folder", "cannot be written"});
    expect(run({"begin", (files_ / "baseline.json").string() + "/x"}), ExitCode::setup, {"cannot be created"});
}

TEST_F(Program, NotComparableIs101AndSaysWhy) {
    TestResult times = usual_result();
    std::erase_if(times.metrics, [](const Metric& metric) { return metric.kind != Kind::duration; });
    make_baseline({times});
    times.fingerprint.set("cpu_model", "Another CPU");
    expect(run({"diff", baseline_, write({times})}), ExitCode::not_comparable,
           {"advisory; cpu_model", "not comparable, because cpu_model: baseline 'some cpu_model', here 'Another CPU'"});
    const auto empty = begin_run(root_.path());
    ASSERT_TRUE(empty.has_value());
    expect(run({"diff", baseline_, root_.path()}), ExitCode::not_comparable, {"no test ran in this run"});
    std::filesystem::create_directory(files_ / "empty");
    expect(run({"diff", files_ / "empty", write({usual_result()})}), ExitCode::not_comparable, {"NEW", "there is no baseline"});
}

TEST_F(Program, ABadBaselineIs104AndIsNeverOverwritten) {
    make_baseline({usual_result()});
    const std::string whole = slurp(baseline_);
    const std::string run_folder = write({usual_result()});
    std::string other_schema = whole;
    other_schema.replace(other_schema.find("parti-stress-baseline/1"), 23, "parti-stress-baseline/9");
    const std::vector<std::pair<std::string, std::string>> cases{
        {whole.substr(0, whole.size() / 2), "cut off"}, {"", "cut off"}, {"[1,2]", "one JSON object"}, {other_schema, "schema"}};
    for (const auto& [content, rule] : cases) {
        spill(baseline_, content);
        expect(run({"diff", baseline_, run_folder}), ExitCode::bad_input, {"baseline.json", rule});
        expect(run({"diff", files_.path(), run_folder}), ExitCode::bad_input, {"baseline.json", rule});
        expect(run({"promote", "--from", run_folder, "--allow-single", "--baseline", baseline_, "--reason", "x"}),
               ExitCode::bad_input, {"baseline.json", rule});
        EXPECT_EQ(slurp(baseline_), content);
    }
    expect(run({"diff", files_ / "absent.json", run_folder}), ExitCode::bad_input, {"absent.json", "does not exist"});
}

TEST_F(Program, ABadResultIs104) {
    make_baseline({usual_result()});
    const std::filesystem::path folder = write({usual_result()});
    const auto file = folder / result_file_name("TestScale_Small/3w");
    const std::string whole = slurp(file);
    spill(file, whole.substr(0, whole.size() - 20));
    expect(run({"diff", baseline_, folder}), ExitCode::bad_input, {"TestScale_Small.3w.json", "cut off"});
    TestResult result = usual_result();
    metric_in(result, "startup").unit = Unit::us;
    expect(run({"diff", baseline_, write({result})}), ExitCode::bad_input,
           {"baseline.json", "metrics.TestScale_Small/3w/startup.unit", "is 'ms'", "has 'us'"});
    result = usual_result();
    metric_in(result, "startup").direction = Direction::higher;
    expect(run({"diff", baseline_, write({result})}), ExitCode::bad_input, {"startup.direction", "is 'lower'", "has 'higher'"});
}

TEST_F(Program, ABadCommandLineIs104) {
    expect(run({}), ExitCode::bad_input, {"begin, preflight, diff, ab"});
    expect(run({"conpare"}), ExitCode::bad_input, {"'conpare'", "compare"});
    expect(run({"compare", "#x", "y"}), ExitCode::bad_input, {"'#x'", "the RESULT is missing"});
    expect(run({"compare", "x"}), ExitCode::setup, {"x", "does not exist"});
    expect(run({"compare", write({usual_result()})}), ExitCode::bad_input, {"at least two"});
    expect(run({"history"}), ExitCode::bad_input, {"add RESULT, show or check"});
    expect(run({"ab", "x"}), ExitCode::bad_input, {"two build folders"});
    expect(run({"diff", baseline_, "x", "--confirm-seconds", "soon"}), ExitCode::bad_input,
           {"--confirm-seconds", "'soon'", "whole number"});
    expect(run({"begin", files_ / "r", "--program", "x"}), ExitCode::bad_input, {"--criteria"});
    expect(run({"diff", baseline_}), ExitCode::bad_input, {"diff"});
    expect(run({"diff", baseline_, "x", "--colour"}), ExitCode::bad_input, {"--colour"});
    expect(run({"diff", baseline_, "x", "--text"}), ExitCode::bad_input, {"--text", "value"});
    expect(run({"promote", "--from", write({usual_result()}), "--baseline", baseline_}), ExitCode::bad_input, {"--reason"});
    EXPECT_FALSE(std::filesystem::exists(baseline_));
    expect(run({"--help"}), ExitCode::pass, {"stress-report diff BASELINE RESULT"});
}

TEST_F(Program, TheCausesOfFailedTestsAreExitCodes) {
    make_baseline({usual_result()});
    for (const ExitCode cause : {ExitCode::leak, ExitCode::criterion, ExitCode::orphan}) {
        TestResult failed = usual_result();
        failed.status = TestStatus::failed;
        failed.cause = cause;
        expect(run({"diff", baseline_, write({failed})}), cause, {"TestScale_Small/3w"});
    }
}

TEST_F(Program, WhatThePreflightFoundGoesIntoTheRunThatBeginsNext) {
    const auto looked = run({"preflight", root_.path(), "0"});
    expect(looked, ExitCode::pass, {"nats-server", "of memory free", "whether the machine is quiet"});
    EXPECT_EQ(looked.output.find("waits up to"), std::string::npos) << "there is no patience, so it does not wait";
    for (const bool taken : {true, false}) {
        expect(run({"begin", root_.path()}), ExitCode::pass, {});
        const auto current = open_run(root_.path());
        ASSERT_TRUE(current) << current.error().text;
        const auto record = read_preflight(current->folder);
        ASSERT_TRUE(record) << record.error().text;
        ASSERT_EQ(record->has_value(), taken) << "only the next run has it";
        if (taken) {
            EXPECT_EQ((*record)->facts.at("preflight: nats-server").find("none"), std::string::npos);
            EXPECT_EQ((*record)->findings.empty(), looked.output.find("the machine is busy") == std::string::npos);
        }
    }
    const auto current = open_run(root_.path());
    spill(root_ / "preflight.json", "{\"schema\": \"parti-stress-preflight/1\", \"time\": 3}");
    ASSERT_TRUE(take_preflight(root_.path(), current->folder));
    const auto broken = read_preflight(current->folder);
    ASSERT_FALSE(broken);
    EXPECT_NE(broken.error().text.find("time"), std::string::npos) << broken.error().text;
}

TEST_F(Program, CriteriaAreCheckedAtTheBeginningAndJudgedAtTheEnd) {
    make_baseline({usual_result()});
    std::filesystem::create_directory(files_ / "baselines");
    std::filesystem::rename(baseline_, files_ / "baselines/b.json");
    const std::string file = files_ / "limits.json";
    const auto begin = [&](const std::string& expression, const std::string& tests = "TestScale_*") {
        spill(file, R"({"schema": "parti-stress-criteria/1", "criteria": [{"tests": ")" + tests + R"(", "expression": ")" +
                        expression + R"(", "why": "a reason"}],)" +
                        R"( "bands": [{"tests": "*", "metric": "rss_anon", "healthy": "<1MB", "warning": "<9MB", "why": "x"}]})");
        return run({"begin", root_.path(), "--criteria", file, "--baselines", files_ / "baselines", "--program", FAKE_STRESS});
    };
    expect(begin("rss_anom<2MB"), ExitCode::bad_input, {"limits.json", "criteria[0]", "'rss_anom<2MB'", "'rss_anom' is unknown"});
    expect(begin("rss_anon<2ms"), ExitCode::bad_input, {"unit 'ms' does not fit", "measured in kB"});
    expect(begin("rss_anon<2MB", "TestSkale*"), ExitCode::bad_input, {"'TestSkale*'", "match no test"});
    expect(begin("rss_anon<<2MB"), ExitCode::bad_input, {"'rss_anon<<2MB'", "must be a number"});
    EXPECT_EQ(begin("rss_anon.p50<40MB", "*_Small/*").exit, 0);
    EXPECT_EQ(begin("rss_anon.p50<1MB").exit, 0);

    const auto current = open_run(root_.path());
    ASSERT_TRUE(current.has_value());
    TestResult result = usual_result();
    result.run = current->id;
    ASSERT_TRUE(write_result(current->folder / result_file_name(result.test), result).has_value());
    expect(run({"diff", files_ / "baselines", root_.path(), "--markdown", files_ / "d.md", "--json", files_ / "d.json"}),
           ExitCode::criterion,
           {"criterion BROKEN: TestScale_Small/3w rss_anon.p50<1MB, is 2000 kB (a reason)",
            "band warning: TestScale_Small/3w rss_anon", "CRITERION BROKEN: TestScale_Small/3w rss_anon.p50<1MB"});
    EXPECT_NE(slurp(files_ / "d.md").find("| `rss_anon.p50<1MB` | TestScale_Small/3w | 2000 kB | **BROKEN** | a reason |"),
              std::string::npos);
    const Json json = Json::parse(slurp(files_ / "d.json"));
    EXPECT_EQ(json.at("criteria").at(0).at("state"), "BROKEN");
    EXPECT_EQ(json.at("criteria").at(0).at("limit"), 1024);
}

TEST_F(Program, CompareIsOneTable) {
    const std::string one = write({usual_result("Fleet/1p"), usual_result("Fleet/3p", 1.5)});
    const std::string two = write({usual_result("Fleet/1p", 1.2)});
    expect(
        run({"compare", "old=" + one, "new=" + two, "--test", "Fleet/1p", "--metric", "rss_anon", "--markdown", files_ / "c.md"}),
        ExitCode::pass, {"Fleet/1p", "2000 kB", "2400 kB", "x1.20", "/ old"});
    EXPECT_NE(slurp(files_ / "c.md").find("| test | metric | old | new | / old |"), std::string::npos) << slurp(files_ / "c.md");
    expect(run({"compare", one + "#Fleet/1p", one + "#Fleet/3p", "--metric", "rss_anon"}), ExitCode::pass, {"Fleet/3p", "x1.50"});
    expect(run({"compare", "a=" + one + "#Fleet/1p:rss_", "b=" + one + "#Fleet/3p:rss_"}), ExitCode::pass, {"anon", "x1.50"});
    expect(run({"compare", "a=" + one + "#Fleet/1p:no_", "b=" + one + "#Fleet/3p:no_"}), ExitCode::bad_input,
           {"begins with 'no_'"});
    expect(run({"compare", "a=" + one, "b=" + one + "#Fleet/3p"}), ExitCode::bad_input, {"every column or for none"});
    expect(run({"compare", "a=" + one, "b=" + one + "#Fleet/4p"}), ExitCode::bad_input, {"has no test 'Fleet/4p'"});
}

TEST_F(Program, HistoryIsAppendedShownAndChecked) {
    const std::string file = files_ / "h.ndjson";
    for (int i = 0; i < 16; ++i) {
        TestResult result = usual_result("TestScale_Small/3w", i < 8 ? 1 : 1.08);
        result.started = "2026-01-" + std::to_string(10 + i) + "T00:00:00Z";
        expect(run({"history", "add", write({result}), "--file", file}), ExitCode::pass, {"7 metrics"});
    }
    expect(run({"history", "show", "--file", file, "--metric", "*/rss_anon", "--last", "3"}), ExitCode::pass,
           {"TestScale_Small/3w/rss_anon", "2026-01-23", "2160 kB"});
    expect(run({"history", "check", "--file", file, "--json", files_ / "drift.json"}), ExitCode::pass,
           {"TestScale_Small/3w/rss_anon: worse: +8.0 % since 2026-01-18", "2000 kB -> 2160 kB", "1 lasting changes"});
    EXPECT_EQ(Json::parse(slurp(files_ / "drift.json")).at("changes").size(), 1U);
    const std::string last = write({usual_result()});
    std::filesystem::create_directory(files_ / "no-baselines");
    for (const bool given : {true, false}) {
        std::vector<std::string> report{"report", last, "--baseline", files_ / "no-baselines", "--html", files_ / "report.html"};
        if (given) report.insert(report.end(), {"--history", file});
        expect(run(report), ExitCode::pass, {});
        const std::string html = slurp(files_ / "report.html");
        EXPECT_EQ(html.find("since 2026-01-18") != std::string::npos, given);
        EXPECT_EQ(html.find("no history of runs was given") != std::string::npos, !given);
    }
    expect(run({"history", "check", "--file", files_ / "absent"}), ExitCode::bad_input, {"absent"});
    expect(run({"history", "show", "--file", files_.path()}), ExitCode::bad_input, {files_.path(), "is a folder"});
    for (const char* content : {"", "{\n"}) {  // nothing yet; and the first line was cut off
        spill(files_ / "none.ndjson", content);
        expect(run({"history", "check", "--file", files_ / "none.ndjson"}), ExitCode::setup,
               {"none.ndjson: holds no run", "history add"});
    }
}

// Two made-up build folders: the same stand-in for the stress tests, which B's environment makes cost more.
class Builds : public Program {
protected:
    std::string build(const std::string& name, const std::string& environment) {
        const auto programs = files_ / (name + "/test/stress");
        std::filesystem::create_directories(programs);
        spill(files_ / (name + "/CMakeCache.txt"), "");
        const auto program = programs / "fake";
        spill(program, "#!/bin/sh\n" + environment + " exec " + std::string(FAKE_STRESS) + " \"$@\"\n");
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        return files_ / name;
    }
    Ended ab(const std::string& b, const std::vector<std::string>& more = {}) {
        std::vector<std::string> arguments{"ab",   build("a", ""), build("b", b),      "--program",
                                           "fake", "--filter",     "TestScale_Fake.*", "--pairs",
                                           "4",    "--work",       files_ / "work"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments);
    }
};

TEST_F(Builds, AreMeasuredInTurnsAndJudged) {
    const Ended same = ab("");
    expect(same, ExitCode::pass, {"PASS: 2 compared, 2 PASS"});
    // A B B A A B B A
    std::string order;
    for (std::size_t at = 0; (at = same.output.find(" of 4: ", at)) != std::string::npos;) {
        at = same.output.find('\n', at);
        order += static_cast<char>(std::toupper(same.output[at - 1]));
    }
    EXPECT_EQ(order, "ABBAABBA") << same.output;
    expect(ab("FAKE_MEMORY_PERCENT=115"), ExitCode::regression,
           {"confirmation, pair 1 of 4", "confirmed by fresh launches", "+15.0 %"});
    expect(ab("FAKE_MEMORY_PERCENT=105"), ExitCode::pass, {"2 compared"});
    expect(ab("FAKE_MEMORY_PERCENT=115", {"--no-confirm"}), ExitCode::regression, {"rss_anon"});
}

TEST_F(Builds, AFailIsClearedByFreshLaunchesAndAFailedTestIsSaid) {
    // Four launches of B cost more, those that confirm do not.
    expect(ab("FAKE_MEMORY_PERCENT=115; [ $(ls " + (files_ / "work").string() +
              "/confirmation 2>/dev/null | wc -l) -gt 0 ] && FAKE_MEMORY_PERCENT=100; export FAKE_MEMORY_PERCENT;"),
           ExitCode::pass, {"not confirmed: fresh launches"});
    expect(ab("FAKE_FAIL=1"), ExitCode::test_failed, {"TEST FAILED: TestScale_Fake/small"});
    expect(run({"ab", files_ / "a", root_.path()}), ExitCode::bad_input, {"both must be build folders, or both results"});
    expect(run({"ab", files_.path(), files_.path()}), ExitCode::setup,
           {files_.path(), "neither a build folder (no CMakeCache.txt) nor a folder of results"});
    const std::string result = write({usual_result()});
    expect(run({"ab", result, result, "--pairs", "3"}), ExitCode::bad_input, {"--pairs: is for two build folders", result});
}

TEST_F(Builds, EachIsNamedByTheCommitOfItsOwnSources) {
    const auto repository = [&](const std::string& name) {
        const std::filesystem::path folder = files_ / (name + "-source");
        std::filesystem::create_directory(folder);
        const std::string git = "git -C '" + folder.string() + "' -c user.name=x -c user.email=x@example.org ";
        EXPECT_EQ(std::system((git + "init -q && " + git + "commit -q --allow-empty -m " + name).c_str()), 0);
        EXPECT_EQ(std::system((git + "rev-parse HEAD >'" + (files_ / name).string() + ".commit'").c_str()), 0);
        spill(files_ / name / "CMakeCache.txt", "A:STRING=x\nCMAKE_HOME_DIRECTORY:INTERNAL=" + folder.string() + "\n");
        return slurp(files_ / (name + ".commit")).substr(0, 12);
    };
    const std::string a = build("a", ""), b = build("b", "");
    const std::string commit_a = repository("a"), commit_b = repository("b");
    expect(run({"ab", a, b, "--program", "fake", "--filter", "TestScale_Fake.*", "--pairs", "4", "--work", files_ / "work"}),
           ExitCode::pass, {"/a, commit " + commit_a, "/b, commit " + commit_b});
}

// No result is not "nothing changed": a program that dies before its first test, a filter that no test matches.
TEST_F(Builds, ALaunchWithoutAResultIsASetUpProblem) {
    expect(ab("echo broken; exit 3;"), ExitCode::setup, {"/b: fake: exit 3, without any result", "output.log"});
    const std::string a = build("a", ""), b = build("b", "");
    expect(run({"ab", a, b, "--program", "fake", "--filter", "No.Such", "--work", files_ / "work"}), ExitCode::setup,
           {"no test matches --gtest_filter=No.Such"});
}

TEST_F(Builds, TwoResultsAreComparedAsTheyAre) {
    const std::string before = write({usual_result()});
    expect(run({"ab", before, write({usual_result("TestScale_Small/3w", 1.15)})}), ExitCode::regression, {"rss_anon", "+15.0 %"});
    expect(run({"ab", before, write({usual_result("TestScale_Small/3w", 1.05)})}), ExitCode::pass, {"6 compared"});
}

TEST_F(Program, PromoteRefusesFewerThanThreeRunsAndFailedTests) {
    const std::string one = write({usual_result()});
    const std::vector<std::string> command{"promote", "--baseline", baseline_, "--reason", "x", "--from", one};
    expect(run(command), ExitCode::bad_input, {"TestScale_Small/3w", "at least 3"});
    TestResult failed = usual_result();
    failed.status = TestStatus::failed;
    expect(run({"promote", "--baseline", baseline_, "--reason", "x", "--allow-single", "--from", write({failed})}),
           ExitCode::test_failed, {"TestScale_Small/3w", "'failed'"});
    EXPECT_FALSE(std::filesystem::exists(baseline_));
    auto single = command;
    single.emplace_back("--allow-single");
    expect(run(single), ExitCode::pass, {"7 metrics", "1 runs"});
}

TEST_F(Program, PromoteIntoAFolderNamesTheFileAfterTheClass) {
    std::vector<std::string> command{"promote", "--baseline", files_.path(), "--reason", "x"};
    for (int i = 0; i < 3; ++i) {
        command.emplace_back("--from");
        command.push_back(write({usual_result()}));
    }
    const std::string file = class_name(made_up_machine()) + ".json";
    std::filesystem::create_directory(files_ / "some arch");
    TestResult result = usual_result();
    expect(run(command), ExitCode::pass, {file});
    expect(run({"diff", files_.path(), write({result})}), ExitCode::pass, {file, "the best match of 1", "PASS: 6 compared"});
}

TEST_F(Program, ResultsOfAnEarlierRunAreNeverRead) {
    make_baseline({usual_result()});
    const std::filesystem::path earlier = write({usual_result("TestScale_Small/3w", 2)});
    const std::filesystem::path now = write({usual_result("TestScale_Other/1w")});
    std::filesystem::copy_file(earlier / "TestScale_Small.3w.json", now / "TestScale_Small.3w.json");
    const auto ended = run({"diff", baseline_, root_.path(), "--current-run-only"});
    expect(ended, ExitCode::not_comparable, {"not read: TestScale_Small.3w.json", "TestScale_Other/1w"});
    expect(run({"diff", baseline_, earlier, "--current-run-only"}), ExitCode::bad_input, {"the current run is"});
    expect(run({"diff", baseline_, earlier}), ExitCode::regression, {"+100.0 %"});  // asked for by name
}

TEST_F(Program, SpreadAndSummaryShowEveryMetric) {
    TestResult result = usual_result();
    metric_in(result, "startup").launches.clear();
    metric_in(result, "startup").note = "too old a server";
    const std::string first = write({result});
    const std::string second = write({result});
    expect(run({"spread", first, second}), ExitCode::pass,
           {"TestScale_Small/3w/rss_anon", " 10 ", "2000 kB", "1990 kB", "2010 kB", "not measured"});
    expect(run({"summary", first}), ExitCode::pass,
           {"### Stress run", "| TestScale_Small/3w | passed | rss_anon | 2000 kB |", "not measured", "too old a server"});
    expect(run({"spread"}), ExitCode::bad_input, {"at least one"});
}

TEST_F(Program, TheReportsLeaksAreWhatAnyTestWatchesForGrowth) {
    write({result_of("TestScenario_Sustained", {metric_of("live_heap_per_hour", Kind::advisory, Unit::bytes, {-2048}),
                                                metric_of("p95", Kind::advisory, Unit::us, {900})}),
           result_of("TestMemoryBenchmark_ExactLeak", {metric_of("bytes_per_cycle", Kind::advisory, Unit::bytes, {0})})});
    expect(run({"report", root_.path(), "--baseline", files_.path(), "--markdown", files_ / "r.md"}), ExitCode::pass, {});
    const std::string page = slurp(files_ / "r.md");
    const auto begin = page.find("#### Leaks"), end = page.find("\n#### ", begin + 1);
    ASSERT_NE(begin, std::string::npos) << page;
    const std::string leaks = page.substr(begin, end - begin);
    for (const char* shown : {"Sustained/live_heap_per_hour", "ExactLeak/bytes_per_cycle"})
        EXPECT_NE(leaks.find(shown), std::string::npos) << shown << " not in:\n" << leaks;
    EXPECT_EQ(leaks.find("p95"), std::string::npos) << leaks;
}

TEST_F(Program, AGoogleBenchmarkFileIsComparedAndBecomesPartOfABaseline) {
    const auto benchmark = [&](const std::string& name, double factor, int minute) {
        Json document{{"context",
                       {{"date", "2026-11-20T20:" + std::to_string(minute) + ":00+00:00"},
                        {"executable", "/x/parti_benchmarks"},
                        {"num_cpus", 2},
                        {"parti_fingerprint", to_text(made_up_machine())}}},
                      {"benchmarks", Json::array()}};
        for (int i = 0; i < 5; ++i) {
            document["benchmarks"].push_back({{"name", "codec/encode"},
                                              {"run_name", "codec/encode"},
                                              {"run_type", "iteration"},
                                              {"cpu_time", factor * (100 + i)},
                                              {"time_unit", "ns"}});
        }
        const auto file = files_ / name;
        spill(file, document.dump());
        return file.string();
    };
    const std::string first = benchmark("1.json", 1, 10);
    const std::string slower = benchmark("2.json", 1.5, 11);
    expect(run({"diff", first, benchmark("3.json", 1.01, 12)}), ExitCode::pass, {"codec/encode/cpu_time", "PASS: 1 compared"});
    expect(run({"diff", first, slower}), ExitCode::regression, {"+50.0 %", "+25.0 %"});
    expect(run({"ab", first, slower}), ExitCode::regression, {"codec/encode/cpu_time", "+50.0 %"});
    expect(run({"compare", "old=" + first, "new=" + slower}), ExitCode::pass, {"codec/encode/cpu_time", "x1.50"});

    std::vector<std::string> command{"promote", "--baseline", baseline_, "--reason", "x"};
    for (int i = 0; i < 3; ++i) {
        for (const std::string& source :
             {write({usual_result()}), benchmark(std::string(1, static_cast<char>('p' + i)) + ".json", 1, 20 + i)}) {
            command.emplace_back("--from");
            command.push_back(source);
        }
    }
    expect(run(command), ExitCode::pass, {"2 tests"});
    expect(run({"diff", baseline_, write({usual_result()}), slower}), ExitCode::regression,
           {"rss_anon", "codec/encode/cpu_time", "7 compared"});
}

}  // namespace
}  // namespace parti::report
