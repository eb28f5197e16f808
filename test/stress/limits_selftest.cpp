// The limits of TestScenario_Constrained are limits: what goes beyond is killed or refused, and noticed; what stays below is not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "testutil/limits.h"
#include "testutil/process.h"
#include "testutil/sweep.h"

namespace parti::test {
namespace {

constexpr std::uint64_t kMegabyte = 1ULL << 20U;
constexpr std::uint64_t kLimit = 128 * kMegabyte;
constexpr Milliseconds kDeadline{30000};

class LimitsSelftest : public testing::TestWithParam<LimitMethod> {
protected:
    // nullopt: the method does not work on this machine, which is said.
    static std::optional<LimitedGroup> group(double cpus = 1) {
        auto made = LimitedGroup::make({cpus, kLimit}, GetParam());
        if (made) return std::move(*made);
        std::printf("not tried here: %s\n", made.error().c_str());
        return std::nullopt;
    }

    // Runs Python in the group; its end and its last line.
    static std::pair<ExitStatus, std::string> run(LimitedGroup& group, const std::string& script) {
        const auto program = group.wrap("/usr/bin/env");
        EXPECT_TRUE(program) << program.error();
        ProcessOptions options;
        options.path = *program;
        options.args = {"python3", "-c", script};
        auto child = ChildProcess::start(options);
        EXPECT_TRUE(child) << child.error();
        const auto status = child->wait(kDeadline);
        EXPECT_TRUE(status) << "did not end";
        std::string last;
        for (LineRead read = child->read_line(Milliseconds(0)); read.state == ReadState::line;
             read = child->read_line(Milliseconds(0)))
            last = read.text;
        return {status.value_or(ExitStatus{}), last};
    }
};

TEST_P(LimitsSelftest, WhatGoesBeyondIsKilledOrRefusedAndNoticed) {
    auto g = group();
    if (!g) return;
    const auto [status, said] = run(*g, "x = bytearray(3 * 128 * 1024 * 1024); print('got it', len(x))");
    EXPECT_EQ(said, "") << "the allocation succeeded";
    const auto use = g->use();
    ASSERT_TRUE(use) << use.error();
    if (GetParam() == LimitMethod::soft) {
        EXPECT_EQ(status.code, 1) << status.text();  // MemoryError
        EXPECT_FALSE(use->peak_bytes || use->oom_kills || use->throttled_periods || use->throttled_seconds)
            << "nobody counts anything, so there is no value, not even 0";
    } else {
        EXPECT_EQ(status.signal, 9) << status.text();
        EXPECT_EQ(use->oom_kills, 1U);
        EXPECT_LE(use->peak_bytes.value_or(0), kLimit);
    }
}

TEST_P(LimitsSelftest, WhatStaysBelowIsLeftAlone) {
    auto g = group();
    if (!g) return;
    const auto [status, said] = run(*g, "x = bytearray(40 * 1024 * 1024); print('got it', len(x))");
    EXPECT_EQ(status.code, 0) << status.text();
    EXPECT_EQ(said, "got it 41943040");
    const auto use = g->use();
    ASSERT_TRUE(use) << use.error();
    EXPECT_EQ(use->oom_kills.value_or(0), 0U);
    EXPECT_GE(use->peak_bytes.value_or(kLimit), 40 * kMegabyte) << "the process was not in the group";
}

TEST_P(LimitsSelftest, AProcessorAndNoMore) {
    auto g = group(GetParam() == LimitMethod::soft ? 1 : 0.2);
    if (!g) return;
    // Half a second of work: five times that under a fifth of a processor, so it must have been stopped several times.
    const auto [status, said] = run(*g,
                                    "import os, time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"
                                    "print(len(os.sched_getaffinity(0)))");
    EXPECT_EQ(status.code, 0) << status.text();
    const auto use = g->use();
    ASSERT_TRUE(use) << use.error();
    if (GetParam() == LimitMethod::soft) {
        EXPECT_EQ(said, "1");
    } else {
        EXPECT_GE(use->throttled_periods.value_or(0), 3U);
        EXPECT_GT(use->throttled_seconds.value_or(0), 0);
    }
}

TEST_P(LimitsSelftest, NothingIsLeft) {
    std::vector<std::string> folders;
    {
        auto g = group();
        if (!g) return;
        folders = g->folders();
        for (const std::string& folder : folders) EXPECT_TRUE(std::filesystem::exists(folder)) << folder;
        const auto program = g->wrap("/bin/cat");
        ASSERT_TRUE(program) << program.error();
        ProcessOptions options;
        options.path = *program;
        auto child = ChildProcess::start(options);
        ASSERT_TRUE(child) << child.error();
        ASSERT_TRUE(child->send_line("here"));
        ASSERT_EQ(child->read_line(kDeadline).text, "here");
        if (!folders.empty()) {
            const auto early = g->end();
            ASSERT_FALSE(early) << "a process is still in it";
            EXPECT_NE(early.error().find(std::to_string(child->pid())), std::string::npos) << early.error();
        }
        child->kill_now();
    }
    for (const std::string& folder : folders) EXPECT_FALSE(std::filesystem::exists(folder)) << folder;
    EXPECT_TRUE(leftovers().empty()) << leftovers().describe();
}

// The test process itself is killed, and a process that was in the group with it.
TEST_P(LimitsSelftest, NothingIsLeftOfTheGroupOfAKilledTest) {
    ProcessOptions options;
    options.path = PARTI_LIMIT_HOLDER_FILE;
    options.args = {name(GetParam())};
    auto child = ChildProcess::start(options);
    ASSERT_TRUE(child) << child.error();
    const std::string said = child->read_line(kDeadline).text;
    if (said.rfind("not here: ", 0) == 0) {
        std::printf("%s\n", said.c_str());
        return;
    }
    const std::vector<std::string> scripts = leftovers().folders;
    ASSERT_EQ(scripts.size(), 1U) << "of the scripts that enter the group";
    std::vector<std::string> groups;  // "soft" has none
    for (std::string folder = said; !folder.empty(); folder = child->read_line(kDeadline).text) groups.push_back(folder);
    EXPECT_EQ(groups.empty(), GetParam() == LimitMethod::soft);
    for (const std::string& folder : groups) ASSERT_TRUE(std::filesystem::exists(folder)) << folder;
    child->kill_now();
    const Leftovers left = leftovers_after(kDeadline);
    EXPECT_TRUE(left.empty()) << left.describe();
    const auto there = [&] {
        return std::count_if(groups.begin(), groups.end(), [](const auto& folder) { return std::filesystem::exists(folder); });
    };
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (there() != 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    for (const std::string& folder : groups) EXPECT_FALSE(std::filesystem::exists(folder)) << folder;
}

INSTANTIATE_TEST_SUITE_P(, LimitsSelftest, testing::Values(LimitMethod::cgroup_v2, LimitMethod::cgroup_v1, LimitMethod::soft),
                         [](const testing::TestParamInfo<LimitMethod>& param) {
                             std::string text = name(param.param);
                             for (char& c : text) c = c == ' ' ? '_' : c;
                             return text;
                         });

TEST(LimitsChoice, TakesTheBestMethodThatWorksAndSaysWhyNoBetterOne) {
    auto best = LimitedGroup::make({1, kLimit});
    ASSERT_TRUE(best) << best.error();
    std::printf("here: %s; %s\n", name(best->method()).c_str(), best->why().c_str());
    EXPECT_EQ(best->why().empty(), best->method() == LimitMethod::cgroup_v2) << best->why();
    for (const LimitMethod better : {LimitMethod::cgroup_v2, LimitMethod::cgroup_v1}) {
        if (better >= best->method()) break;
        EXPECT_FALSE(LimitedGroup::make({1, kLimit}, better)) << name(better) << " works and was not taken";
        EXPECT_NE(best->why().find(name(better)), std::string::npos) << best->why();
    }
}

}  // namespace
}  // namespace parti::test
