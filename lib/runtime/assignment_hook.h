// AssignmentHook: what a consumer hears of its worker's partitions, before and after the user does.
//
// Role      Gains reach it when the user's on_assigned has returned; losses reach it at once, and the user's on_revoked runs only
//           when it is done with them (or the drain timeout is over). So nothing of it runs before the user is ready or after the
//           user has let go.
// Model     A grant is named by its number, which is never used again. A gain may be told twice (when the hook is added
//           meanwhile) and may be told after its loss: its token says so.
// Threads   The io thread, inside a step of the worker: must be quick and must not call the worker back.
// Lifetime  The worker holds it weakly.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "runtime/ownership.h"

namespace parti::runtime {

struct HookGrant {
    std::uint64_t grant = 0;
    std::shared_ptr<OwnershipState> state;
};

class AssignmentHook {
public:
    virtual ~AssignmentHook() = default;
    virtual void gained(std::span<const HookGrant> grants) = 0;
    // Call `done` once, or drop it: the work on all of them has ended.
    virtual void lost(std::span<const std::uint64_t> grants, std::function<void()> done) = 0;
    // The drain timeout is over, or the worker has ended: somebody else may own them from now on.
    virtual void released(std::span<const std::uint64_t> grants) = 0;
    virtual void worker_finished() = 0;
};

}  // namespace parti::runtime
