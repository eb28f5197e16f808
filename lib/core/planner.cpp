#include "core/planner.h"

#include <algorithm>
#include <exception>

#include "base/assert.h"
#include "core/test_switch.h"

namespace parti::core {

namespace {

bool is_member(const std::vector<Member>& members, std::int64_t number) {
    const auto it = std::lower_bound(members.begin(), members.end(), number,
                                     [](const Member& m, std::int64_t n) { return std::int64_t{m.number.value} < n; });
    return it != members.end() && std::int64_t{it->number.value} == number;
}

// Both are ascending by number.
bool anybody_new(const std::vector<Member>& before, const std::vector<Member>& now) {
    auto old = before.begin();
    return std::any_of(now.begin(), now.end(), [&](const Member& member) {
        while (old != before.end() && old->number < member.number) ++old;
        return old == before.end() || old->number != member.number || old->incarnation != member.incarnation;
    });
}

}  // namespace

void Planner::begin(std::vector<Member> inherited, bool fresh, bool unfinished, std::uint64_t request) {
    carried_out_ = request;
    seen_members_ = inherited;
    planned_members_ = fresh ? std::vector<Member>{} : std::move(inherited);  // nothing was ever planned: the first plan is due
    planned_partitions_ = partitions_;
    fresh_ = fresh;
    settling_ = false;
    orphans_ = false;
    unfinished_ = unfinished;
    last_full_plan_.reset();
    retry_at_ = {};
    leads_ = true;
    target_.assign(partitions_ ? partitions_->size() : 0, kUnassigned);
}

void Planner::end() {
    leads_ = false;
    std::vector<std::int64_t>().swap(target_);
}

void Planner::set_partitions(std::shared_ptr<const PartitionSet> partitions) {
    std::vector<std::int64_t> target(leads_ ? partitions->size() : 0, kUnassigned);
    if (leads_ && partitions_) {
        std::size_t old = 0;
        for (std::size_t i = 0; i < partitions->size(); ++i) {
            while (old < partitions_->size() && (*partitions_)[old] < (*partitions)[i]) ++old;
            if (old < partitions_->size() && (*partitions_)[old] == (*partitions)[i]) target[i] = target_[old];
        }
    }
    partitions_ = std::move(partitions);
    target_ = std::move(target);
}

std::optional<std::size_t> Planner::find(const std::string& id) const {
    if (!partitions_) return std::nullopt;
    const auto it = std::lower_bound(partitions_->begin(), partitions_->end(), id,
                                     [](const Partition& p, const std::string& value) { return p.id() < value; });
    if (it == partitions_->end() || it->id() != id) return std::nullopt;
    return static_cast<std::size_t>(it - partitions_->begin());
}

bool Planner::window_over(Env& env, const std::vector<Member>& members) {
    if (!settling_) {
        settling_ = true;
        settle_started_ = env.now;
        last_join_ = env.now;
    } else if (anybody_new(seen_members_, members)) {
        last_join_ = env.now;
    }
    seen_members_ = members;
    const Timing& timing = env.config.timing;
    if (last_full_plan_ && !env.due(*last_full_plan_ + timing.min_rebalance_interval)) return false;
    if (env.config.expected_workers > 0 && members.size() >= env.config.expected_workers) return true;
    const bool paused = env.due(last_join_ + timing.settle_pause);
    return paused || env.due(settle_started_ + (fresh_ ? timing.cold_start_window : timing.planned_scale_window));
}

bool Planner::step_due(Env& env, bool in_force) const {
    if (!unfinished_ || !in_force) return false;
    const Timing& timing = env.config.timing;
    return !last_full_plan_ || env.due(*last_full_plan_ + std::max(timing.min_rebalance_interval, timing.settle_pause));
}

bool Planner::advance(Env& env, const std::vector<Member>& members, bool in_force) {
    PARTI_ASSERT(partitions_ != nullptr);
    orphans_ = std::any_of(target_.begin(), target_.end(), [&](std::int64_t owner) { return !is_member(members, owner); });
    if (members.empty() || !env.due(retry_at_)) return false;
    const ControlRecord& control = env.view.control();
    // Any other number than the last one: an operator may have removed the record and begun anew.
    const bool asked = control.rebalance != 0 && control.rebalance != carried_out_;
    const bool by_count = PARTI_BROKEN(membership_by_count) && members.size() == planned_members_.size();
    if (by_count) orphans_ = false;
    const bool other_members = members != planned_members_ && !by_count;
    // A fresh group has never had a full plan, whatever a predecessor wrote.
    const bool differs = !control.frozen && (asked || fresh_ || other_members || planned_partitions_ != partitions_);
    if (!differs) settling_ = false;
    const bool full = differs ? asked || window_over(env, members) : !control.frozen && step_due(env, in_force);
    if (full) {
        const bool changed = run(env, members, true);
        if (env.now < retry_at_) return changed;
        settling_ = false;
        fresh_ = false;
        unfinished_ = changed && env.strategy->works_in_steps();
        if (control.rebalance != 0) carried_out_ = control.rebalance;
        planned_members_ = members;
        planned_partitions_ = partitions_;
        last_full_plan_ = env.now;
        return changed;
    }
    if (!orphans_ || (fresh_ && env.config.cold_start == ColdStart::wait && !control.frozen)) return false;
    return run(env, members, false);
}

PlanReason Planner::reason(const Env& env, const std::vector<Member>& members) const {
    const std::uint64_t asked = env.view.control().rebalance;
    if (asked != 0 && asked != carried_out_) return PlanReason::request;
    if (planned_partitions_ != partitions_) return PlanReason::partitions;
    return unfinished_ && members == planned_members_ ? PlanReason::step : PlanReason::membership;
}

bool Planner::run(Env& env, const std::vector<Member>& members, bool move_owned) {
    std::vector<StrategyWorker> workers;
    workers.reserve(members.size());
    for (const Member& member : members) workers.push_back({member.number, member.capacity, member.zone});
    const auto index_of = [&](std::int64_t number) -> std::int32_t {
        const auto it = std::lower_bound(members.begin(), members.end(), number,
                                         [](const Member& m, std::int64_t n) { return std::int64_t{m.number.value} < n; });
        if (it == members.end() || std::int64_t{it->number.value} != number) return kNobody;
        return static_cast<std::int32_t>(it - members.begin());
    };
    std::vector<std::int32_t> previous(target_.size(), kNobody);
    for (std::size_t i = 0; i < target_.size(); ++i) previous[i] = index_of(target_[i]);
    std::vector<std::int32_t> plan;
    std::string broken;
    try {
        plan = env.strategy->assign({workers, *partitions_, previous});
    } catch (const std::exception& error) {
        broken = std::string("it threw: ") + error.what();
    } catch (...) {
        broken = "it threw";
    }
    const auto bad = [&](std::int32_t owner) { return owner < 0 || static_cast<std::size_t>(owner) >= members.size(); };
    if (broken.empty() && plan.size() != target_.size()) {
        broken = "it returned " + std::to_string(plan.size()) + " owners for " + std::to_string(target_.size()) + " partitions";
    } else if (broken.empty() && std::any_of(plan.begin(), plan.end(), bad)) {
        broken = "it returned an owner outside 0.." + std::to_string(members.size() - 1);
    }
    if (!broken.empty()) {
        env.note_error(Errc::callback_failed, "strategy '" + std::string(env.strategy->name()) + "' failed: " + broken +
                                                  "; the assignment stays as it is and the plan is tried again");
        ++env.stats.plans_failed;
        retry_at_ = env.now + std::max<Duration>(env.config.timing.settle_pause, std::chrono::milliseconds(100));
        if (PARTI_BROKEN(failed_plan_not_retried)) retry_at_ = Instant::max();
        env.wake_at(retry_at_);
        return false;
    }
    ++env.stats.plans;
    ++env.stats.plans_by[static_cast<std::size_t>(move_owned ? reason(env, members) : PlanReason::orphans)];
    bool changed = false;
    for (std::size_t i = 0; i < target_.size(); ++i) {
        if (!move_owned && previous[i] != kNobody) continue;
        const std::int64_t owner = members[static_cast<std::size_t>(plan[i])].number.value;
        changed = changed || owner != target_[i];
        target_[i] = owner;
    }
    orphans_ = false;
    return changed;
}

}  // namespace parti::core
