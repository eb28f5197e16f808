// Progress: the lines in the file and in the terminal, and silence when it is not wanted.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>

#include <nlohmann/json.hpp>

#include "progress.h"
#include "testutil/process.h"
#include "testutil/sweep.h"

namespace parti::stress {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ProgressLines : public testing::Test {
protected:
    void SetUp() override {
        auto made = test::TempFolder::make("progress");
        ASSERT_TRUE(made) << made.error();
        made_.emplace(std::move(*made));
        folder_ = made_->path();
        ::unsetenv("PARTI_STRESS_PROGRESS");
    }
    void TearDown() override {
        progress().end("unfinished");
        made_.reset();
    }
    std::vector<json> lines() const {
        std::vector<json> all;
        std::ifstream file(folder_ / "progress.ndjson");
        for (std::string line; std::getline(file, line);) all.push_back(json::parse(line));
        return all;
    }
    // The first line for which it holds; null: there was none within 20 s.
    json wait_for(const std::function<bool(const json&)>& holds) const {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (std::chrono::steady_clock::now() < deadline) {
            for (const json& line : lines()) {
                if (holds(line)) return line;
            }
            // Polls a file that another thread appends to, with the deadline above.
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
        return nullptr;
    }
    std::optional<test::TempFolder> made_;
    fs::path folder_;
};

TEST_F(ProgressLines, SayWhatATestIsDoing) {
    // Memory is that of children by this name only.
    fs::copy_file("/bin/sleep", folder_ / "worker-host");
    test::ProcessOptions options;
    options.path = (folder_ / "worker-host").string();
    options.args = {"300"};
    auto child = test::ChildProcess::start(options);
    ASSERT_TRUE(child) << child.error();

    testing::internal::CaptureStdout();
    progress().begin("Suite/case", folder_, true);
    progress().phase("launch 2");
    progress().workers(3, 4);
    progress().budget(100);
    {
        std::uint64_t so_far = 0;
        const Progress::Counter counter(progress(), "messages", [&so_far] { return so_far += 50; });
        const json sample = wait_for([](const json& line) { return line.value("rate_per_s", 0.0) > 0; });
        ASSERT_TRUE(sample.is_object()) << "no sample with a rate";
        EXPECT_EQ(sample.at("event"), "sample");
        EXPECT_EQ(sample.at("test"), "Suite/case");
        EXPECT_EQ(sample.at("phase"), "launch 2");
        EXPECT_EQ(sample.at("stable"), 3);
        EXPECT_EQ(sample.at("workers"), 4);
        EXPECT_EQ(sample.at("rate_of"), "messages");
        EXPECT_GT(sample.at("memory_kb"), 0);
        EXPECT_LT(sample.at("left_s"), 100);
        EXPECT_GT(sample.at("elapsed_s"), 0);
        ASSERT_TRUE(wait_for([](const json& line) { return line.value("elapsed_s", 0.0) > 5.2; }).is_object());
    }
    progress().end("passed");
    const std::string printed = testing::internal::GetCapturedStdout();
    EXPECT_NE(printed.find("launch 2, 3 of 4 workers stable, memory "), std::string::npos) << printed;
    EXPECT_NE(printed.find(" messages/s, about 9"), std::string::npos) << printed;
    const auto all = lines();
    EXPECT_EQ(all.front().at("event"), "begin");
    EXPECT_EQ(all.back().at("event"), "end");
    EXPECT_EQ(all.back().at("status"), "passed");
    child->kill_now();
    progress().phase("after the end");  // nothing may come of it
    EXPECT_EQ(lines().size(), all.size());
}

TEST_F(ProgressLines, AreLeftOutWhenNotWanted) {
    ::setenv("PARTI_STRESS_PROGRESS", "0", 1);
    progress().begin("Suite/case", folder_, true);
    progress().phase("launch 1");
    progress().end("passed");
    EXPECT_FALSE(fs::exists(folder_ / "progress.ndjson"));
    ::setenv("PARTI_STRESS_PROGRESS", "file", 1);
    testing::internal::CaptureStdout();
    progress().begin("Suite/other", folder_, false);
    ASSERT_TRUE(wait_for([](const json& line) { return line.at("event") == "sample"; }).is_object());
    progress().end("failed");
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
    for (const json& line : lines()) EXPECT_FALSE(line.contains("memory_kb")) << "this build does not measure";
    EXPECT_EQ(lines().back().at("status"), "failed");
}

}  // namespace
}  // namespace parti::stress
