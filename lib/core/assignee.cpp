#include "core/assignee.h"

#include <algorithm>

#include "base/assert.h"
#include "core/test_switch.h"

namespace parti::core {

namespace {

constexpr std::size_t kUnacknowledgedMax = 1024;  // older ones are merged: they are acknowledged a little later than possible

}  // namespace

void Assignee::begin_session() {
    if (!PARTI_BROKEN(new_incarnation_while_draining)) PARTI_ASSERT(held_.empty());
    applied_ = {};
    unacknowledged_.clear();
    applied_any_ = false;
    ending_ = false;
}

void Assignee::own(Env& env, const Partition& partition, Fence fence, std::vector<Grant>& granted) {
    const std::uint64_t grant = env.next_grant++;
    const auto [it, fresh] = held_.try_emplace(partition.id(), Held{grant, partition, fence, false, {}, {}, false});
    PARTI_ASSERT(fresh);
    (void)it;
    ++owned_;
    ++env.stats.partitions_gained;
    granted.push_back({grant, partition, fence});
}

void Assignee::lose(Env& env, Held& held, Fence at, std::vector<std::uint64_t>& revoked) {
    held.draining = true;
    held.lost_at = at;
    held.drain_by = env.now + env.config.timing.drain_timeout;
    --owned_;
    ++env.stats.partitions_lost;
    revoked.push_back(held.grant);
}

bool Assignee::apply(Env& env, const AssignmentRecord& record) {
    const bool older = PARTI_BROKEN(epochs_ignored) ? record.fence.version <= accepted_.version : record.fence <= accepted_;
    if (older && !(PARTI_BROKEN(older_update_wins) && record.fence != accepted_)) return false;
    accepted_ = record.fence;
    applied_any_ = true;
    std::vector<Grant> granted;
    std::vector<std::uint64_t> revoked;
    const auto listed = [&](const std::string& id) {
        const auto it = std::lower_bound(record.partitions.begin(), record.partitions.end(), id,
                                         [](const Partition& p, const std::string& value) { return p.id() < value; });
        return it != record.partitions.end() && it->id() == id;
    };
    for (auto& [id, held] : held_) {
        if (listed(id)) continue;
        held.regained = false;
        if (!held.draining) lose(env, held, record.fence, revoked);
    }
    if (!ending_) {
        for (const Partition& partition : record.partitions) {
            const auto it = held_.find(partition.id());
            if (it == held_.end()) {
                if (record.keep_only) continue;
                own(env, partition, record.fence, granted);
            } else if (it->second.draining && PARTI_BROKEN(regained_without_release)) {
                held_.erase(it);
                own(env, partition, record.fence, granted);
            } else if (it->second.draining && !record.keep_only) {
                it->second.regained = true;
            }
        }
    }
    if (!revoked.empty()) env.emit(Revoked{std::move(revoked)});
    if (!granted.empty()) env.emit(Granted{std::move(granted)});
    if (unacknowledged_.size() >= kUnacknowledgedMax) unacknowledged_.pop_back();
    unacknowledged_.push_back(record.fence);
    update_applied();
    env.again = true;
    return true;
}

void Assignee::revoke_all(Env& env) {
    ending_ = !PARTI_BROKEN(gains_while_giving_back);
    std::vector<std::uint64_t> revoked;
    for (auto& [id, held] : held_) {
        held.regained = false;
        if (!held.draining) lose(env, held, accepted_, revoked);
    }
    if (!revoked.empty()) env.emit(Revoked{std::move(revoked)});
}

void Assignee::release(Env& env, HeldMap::iterator it, std::vector<Grant>& granted) {
    PARTI_ASSERT(it->second.draining);
    const bool regained = it->second.regained;
    const Partition partition = it->second.partition;
    held_.erase(it);
    // The newest record lists it too, and a session's tokens never go back (P-7).
    if (regained && !ending_) own(env, partition, accepted_, granted);
    env.again = true;
}

void Assignee::on_release_done(Env& env, const std::vector<std::uint64_t>& grants) {
    std::vector<Grant> granted;
    std::vector<std::uint64_t> sorted = grants;
    std::sort(sorted.begin(), sorted.end());
    for (auto it = held_.begin(); it != held_.end();) {
        const auto here = it++;
        if (here->second.draining && std::binary_search(sorted.begin(), sorted.end(), here->second.grant))
            release(env, here, granted);
    }
    if (!granted.empty()) env.emit(Granted{std::move(granted)});
    update_applied();
}

void Assignee::advance(Env& env) {
    if (draining_count() == 0) return;  // the usual: it may hold a hundred thousand
    std::vector<std::uint64_t> late;
    std::vector<Grant> granted;
    std::string names;
    for (auto it = held_.begin(); it != held_.end();) {
        const auto here = it++;
        if (!here->second.draining || !env.due(here->second.drain_by)) continue;
        late.push_back(here->second.grant);
        if (late.size() <= 3) names += (names.empty() ? "'" : ", '") + here->first + "'";
        release(env, here, granted);
    }
    if (late.empty()) return;
    env.stats.drain_timeouts += late.size();
    env.note_error(Errc::timeout, std::to_string(late.size()) +
                                      " revoked partition(s) were not released within the drain timeout: " + names +
                                      (late.size() > 3 ? ", ..." : "") + "; they count as released now");
    env.emit(DrainTimedOut{std::move(late)});
    if (!granted.empty()) env.emit(Granted{std::move(granted)});
    update_applied();
}

void Assignee::update_applied() {
    const Fence* oldest_loss = nullptr;
    for (const auto& [id, held] : held_) {
        if (PARTI_BROKEN(acknowledged_before_release)) break;
        if (held.draining && (oldest_loss == nullptr || held.lost_at < *oldest_loss)) oldest_loss = &held.lost_at;
    }
    while (!unacknowledged_.empty() && (oldest_loss == nullptr || unacknowledged_.front() < *oldest_loss)) {
        applied_ = unacknowledged_.front();
        unacknowledged_.erase(unacknowledged_.begin());
    }
}

std::vector<WorkerCore::Holding> Assignee::holdings() const {
    std::vector<WorkerCore::Holding> out;
    out.reserve(held_.size());
    for (const auto& [id, held] : held_) out.push_back({held.grant, held.partition, held.fence, held.draining});
    return out;
}

void Assignee::check() const {
    std::uint32_t owned = 0;
    for (const auto& [id, held] : held_) {
        PARTI_ASSERT(id == held.partition.id());
        PARTI_ASSERT(held.fence <= accepted_);
        PARTI_ASSERT(held.draining || !held.regained);
        if (!held.draining) ++owned;
    }
    PARTI_ASSERT(owned == owned_);
    PARTI_ASSERT(applied_ <= accepted_);
}

}  // namespace parti::core
