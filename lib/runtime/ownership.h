// SessionTokens and OwnershipState: what stands behind parti::Ownership.
//
// Model     All tokens of a session look at one deadline. A token is valid while it is not revoked, its session has not ended,
// and the
//           clock has not reached the session's deadline; a token that once saw the deadline pass stays invalid whatever comes
//           later.
// Threads   The io thread writes; valid() from any thread, without a lock.
// Cost      One SessionTokens a session, one OwnershipState an owned partition.
// Source    R-7, P-3.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include <parti/types.h>

#include "runtime/boot_clock.h"
#include "runtime/observer.h"

namespace parti::runtime {

struct SessionTokens {
    explicit SessionTokens(core::Instant deadline, SessionInfo session_info = {})
        : info(session_info), deadline_ns(to_ns(deadline)) {}

    const SessionInfo info;
    std::atomic<std::int64_t> deadline_ns;
    std::atomic<bool> ended{false};
};

struct OwnershipState {
    OwnershipState(Partition p, Fence f, std::shared_ptr<const SessionTokens> s)
        : partition(std::move(p)), fence(f), session(std::move(s)) {}

    bool valid() const noexcept {
        return valid_at([] { return boot_now(); });
    }

    // The deadline is read after the clock: a renewal that comes in between is not mistaken for silence.
    template <class Clock>
    bool valid_at(const Clock& clock) const noexcept {
        if (over.load(std::memory_order_acquire) || session->ended.load(std::memory_order_acquire)) return false;
        const std::int64_t now = to_ns(clock());
        if (now < session->deadline_ns.load(std::memory_order_acquire)) return true;
        over.store(true, std::memory_order_release);
        return false;
    }

    Partition partition;
    Fence fence;
    std::shared_ptr<const SessionTokens> session;
    mutable std::atomic<bool> over{false};  // revoked, or seen expired
};

}  // namespace parti::runtime
