// MassFailure: tells a zone or network that went away from workers that died one by one.
//
// Role      Asked by an acting leader at every look: how much longer than usual must a silent session be waited for before its
//           death is written?
// Model     A lease counts as silent when it missed a renewal by a quarter of a heartbeat. When more than restart_detection_ratio
//           of the living workers, and at least four, are silent at the moment the first of them could be declared dead,
//           recovery_grace begins: nobody is declared dead before it is over; when enough of them are back it ends one ttl later.
//           It is given once: when it is over, deaths are written, and it is armed again when no mass is silent any more.
// Errors    The beginning is an error event that names the counts.
// Cost      One pass over the leases per look.
// Source    R-10.
#pragma once

#include <optional>

#include "core/env.h"

namespace parti::core {

class MassFailure {
public:
    void begin() { *this = {}; }  // a leadership begins
    // To be added to ttl + margin. `own` is never silent.
    Duration patience(Env& env, WorkerNumber own);
    bool waiting() const { return until_.has_value() && !over_; }

private:
    std::optional<Instant> until_;
    bool over_ = false;
    bool returned_ = false;  // no mass is silent any more
};

}  // namespace parti::core
