#include "testutil/benchmark_json.h"

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/json_file.h"

namespace parti::report {
namespace {

Json benchmark_file() {
    Json context{{"date", "2026-11-20T20:40:00+00:00"}, {"executable", "./build/parti_benchmarks"}, {"num_cpus", 2}};
    Json benchmarks = Json::array();
    for (int i = 0; i < 5; ++i) {
        benchmarks.push_back({{"name", "sticky/500/repeats:5"},
                              {"run_name", "sticky/500/repeats:5"},
                              {"run_type", "iteration"},
                              {"repetition_index", i},
                              {"cpu_time", 1.5 + i},
                              {"time_unit", "us"}});
    }
    benchmarks.push_back({{"name", "sticky/500/repeats:5_mean"},
                          {"run_name", "sticky/500/repeats:5"},
                          {"run_type", "aggregate"},
                          {"cpu_time", 99},
                          {"time_unit", "us"}});
    return Json{{"context", context}, {"benchmarks", benchmarks}};
}

Outcome<TestResult> read(const Json& document) {
    const TempFolder folder;
    spill(folder / "g.json", document.dump());
    EXPECT_EQ(is_benchmark_json(folder / "g.json"), document.contains("benchmarks"));
    return read_benchmark_json(folder / "g.json");
}

TEST(BenchmarkJson, RepetitionsAreLaunchesInNanoseconds) {
    const auto result = read(benchmark_file());
    ASSERT_TRUE(result.has_value()) << result.error().text;
    EXPECT_EQ(result->test, "benchmark/parti_benchmarks");
    ASSERT_EQ(result->metrics.size(), 1U);
    EXPECT_EQ(result->metrics[0].name, "sticky/500/repeats:5/cpu_time");
    EXPECT_EQ(result->metrics[0].kind, Kind::cpu_time);
    EXPECT_EQ(result->metrics[0].launches, (std::vector<double>{1500, 2500, 3500, 4500, 5500}));
    EXPECT_EQ(result->fingerprint.get("nproc"), "2");
    EXPECT_EQ(result->fingerprint.get("compiler"), kUnknown);
}

TEST(BenchmarkJson, TheProgramsOwnFingerprintIsTaken) {
    Json document = benchmark_file();
    document["context"]["parti_fingerprint"] = to_text(made_up_machine());
    const auto result = read(document);
    ASSERT_TRUE(result.has_value()) << result.error().text;
    EXPECT_EQ(result->fingerprint, made_up_machine());
    document["context"]["parti_fingerprint"] = "{";
    ASSERT_FALSE(read(document).has_value());
}

TEST(BenchmarkJson, AFailedBenchmarkFailsTheTest) {
    Json document = benchmark_file();
    document["benchmarks"][0]["error_occurred"] = true;
    const auto result = read(document);
    ASSERT_TRUE(result.has_value()) << result.error().text;
    EXPECT_EQ(result->status, TestStatus::failed);
}

TEST(BenchmarkJson, BrokenFilesAreNamed) {
    Json document = benchmark_file();
    document["benchmarks"][0]["time_unit"] = "fortnights";
    auto result = read(document);
    ASSERT_FALSE(result.has_value());
    EXPECT_NE(result.error().text.find("fortnights"), std::string::npos);
    document = benchmark_file();
    document["benchmarks"] = Json::array();
    result = read(document);
    ASSERT_FALSE(result.has_value());
    EXPECT_NE(result.error().text.find("no measured benchmark"), std::string::npos);
    document.erase("context");
    EXPECT_FALSE(read(document).has_value());
}

}  // namespace
}  // namespace parti::report
