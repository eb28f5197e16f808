// Worker: one member of a group. Claims a number, leads when it must, owns what it is assigned.
//
// Model     start() is asynchronous; wait_for() waits for a state. stop() leaves gracefully: revoke, release, write `released`.
// Callbacks Serial per worker, parallel between workers, never on the io thread, in the order things happened. An exception is reported
//           through on_error as callback_failed. Calling stop() from inside a callback is an error (stopping); request_stop() is fine.
// Threads   All functions from any thread.
// Lifetime  The destructor stops the worker (as stop()). Ownership objects may outlive it; they are then invalid.
// Cost      docs/BENCHMARKING.md: memory of the first and of each further worker.
// Source    P-1 to P-8, P-12.
#pragma once

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
    // Lock-free; false for ever once it was false. Ask before every piece of work: it turns false at the lease's deadline even when
    // this process is cut off. After a true answer the work must be short compared with the margin.
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
    // The alert level changed: rising while the worker has no reliable lease (degraded, fenced or claiming), none when it has one again.
    // `since`: how long the trouble has lasted.
    std::function<void(AlertLevel level, Duration since)> on_alert{};
};

struct WorkerStats {
    std::uint64_t renewals = 0;            // confirmed
    std::uint64_t renewal_retries = 0;     // attempts beyond the first
    std::uint64_t claims_attempted = 0;
    std::uint64_t sessions_lost = 0;
    std::uint64_t leaderships = 0;
    std::uint64_t plans = 0;               // as leader
    std::uint64_t moved_partitions = 0;    // as leader: revoked from a live worker
    std::uint64_t records_written = 0;     // as leader
    std::uint64_t partitions_gained = 0;
    std::uint64_t partitions_lost = 0;
    std::uint64_t drain_timeouts = 0;
    std::uint64_t malformed_records = 0;
    std::uint32_t owned = 0;
    std::uint32_t draining = 0;
};

class Worker {
public:
    // Strategy: nullptr = sticky(). Errors: invalid_config.
    static Result<Worker> make(Context context, Config config, std::shared_ptr<Source> source,
                               std::shared_ptr<const Strategy> strategy = nullptr, Callbacks callbacks = {});

    Worker(Worker&&) noexcept;
    Worker& operator=(Worker&&) noexcept;
    ~Worker();

    void start();                                       // at once; a second call does nothing
    Result<void> wait_for(State state, Duration timeout);  // errors: timeout; stopping (with the fatal error, if one ended the worker)
    Result<void> stop();                                // blocks at most shutdown_timeout; errors: timeout, stopping
    void request_stop();                                // as stop(), without waiting
    void refresh_partitions();                          // asks the source again

    std::optional<WorkerNumber> number() const;         // set while a session lives
    std::string id() const;                             // "<prefix>-<number>", or empty
    State state() const;
    bool is_leader() const;
    LeaderPhase leader_phase() const;
    AlertLevel alert_level() const;
    std::vector<Ownership> assignment() const;          // a snapshot, ascending by partition id
    WorkerStats stats() const;
    std::optional<Error> last_error() const;

private:
    explicit Worker(std::shared_ptr<runtime::WorkerImpl> impl);
    std::shared_ptr<runtime::WorkerImpl> impl_;
};

}  // namespace parti
