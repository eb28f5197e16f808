// Alert: for how long this worker has not held a lease it can rely on, as a level that rises.
//
// Model     Trouble begins when the worker is degraded, fenced or claiming, and ends when it holds a lease again, leaves or
//           stops. The level is the highest threshold of Timing::alert_* that has passed. Each change is told once.
// Source    R-7, P-12.
#pragma once

#include <optional>

#include "core/env.h"

namespace parti::core {

class Alert {
public:
    void advance(Env& env, bool trouble);
    AlertLevel level() const { return level_; }

private:
    std::optional<Instant> since_;
    AlertLevel level_ = AlertLevel::none;
};

}  // namespace parti::core
