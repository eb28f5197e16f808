// The worker contract: both programs here keep it, and every broken rule is seen and said clearly.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "testutil/nats_server.h"
#include "testutil/sweep.h"
#include "testutil/worker_contract.h"
#include "testutil/worker_process.h"

namespace parti::test {
namespace {

constexpr const char* kFakeWorker = PARTI_FAKE_WORKER_FILE;

class WorkerContract : public testing::Test {
protected:
    void TearDown() override {
        ::unsetenv("FAKE_WORKER_BREAKS");
        const Leftovers left = leftovers_after(Milliseconds(5000));
        EXPECT_TRUE(left.empty()) << left.describe();
    }
    static std::vector<ContractFinding> check(const std::string& program) {
        auto server = NatsServer::start();
        if (!server) return {{"server", server.error()}};
        return check_worker_contract(program, server->url());
    }
    static std::size_t rules_of(const std::vector<ContractFinding>& findings) { return findings.size(); }
};

TEST_F(WorkerContract, WorkerHostKeepsIt) {
    const auto findings = check(PARTI_WORKER_HOST_FILE);
    EXPECT_TRUE(keeps_contract(findings)) << describe(findings);
    EXPECT_EQ(rules_of(findings), 13U) << describe(findings);
}

TEST_F(WorkerContract, MinimalWorkerKeepsIt) {
    const auto findings = check(PARTI_MINIMAL_WORKER_FILE);
    EXPECT_TRUE(keeps_contract(findings)) << describe(findings);
    EXPECT_EQ(rules_of(findings), 13U) << describe(findings);
}

// The account of a client alone, in TestMemoryBenchmark_CompareWithEmbedded, is asked like a worker program.
TEST_F(WorkerContract, AClientWithoutWorkersIsStartedAndAskedLikeOne) {
    auto server = NatsServer::start();
    ASSERT_TRUE(server) << server.error();
    auto folder = TempFolder::make("client");
    ASSERT_TRUE(folder) << folder.error();
    WorkerProcessOptions options;
    options.label = "client";
    options.args = {"--client-only"};
    auto client = WorkerProcess::start(server->url(), "none", folder->path(), options);
    ASSERT_TRUE(client) << client.error();
    const auto memory = client->memory();
    ASSERT_TRUE(memory) << memory.error();
    const bool counted = std::string(PARTI_SANITIZE_NAME).empty();  // a sanitizer's allocator may count nothing
    EXPECT_TRUE(memory->live_bytes > 0 || !counted);
    ASSERT_TRUE(client->request_quit());
    const auto ended = client->wait_exit(Milliseconds(20000));
    ASSERT_TRUE(ended) << ended.error();
    EXPECT_EQ(ended->code, 0) << ended->text();
}

// Neither C++, nor parti, nor NATS is part of the contract.
TEST_F(WorkerContract, AScriptThatOnlyPretendsKeepsIt) {
    const auto findings = check_worker_contract(kFakeWorker, "nats://127.0.0.1:1");
    EXPECT_TRUE(keeps_contract(findings)) << describe(findings);
    EXPECT_EQ(rules_of(findings), 13U) << describe(findings);
}

TEST_F(WorkerContract, AProgramThatIsNotThereIsNamed) {
    const auto findings = check_worker_contract("/nowhere/worker", "nats://127.0.0.1:1");
    ASSERT_FALSE(findings.empty());
    EXPECT_NE(findings.front().broken.find("/nowhere/worker"), std::string::npos) << describe(findings);
}

struct Breach {
    const char* mode;
    const char* rule;
    const char* says;
};
void PrintTo(const Breach& breach, std::ostream* out) { *out << breach.mode; }

class WorkerContractBreach : public WorkerContract, public testing::WithParamInterface<Breach> {};

TEST_P(WorkerContractBreach, IsSeenAndNamed) {
    const Breach& breach = GetParam();
    ::setenv("FAKE_WORKER_BREAKS", breach.mode, 1);
    // What never comes is not waited for long; everything else has the contract's own time.
    ContractDeadlines deadlines;
    const std::string mode = breach.mode;
    if (mode == "covered" || mode == "renewals" || mode == "takeover") deadlines.settle = Milliseconds(2000);
    if (mode == "unknown_command" || mode == "bad_option") deadlines.answer = Milliseconds(3000);
    if (mode == "quit") deadlines.end = Milliseconds(3000);
    if (mode == "orphan") deadlines.orphan = Milliseconds(1000);
    const auto findings = check_worker_contract(kFakeWorker, "nats://127.0.0.1:1", deadlines);
    std::size_t broken = 0;
    for (const ContractFinding& finding : findings) {
        if (finding.broken.empty()) continue;
        ++broken;
        EXPECT_EQ(finding.rule, breach.rule);
        EXPECT_NE(finding.broken.find(breach.says), std::string::npos) << finding.broken;
    }
    EXPECT_EQ(broken, 1U) << describe(findings);
}

INSTANTIATE_TEST_SUITE_P(
    , WorkerContractBreach,
    testing::Values(Breach{"silent", "ready", "no 'ready' within 20000 ms"}, Breach{"dies", "ready", "no server here"},
                    Breach{"garbage", "ready", "no JSON object with a text 'event': 'hello'"},
                    Breach{"no_contract", "ready", "names no version"}, Breach{"version", "ready", "it speaks version 2"},
                    Breach{"pid", "ready", "names another"}, Breach{"bad_option", "bad_option", "it goes on"},
                    Breach{"bad_option_code", "bad_option", "exit 1"}, Breach{"unnamed_option", "bad_option", "must be named"},
                    Breach{"counts", "start", "counts 2 workers; 1 run"}, Breach{"ms", "start", "lacks 'ms'"},
                    Breach{"covered", "start", "no 'covered' within"}, Breach{"garbage_later", "status", "'by the way'"},
                    Breach{"stable", "status", "2 of them stable"}, Breach{"ids", "status", "of its own"},
                    Breach{"owned", "status", "add up to 23"}, Breach{"leader", "status", "for 0 workers"},
                    Breach{"twice", "ownership", "part.00000 4 times"}, Breach{"stats", "stats", "'partitions_lost'"},
                    Breach{"renewals", "stats", "stands still"},
                    Breach{"unknown_command", "unknown_command", "'no_such_command' must be answered by 'error'"},
                    Breach{"takeover", "stop", "0 times instead of once"}, Breach{"memory", "memory", "without live_bytes"},
                    Breach{"quit", "quit", "did not end within"}, Breach{"exit", "quit", "exit 1 instead of exit 0"},
                    Breach{"history_empty", "history", "there is no"}, Breach{"history_unreleased", "history", "two owners"},
                    Breach{"numbers", "history", "hold it at once"}, Breach{"orphan", "orphan", "must end it within"},
                    Breach{"orphan_code", "orphan", "exit 102, not exit 0"}),
    [](const testing::TestParamInfo<Breach>& param) { return std::string(param.param.mode); });

}  // namespace
}  // namespace parti::test
