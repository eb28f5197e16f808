// Churn x message rate x partitions, a reduced design: six cells of the many, the most telling first, within a time budget; and
// both kinds of durables on both servers.
#include <algorithm>
#include <cstdio>
#include <string>

#include "scenario.h"

namespace parti::stress {
namespace {

using namespace std::chrono_literals;

using test::Milliseconds;

// high: measured in every run; the others as far as the time goes.
enum class Priority : std::uint8_t { high, medium, low };
constexpr const char* kPriorities[] = {"high", "medium", "low"};

struct Cell {
    const char* key;  // before its metrics
    Priority priority;
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

const Budget of_matrix("TestScenario_CombinedMatrix.*", {.standard = 90, .nightly = 90}, "matrix");

TEST_F(TestScenario_CombinedMatrix, ChurnByRateByPartitions) {
    constexpr std::int64_t kBudget_ns = 45'000'000'000;
    const std::vector<Cell> cells = {
        {"kill_server_kill_500_60_", Priority::high, {Fault::kill, Fault::server_kill}, 500, 60},
        {"roll_500_60_", Priority::high, {Fault::roll}, 500, 60},
        {"stop_leader_1000_100_", Priority::high, {Fault::stop, Fault::leader}, 1000, 100},
        {"leave_add_server_restart_200_20_", Priority::medium, {Fault::leave, Fault::add, Fault::server_restart}, 200, 20},
        {"calm_2000_100_", Priority::medium, {}, 2000, 100},
        {"kill_kill_1000_60_", Priority::low, {Fault::kill, Fault::kill}, 1000, 60}};
    const std::int64_t begin = test::boot_now_ns();
    for (const Cell& cell : cells) {
        const std::string what = std::string(cell.key) + " (" + kPriorities[static_cast<std::size_t>(cell.priority)] + ")";
        const bool late = cell.priority != Priority::high && test::boot_now_ns() - begin > kBudget_ns;
        if (late || HasFailure()) {
            const std::string why = late ? "the time of the matrix was over" : "one before it failed";
            std::printf("%s: not measured: %s\n", what.c_str(), why.c_str());
            note_anomaly("cell " + what + " was not measured: " + why);
            continue;
        }
        std::printf("%s\n", what.c_str());
        const auto result = run(plan_of(cell));
        if (result) record_latency(cell.key, *result, result->start_ns, result->end_ns);
    }
}

// Suites of their own, since each suite owns one result file.
class TestScenario_NewerServer : public TestScenario_CombinedMatrix {};
const Budget of_newer_server("TestScenario_NewerServer.*", {.nightly = 20});
TEST_F(TestScenario_NewerServer, PerPartition) {
    const auto newer = test::newer_nats_server();
    // Without network there is no newer server; the machine's is covered above.
    if (!newer) GTEST_SKIP() << newer.error();
    ScenarioPlan plan = plan_of({"newer_", Priority::high, {Fault::kill, Fault::server_kill, Fault::leave}, 500, 60});
    plan.server = *newer;
    EXPECT_TRUE(run(plan));
}

class TestScenario_PerWorker : public TestScenario_CombinedMatrix {};
const Budget of_per_worker("TestScenario_PerWorker.*", {.nightly = 20});
TEST_F(TestScenario_PerWorker, WorkQueueOfANewerServer) {
    const auto newer = test::newer_nats_server();
    // Durables with many filters need nats-server 2.10.
    if (!newer) GTEST_SKIP() << newer.error();
    ScenarioPlan plan =
        plan_of({"per_worker_", Priority::high, {Fault::kill, Fault::leave, Fault::add, Fault::server_restart}, 200, 20});
    plan.server = *newer;
    plan.mode = "per_worker";
    plan.retention = "workqueue";
    plan.max_ack_pending = 16;  // of the worker's one durable
    EXPECT_TRUE(run(plan));
}

}  // namespace
}  // namespace parti::stress
