// What the tests of the report code share: made-up results, runs in a temporary folder, and calling a program.
//
// Lifetime  TempFolder removes its folder. Threads: one.
#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "testutil/run_folder.h"
#include "testutil/sweep.h"

namespace parti::report {

class TempFolder {
public:
    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

private:
    test::TempFolder folder_ = test::TempFolder::make("report").value();  // throws with the reason
    std::filesystem::path path_ = folder_.path();
};

inline std::string slurp(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream content;
    content << stream.rdbuf();
    return content.str();
}
inline void spill(const std::filesystem::path& file, const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
}

struct Ended {
    int exit = -1;
    std::string output;  // both streams
};
inline std::string shell_quoted(const std::string& text) {
    std::string result = "'";
    for (const char c : text) {
        if (c == '\'') result += "'\\'";
        result += c;
    }
    result += "'";
    return result;
}
// Runs a shell command line and waits for its end.
inline Ended run_command(const std::string& command) {
    Ended ended;
    std::FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
    if (pipe == nullptr) return ended;
    std::array<char, 4096> buffer{};
    for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) ended.output.append(buffer.data(), n);
    const int status = ::pclose(pipe);
    ended.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
    return ended;
}

// From PARTI_SEED, else random; printed with the line that replays the test.
inline std::uint64_t test_seed() {
    const char* const set = std::getenv("PARTI_SEED");
    std::random_device entropy;
    const std::uint64_t seed =
        set != nullptr ? std::strtoull(set, nullptr, 0) : (static_cast<std::uint64_t>(entropy()) << 32U) ^ entropy();
    const auto* const test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::printf("seed %llu; replay: PARTI_SEED=%llu %s --gtest_filter=%s.%s\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(seed), ::testing::internal::GetArgvs().front().c_str(), test->test_suite_name(),
                test->name());
    return seed;
}

// Launches as a machine gives them: log-normal noise of this relative size around a median, whole numbers.
class Launches {
public:
    explicit Launches(std::uint64_t seed) : rng_(seed) {}
    double normal() {  // Box-Muller
        const double u = (static_cast<double>(rng_.next() >> 11U) + 1) / 9007199254740993.0;
        const double v = static_cast<double>(rng_.next() >> 11U) / 9007199254740992.0;
        return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
    }
    std::vector<double> draw(double centre, double noise, std::size_t n) {
        std::vector<double> values;
        for (std::size_t i = 0; i < n; ++i) values.push_back(std::round(centre * std::exp(noise * normal())));
        return values;
    }

private:
    base::Rng rng_;
};

// A complete fingerprint that does not depend on the machine the test runs on.
inline Fingerprint made_up_machine() {
    Fingerprint machine;
    for (const auto key : kFingerprintKeys) machine.set(key, "some " + std::string(key));
    machine.set("sanitizer", "none");
    machine.set("build_type", "Release");
    machine.set("schema", std::string(kResultSchema));
    return machine;
}

inline Metric metric_of(std::string name, Kind kind, Unit unit, std::vector<double> launches) {
    Metric metric;
    metric.name = std::move(name);
    metric.kind = kind;
    metric.unit = unit;
    metric.direction = kind == Kind::throughput ? Direction::higher : Direction::lower;
    metric.launches = std::move(launches);
    return metric;
}

inline TestResult result_of(std::string test, std::vector<Metric> metrics) {
    TestResult result;
    result.test = std::move(test);
    result.run = "made-up";
    result.status = TestStatus::passed;
    result.started = "2026-01-02T03:04:05Z";
    result.finished = "2026-01-02T03:04:06Z";
    result.commit = "0123456789abcdef";
    result.fingerprint = made_up_machine();
    result.versions = {{"suite", "0.1.0"}};
    result.protocol.window = "10 renewals";
    result.metrics = std::move(metrics);
    return result;
}

// One metric of each kind, at about 1 % noise.
inline TestResult usual_result(std::string test = "TestScale_Small/3w", double memory_factor = 1) {
    const auto scaled = [&](std::vector<double> values) {
        for (double& value : values) value = std::round(value * memory_factor);
        return values;
    };
    return result_of(std::move(test),
                     {
                         metric_of("rss_anon", Kind::anon_memory, Unit::kB, scaled({2000, 2010, 1990, 2004, 1996})),
                         metric_of("threads", Kind::exact, Unit::count, {5, 5, 5, 5, 5}),
                         metric_of("startup", Kind::duration, Unit::ms, {200, 203, 198, 201, 199}),
                         metric_of("publish_p95", Kind::latency, Unit::us, {4000, 4030, 3980, 4010, 3990}),
                         metric_of("rate", Kind::throughput, Unit::per_s, {1000, 1010, 990, 1005, 995}),
                         metric_of("cpu", Kind::cpu_time, Unit::us, {90000, 90500, 89500, 90200, 89800}),
                         metric_of("rss", Kind::advisory, Unit::kB, {9000, 9001, 9002, 9003, 9004}),
                     });
}

inline Metric& metric_in(TestResult& result, const std::string& name) {
    for (Metric& metric : result.metrics) {
        if (metric.name == name) return metric;
    }
    ADD_FAILURE() << "no metric " << name;
    std::abort();
}

// Begins a run below `root` and writes these results into it; returns the run's folder.
inline std::filesystem::path write_run(const std::filesystem::path& root, std::vector<TestResult> results) {
    const auto run = begin_run(root);
    EXPECT_TRUE(run.has_value());
    if (!run) return {};
    for (TestResult& result : results) {
        result.run = run->id;
        EXPECT_TRUE(write_result(run->folder / result_file_name(result.test), result).has_value());
    }
    return run->folder;
}

}  // namespace parti::report
