// Scenario: a fleet that consumes, an open-loop load on it, seeded chaos, and the ledger over all of it.
//
// Role      The frame of every TestScenario_*; a scenario says how many, how fast, and what goes wrong.
// Model     begin() starts a server, a stream and `processes` worker-hosts, and waits until they are balanced. run() publishes
//           the plan while the faults are carried out, waits until the server says that nothing is left to deliver, and ends
//           everything. judge() is the ledger: every class of every message is printed; any violation fails the test.
//           A fault is recorded as a Disturbance with its times; what the contract allows near it is counted, not blamed.
// Faults    kill (SIGKILL), stop (SIGSTOP, longer than a lease, then SIGCONT), add, leave (graceful), roll (every process, one
//           after the other, replaced gracefully), stall (SIGSTOP of every process for 300 ms, shorter than a lease), leader
//           (SIGKILL of the leader's process), server_restart (orderly), server_kill, grow and shrink (the source of every
//           process has extra_partitions more, and again as many as before). A process that goes is replaced, so that the fleet
//           keeps its size.
// Random    From the test's seed: the order of faults, the victims, the load.
// Errors    GoogleTest failures.
// Threads   The test's main thread.
// Source    SUITE.md sections 2, 5 and 6; PROTOCOL.md P-3, P-9, P-10.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stress_test.h"
#include "testutil/ledger.h"
#include "testutil/load_generator.h"

namespace parti::stress {

enum class Fault : std::uint8_t { kill, stop, stall, add, leave, roll, leader, server_restart, server_kill, grow, shrink };
std::string_view name(Fault fault);
std::string numbered(const char* prefix, std::uint32_t index);  // "part.00012": of a partition; "load.00012": its subject

struct ScenarioPlan {
    std::uint32_t processes = 3;         // 0: the faults add them
    std::uint32_t workers = 1;           // of a process
    std::uint32_t extra_partitions = 0;  // of grow; nothing is published for them
    test::Milliseconds read_every{0};    // between two faults some process is asked so often what it owns; 0: never
    std::uint32_t partitions = 60;
    std::uint32_t max_ack_pending = 1;
    std::string mode = "per_partition";
    std::string retention = "limits";
    std::string config{};               // JSON of every worker; empty: the fast test timing
    std::string server{};               // binary; empty: the machine's
    std::chrono::microseconds work{0};  // of a handler
    std::uint64_t fail_every = 0;
    test::Weights weights = test::Weights::uniform;
    std::vector<test::LoadPhase> phases;
    std::vector<Fault> faults;        // spread evenly over the load, in this order
    test::Milliseconds drain{30000};  // until nothing is left to deliver
    bool may_stay_behind = false;     // a load that is too much: not drained, or not balanced, is a result, not a failure
    test::Milliseconds warmup{0};     // of the load, until after_warmup is called
    // called once warmup is over, before any fault; and when the load is over and drained
    std::function<void(test::Fleet&)> after_warmup{}, at_end{};
    // Called so often during the load, with the seconds since its begin, between two faults; 0: never.
    test::Milliseconds sample_every{0};
    std::function<void(test::Fleet&, double)> on_sample{};
};

struct ScenarioResult {
    test::LoadReport load;
    test::LedgerReport ledger;
    test::Timeline timeline;
    std::int64_t start_ns = 0, end_ns = 0;  // of the load
    bool balanced = false;                  // before the load
    bool drained = false;
    double drained_ms = 0;  // from the load's end until nothing was left to deliver
    std::vector<test::Disturbance> disturbances;
    struct Injected {
        Fault fault = Fault::kill;
        std::int64_t begin_ns = 0, end_ns = 0;
        std::string label;  // of the process that went, or else came
    };
    std::vector<Injected> faults;
    std::vector<std::int64_t> reads_ns;  // how long each took
    std::uint64_t reads_failed = 0;

    // First handlings a second within the load's planned time.
    double handled_per_s() const;
    // For each partition that the fault concerns: from its begin until the partition was owned (grow, kill, leader, leave: of the
    // process that went; add: by the process that came, before the next fault) or by nobody any more (shrink). -1: never.
    std::vector<std::int64_t> settled_ns(const Injected& fault) const;
    std::uint32_t partitions = 0, extra_partitions = 0;
    std::int64_t planned_ns = 0;  // the load's
};

class ScenarioTest : public StressTest {
protected:
    using StressTest::StressTest;
    // Nothing: the test has failed.
    std::optional<ScenarioResult> run(const ScenarioPlan& plan);
    // p50, p95, p99, p99.9 and max, where there are enough values; printed and recorded. `invalid`: they are recorded as not
    // measured, for that reason.
    void record_quantiles(const std::string& prefix, std::vector<std::int64_t> taken_ns, const std::string& invalid = {});
    // Of the publication-to-handler latency. Not measured when the load generator did not keep to its plan: a latency counts from
    // the intended time, so it would be the generator's.
    void record_latency(const std::string& prefix, const ScenarioResult& result, std::int64_t from_ns, std::int64_t to_ns);
    void record_classes(const ScenarioResult& result);
    test::OracleOptions oracles_;

private:
    struct Live;
    bool begin(Live& live);
    bool add_process(Live& live);
    void replace(Live& live, std::size_t gone);
    void inject(Live& live, Fault fault);
    bool set_source(Live& live, std::uint32_t extra);
    void inject_all(Live& live, test::LoadGenerator& load);
    void read_until(Live& live, test::LoadGenerator& load, std::int64_t due_ns);
    bool drain(Live& live);
    std::vector<test::ProcessHandlings> read_handlings(Live& live);
    // Fills in the ledger's report; a violation is a failure.
    void judge(ScenarioResult& result, const ScenarioPlan& plan, const test::Published& published,
               const std::vector<test::ProcessHandlings>& handlings, const std::string& server_version) const;
    void keep_handlings(const std::vector<test::ProcessHandlings>& handlings) const;
};

}  // namespace parti::stress
