// boot_now: the one clock of parti (CLOCK_BOOTTIME, which runs through suspend). Only the runtime may ask.
//
// Threads   Any. Cost: one vDSO call.
#pragma once

#include <ctime>

#include "core/io.h"

namespace parti::runtime {

inline core::Instant boot_now() noexcept {
    timespec t{};
    clock_gettime(CLOCK_BOOTTIME, &t);
    return core::Instant(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

inline std::int64_t to_ns(core::Instant instant) noexcept { return instant.time_since_epoch().count(); }

}  // namespace parti::runtime
