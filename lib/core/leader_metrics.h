// LeaderMetrics: what only a leader can count: who came and went, how long it took until everybody had what was planned.
//
// Model     Told once per look of an acting leader. Who is there at the first look is the baseline, not a join.
// Cost      Two numbers per member.
// Source    P-12.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "core/env.h"
#include "core/planner.h"

namespace parti::core {

class LeaderMetrics {
public:
    void begin() { *this = {}; }  // a leadership begins
    // `busy`: something is unpublished, unacknowledged or without an owner. `orphaned`: partitions that no living session's
    // record lists.
    void look(Env& env, const std::vector<Member>& members, std::uint64_t partitions, std::uint64_t orphaned, bool busy);

private:
    using Present = std::vector<std::pair<WorkerNumber, Incarnation>>;
    void compare(Env& env, Present now);

    std::optional<Present> present_;  // ascending
    std::optional<Instant> busy_since_;
};

}  // namespace parti::core
