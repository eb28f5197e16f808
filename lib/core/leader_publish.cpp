// Leader, second half: what an acting leader does with what it knows - members, plan, records, head, time limits.
#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

#include "base/assert.h"
#include "core/leader.h"
#include "core/test_switch.h"

namespace parti::core {

namespace {

constexpr std::size_t kSlotsSmall = 64;

// Sorted union; where both have a partition, `a` decides its weight.
std::vector<Partition> merge(const std::vector<Partition>& a, const std::vector<Partition>& b) {
    std::vector<Partition> out;
    out.reserve(a.size() + b.size());
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
    return out;
}

bool drains(const std::set<std::string_view>& drain, const LeaseRecord& lease) {
    if (drain.empty()) return false;
    return drain.contains(to_string(lease.session)) || (!lease.instance.empty() && drain.contains(lease.instance));
}

}  // namespace

// Who may own: the living who want to, but for those whom operators drain. When they drain everybody, things stay as they are.
std::vector<Member> Leader::members(Env& env, const Session& session) {
    const ControlRecord& control = env.view.control();
    frozen_ = control.frozen;
    const std::set<std::string_view> drain(control.drain.begin(), control.drain.end());
    bool anybody_drained = false;
    std::vector<Member> out;
    for (const auto& [number, seen] : env.view.leases()) {
        const LeaseRecord* lease = Membership::living(env, number);
        if (PARTI_BROKEN(plans_for_the_dead) && seen.record) lease = seen.record.get();
        if (lease == nullptr || (lease->state != LeaseState::live && !PARTI_BROKEN(plans_for_the_dead))) continue;
        const bool own = number == session.number();
        if (own && (lease->session != session.id() || !session.steady())) continue;
        if (drains(drain, *lease)) {
            anybody_drained = true;
            continue;
        }
        out.push_back({number, lease->incarnation, lease->capacity, lease->zone});
    }
    const bool all_drained = out.empty() && anybody_drained;
    if (all_drained && !said_all_drained_)
        env.note_error(Errc::not_ready, "every worker is being drained; the partitions stay where they are");
    said_all_drained_ = all_drained;
    return out;
}

// Death is a write: every session that has been silent for too long, and every one that a record names and that has no lease any
// more.
void Leader::suspects(Env& env, Session& session, Membership& membership) {
    const Duration patience = mass_failure_.patience(env, session.number());
    for (const auto& [number, seen] : env.view.leases()) {
        if (Membership::living(env, number) != nullptr) {
            (void)membership.suspect(env, session, number, seen.record->incarnation, seen.record->session, patience);
        }
    }
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        const Slot& slot = slots_[n];
        if (!slot.record || slot.record->session.empty()) continue;
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        const SeenLease* lease = env.view.lease(number);
        if (lease != nullptr && lease->unreadable) continue;
        if (lease != nullptr && lease->record &&
            Membership::fate(env, number, slot.record->incarnation, slot.record->session) != Fate::behind) {
            continue;
        }
        (void)membership.suspect(env, session, number, slot.record->incarnation, slot.record->session, patience);
    }
}

// Every living session has acknowledged a record of this epoch: it holds nothing that these records do not say. A session whose
// lease was removed or overwritten cannot renew it, and has ended when that was seen for long enough.
bool Leader::everyone_heard(Env& env) const {
    for (const auto& [number, seen] : env.view.leases()) {
        if (!seen.record && !env.due(seen.first_seen + env.silence(nullptr))) return false;
        const LeaseRecord* lease = Membership::living(env, number);
        if (lease == nullptr) continue;
        if (number.value >= slots_.size()) return false;
        const Slot& slot = slots_[number.value];
        if (!slot.record || slot.record->session != lease->session || lease->applied.epoch != head_.epoch) return false;
    }
    return true;
}

// A worker has seen an epoch above this one, which head does not know: another history. Stand again, above it.
bool Leader::overtaken(Env& env) {
    for (const auto& [number, seen] : env.view.leases()) {
        const LeaseRecord* lease = Membership::living(env, number);
        if (lease == nullptr || (lease->floor <= head_.epoch && lease->applied.epoch <= head_.epoch)) continue;
        end(env, "worker " + std::to_string(number.value) + " knows epoch " +
                     std::to_string(std::max(lease->floor, lease->applied.epoch).value));
        return true;
    }
    return false;
}

// Per partition: somebody may still hold it, or be about to.
std::vector<bool> Leader::blocked(Env& env) {
    std::vector<bool> out(planner_.partitions()->size(), false);
    if (cautious_ && everyone_heard(env)) {
        cautious_ = false;
        env.doubtful = false;
        env.note(LogLevel::info,
                 "every session has acknowledged epoch " + std::to_string(head_.epoch.value) + "; granting again");
    }
    if (cautious_) std::fill(out.begin(), out.end(), true);
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        Slot& slot = slots_[n];
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        if (slot.unknown && slot.record && slot.record->session.empty()) {
            // Nobody holds its lease visibly: a session that does cannot renew it, and has ended by then.
            if (env.due(slot.unknown_since + env.silence(nullptr))) slot.unknown = false;
            else std::fill(out.begin(), out.end(), true);
        } else if (slot.record && Membership::fate(env, number, slot.record->incarnation, slot.record->session) != Fate::gone) {
            if (PARTI_BROKEN(grant_without_waiting)) continue;
            for (const std::uint32_t partition : slot.owned) out[partition] = true;
            for (const Revoking& item : slot.revoking) {
                if (PARTI_BROKEN(acknowledgement_not_awaited)) break;
                if (!acknowledged(env, number, *slot.record, item.since)) out[item.partition] = true;
            }
            if (slot.unknown) {
                if (acknowledged(env, number, *slot.record, slot.record->fence)) slot.unknown = false;
                else std::fill(out.begin(), out.end(), true);
            }
        } else {
            slot.unknown = false;
        }
        if (!slot.write.busy() || PARTI_BROKEN(grant_while_unanswered)) continue;
        for (const std::vector<Partition>* list : {&slot.pending->partitions, &slot.pending->revoking}) {
            for (const Partition& partition : *list) {
                if (const auto at = planner_.find(partition.id())) out[*at] = true;
            }
        }
    }
    return out;
}

// Records of one history list a partition once. An operator may have put an old one back while nobody led: it is sealed as
// `keep_only`, and before it gives anything, what another record lists as well is taken away from it.
void Leader::find_doubly_listed(Env& env) {
    doubly_.assign(planner_.partitions()->size(), false);
    const bool any =
        std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.record && slot.record->keep_only; });
    if (!any) return;
    std::vector<bool> listed(doubly_.size(), false);
    const auto list = [&](std::uint32_t partition) {
        if (listed[partition]) doubly_[partition] = true;
        listed[partition] = true;
    };
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        const Slot& slot = slots_[n];
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        if (!slot.record || Membership::fate(env, number, slot.record->incarnation, slot.record->session) == Fate::gone) continue;
        for (const std::uint32_t partition : slot.owned) list(partition);
        for (const Revoking& item : slot.revoking) {
            if (!acknowledged(env, number, *slot.record, item.since)) list(item.partition);
        }
    }
}

// What a living, willing holder keeps and loses. True when it loses something.
bool Leader::keep_and_revoke(const Env& env, WorkerNumber number, const Slot& slot, bool gains, AssignmentRecord& next) const {
    std::vector<Partition> lost;
    for (std::size_t i = 0; i < slot.record->partitions.size(); ++i) {
        const Partition& partition = slot.record->partitions[i];
        const auto at = slot.strangers == 0 ? std::optional<std::size_t>(slot.owned[i]) : planner_.find(partition.id());
        const bool doubtful = at && gains && doubly_[*at];
        if (at && !doubtful && planner_.target(*at) == std::int64_t{number.value}) {
            next.partitions.push_back((*planner_.partitions())[*at]);
        } else {
            lost.push_back(partition);
        }
    }
    std::vector<Partition> open;
    auto known = slot.revoking.begin();  // in the same order
    for (const Partition& partition : slot.record->revoking) {
        const auto at = planner_.find(partition.id());
        Fence since = slot.record->fence;
        if (at && known != slot.revoking.end() && known->partition == *at) since = (known++)->since;
        if (!acknowledged(env, number, *slot.record, since) && !PARTI_BROKEN(revoking_dropped_early)) open.push_back(partition);
    }
    next.revoking = merge(lost, open);
    return !lost.empty();
}

void Leader::publish(Env& env, Session& session, WorkerNumber number, Slot& slot, const std::vector<std::uint32_t>& gains) {
    const LeaseRecord* lease = Membership::living(env, number);
    const bool willing =
        lease != nullptr && lease->state == LeaseState::live && env.view.current(Bucket::lease, worker_key(number));
    const bool addressed = slot.record && !slot.record->session.empty();
    const Fate fate = addressed ? Membership::fate(env, number, slot.record->incarnation, slot.record->session) : Fate::gone;
    // A worker that leaves or is being evicted is left alone: what it holds comes free with its session.
    if (fate == Fate::behind || (lease != nullptr && !willing) || (fate == Fate::alive && !willing)) return;
    AssignmentRecord next;
    const bool kept_only = slot.record && slot.record->keep_only && !cautious_ && !slot.unknown && fate == Fate::alive;
    bool write = slot.overwritten || kept_only || (slot.record && slot.record->major != major_);
    if (fate == Fate::alive) {
        next.incarnation = slot.record->incarnation;
        next.session = slot.record->session;
        if (keep_and_revoke(env, number, slot, kept_only, next)) {
            env.stats.moved_partitions += slot.record->partitions.size() - next.partitions.size();
            write = true;
        }
    } else if (willing) {
        next.incarnation = lease->incarnation;
        next.session = lease->session;
        write = true;
    } else if (addressed) {
        next.incarnation = slot.record->incarnation;  // it is gone; leave nothing in its name
        next.session = slot.record->session;
        write = write || !slot.record->partitions.empty() || !slot.record->revoking.empty();
    }
    if (willing && !gains.empty()) {
        std::vector<Partition> gained;
        gained.reserve(gains.size());
        for (const std::uint32_t partition : gains) gained.push_back((*planner_.partitions())[partition]);
        next.partitions = merge(next.partitions, gained);
        write = true;
    }
    if (!write) return;
    const SeenAssignment* seen = env.view.assignment(number);
    const Revision expected = slot.record ? slot.revision : (seen != nullptr ? seen->revision : 0);
    next.id = session.next_write_id();
    write_slot(env, number, slot, std::move(next), expected);
}

std::vector<WorkerNumber> Leader::choose_standbys(Env& env, const Session& session, const std::vector<Member>& members) const {
    // Two, in other processes than the leader's and each other's where there are any: one killed process must not take all three.
    std::vector<WorkerNumber> out;
    std::vector<std::uint64_t> processes = {env.process};
    for (const bool insist : {true, false}) {
        for (const Member& member : members) {
            if (out.size() == 2 || member.number == session.number()) continue;
            if (std::find(out.begin(), out.end(), member.number) != out.end()) continue;
            const std::uint64_t process = env.view.lease(member.number)->record->process;
            if (insist && std::find(processes.begin(), processes.end(), process) != processes.end()) continue;
            out.push_back(member.number);
            processes.push_back(process);
        }
    }
    return out;
}

void Leader::write_head(Env& env, Session& session, const std::vector<Member>& members) {
    if (head_write_.busy()) return;
    HeadRecord next = head_;
    next.slots = static_cast<std::uint32_t>(std::max<std::uint64_t>(head_.slots, highest_slot_wanted_));
    next.standbys = choose_standbys(env, session, members);
    next.major = major_;
    next.rebalanced = planner_.carried_out();
    next.partition_count = planner_.partitions() ? planner_.partitions()->size() : head_.partition_count;
    const SeenHead& seen = env.view.head();
    const bool removed = seen.revision >= head_revision_ && !seen.record;
    if (removed && seen.unreadable) {
        if (next.slots > head_.slots)
            env.note_error(Errc::malformed_record, "head is unreadable; new workers cannot be served until it is removed");
        return;  // not ours to overwrite
    }
    if (next == head_ && !removed) return;
    if (removed) head_revision_ = seen.revision;
    next.id = session.next_write_id();
    ++next.version;
    CasWrite::Request request;
    request.bucket = Bucket::assignment;
    request.key = head_key();
    request.expected = head_revision_;
    request.id = next.id;
    request.record = std::make_shared<const HeadRecord>(next);
    request.attempt = env.write_attempt();
    if (PARTI_BROKEN(slots_before_head) && slots_.size() < next.slots) slots_.resize(next.slots);
    head_pending_ = std::move(next);
    head_write_.begin(env, std::move(request));
}

void Leader::time_limits(Env& env, Session& session, Membership& membership) {
    std::optional<Instant> oldest;
    std::string refusal;
    const auto older = [&](const CasWrite& write) {
        if (!write.busy() || (oldest && write.first_sent() >= *oldest)) return;
        oldest = write.first_sent();
        refusal = write.last_refusal();
    };
    older(head_write_);
    for (const Slot& slot : slots_) older(slot.write);
    const Timing& timing = env.config.timing;
    if (oldest && env.due(*oldest + timing.leader_publish_timeout)) {
        env.note_error(Errc::timeout, "a write of the leader has been unanswered for leader_publish_timeout; it steps down" +
                                          (refusal.empty() ? std::string() : "; the last attempt: " + refusal));
        stand_again_at_ = env.now + timing.ttl;
        end(env, "cannot publish");
        return;
    }
    if (mass_failure_.waiting()) return;  // who cannot be heard cannot acknowledge
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        const Slot& slot = slots_[n];
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        if (!slot.record || slot.record->session.empty() || acknowledged(env, number, *slot.record, slot.record->fence)) continue;
        const LeaseRecord* lease = Membership::living(env, number);
        if (lease == nullptr || lease->session != slot.record->session || lease->state != LeaseState::live) continue;
        // A loser may use its whole drain timeout before it acknowledges. What a record of a doubtful history takes away, it does
        // not say.
        const bool may_lose = !slot.record->revoking.empty() || slot.record->keep_only;
        const Duration limit = timing.grant_timeout + (may_lose ? timing.drain_timeout : Duration::zero());
        if (!env.due(slot.confirmed_at + limit) || number == session.number()) continue;
        membership.evict(env, session, number,
                         "worker " + std::to_string(n) + " has not acknowledged version " +
                             std::to_string(slot.record->fence.version) + " in time; evicting it");
    }
}

void Leader::reconcile(Env& env, Session& session) {
    major_ = env.view.common_major(env.speaks);
    const std::vector<Member> present = members(env, session);
    const bool was_busy = busy_;
    for (const auto& [number, seen] : env.view.leases()) {
        const LeaseRecord* lease = Membership::living(env, number);
        if (lease != nullptr)
            highest_slot_wanted_ = std::max<std::uint64_t>(highest_slot_wanted_, std::uint64_t{number.value} + 1);
    }
    if (planner_.partitions()) {
        (void)planner_.advance(env, present, !busy_);
        const std::vector<bool> held = blocked(env);
        find_doubly_listed(env);
        std::vector<std::vector<std::uint32_t>> gains(slots_.size());
        for (std::size_t i = 0; i < held.size(); ++i) {
            const std::int64_t owner = planner_.target(i);
            if (!held[i] && owner >= 0 && static_cast<std::size_t>(owner) < slots_.size()) {
                gains[static_cast<std::size_t>(owner)].push_back(static_cast<std::uint32_t>(i));
            }
        }
        for (std::size_t n = 0; n < slots_.size(); ++n) {
            if (!slots_[n].write.busy()) publish(env, session, WorkerNumber{static_cast<std::uint32_t>(n)}, slots_[n], gains[n]);
        }
    }
    write_head(env, session, present);
    busy_ = head_write_.busy();
    emergency_ = false;
    std::vector<bool> placed(planner_.partitions() ? planner_.partitions()->size() : 0, false);
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        const Slot& slot = slots_[n];
        if (slot.write.busy()) busy_ = true;
        if (!slot.record || slot.record->session.empty()) continue;
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        if (Membership::fate(env, number, slot.record->incarnation, slot.record->session) == Fate::gone) continue;
        if (!acknowledged(env, number, *slot.record, slot.record->fence)) busy_ = true;
        if (slot.strangers > 0) busy_ = true;
        for (const std::uint32_t partition : slot.owned) placed[partition] = true;
    }
    const auto orphaned = static_cast<std::uint64_t>(std::count(placed.begin(), placed.end(), false));
    if (orphaned > 0) {
        busy_ = true;
        emergency_ = planner_.settled() && present.empty();
    }
    metrics_.look(env, present, placed.size(), orphaned, busy_);
    if (was_busy && !busy_ && planner_.unfinished()) {  // the next step of the plan may be due
        dirty_ = true;
        env.again = true;
    }
}

void Leader::advance(Env& env, Session& session, Membership& membership) {
    if (phase_ == Phase::off) return;
    if (!session.steady() && !PARTI_BROKEN(deposed_leader_goes_on)) {
        end(env, "its session has ended or is ending");
        return;
    }
    if (!env.view.wide()) return;  // a watch is being read again
    // Nothing new and no time come: a leader of many workers hears a renewal every few milliseconds.
    if (!dirty_ && env.now < next_look_) {
        env.wake_at(next_look_);
        return;
    }
    // A look is at every record. In a large group what happens meanwhile waits for the next one.
    if (slots_.size() > kSlotsSmall) {
        const Instant earliest = last_look_ + std::chrono::microseconds(10) * slots_.size();
        if (env.now < earliest) {
            env.wake_at(earliest);
            return;
        }
        last_look_ = env.now;
    }
    dirty_ = false;
    const Instant before = env.wake;
    env.wake = Instant::max();
    head_write_.on_time(env);
    if (overtaken(env)) return;
    if (phase_ == Phase::sealing) seal(env, session);
    if (phase_ == Phase::acting) {
        for (Slot& slot : slots_) slot.write.on_time(env);
        suspects(env, session, membership);
        reconcile(env, session);
    }
    if (phase_ != Phase::off) time_limits(env, session, membership);
    next_look_ = env.wake;
    env.wake_at(before);
}

}  // namespace parti::core
