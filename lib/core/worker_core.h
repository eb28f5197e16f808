// WorkerCore: everything one worker decides; the only type of the core that a shell knows.
//
// Role      Composes lease, view, election, planner and assignee. No clock, thread, lock, I/O or randomness of its own: the same
//           seed and the same events at the same instants give the same effects on every machine.
// Threads   One thread per object.
// Cost      A follower keeps a few hundred bytes plus what it owns; a leader keeps every lease, record and partition once.
// Source    docs/PROTOCOL.md, R-1 to R-11.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <parti/config.h>
#include <parti/strategy.h>
#include <parti/worker.h>

#include "core/io.h"

namespace parti::core {

class WorkerCore {
public:
    // Requires: config.validate() holds. `process` is the same for all workers of a process. `speaks`: the highest record major
    // the shell's codec reads (a test's may differ).
    WorkerCore(const Config& config, std::shared_ptr<const Strategy> strategy, std::uint64_t seed, std::uint64_t process,
               std::uint32_t speaks = kRecordMajor);
    ~WorkerCore();
    WorkerCore(const WorkerCore&) = delete;
    WorkerCore& operator=(const WorkerCore&) = delete;

    // Requires: now >= the now of every earlier step.
    void step(Instant now, const Event& event, Effects& out);
    // When the next Tick is due; nothing: no timer is needed.
    std::optional<Instant> next_deadline() const;

    State state() const;
    LeaderPhase phase() const;
    bool leading() const;                        // sealed and acting
    std::optional<WorkerNumber> number() const;  // while a session lives
    Incarnation incarnation() const;
    SessionId session() const;
    AlertLevel alert() const;
    Instant lease_deadline() const;  // of the living session
    Epoch epoch() const;             // highest seen
    Fence applied() const;
    WorkerStats stats() const;
    // Partitions this session may be working on: owned and draining ones. For tests and the simulation.
    struct Holding {
        std::uint64_t grant = 0;
        Partition partition;
        Fence fence;
        bool draining = false;
    };
    std::vector<Holding> holdings() const;
    // What waits to be told, written or looked up. Bounded by the numbers there are.
    std::size_t backlog() const;
    // True when nothing is pending: no write in the air, nothing draining, the plan equals what is published and acknowledged.
    bool at_rest() const;

    // Recomputes what is derived and asserts the invariants.
    void check() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::core
