// Every finding of the preflight, one fact at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
    facts.busy = kQuiet;
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
        {[](PreflightFacts& f) { f.stale = {{77, "worker-host --url x", false}}; }, "process 77 (worker-host --url x) is left"},
        {[](PreflightFacts& f) { f.busy = 0.5, f.quiet_required = true; }, "use 50 % of its processors"},
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
    facts.busy = 0.21;
    const auto findings = judge_preflight(facts);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_FALSE(findings[0].stops);
    EXPECT_THAT(findings[0].text, testing::HasSubstr("times will be doubtful"));
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
    EXPECT_GE(facts.busy, 0);
    EXPECT_LE(facts.busy, 1);
}

TEST(Preflight, ABusyMachineIsNotQuietWithinNoTime) {
    const double busy = busy_share();
    EXPECT_GE(busy, 0);
    EXPECT_LE(busy, 1);
    const auto quiet = quiet_within(std::chrono::milliseconds(0));
    if (quiet) {
        EXPECT_LT(*quiet, std::chrono::seconds(30));
    }
}

}  // namespace
}  // namespace parti::test
