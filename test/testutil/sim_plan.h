// SimPlan: everything one simulated run is made of, drawn from its seed (swarm style: each run draws which kinds of fault are on,
// and how often they come).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <parti/config.h>
#include <parti/strategy.h>

#include "runtime/hub.h"
#include "testutil/sim_client.h"

namespace parti::testutil {

enum class Fault : std::uint8_t {
    request_lost,
    request_late,
    answer_lost,
    answer_late,
    answer_doubled,
    answer_refused,
    watch_stalled,
    consumer_deleted,
    disconnect,
    server_down,
    pause,
    crash,
    leave,
    join,
    callback_slow,
    callback_never,
    clock_skew,
    partitions_changed,
    deaf,
    disconnect_leader,
    disconnect_all,
    tail_lost_leases,  // the store went back by some seconds: one bucket alone, or both
    tail_lost_assignments,
    tail_lost_both,
    wiped_leases,  // created anew, empty
    wiped_assignments,
    wiped_both,
    bucket_deleted,  // by an operator, who does not create it again
    key_deleted,     // a marker
    record_malformed,
    record_future,  // of a later major version
    key_foreign,
    callback_throws,
    strategy_throws,
    instance_shared,   // two workers with one instance name
    instance_changed,  // restarted under another name
    policy_keep,       // a run's policy
    everything,        // all kinds that are on, at one instant
    payload_limit,     // a server that takes short messages only: records go in chunks
    record_replayed,   // an operator puts an older assignment record back
    frozen,            // operators freeze the group, and thaw it
    drained,           // they drain a worker, by session or instance, and take it back
    rebalance_asked,
    partitions_midway,  // the source changes while partitions are being handed over
    token_lapsed,       // somebody asked a token between its deadline and the renewal
    takeover_trust,     // a run's instance_takeover
    mixed_timing,       // a run's: every other worker has half the ttl, as amid a rolling change of it
    count_,
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::count_);
std::string_view to_string(Fault fault);
using FaultCounts = std::array<std::uint64_t, kFaults>;

struct SimPlan {
    std::uint64_t seed = 0;
    std::uint32_t processes = 1;
    std::uint32_t workers = 5;      // at the start, spread over the processes
    std::uint32_t workers_max = 8;  // with those who join later
    std::uint32_t partitions = 20;
    std::uint32_t strategy = 0;  // index into strategy_names(); one more: sticky with a churn budget
    bool weighted = false;       // partitions have weights
    bool capacities = false;     // workers have capacities
    bool instances = false;      // workers carry instance names
    Config config;               // of every worker (but for its instance)
    SimRates rates;
    std::uint32_t answer_doubled = 0;  // per million
    std::array<bool, kFaults> on{};
    std::size_t payload_bytes_max = 1U << 20U;  // of the server
    runtime::RecordLimits limits;
    Nanos fault_gap = 20 * kSecond;   // mean time between faults that are not drawn per request
    std::int32_t clock_ppm = 0;       // rates of the processes' clocks within +- this
    std::uint32_t callback_slow = 0;  // per million of revoke callbacks
    std::uint32_t callback_never = 0;
    std::uint32_t callback_throws = 0;
    std::uint32_t strategy_throws = 0;    // per million of plans
    std::uint32_t partitions_midway = 0;  // per million of records that revoke
    std::uint32_t token_lapsed = 0;       // per million of renewals
    Nanos safety_phase = 8 * 60 * kSecond;
    Nanos total = 10 * 60 * kSecond;  // at least

    static SimPlan draw(std::uint64_t seed);
    // The fleet that speed is measured with: 10 workers, 100 partitions, the default timing, and all faults on but those that
    // such a fleet cannot have.
    static SimPlan standard(std::uint64_t seed);
    Config config_of(std::uint32_t slot) const;
    bool is_on(Fault fault) const { return on[static_cast<std::size_t>(fault)]; }
    std::shared_ptr<const Strategy> make_strategy() const;
    // A plan moves a part of what it could, and all is moved after so many of them, or one more.
    bool in_steps() const { return strategy >= strategy_names().size(); }
    static constexpr int kSteps = 4;
    // By then a quiet fleet must have converged.
    Nanos convergence_bound() const;
    std::string describe() const;

private:
    void draw_rates(base::Rng& rng);
    void draw_limits(base::Rng& rng);
    void draw_operators(base::Rng& rng);
};

}  // namespace parti::testutil
