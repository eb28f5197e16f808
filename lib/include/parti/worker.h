// Worker: one member of a group. Claims a number, leads when it must, owns what it is assigned.
//
// Model     start() is asynchronous; wait_for() waits for a state. stop() leaves gracefully: revoke, release, write `released`.
// Callbacks Serial per worker, parallel between workers up to ConnectOptions::callback_threads, never on the io thread, in the
//           order things happened. An exception is reported through on_error as callback_failed (what on_error throws is only
//           logged); on_assigned that throws: owned all the same; on_revoked that throws: released. One that runs for
//           drain_timeout (at least 100 ms) is logged, and its thread replaced, at most 16 times a context; the worker's later
//           callbacks, on_error too, wait for it. Calling stop() from inside one is an error (stopping); request_stop() is fine.
// Threads   All functions from any thread.
// Lifetime  The worker stops (as stop()) when the last of it and its Consumers goes; inside a callback without waiting. Ownership
//           objects may outlive it; they are then invalid. A moved-from Worker may only be destroyed or assigned to.
// Cost      README, "What it costs": memory of the first and of each further worker.
// Source    P-1 to P-8, P-12.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <parti/config.h>
#include <parti/context.h>
#include <parti/source.h>
#include <parti/strategy.h>
#include <parti/types.h>

namespace parti {

namespace runtime {
struct OwnershipState;
class WorkerImpl;
}  // namespace runtime

// The right to work on one partition. Cheap to copy.
class Ownership {
public:
    const Partition& partition() const;
    Fence fence() const;
    // Lock-free; false for ever once it was false. Ask before every piece of work: it turns false at the lease's deadline even
    // when this process is cut off. After a true answer the work must be short compared with the margin.
    bool valid() const;

    explicit Ownership(std::shared_ptr<runtime::OwnershipState> state) : state_(std::move(state)) {}

private:
    std::shared_ptr<runtime::OwnershipState> state_;
};

// Call it (once, from any thread, or let the last copy go) when the work on all revoked partitions has ended.
// Until then, or until the drain timeout, nobody else gets them.
using RevokeDone = std::function<void()>;

struct Callbacks {
    std::function<void(std::span<const Ownership> gained)> on_assigned{};
    std::function<void(std::span<const Ownership> lost, RevokeDone done)> on_revoked{};  // absent = done at once
    std::function<void(State from, State to)> on_state{};
    std::function<void(bool leader)> on_leader{};
    std::function<void(const Error&)> on_error{};
    // The alert level changed: rising while the worker has no reliable lease (degraded, fenced or claiming), none when it has one
    // again. `since`: how long the trouble has lasted.
    std::function<void(AlertLevel level, Duration since)> on_alert{};
};

// Why a leader planned.
enum class PlanReason : std::uint8_t {
    orphans,     // partitions without an owner were placed; nothing else moved
    membership,  // workers came or went, or changed capacity or zone
    partitions,  // the set of partitions changed
    request,     // operators asked
    step,        // a further step of a plan, of a strategy that works in steps
};
std::string_view to_string(PlanReason reason);

// Counters from Worker::make on, and gauges of this moment. "As leader": counts only while this worker leads; sum the counters
// over the workers of a group, but take such a gauge from its leader (it is 0 elsewhere).
struct WorkerStats {
    std::uint64_t renewals = 0;         // confirmed heartbeats
    std::uint64_t renewal_retries = 0;  // attempts beyond the first
    std::uint64_t claims_attempted = 0;
    std::uint64_t sessions_lost = 0;
    std::uint64_t leaderships = 0;
    std::uint64_t plans = 0;             // as leader
    std::uint64_t moved_partitions = 0;  // as leader: revoked from a live worker
    std::uint64_t records_written = 0;   // as leader
    std::uint64_t partitions_gained = 0;
    std::uint64_t partitions_lost = 0;
    std::uint64_t drain_timeouts = 0;
    std::uint64_t malformed_records = 0;
    std::array<std::uint64_t, 8> states_entered{};  // by State
    std::uint64_t leaderships_lost = 0;
    std::array<std::uint64_t, 5> plans_by{};  // as leader, by PlanReason
    std::uint64_t plans_failed = 0;           // as leader: the strategy threw or broke its contract
    std::uint64_t rebalances = 0;             // as leader: from the first change until everything was owned and acknowledged
    Duration rebalance_time{};                // of all of them
    Duration rebalance_time_last{};
    std::uint64_t workers_joined = 0;   // as leader
    std::uint64_t workers_lost = 0;     // as leader: left, died, or are drained by operators
    std::uint64_t deaths_declared = 0;  // by this worker, of others
    std::uint64_t evictions = 0;        // as leader
    std::uint64_t mass_failures = 0;    // as leader
    std::uint64_t alerts_raised = 0;
    Duration unreliable_time{};  // spent without a lease to rely on (claiming, degraded, fenced), once over
    Duration renewal_time{};     // of confirmed renewals, first attempt to confirmation
    Duration renewal_time_max{};
    std::uint64_t records_confirmed = 0;  // as leader
    Duration publish_time{};              // as leader: of confirmed records, first attempt to confirmation
    // Gauges.
    std::uint32_t owned = 0;
    std::uint32_t draining = 0;
    std::uint32_t active_workers = 0;  // as leader: who may own partitions
    std::uint64_t partitions = 0;      // as leader
    std::uint64_t orphaned = 0;        // as leader: partitions without an owner now
    AlertLevel alert = AlertLevel::none;
    // Since the last renewal that was confirmed was sent; nothing: no session lives. While degraded this is the age of the
    // assignment that is gone on with.
    std::optional<Duration> since_renewal;
};

class Worker {
public:
    // Strategy: nullptr = sticky(). Errors: invalid_config (also of the strategy's options); callback_failed: the strategy threw.
    static Result<Worker> make(Context context, Config config, std::shared_ptr<Source> source,
                               std::shared_ptr<const Strategy> strategy = nullptr, Callbacks callbacks = {});

    Worker(Worker&&) noexcept;
    Worker& operator=(Worker&&) noexcept;
    ~Worker();

    // Returns at once; a second call, or one after stop(), does nothing. What fails: on_error, last_error(), wait_for().
    void start();
    // True also when the state was passed since the call. timeout: 0..24 h. Not on the io thread (LogSink, listeners).
    // Errors: timeout; stopping; the fatal error, if one ended the worker.
    Result<void> wait_for(State state, Duration timeout);
    Result<void> stop();        // blocks at most shutdown_timeout; errors: timeout, stopping
    void request_stop();        // as stop(), without waiting
    void refresh_partitions();  // asks the source again

    std::string group() const;
    std::optional<WorkerNumber> number() const;  // set while a session lives
    std::string id() const;                      // "<prefix>-<number>", or empty
    State state() const;
    bool is_leader() const;
    LeaderPhase leader_phase() const;
    AlertLevel alert_level() const;
    std::vector<Ownership> assignment() const;  // a snapshot, ascending by partition id
    WorkerStats stats() const;
    std::optional<Error> last_error() const;

    const std::shared_ptr<runtime::WorkerImpl>& impl() const { return impl_; }

private:
    explicit Worker(std::shared_ptr<runtime::WorkerImpl> impl);
    std::shared_ptr<runtime::WorkerImpl> impl_;
};

}  // namespace parti
