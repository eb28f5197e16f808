#include "core/mass_failure.h"

#include <string>

#include "core/membership.h"

namespace parti::core {

namespace {

constexpr std::size_t kWorkersMin = 4;  // fewer are not a mass

}  // namespace

Duration MassFailure::patience(Env& env, WorkerNumber own) {
    const Duration missed = env.config.timing.heartbeat + env.config.timing.heartbeat / 4;
    std::size_t living = 0;
    std::size_t silent = 0;
    bool suspected = false;
    for (const auto& [number, seen] : env.view.leases()) {
        if (Membership::living(env, number) == nullptr) continue;
        ++living;
        if (number == own) continue;
        if (env.now >= seen.first_seen + missed) ++silent;
        if (env.now >= seen.first_seen + env.silence(seen.record.get())) suspected = true;
    }
    const bool mass =
        silent >= kWorkersMin && static_cast<double>(silent) > env.config.restart_detection_ratio * static_cast<double>(living);
    if (!mass && !until_) return {};
    if (!mass && !returned_) {
        // Those who are still silent come back with the others, or not at all.
        returned_ = true;
        until_ = std::min(*until_, env.now + env.config.timing.ttl);
        if (!over_)
            env.note(LogLevel::warning, "enough of the silent workers are back; the recovery grace ends one ttl from now");
    }
    if (returned_ && (over_ || env.due(*until_))) {
        *this = {};
        return {};
    }
    if (!until_) {
        if (!suspected) return {};
        until_ = env.now + env.config.timing.recovery_grace;
        ++env.stats.mass_failures;
        env.note_error(Errc::timeout, std::to_string(silent) + " of " + std::to_string(living) +
                                          " workers went silent together; nobody is declared dead within recovery_grace");
    }
    if (!over_ && !env.due(*until_)) return env.config.timing.recovery_grace;
    over_ = true;
    return {};
}

}  // namespace parti::core
