// Planner: who should own what, and when that may be asked anew.
//
// Model     A target (partition -> number) over the leader's partition set. Partitions without a live owner get one at once;
//           owned partitions move only by a full plan, which waits for the settle window (ended early by expected_workers or by a
//           pause without joins) and for min_rebalance_interval; an operator's request is planned at once. A frozen group
//           plans nothing but for orphans. Membership is compared worker by worker. A new leader inherits the target from
//           the sealed records. A strategy that works in steps (a churn budget) is asked again, without a window, once the last
//           plan is in force and min_rebalance_interval (at least settle_pause) is over, until its answer changes nothing; a new
//           leader asks such a strategy once, as nobody can say whether its predecessor was through.
// Errors    A strategy that throws or breaks its contract is reported; the old target stays and the plan is tried again.
// Source    R-10, P-6.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"

namespace parti::core {

struct Member {
    WorkerNumber number;
    Incarnation incarnation;
    std::uint32_t capacity = 1;
    std::string zone;
    friend bool operator==(const Member&, const Member&) = default;
};

class Planner {
public:
    static constexpr std::int64_t kUnassigned = -1;

    // A leadership begins. `inherited`: the members the records were written for; `fresh`: nothing was ever assigned in this
    // group; `unfinished`: the strategy works in steps; `request`: the operators' last request for a plan that was carried out.
    void begin(std::vector<Member> inherited, bool fresh, bool unfinished, std::uint64_t request);
    void end();  // a leadership is over: the target goes, only a leader has one
    void set_partitions(std::shared_ptr<const PartitionSet> partitions);
    // After begin and set_partitions: what the records say; kUnassigned where nobody holds it.
    void inherit(std::size_t partition, WorkerNumber owner) { target_[partition] = owner.value; }

    // `members`: ascending by number; those who may own; `in_force`: all that was planned is published and acknowledged. Updates
    // the target. True when it changed.
    bool advance(Env& env, const std::vector<Member>& members, bool in_force);

    const std::shared_ptr<const PartitionSet>& partitions() const { return partitions_; }
    // The number that should own it, or kUnassigned.
    std::int64_t target(std::size_t partition) const { return target_[partition]; }
    std::optional<std::size_t> find(const std::string& id) const;
    std::uint64_t carried_out() const { return carried_out_; }
    bool settling() const { return settling_; }
    bool settled() const { return !settling_ && !orphans_; }
    // The strategy has more to move than it did.
    bool unfinished() const { return unfinished_; }

private:
    PlanReason reason(const Env& env, const std::vector<Member>& members) const;  // of a full plan
    bool run(Env& env, const std::vector<Member>& members, bool move_owned);
    bool window_over(Env& env, const std::vector<Member>& members);
    bool step_due(Env& env, bool in_force) const;

    std::shared_ptr<const PartitionSet> partitions_;
    bool leads_ = false;
    std::vector<std::int64_t> target_;  // while it leads; else empty
    std::vector<Member> planned_members_;
    std::shared_ptr<const PartitionSet> planned_partitions_;
    std::vector<Member> seen_members_;
    bool fresh_ = false;
    bool settling_ = false;
    bool orphans_ = false;
    bool unfinished_ = false;
    Instant settle_started_{};
    Instant last_join_{};
    std::optional<Instant> last_full_plan_;
    Instant retry_at_{};
    std::uint64_t carried_out_ = 0;
};

}  // namespace parti::core
