// Churn x message rate x partitions, most telling cells first, within a time budget; and both kinds of durables on both servers.
#include <algorithm>
#include <cstdio>

#include "scenario.h"

namespace parti::stress {
namespace {

using namespace std::chrono_literals;

using test::Milliseconds;

struct Cell {
    const char* name;
    std::vector<Fault> faults;
    double rate;
    std::uint32_t partitions;
};

class TestScenario_CombinedMatrix : public ScenarioTest {
protected:
    void SetUp() override {
        ScenarioTest::SetUp();
        oracles_.allowed_errors = {"callback_failed", "link_down", "timeout", "lease_lost"};
    }
    static ScenarioPlan plan_of(const Cell& cell) {
        ScenarioPlan plan;
        plan.partitions = cell.partitions;
        plan.weights = test::Weights::zipf;
        plan.fail_every = 503;
        plan.faults = cell.faults;
        plan.phases = {{Milliseconds(2000 + 2000 * static_cast<int>(cell.faults.size())), cell.rate, cell.rate}};
        return plan;
    }
};

const Budget of_matrix("TestScenario_CombinedMatrix.*", {.standard = 120, .nightly = 120}, "matrix");

TEST_F(TestScenario_CombinedMatrix, ChurnByRateByPartitions) {
    constexpr std::int64_t kBudget_ns = 45'000'000'000;
    const std::vector<Cell> cells = {
        {"kill and server kill, 500/s, 60 partitions", {Fault::kill, Fault::server_kill}, 500, 60},
        {"roll, 500/s, 60 partitions", {Fault::roll}, 500, 60},
        {"stop and leader, 1000/s, 100 partitions", {Fault::stop, Fault::leader}, 1000, 100},
        {"leave, add and server restart, 200/s, 20 partitions", {Fault::leave, Fault::add, Fault::server_restart}, 200, 20},
        {"calm, 2000/s, 100 partitions", {}, 2000, 100},
        {"kill twice, 1000/s, 60 partitions", {Fault::kill, Fault::kill}, 1000, 60}};
    const std::int64_t begin = test::boot_now_ns();
    std::size_t made = 0;
    for (const Cell& cell : cells) {
        if (test::boot_now_ns() - begin > kBudget_ns || HasFailure()) {
            std::printf("%s: not measured\n", cell.name);
            continue;
        }
        std::printf("%s\n", cell.name);
        ++made;
        const auto result = run(plan_of(cell));
        if (result) record_latency("", *result, result->start_ns, result->end_ns);
    }
    EXPECT_GE(made, 2U);
}

// Suites of their own, since each suite owns one result file.
class TestScenario_NewerServer : public TestScenario_CombinedMatrix {};
const Budget of_newer_server("TestScenario_NewerServer.*", {.nightly = 20});
TEST_F(TestScenario_NewerServer, PerPartition) {
    const auto newer = test::newer_nats_server();
    // Without network there is no newer server; the machine's is covered above.
    if (!newer) GTEST_SKIP() << newer.error();
    ScenarioPlan plan = plan_of({"newer", {Fault::kill, Fault::server_kill, Fault::leave}, 500, 60});
    plan.server = *newer;
    EXPECT_TRUE(run(plan));
}

class TestScenario_PerWorker : public TestScenario_CombinedMatrix {};
const Budget of_per_worker("TestScenario_PerWorker.*", {.nightly = 20});
TEST_F(TestScenario_PerWorker, WorkQueueOfANewerServer) {
    const auto newer = test::newer_nats_server();
    // Durables with many filters need nats-server 2.10.
    if (!newer) GTEST_SKIP() << newer.error();
    ScenarioPlan plan = plan_of({"per worker", {Fault::kill, Fault::leave, Fault::add, Fault::server_restart}, 200, 20});
    plan.server = *newer;
    plan.mode = "per_worker";
    plan.retention = "workqueue";
    plan.max_ack_pending = 16;  // of the worker's one durable
    EXPECT_TRUE(run(plan));
}

}  // namespace
}  // namespace parti::stress
