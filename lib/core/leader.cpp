#include "core/leader.h"

#include <algorithm>

#include "base/assert.h"
#include "core/test_switch.h"

namespace parti::core {

LeaderPhase Leader::reported_phase() const {
    switch (phase_) {
        case Phase::off: return LeaderPhase::idle;
        case Phase::sealing: return LeaderPhase::sealing;
        case Phase::acting: break;
    }
    if (emergency_) return LeaderPhase::emergency;
    if (frozen_) return LeaderPhase::frozen;
    if (busy_ || (planner_.unfinished() && !planner_.settling())) return LeaderPhase::rebalancing;
    return planner_.settling() ? LeaderPhase::settling : LeaderPhase::idle;
}

bool Leader::settled() const {
    return phase_ == Phase::acting && !dirty_ && !busy_ && planner_.settled() && !planner_.unfinished() && !head_write_.busy();
}

void Leader::set_partitions(std::shared_ptr<const PartitionSet> partitions) {
    std::vector<std::vector<Revoking>> since(slots_.size());
    std::vector<std::vector<std::string>> names(slots_.size());
    // Indices change with the set: remember the versions by name.
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        for (const Revoking& item : slots_[n].revoking) {
            since[n].push_back(item);
            names[n].push_back((*planner_.partitions())[item.partition].id());
        }
    }
    planner_.set_partitions(std::move(partitions));
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        std::vector<Revoking> keep;
        for (std::size_t i = 0; i < names[n].size(); ++i) {
            if (const auto at = planner_.find(names[n][i])) keep.push_back({static_cast<std::uint32_t>(*at), since[n][i].since});
        }
        index(slots_[n], keep);
    }
    dirty_ = true;
}

void Leader::begin(Env& env, HeadRecord head, Revision revision) {
    PARTI_ASSERT(phase_ == Phase::off);
    head_ = std::move(head);
    head_revision_ = revision;
    head_write_.abandon();
    head_pending_.reset();
    version_ = 0;
    slots_.clear();
    slots_.resize(head_.slots);
    mass_failure_.begin();
    metrics_.begin();
    said_all_drained_ = false;
    frozen_ = false;
    highest_slot_wanted_ = head_.slots;
    phase_ = Phase::sealing;
    cautious_ = env.doubtful;
    dirty_ = true;
    busy_ = true;
    emergency_ = false;
    ++env.stats.leaderships;
    env.note(LogLevel::info,
             "leads epoch " + std::to_string(head_.epoch.value) + "; sealing " + std::to_string(head_.slots) + " records");
    if (cautious_) {
        env.note_error(Errc::wrong_revision, "the assignments went back or were lost; epoch " +
                                                 std::to_string(head_.epoch.value) +
                                                 " grants nothing before every session has acknowledged it or is dead");
    }
    env.again = true;
}

void Leader::end(Env& env, const std::string& why) {
    if (phase_ == Phase::off || PARTI_BROKEN(deposed_leader_goes_on)) return;
    const bool acting = phase_ == Phase::acting;
    phase_ = Phase::off;
    slots_.clear();
    slots_.shrink_to_fit();
    head_write_.abandon();
    head_pending_.reset();
    planner_.end();
    env.note(LogLevel::info, "no longer leads epoch " + std::to_string(head_.epoch.value) + ": " + why);
    if (acting) ++env.stats.leaderships_lost;
    if (acting) env.emit(LeadershipChanged{false, head_.epoch});
    env.again = true;
}

// ---- sealing ----------------------------------------------------------------------------------------------------------------

void Leader::seal(Env& env, Session& session) {
    bool open = false;
    major_ = env.view.common_major(env.speaks);
    for (std::size_t n = 0; n < slots_.size() && phase_ == Phase::sealing; ++n) {
        Slot& slot = slots_[n];
        slot.write.on_time(env);
        if (slot.sealed) continue;
        const SeenAssignment* as_seen =
            PARTI_BROKEN(no_sealing) ? env.view.assignment(WorkerNumber{static_cast<std::uint32_t>(n)}) : nullptr;
        if (as_seen != nullptr && as_seen->record) {
            slot.sealed = true;
            slot.record = as_seen->record;
            slot.revision = as_seen->revision;
            index(slot, {});
            continue;
        }
        open = true;
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        if (!slot.write.busy()) seal_slot(env, session, number, slot);
    }
    if (!open && phase_ == Phase::sealing) sealed(env);
}

void Leader::seal_slot(Env& env, Session& session, WorkerNumber number, Slot& slot) {
    const SeenAssignment* seen = env.view.assignment(number);
    AssignmentRecord record;
    if (seen != nullptr && seen->record) {
        if (seen->record->fence.epoch > head_.epoch && !PARTI_BROKEN(deposed_leader_goes_on)) {
            end(env,
                "record " + std::to_string(number.value) + " carries epoch " + std::to_string(seen->record->fence.epoch.value));
            return;
        }
        record = *seen->record;
        // An operator put an older one back since this leader stood: see Election::lost_history.
        const LeaseRecord* lease = Membership::living(env, number);
        if (lease != nullptr && lease->session == record.session && lease->applied > record.fence) cautious_ = true;
    } else if (seen != nullptr && seen->revision != 0) {  // an operator deleted it, or put something else there
        if (seen->unreadable && seen->unreadable->future) {
            env.note_error(Errc::future_record, "record worker." + std::to_string(number.value) +
                                                    " was written by a newer version of parti; this worker cannot lead");
            stand_again_at_ = env.now + env.config.timing.ttl;
            end(env, "a record of a newer version");
            return;
        }
        slot.unknown = !PARTI_BROKEN(unreadable_taken_as_empty);
        slot.unknown_since = env.now;
        if (const LeaseRecord* lease = Membership::living(env, number)) {
            record.incarnation = lease->incarnation;
            record.session = lease->session;
        }
        env.note_error(Errc::malformed_record, "record worker." + std::to_string(number.value) +
                                                   " is replaced by an empty one: " +
                                                   (seen->unreadable ? seen->unreadable->error.detail : "it was deleted"));
    }
    record.id = session.next_write_id();
    write_slot(env, number, slot, std::move(record), seen != nullptr ? seen->revision : 0);
}

void Leader::sealed(Env& env) {
    phase_ = Phase::acting;
    std::vector<Member> inherited;
    bool fresh = true;
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        const AssignmentRecord& record = *slots_[n].record;
        if (!record.partitions.empty() || !record.revoking.empty()) fresh = false;
        if (record.session.empty()) continue;
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        Member member{number, record.incarnation, 1, {}};
        if (const LeaseRecord* lease = Membership::living(env, number)) {
            member.capacity = lease->capacity;
            member.zone = lease->zone;
        }
        inherited.push_back(std::move(member));
    }
    if (PARTI_BROKEN(new_leader_starts_anew)) inherited.clear();
    planner_.begin(std::move(inherited), fresh || PARTI_BROKEN(new_leader_starts_anew), env.strategy->works_in_steps(),
                   head_.rebalanced);
    for (std::size_t n = 0; n < slots_.size() && !PARTI_BROKEN(new_leader_starts_anew); ++n) {
        const AssignmentRecord& record = *slots_[n].record;
        const WorkerNumber number{static_cast<std::uint32_t>(n)};
        if (Membership::fate(env, number, record.incarnation, record.session) == Fate::gone) continue;
        for (const std::uint32_t partition : slots_[n].owned) planner_.inherit(partition, number);
    }
    dirty_ = true;
    env.emit(LeadershipChanged{true, head_.epoch});
    env.note(LogLevel::info, "sealed epoch " + std::to_string(head_.epoch.value));
    env.again = true;
}

// ---- outcomes of writes -----------------------------------------------------------------------------------------------------

void Leader::write_slot(Env& env, WorkerNumber number, Slot& slot, AssignmentRecord record, Revision expected) {
    record.fence = {head_.epoch, ++version_};
    record.keep_only = cautious_ || slot.unknown;
    record.major = major_;
    slot.pending = std::make_shared<const AssignmentRecord>(std::move(record));
    CasWrite::Request request;
    request.bucket = Bucket::assignment;
    request.key = worker_key(number);
    request.expected = expected;
    request.id = slot.pending->id;
    request.record = slot.pending;
    request.attempt = env.write_attempt();
    slot.write.begin(env, std::move(request));
    ++env.stats.records_written;
}

// Both lists are ascending, as the record's are.
void Leader::index(Slot& slot, const std::vector<Revoking>& keep_since) {
    slot.owned.clear();
    slot.revoking.clear();
    slot.strangers = 0;
    if (!slot.record || !planner_.partitions()) return;
    for (const Partition& partition : slot.record->partitions) {
        if (const auto at = planner_.find(partition.id())) slot.owned.push_back(static_cast<std::uint32_t>(*at));
        else ++slot.strangers;
    }
    for (const Partition& partition : slot.record->revoking) {
        const auto at = planner_.find(partition.id());
        if (!at) continue;
        const auto old = std::lower_bound(keep_since.begin(), keep_since.end(), *at,
                                          [](const Revoking& item, std::size_t wanted) { return item.partition < wanted; });
        const Fence since = old != keep_since.end() && old->partition == *at ? old->since : slot.record->fence;
        slot.revoking.push_back({static_cast<std::uint32_t>(*at), since});
    }
}

void Leader::stored(Env& env, WorkerNumber number, Slot& slot, Revision revision) {
    const bool same_session = slot.record && slot.record->session == slot.pending->session;
    slot.record = std::move(slot.pending);
    slot.pending.reset();
    slot.revision = revision;
    slot.sealed = true;
    slot.overwritten = false;
    slot.confirmed_at = env.now;
    ++env.stats.records_confirmed;
    env.stats.publish_time += env.now - slot.write.first_sent();
    const std::vector<Revoking> before = same_session ? slot.revoking : std::vector<Revoking>{};
    index(slot, before);
    env.view.learn({Bucket::assignment, worker_key(number), revision, slot.record}, env.now);
    dirty_ = true;
    env.again = true;
}

void Leader::lost(Env& env, WorkerNumber number, Slot& slot, const CasWrite::Outcome& outcome) {
    if (PARTI_BROKEN(lost_write_not_retried) && slot.sealed) {
        if (slot.pending) stored(env, number, slot, slot.revision);
        return;
    }
    const AssignmentPtr meant = slot.pending;
    slot.pending.reset();
    dirty_ = true;
    env.again = true;
    if (!outcome.entry) return;
    if (PARTI_BROKEN(sealing_blind) && !slot.sealed && meant) {
        write_slot(env, number, slot, *meant, outcome.entry->revision);
        return;
    }
    env.view.learn(*outcome.entry, env.now);
    const auto* found = std::get_if<AssignmentPtr>(&outcome.entry->value);
    if (found != nullptr && (*found)->fence.epoch > head_.epoch && !PARTI_BROKEN(deposed_leader_goes_on)) {
        end(env,
            "record " + std::to_string(number.value) + " was written in epoch " + std::to_string((*found)->fence.epoch.value));
        return;
    }
    if (slot.sealed) {
        slot.revision = outcome.entry->revision;
        // The record as it is, written anew: so ends a write in chunks that another had begun (docs/PROTOCOL.md, "Large
        // records").
        if (found != nullptr && slot.record && (*found)->id == slot.record->id) return;
        slot.overwritten = true;
        env.note_error(Errc::malformed_record, "record worker." + std::to_string(number.value) +
                                                   " was changed by something that does not lead; writing it again");
    }
}

void Leader::outcome(Env& env, WorkerNumber number, Slot& slot, const CasWrite::Outcome& outcome) {
    if (outcome.kind == CasWrite::Kind::stored) stored(env, number, slot, outcome.revision);
    else lost(env, number, slot, outcome);
}

void Leader::head_outcome(Env& env, const CasWrite::Outcome& outcome) {
    dirty_ = true;
    env.again = true;
    if (outcome.kind == CasWrite::Kind::stored) {
        head_ = *head_pending_;
        head_revision_ = outcome.revision;
        ++env.stats.records_confirmed;
        env.stats.publish_time += env.now - head_write_.first_sent();
        head_pending_.reset();
        if (slots_.size() < head_.slots) slots_.resize(head_.slots);
        env.view.learn({Bucket::assignment, head_key(), head_revision_, std::make_shared<const HeadRecord>(head_)}, env.now);
        return;
    }
    head_pending_.reset();
    if (!outcome.entry) return;
    env.view.learn(*outcome.entry, env.now);
    if (std::holds_alternative<HeadPtr>(outcome.entry->value) && !PARTI_BROKEN(deposed_leader_goes_on)) {
        end(env, "head was written by another");
    } else {
        head_revision_ = outcome.entry->revision;  // removed, or junk: see write_head
    }
}

void Leader::on_answer(Env& env, Session& session, const WriteAnswered& answer) {
    (void)session;
    if (phase_ == Phase::off) return;
    dirty_ = true;
    if (const auto done = head_write_.on_answer(env, answer)) {
        head_outcome(env, *done);
        return;
    }
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        if (!slots_[n].write.busy()) continue;
        if (const auto done = slots_[n].write.on_answer(env, answer)) {
            outcome(env, WorkerNumber{static_cast<std::uint32_t>(n)}, slots_[n], *done);
            return;
        }
    }
}

void Leader::on_fetch(Env& env, Session& session, const FetchAnswered& answer) {
    (void)session;
    if (phase_ == Phase::off) return;
    dirty_ = true;
    if (const auto done = head_write_.on_fetch(env, answer)) {
        head_outcome(env, *done);
        return;
    }
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        if (!slots_[n].write.busy()) continue;
        if (const auto done = slots_[n].write.on_fetch(env, answer)) {
            outcome(env, WorkerNumber{static_cast<std::uint32_t>(n)}, slots_[n], *done);
            return;
        }
    }
}

void Leader::on_entry(Env& env, Session& session, const Entry& entry) {
    if (phase_ == Phase::off || entry.bucket != Bucket::assignment) return;
    if (entry.key.kind == Key::Kind::head) {
        if (const auto done = head_write_.on_entry(env, entry)) {
            head_outcome(env, *done);
            return;
        }
        const auto* head = std::get_if<HeadPtr>(&entry.value);
        if (head != nullptr && entry.revision > head_revision_ && (*head)->id.writer != session.id())
            end(env, "head names another leader");
        if (head == nullptr && entry.revision > head_revision_) dirty_ = true;
        return;
    }
    if (entry.key.kind == Key::Kind::control) dirty_ = true;
    if (entry.key.kind != Key::Kind::worker || entry.key.number.value >= slots_.size()) return;
    Slot& slot = slots_[entry.key.number.value];
    if (slot.write.busy()) {
        if (const auto done = slot.write.on_entry(env, entry)) outcome(env, entry.key.number, slot, *done);
        return;
    }
    if (!slot.sealed || (entry.revision != 0 && entry.revision <= slot.revision)) return;
    const auto* record = std::get_if<AssignmentPtr>(&entry.value);
    if (record != nullptr && (*record)->id.writer == session.id()) return;
    lost(env, entry.key.number, slot, {CasWrite::Kind::lost, entry.revision, entry});
}

bool Leader::acknowledged(const Env& env, WorkerNumber number, const AssignmentRecord& record, Fence since) const {
    if (PARTI_BROKEN(own_worker_shortcut) && record.session == head_.leader.session) return true;
    const SeenLease* lease = env.view.lease(number);
    return lease != nullptr && lease->record && lease->record->session == record.session && lease->record->applied >= since &&
           lease->record->applied.epoch <= head_.epoch;
}

void Leader::check(const Env& env) const {
    if (phase_ != Phase::acting || !planner_.partitions()) return;
    for (std::size_t n = 0; n < slots_.size(); ++n) {
        const Slot& slot = slots_[n];
        if (!slot.record || slot.record->session.empty()) continue;
        const LeaseRecord* lease = Membership::living(env, WorkerNumber{static_cast<std::uint32_t>(n)});
        if (lease == nullptr || lease->session != slot.record->session) continue;
        PARTI_ASSERT(slot.record->fence.epoch == head_.epoch);
        PARTI_ASSERT(slot.record->fence.version <= version_);
    }
    PARTI_ASSERT(slots_.size() <= head_.slots);
}

}  // namespace parti::core
