// Every finding of the preflight, one fact at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>

#include "testutil/preflight.h"

namespace parti::test {
namespace {

PreflightFacts good() {
    PreflightFacts facts;
    facts.nats_server = "/usr/sbin/nats-server";
    facts.nats_server_version = "2.9.10";
    facts.free_memory = kPreflightMemory;
    facts.free_disk = kPreflightDisk;
    facts.free_temp = kPreflightDisk;
    facts.busy.share = kQuiet;
    return facts;
}

TEST(Preflight, AGoodMachineHasNoFinding) { EXPECT_TRUE(judge_preflight(good()).empty()); }

TEST(Preflight, EveryFactThatIsWrongStopsTheRunAndSaysWhatToDo) {
    const std::vector<std::pair<std::function<void(PreflightFacts&)>, std::string>> wrong = {
        {[](PreflightFacts& f) { f.nats_server.reset(); }, "nats-server is missing: make setup"},
        {[](PreflightFacts& f) { f.nats_server_version = "2.8.4"; }, "is version '2.8.4', must be 2.9 or newer"},
        {[](PreflightFacts& f) { f.nats_server_version = "1.12.0"; }, "is version '1.12.0'"},
        {[](PreflightFacts& f) { f.nats_server_version.reset(); }, "is version 'unknown'"},
        {[](PreflightFacts& f) { f.missing_programs = {"/b/worker-host"}; }, "/b/worker-host is missing: build it"},
        {[](PreflightFacts& f) { f.free_memory = kPreflightMemory - 1; }, "free memory is 1023 MB, must be at least 1024 MB"},
        {[](PreflightFacts& f) { f.free_memory.reset(); }, "free memory cannot be found out"},
        {[](PreflightFacts& f) { f.free_disk = 1; }, "free space for results is 0 MB"},
        {[](PreflightFacts& f) { f.free_temp = 1; }, "free space for temporary files is 0 MB"},
        {[](PreflightFacts& f) {
             f.stale = {{77, "worker-host --url x", false}};
         },
         "process 77 (worker-host --url x) is left"},
        {[](PreflightFacts& f) { f.busy.share = 0.5, f.quiet_required = true; }, "use 50 % of its processors"},
    };
    for (const auto& [spoil, text] : wrong) {
        PreflightFacts facts = good();
        spoil(facts);
        const auto findings = judge_preflight(facts);
        ASSERT_EQ(findings.size(), 1U) << text;
        EXPECT_TRUE(findings[0].stops) << text;
        EXPECT_THAT(findings[0].text, testing::HasSubstr(text));
    }
}

TEST(Preflight, ABusyMachineIsAWarningUnlessQuietIsRequired) {
    PreflightFacts facts = good();
    facts.busy = {0.21, {{"cc1plus", 0.2}}};
    const auto findings = judge_preflight(facts);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_FALSE(findings[0].stops);
    EXPECT_THAT(findings[0].text, testing::HasSubstr("use 21 % of its processors (cc1plus 20 %); times will be doubtful"));
}

TEST(Preflight, ServersNewerThanTwoNineAndMajorThreeAreTaken) {
    for (const char* version : {"2.9.0", "2.10.22", "2.15.1", "3.0.0"}) {
        PreflightFacts facts = good();
        facts.nats_server_version = version;
        EXPECT_TRUE(judge_preflight(facts).empty()) << version;
    }
}

TEST(Preflight, ThisMachinesFactsAreFound) {
    const PreflightFacts facts = look_before_run("/tmp/no/such/folder/yet", std::chrono::milliseconds(0));
    EXPECT_TRUE(facts.nats_server);
    EXPECT_TRUE(facts.nats_server_version);
    EXPECT_GT(facts.free_memory.value_or(0), 0U);
    EXPECT_GT(facts.free_disk.value_or(0), 0U);
    EXPECT_GT(facts.free_temp.value_or(0), 0U);
    EXPECT_GE(facts.busy.share, 0);
    EXPECT_LE(facts.busy.share, 1);
}

TEST(Preflight, TheProgramsThatKeepTheMachineBusyAreRanked) {
    const MachineUse before{1000, 400, {{"1", {"init", 5}}, {"7", {"cc1plus", 50}}, {"8", {"ended", 9}}, {"9", {"old", 30}}}};
    const MachineUse after{1100,
                           420,
                           {{"1", {"init", 5}},
                            {"7", {"cc1plus", 60}},
                            {"9", {"young", 2}},  // its number was another's
                            {"20", {"cc1plus", 22}},
                            {"21", {"ld", 12}},
                            {"22", {"python3", 13}},
                            {"23", {"small", 0.9}},
                            {"24", {"ar", 11}}}};
    const Busy busy = busy_between(before, after);
    EXPECT_DOUBLE_EQ(busy.share, 0.8);
    using Share = std::pair<std::string, double>;
    EXPECT_THAT(busy.programs, testing::ElementsAre(Share("cc1plus", 0.32), Share("python3", 0.13), Share("ld", 0.12)));
    EXPECT_EQ(text_of(busy), "other programs use 80 % of its processors (cc1plus 32 %, python3 13 %, ld 12 %)");
    EXPECT_EQ(text_of(busy_between(before, {1100, 470, {}})), "other programs use 30 % of its processors");
}

TEST(Preflight, ASpanWithoutTimeAndIdleTimeThatWentBackwardsAreBetweenZeroAndAll) {
    const MachineUse before{1000, 400, {{"1", {"a", 5}}}};
    EXPECT_EQ(busy_between(before, before).share, 0);
    EXPECT_EQ(busy_between(before, {999, 399, {{"1", {"a", 6}}}}).share, 0);
    EXPECT_EQ(busy_between(before, {1010, 399, {}}).share, 1) << "idle time went backwards";
    EXPECT_EQ(busy_between(before, {1010, 411, {}}).share, 0) << "more idle time than there was time";
    const Busy coarse = busy_between(before, {1001, 400, {{"1", {"a", 7}}}});  // a process's times are coarser than the machine's
    ASSERT_EQ(coarse.programs.size(), 1U);
    EXPECT_EQ(coarse.programs[0].second, 1);
}

TEST(Preflight, ThisProgramsUseIsRead) {
    const auto before = read_machine_use();
    ASSERT_TRUE(before);
    const std::string self = std::to_string(::getpid());
    ASSERT_EQ(before->programs.count(self), 1U);
    EXPECT_EQ(before->programs.at(self).name, "preflight_test");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    double used = 0;
    std::uint64_t x = 1;
    while (used <= 0 && std::chrono::steady_clock::now() < deadline) {
        for (int i = 0; i < 1000000; ++i) x = x * 6364136223846793005ULL + 1;
        const auto now = read_machine_use();
        ASSERT_TRUE(now);
        EXPECT_GE(now->total_seconds, before->total_seconds);
        used = now->programs.at(self).seconds - before->programs.at(self).seconds;
    }
    EXPECT_GT(used, 0) << x;
    const Busy busy = busy_now();
    EXPECT_GE(busy.share, 0);
    EXPECT_LE(busy.share, 1);
    EXPECT_LE(busy.programs.size(), 3U);
}

TEST(Preflight, ANameThatCannotBePrintedIsMadeSo) {
    const std::string name = [] {
        std::array<char, 16> old{};
        ::prctl(PR_GET_NAME, old.data());
        ::prctl(PR_SET_NAME, "a)\x1b[31m\n(b");
        const auto use = read_machine_use();
        ::prctl(PR_SET_NAME, old.data());
        return use ? use->programs.at(std::to_string(::getpid())).name : "";
    }();
    EXPECT_EQ(name, "a)?[31m?(b");
}

TEST(Preflight, WhoWaitsForAQuietMachineSaysSoOnce) {
    std::vector<Busy> seen{{0.9, {{"first", 0.9}}}, {0.8, {{"second", 0.8}}}, {kQuiet, {}}};
    std::size_t looks = 0;
    std::vector<std::string> said;
    const auto look = [&] { return seen.at(looks++); };
    const auto say = [&](const Busy& busy) { said.push_back(text_of(busy)); };
    const Quiet quiet = quiet_within(std::chrono::hours(1), say, look);
    EXPECT_TRUE(quiet.reached);
    EXPECT_EQ(looks, 3U);
    EXPECT_THAT(said, testing::ElementsAre("other programs use 90 % of its processors (first 90 %)"));

    looks = 0;
    const Quiet at_once = quiet_within(std::chrono::milliseconds(0), say, look);
    EXPECT_FALSE(at_once.reached);
    EXPECT_EQ(looks, 1U) << "there is no time to wait";
    EXPECT_EQ(said.size(), 1U) << "so nothing is said";
    EXPECT_EQ(at_once.last.programs.at(0).first, "first");
}

}  // namespace
}  // namespace parti::test
