#include "core/alert.h"

#include <array>
#include <string>
#include <utility>

namespace parti::core {

void Alert::advance(Env& env, bool trouble) {
    if (!trouble) {
        if (since_) env.stats.unreliable_time += env.now - *since_;
        since_.reset();
        if (level_ == AlertLevel::none) return;
        level_ = AlertLevel::none;
        env.emit(AlertChanged{level_, Duration::zero()});
        return;
    }
    if (!since_) since_ = env.now;
    const Timing& timing = env.config.timing;
    const std::array<std::pair<Duration, AlertLevel>, 4> steps{{{timing.alert_info, AlertLevel::info},
                                                                {timing.alert_warning, AlertLevel::warning},
                                                                {timing.alert_error, AlertLevel::error},
                                                                {timing.alert_critical, AlertLevel::critical}}};
    AlertLevel level = AlertLevel::none;
    for (const auto& [after, step] : steps) {
        if (!env.due(*since_ + after)) break;
        level = step;
    }
    if (level == level_) return;
    level_ = level;
    ++env.stats.alerts_raised;
    const Duration since = env.now - *since_;
    const LogLevel line = level >= AlertLevel::error     ? LogLevel::error
                          : level == AlertLevel::warning ? LogLevel::warning
                                                         : LogLevel::info;
    env.note(line, "without a reliable lease for " +
                       std::to_string(std::chrono::duration_cast<std::chrono::seconds>(since).count()) + " s: alert level " +
                       std::string(to_string(level)));
    env.emit(AlertChanged{level, since});
}

}  // namespace parti::core
