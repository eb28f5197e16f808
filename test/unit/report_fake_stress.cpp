// A stand-in for the stress tests, for report_ctest_test.cpp: the same shape, made-up figures. FAKE_MEMORY_PERCENT scales them,
// FAKE_SECOND_PERCENT does so from a case's second run on (a mark is left in FAKE_MARKS), FAKE_SANITIZER names a sanitizer,
// FAKE_CRASH kills the process in the middle, FAKE_FAIL fails it, with the cause FAKE_CAUSE.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "testutil/budget.h"
#include "testutil/results.h"

namespace {

using namespace parti::report;
using parti::stress::Budget;

std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

void measure(const std::string& test) {
    ResultWriter writer(test);
    const std::string sanitizer = environment("FAKE_SANITIZER");
    writer.set_fingerprint("sanitizer", sanitizer.empty() ? "none" : sanitizer);
    writer.set_fingerprint("build_type", "Release");
    if (!environment("FAKE_CRASH").empty()) std::raise(SIGKILL);

    std::string percent = environment("FAKE_MEMORY_PERCENT");
    if (const std::string second = environment("FAKE_SECOND_PERCENT"); !second.empty()) {
        const std::filesystem::path mark = environment("FAKE_MARKS") + "/" + result_file_name(test);
        if (std::filesystem::exists(mark)) percent = second;
        std::ofstream(mark) << "ran\n";
    }
    std::error_code error;
    const auto* const info = ::testing::UnitTest::GetInstance()->current_test_info();
    Protocol protocol;
    protocol.program = std::filesystem::read_symlink("/proc/self/exe", error).string();
    protocol.filter = std::string(info->test_suite_name()) + "." + info->name();
    protocol.environment = suite_environment();
    writer.set_protocol(protocol);
    const double factor = percent.empty() ? 1 : std::stod(percent) / 100;
    Metric memory;
    memory.name = "rss_anon";
    memory.unit = Unit::kB;
    memory.kind = Kind::anon_memory;
    Metric threads;
    threads.name = "threads";
    threads.unit = Unit::count;
    threads.kind = Kind::exact;
    threads.launches = {5, 5, 5, 5, 5};
    writer.add_metric(threads);
    if (sanitizer.empty()) {
        for (const int kilobytes : {2000, 2010, 1990, 2005, 1995})
            memory.launches.push_back(static_cast<int>(kilobytes * factor));
        writer.add_metric(memory);
    } else {
        writer.not_measured(memory, "sanitizer build");
    }
    const std::string cause = environment("FAKE_CAUSE");
    if (!cause.empty()) writer.set_cause(static_cast<ExitCode>(std::stoi(cause)));
    const bool passed = environment("FAKE_FAIL").empty();
    const auto finished = writer.finish(passed);
    ASSERT_TRUE(finished.has_value()) << finished.error().text;
    EXPECT_TRUE(passed);
}

const Budget of_memory("Sizes/TestMemoryBenchmark_Fake.Fleet/*", {.smoke = 5, .standard = 30, .nightly = 200});
class TestMemoryBenchmark_Fake : public ::testing::TestWithParam<int> {};
TEST_P(TestMemoryBenchmark_Fake, Fleet) { measure("TestMemoryBenchmark_Fake/" + std::to_string(GetParam()) + "w"); }
INSTANTIATE_TEST_SUITE_P(Sizes, TestMemoryBenchmark_Fake, ::testing::Values(1, 5),
                         [](const auto& param) { return std::to_string(param.param) + "w_100p"; });

const Budget of_scale("TestScale_Fake.Small", {.standard = 10, .nightly = 30});
TEST(TestScale_Fake, Small) { measure("TestScale_Fake/small"); }

const Budget of_climbing("TestScenario_FakeLadder.Climbs", {.standard = 10, .nightly = 10}, "ladder");
TEST(TestScenario_FakeLadder, Climbs) { measure("TestScenario_FakeLadder"); }

const Budget of_lasting("TestScenario_FakeSoak.Lasts", {.nightly = 900, .soak = 3600}, "soak");
TEST(TestScenario_FakeSoak, Lasts) { measure("TestScenario_FakeSoak"); }

}  // namespace
