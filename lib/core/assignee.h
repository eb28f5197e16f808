// Assignee: follows the worker's own assignment record - takes what is granted, hands back what is revoked, says when it is
// released.
//
// Model     A partition is owned -> draining -> gone. A record is applied only if it is for this incarnation and above what was
//           applied last (R-5, P-7). A partition that is given back while it drains is released first, then owned with a new
//           token. `applied` is the highest version all of whose losses are released.
// Errors    A drain that outlives drain_timeout is ended here and reported; the callback may still be running.
// Cost      One map node per partition held.
// Source    R-4a, R-5, R-6, R-7.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/worker_core.h"

namespace parti::core {

class Assignee {
public:
    // Requires: nothing is held. What was applied before stays a lower bound (P-7).
    void begin_session();
    // The record is for this session; applied when it is news. True when it was.
    bool apply(Env& env, const AssignmentRecord& record);
    // Everything is lost, all at once: the session is ending, or the worker leaves.
    void revoke_all(Env& env);
    void on_release_done(Env& env, const std::vector<std::uint64_t>& grants);
    void advance(Env& env);

    bool holding() const { return !held_.empty(); }
    std::size_t unacknowledged() const { return unacknowledged_.size(); }
    bool applied_any() const { return applied_any_; }
    Fence accepted() const { return accepted_; }
    Fence applied() const { return applied_; }
    std::uint32_t owned_count() const { return owned_; }
    std::uint32_t draining_count() const { return static_cast<std::uint32_t>(held_.size()) - owned_; }
    std::vector<WorkerCore::Holding> holdings() const;
    void check() const;

private:
    struct Held {
        std::uint64_t grant = 0;
        Partition partition;
        Fence fence;
        bool draining = false;
        Fence lost_at;
        Instant drain_by{};
        bool regained = false;  // granted again while draining: owned, once it is released, with the fence of the newest record
    };
    using HeldMap = std::map<std::string, Held, std::less<>>;

    void lose(Env& env, Held& held, Fence at, std::vector<std::uint64_t>& revoked);
    void release(Env& env, HeldMap::iterator it, std::vector<Grant>& granted);
    void own(Env& env, const Partition& partition, Fence fence, std::vector<Grant>& granted);
    void update_applied();

    HeldMap held_;
    std::uint32_t owned_ = 0;
    Fence accepted_;  // of the last record applied; never goes back
    Fence applied_;
    std::vector<Fence> unacknowledged_;  // accepted, not yet covered by applied_; ascending
    bool applied_any_ = false;           // a record was applied in this session
    bool ending_ = false;                // revoke_all was called: no gains any more
};

}  // namespace parti::core
