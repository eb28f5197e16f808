#include <cstdlib>

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/json_file.h"
#include "testutil/results.h"

namespace parti::report {
namespace {

// Reads back a result after one edit of its JSON.
Outcome<TestResult> read_edited(const std::function<void(Json&)>& edit) {
    const TempFolder folder;
    EXPECT_TRUE(write_result(folder / "r.json", usual_result()).has_value());
    Json document = Json::parse(slurp(folder / "r.json"));
    edit(document);
    spill(folder / "r.json", document.dump());
    return read_result(folder / "r.json");
}

void expect_problem(const Outcome<TestResult>& outcome, const std::vector<std::string>& parts) {
    ASSERT_FALSE(outcome.has_value());
    EXPECT_EQ(outcome.error().code, ExitCode::bad_input);
    for (const auto& part : parts) EXPECT_NE(outcome.error().text.find(part), std::string::npos) << outcome.error().text;
}

constexpr const char* kMemoryKey = "TestScale_Small/3w/rss_anon";

TEST(ResultFile, ReadsBackWhatWasWritten) {
    const TempFolder folder;
    TestResult result = usual_result();
    metric_in(result, "rss_anon").floor = 12;
    metric_in(result, "startup").launches.clear();
    metric_in(result, "startup").note = "the server was too old";
    result.protocol = {5, "10 renewals", 18446744073709551615ULL, "exact", "stress_tests --x"};
    ASSERT_TRUE(write_result(folder / "r.json", result).has_value());
    const auto read = read_result(folder / "r.json");
    ASSERT_TRUE(read.has_value()) << read.error().text;
    EXPECT_EQ(read->protocol, result.protocol);
    EXPECT_EQ(read->fingerprint, result.fingerprint);
    EXPECT_EQ(read->metrics.size(), result.metrics.size());
    EXPECT_EQ(read->find("rss_anon")->floor, 12);
    EXPECT_EQ(read->find("rss_anon")->launches, result.find("rss_anon")->launches);
    EXPECT_FALSE(read->find("startup")->measured());
    EXPECT_EQ(read->find("startup")->note, "the server was too old");
}

TEST(ResultFile, NothingButTheFileIsLeftInTheFolder) {
    const TempFolder folder;
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(write_result(folder / "r.json", usual_result()).has_value());
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        EXPECT_EQ(entry.path().filename(), "r.json");
        ++files;
    }
    EXPECT_EQ(files, 1U);
}

TEST(ResultFile, ACutOffFileIsNamedAtEveryLength) {
    const TempFolder folder;
    ASSERT_TRUE(write_result(folder / "r.json", usual_result()).has_value());
    const std::string whole = slurp(folder / "r.json");
    for (std::size_t length = 0; length + 2 < whole.size(); length += 37) {
        spill(folder / "r.json", whole.substr(0, length));
        expect_problem(read_result(folder / "r.json"), {"r.json", "cut off"});
    }
}

TEST(ResultFile, EachBrokenRuleNamesFileKeyAndRule) {
    expect_problem(read_edited([](Json& j) { j["schema"] = "parti-stress-result/2"; }),
                   {"r.json: schema", "parti-stress-result/1"});
    expect_problem(read_edited([](Json& j) { j.erase("run"); }), {"r.json: run", "missing"});
    expect_problem(read_edited([](Json& j) { j["status"] = "maybe"; }), {"r.json: status", "maybe", "passed"});
    expect_problem(read_edited([](Json& j) { j["test"] = "with blank"; }), {"r.json: test", "with blank"});
    expect_problem(read_edited([](Json& j) { j["metrics"] = 7; }), {"r.json: metrics", "object"});
    expect_problem(read_edited([](Json& j) { j["fingerprint"]["nproc"] = 2; }), {"fingerprint.nproc", "string"});
    expect_problem(read_edited([](Json& j) { j["protocol"]["seed"] = -1; }), {"protocol.seed", "whole number"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["unit"] = "MB"; }), {kMemoryKey, "unit", "'MB'", "kB"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["unit"] = "ms"; }),
                   {kMemoryKey, "does not fit kind anon-memory"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["direction"] = "down"; }),
                   {kMemoryKey, "direction", "'down'"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["kind"] = "ram"; }), {kMemoryKey, "kind", "'ram'"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["gate"] = 1; }), {kMemoryKey, "gate", "true or false"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["launches"][0] = 1.5; }),
                   {kMemoryKey, "1.5", "whole number of kB"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["launches"][0] = -1; }), {kMemoryKey, "-1", "negative"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["launches"][0] = "1"; }), {kMemoryKey, "numbers only"});
    expect_problem(read_edited([](Json& j) { j["metrics"][kMemoryKey]["launches"] = Json::array(); }),
                   {kMemoryKey, "say in its note why"});
    expect_problem(read_edited([](Json& j) { j["metrics"]["Other/x"] = j["metrics"][kMemoryKey]; }), {"Other/x", "test's name"});
}

TEST(RunFolder, ANewRunMovesCurrentAndRemovesNothing) {
    const TempFolder root;
    const auto first = write_run(root.path(), {usual_result()});
    const auto second = begin_run(root.path());
    ASSERT_TRUE(second.has_value());
    EXPECT_TRUE(std::filesystem::exists(first / result_file_name("TestScale_Small/3w")));
    const auto current = open_run(root.path());
    ASSERT_TRUE(current.has_value());
    EXPECT_EQ(current->id, second->id);
    EXPECT_NE(first.filename().string(), second->id);
    ASSERT_FALSE(open_current_run(first).has_value());
    EXPECT_TRUE(open_run(first).has_value());
}

TEST(RunFolder, AResultOfAnotherRunIsNotRead) {
    const TempFolder root;
    const auto first = write_run(root.path(), {usual_result()});
    const auto second = write_run(root.path(), {usual_result("TestScale_Other/1w")});
    std::filesystem::copy_file(first / "TestScale_Small.3w.json", second / "TestScale_Small.3w.json");
    const auto run = open_run(root.path());
    ASSERT_TRUE(run.has_value());
    const auto results = read_run(*run);
    ASSERT_TRUE(results.has_value()) << results.error().text;
    ASSERT_EQ(results->tests.size(), 1U);
    EXPECT_EQ(results->tests.front().test, "TestScale_Other/1w");
    ASSERT_EQ(results->ignored.size(), 1U);
    EXPECT_NE(results->ignored.front().find(first.filename().string()), std::string::npos);
}

TEST(RunFolder, APointerOutOfTheFolderIsRefused) {
    const TempFolder root;
    spill(root / "current", "../elsewhere\n");
    const auto run = open_run(root.path());
    ASSERT_FALSE(run.has_value());
    EXPECT_EQ(run.error().code, ExitCode::bad_input);
    EXPECT_NE(run.error().text.find("../elsewhere"), std::string::npos);
}

// One process has one run, so every test of ResultWriter shares this folder (never removed before the process's end).
const std::filesystem::path& writer_folder() {
    static const TempFolder folder;
    static const bool set =
        ::setenv("PARTI_STRESS_RUN_DIR", folder.path().c_str(), 1) == 0 && begin_run(folder.path()).has_value();
    EXPECT_TRUE(set);
    return folder.path();
}

TEST(ResultWriter, MarksTheStartBeforeAnythingIsMeasured) {
    writer_folder();
    ResultWriter writer("TestWriter/started");
    const auto read = read_result(writer.file());
    ASSERT_TRUE(read.has_value()) << read.error().text;
    EXPECT_EQ(read->status, TestStatus::started);
    EXPECT_EQ(read->finished, "");
    EXPECT_EQ(read->fingerprint, local_fingerprint());
    EXPECT_TRUE(writer.finish(true).has_value());
    EXPECT_EQ(read_result(writer.file())->status, TestStatus::passed);
    EXPECT_FALSE(writer.finish(true).has_value());
}

TEST(ResultWriter, LeavingItUnfinishedIsAFailure) {
    writer_folder();
    std::filesystem::path file;
    {
        ResultWriter writer("TestWriter/unfinished");
        file = writer.file();
    }
    EXPECT_EQ(read_result(file)->status, TestStatus::failed);
}

TEST(ResultWriter, WritesIntoTheCurrentRunWithItsCommit) {
    const auto run = open_run(writer_folder());
    ASSERT_TRUE(run.has_value());
    ResultWriter writer("TestWriter/run");
    writer.add_metric(metric_of("live", Kind::anon_memory, Unit::bytes, {1000000, 1000001}));
    writer.not_measured(metric_of("cpu", Kind::cpu_time, Unit::us, {}), "sanitizer build");
    writer.set_versions({{"nats_server", "2.9.10"}});
    ASSERT_TRUE(writer.finish(true).has_value());
    const auto results = read_run(*run);
    ASSERT_TRUE(results.has_value()) << results.error().text;
    const auto found =
        std::find_if(results->tests.begin(), results->tests.end(), [](const auto& t) { return t.test == "TestWriter/run"; });
    ASSERT_NE(found, results->tests.end());
    EXPECT_EQ(found->commit, run->commit);
    EXPECT_EQ(found->versions.at("nats_server"), "2.9.10");
    EXPECT_EQ(found->versions.count("boost"), 1U);
    EXPECT_EQ(found->find("cpu")->note, "sanitizer build");
}

TEST(ResultWriter, ABrokenMetricFailsTheTestAndIsNamed) {
    writer_folder();
    ResultWriter writer("TestWriter/broken");
    writer.add_metric(metric_of("live", Kind::anon_memory, Unit::ms, {1}));
    writer.add_metric(metric_of("twice", Kind::exact, Unit::count, {1}));
    writer.add_metric(metric_of("twice", Kind::exact, Unit::count, {1}));
    const auto outcome = writer.finish(true);
    ASSERT_FALSE(outcome.has_value());
    EXPECT_NE(outcome.error().text.find("TestWriter/broken/live"), std::string::npos) << outcome.error().text;
    EXPECT_EQ(read_result(writer.file())->status, TestStatus::failed);
    EXPECT_EQ(read_result(writer.file())->metrics.size(), 1U);
}

}  // namespace
}  // namespace parti::report
