// Env: what the machines of one core share during a step: configuration, randomness, counters, the clock reading, the effects.
//
// Role      Owned by WorkerCore; the machines get it by reference. `now`, `out` and `wake` are of the present step.
// Model     Machines are level-triggered: an event changes what is known, then every machine looks at what is known and acts. A
//           machine that will act later by time alone says so with wake_at(); one whose action may let an earlier machine act
//           sets `again`.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <parti/config.h>
#include <parti/strategy.h>
#include <parti/worker.h>

#include "base/rng.h"
#include "core/io.h"
#include "core/test_switch.h"
#include "core/view.h"

namespace parti::core {

struct Env {
    Env(const Config& c, std::shared_ptr<const Strategy> s, std::uint64_t seed, std::uint64_t p,
        std::uint32_t major = kRecordMajor)
        : config(c), strategy(std::move(s)), rng(seed), process(p), speaks(major) {}

    Config config;
    std::shared_ptr<const Strategy> strategy;
    base::Rng rng;
    std::uint64_t process;
    std::uint32_t speaks;  // the highest record major this core reads and writes
    View view;
    WorkerStats stats;
    Epoch floor;                              // highest epoch ever seen by this core, or above it: see doubt()
    SessionId floor_leader;                   // who leads the epoch `floor`; empty: not known
    Epoch lost_epoch;                         // records up to this epoch may be of a lost history: they are not applied
    bool doubtful = false;                    // assignments were lost: whoever leads next must hear from every session first
    std::optional<Instant> missing_since[2];  // lease and assignment bucket: do not exist
    std::uint64_t next_operation = 1;
    std::uint64_t next_grant = 1;

    Instant now{};
    Effects* out = nullptr;
    Instant wake = Instant::max();
    bool again = false;

    std::optional<Instant>& missing(Bucket bucket) { return missing_since[bucket == Bucket::lease ? 0 : 1]; }
    // what was assigned up to the highest epoch known may be another history than the one in the store. The floor goes one
    // up, so that a leader that shares the epoch but not the history sees that it must take a higher one.
    void doubt() {
        doubtful = true;
        lost_epoch = std::max(lost_epoch, floor);
        if (floor.value != 0) ++floor.value;
        floor_leader = {};
    }

    // A session that has not changed for so long is suspected.
    Duration silence() const {
        if (PARTI_BROKEN(deadline_without_margin)) return config.timing.ttl;
        if (PARTI_BROKEN(death_before_ttl)) return config.timing.ttl / 2;
        return config.timing.ttl + config.timing.margin;
    }
    // Of another session: by its own word, since its tokens last and its renewals come by its own timing. Null: of one that
    // cannot be asked, so as long as any session was ever allowed.
    Duration silence(const LeaseRecord* lease) const {
        const bool own =
            PARTI_BROKEN(deadline_without_margin) || PARTI_BROKEN(death_before_ttl) || PARTI_BROKEN(silence_by_own_timing);
        if (own) return silence();
        if (lease == nullptr) return std::max<Duration>(silence(), std::chrono::milliseconds(view.longest_silence_ms()));
        return lease->silence_ms == 0 ? silence() : Duration(std::chrono::milliseconds(lease->silence_ms));
    }
    // How long a holder may count on a confirmed write, from its first attempt.
    Duration lease_span() const {
        if (PARTI_BROKEN(deadline_without_margin)) return config.timing.ttl;
        return config.timing.ttl - config.timing.margin;
    }
    Duration lease_attempt() const { return std::max<Duration>(config.timing.heartbeat / 4, std::chrono::milliseconds(10)); }
    Duration write_attempt() const { return std::max<Duration>(config.timing.heartbeat / 2, std::chrono::milliseconds(20)); }

    void emit(Effect effect) { out->push_back(std::move(effect)); }
    void note(LogLevel level, std::string text) { out->push_back(Note{level, std::move(text), std::nullopt}); }
    void note_error(Errc code, std::string text) {
        Error error{code, text};
        out->push_back(Note{LogLevel::error, std::move(text), std::move(error)});
    }
    void wake_at(Instant when) { wake = std::min(wake, when); }
    // True when `when` has come; else asks to be woken then.
    bool due(Instant when) {
        if (now >= when) return true;
        wake_at(when);
        return false;
    }
};

}  // namespace parti::core
