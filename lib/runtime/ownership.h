// SessionTokens and OwnershipState: what stands behind parti::Ownership.
//
// Model     All tokens of a session look at one deadline. A token is valid while it is not revoked, its session has not ended,
//           and the clock has not reached the session's deadline. Whoever asks and finds the deadline passed ends the session for
//           all its tokens: a renewal that is taken in later finds it lapsed (extend() is false), and the runtime tells the core
//           (SessionLapsed). So a token never turns invalid while its session lives on.
// Threads   The io thread extends and ends; valid() from any thread, without a lock.
// Cost      One SessionTokens a session, one OwnershipState an owned partition.
// Source    R-7, P-3.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include <parti/types.h>

#include "runtime/boot_clock.h"
#include "runtime/observer.h"

namespace parti::runtime {

struct SessionTokens {
    explicit SessionTokens(core::Instant deadline, SessionInfo session_info = {})
        : info(session_info), deadline_ns_(to_ns(deadline)) {}

    // False: a token was asked after the deadline, and the session is over.
    bool extend(core::Instant deadline) noexcept {
        std::int64_t before = deadline_ns_.load(std::memory_order_relaxed);
        while (before != kOver) {
            if (deadline_ns_.compare_exchange_weak(before, to_ns(deadline), std::memory_order_acq_rel)) return true;
        }
        return false;
    }
    void end() noexcept { deadline_ns_.store(kOver, std::memory_order_release); }

    // The deadline is read after the clock: a renewal that comes in between is not mistaken for silence.
    template <class Clock>
    bool valid_at(const Clock& clock) noexcept {
        const std::int64_t now = to_ns(clock());
        std::int64_t deadline = deadline_ns_.load(std::memory_order_acquire);
        while (deadline != kOver) {
            if (now < deadline) return true;
            if (deadline_ns_.compare_exchange_weak(deadline, kOver, std::memory_order_acq_rel)) return false;
        }
        return false;
    }

    const SessionInfo info;

private:
    static constexpr std::int64_t kOver = std::numeric_limits<std::int64_t>::min();
    std::atomic<std::int64_t> deadline_ns_;
};

struct OwnershipState {
    OwnershipState(Partition p, Fence f, std::shared_ptr<SessionTokens> s)
        : partition(std::move(p)), fence(f), session(std::move(s)) {}

    bool valid() const noexcept {
        return valid_at([] { return boot_now(); });
    }

    template <class Clock>
    bool valid_at(const Clock& clock) const noexcept {
        return !over.load(std::memory_order_acquire) && session->valid_at(clock);
    }

    Partition partition;
    Fence fence;
    std::shared_ptr<SessionTokens> session;
    std::atomic<bool> over{false};  // revoked
};

}  // namespace parti::runtime
