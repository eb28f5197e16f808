// Invariants, second half: what is judged by the records that the store holds, in its order.
#include <algorithm>
#include <utility>

#include "testutil/invariants.h"

namespace parti::testutil {

// ---- records ----------------------------------------------------------------------------------------------------------------

void Invariants::lease_stored(Nanos now, WorkerNumber number, Revision revision, const LeaseRecord& record) {
    const auto [it, fresh] = leases_.try_emplace(number.value);
    LastLease& last = it->second;
    const bool ended = record.state != LeaseState::live && record.state != LeaseState::draining;
    if (!fresh && !(leases_lost_at_ && now <= leases_notice_until_)) {
        const std::string what = "lease of worker." + std::to_string(number.value) + " at revision " + std::to_string(revision);
        if (record.incarnation < last.incarnation) {
            report(now, Promise::p1_numbers,
                   what + " goes back from incarnation " + std::to_string(last.incarnation.value) + " to " +
                       std::to_string(record.incarnation.value));
        } else if (record.incarnation == last.incarnation && record.session != last.session) {
            report(now, Promise::p1_numbers,
                   what + ": incarnation " + std::to_string(record.incarnation.value) + " has a second session");
        } else if (record.incarnation == last.incarnation && last.ended && !ended) {
            report(now, Promise::p1_numbers,
                   what + ": incarnation " + std::to_string(record.incarnation.value) + " is renewed although it has ended");
        }
    }
    const bool over = last.state == LeaseState::released || last.state == LeaseState::dead;
    if (trust_ && !fresh && !over && record.session != last.session && !record.instance.empty() &&
        record.instance == last.instance) {
        const auto old =
            std::find_if(workers_.begin(), workers_.end(), [&](const Worker& w) { return !w.gone && w.id == last.session; });
        if (old != workers_.end()) {
            old->taken_over = true;
            ++takeovers_;
        } else {
            taken_before_start_ = last.session;
        }
    }
    last = {record.incarnation, record.session, ended, record.instance, record.state};
}

void Invariants::head_stored(Nanos now, Revision revision, const HeadRecord& record) {
    if (head_ && !(lost_at_ && now <= notice_until_)) {
        const std::string what = "head at revision " + std::to_string(revision);
        if (record.epoch < head_->epoch) {
            report(now, Promise::p2_order,
                   what + " goes back from epoch " + std::to_string(head_->epoch.value) + " to " +
                       std::to_string(record.epoch.value));
        } else if (record.epoch == head_->epoch && record.leader.session != head_->leader) {
            report(now, Promise::p2_order, what + ": epoch " + std::to_string(record.epoch.value) + " has a second leader");
        } else if (record.epoch == head_->epoch && record.version <= head_->version) {
            report(now, Promise::p2_order,
                   what + " carries version " + std::to_string(record.version) + " after " + std::to_string(head_->version));
        }
    }
    head_ = LastHead{record.epoch, record.version, record.leader.session};
}

void Invariants::stored(Nanos now, WorkerNumber number, Revision revision, const AssignmentRecord& record) {
    torn_.erase(number.value);
    auto& history = history_[number.value];
    const auto before = std::find_if(history.rbegin(), history.rend(), [](const Written& w) { return !w.lost; });
    // The very same record again, at a new revision: so ends a write in chunks that somebody else has begun.
    if (before != history.rend() && record.fence == before->fence && record.id == before->id) return;
    // A write that was on its way when the store lost its tail may fit by chance: nobody may apply it (P-7), and it is written
    // over.
    const bool from_before = lost_at_ && now <= notice_until_;
    if (sealed_ && record.fence.epoch < *sealed_ && !from_before) {
        report(now, Promise::p2_order,
               "record of worker." + std::to_string(number.value) + " at revision " + std::to_string(revision) + " carries " +
                   text_of(record.fence) + " although epoch " + std::to_string(sealed_->value) + " was sealed before");
    }
    if (before != history.rend() && record.fence <= before->fence && !from_before) {
        report(now, Promise::p2_order,
               "record of worker." + std::to_string(number.value) + " at revision " + std::to_string(revision) + " carries " +
                   text_of(record.fence) + ", not above the " + text_of(before->fence) + " before it");
    }
    history.push_back(
        {record.id, record.fence, revision, false, record.session, now, record.incarnation, false, indices(record.partitions)});
}

std::vector<std::uint32_t> Invariants::indices(const std::vector<Partition>& partitions) {
    std::vector<std::uint32_t> out;
    out.reserve(partitions.size());
    for (const Partition& p : partitions) out.push_back(index(p.id()));
    std::sort(out.begin(), out.end());
    return out;
}

void Invariants::told(Nanos now, WorkerId worker, const AssignmentRecord& record) {
    Worker& w = workers_[worker];
    if (!w.session || record.session != w.id || (w.told && record.fence <= w.told->fence)) return;
    w.told = Told{record.fence, now, indices(record.partitions)};
}

void Invariants::check_told(Nanos now, const Worker& worker) {
    if (!worker.session || !worker.told || now < worker.told->at + kSecond || records_lost_at_ != 0) return;
    for (const Held& held : worker.held) {
        if (!held.current || held.revoked || held.fence >= worker.told->fence) continue;
        if (std::binary_search(worker.told->partitions.begin(), worker.told->partitions.end(), held.partition)) continue;
        report(now, Promise::p2_order,
               worker.name + " owns " + partitions_[held.partition].name + " " + text_of(held.fence) + " although it heard of " +
                   text_of(worker.told->fence) + " for it, which does not list it, " +
                   std::to_string((now - worker.told->at) / kMilli) + " ms ago");
    }
}

const Invariants::Written* Invariants::find(WorkerNumber number, Fence fence, const SessionId* session,
                                            std::optional<std::uint32_t> partition) const {
    const auto it = history_.find(number.value);
    if (it == history_.end()) return nullptr;
    const Written* found = nullptr;
    for (auto w = it->second.rbegin(); w != it->second.rend(); ++w) {
        if (w->fence != fence) continue;
        if (session == nullptr) return &*w;
        const bool lists = !partition || std::binary_search(w->partitions.begin(), w->partitions.end(), *partition);
        if (w->session == *session && lists) return &*w;
        if (found == nullptr) found = &*w;
        if (!lost_at_) break;
    }
    return found;
}

// ---- what the newest records say --------------------------------------------------------------------------------------------

void Invariants::record_void(WorkerNumber number) {
    const auto history = history_.find(number.value);
    if (history == history_.end()) return;
    for (Written& w : history->second) w.removed = true;
}

void Invariants::sealed(Nanos now, Epoch epoch) {
    if (after_a_loss(now)) return;  // it may be of the history that was lost
    sealed_ = sealed_ ? std::max(*sealed_, epoch) : epoch;
}

std::optional<Epoch> Invariants::leads(SessionId session) const {
    if (!head_ || head_->leader != session) return std::nullopt;
    return head_->epoch;
}

const Invariants::Written* Invariants::newest(std::uint32_t number) const {
    const auto history = history_.find(number);
    if (history == history_.end()) return nullptr;
    const auto last = std::find_if(history->second.rbegin(), history->second.rend(), [](const Written& w) { return !w.lost; });
    return last == history->second.rend() || last->removed ? nullptr : &*last;
}

std::vector<Invariants::Kept> Invariants::kept() const {
    std::vector<Kept> out;
    // What two records list, because an operator put an old one back, is nobody's.
    std::vector<std::uint32_t> listed(partitions_.size(), 0);
    for (const auto& [number, history] : history_) {
        const Written* record = newest(number);
        if (record == nullptr) continue;
        for (const std::uint32_t partition : record->partitions) ++listed[partition];
    }
    for (const auto& [number, lease] : leases_) {
        const Written* record = newest(number);
        if (lease.state != LeaseState::live || record == nullptr || record->session != lease.session) continue;
        for (const std::uint32_t partition : record->partitions) {
            if (listed[partition] == 1) out.push_back({WorkerNumber{number}, partitions_[partition].name});
        }
    }
    return out;
}

// a claim goes above the incarnation that the assignment record names, also when the lease record is gone.
void Invariants::check_incarnation(Nanos now, const Worker& worker, Incarnation incarnation) {
    const Written* record = newest(worker.number.value);
    if (records_seen_within_ == 0 || record == nullptr || record->session.empty() || record->session == worker.id) return;
    if (now < record->at + records_seen_within_ || (records_lost_at_ != 0 && now < records_lost_at_ + records_seen_within_))
        return;
    if (incarnation > record->incarnation) return;
    report(now, Promise::p1_numbers,
           worker.name + " holds number " + std::to_string(worker.number.value) + " as incarnation " +
               std::to_string(incarnation.value) + " although its assignment record has long named incarnation " +
               std::to_string(record->incarnation.value) + " of another session");
}

}  // namespace parti::testutil
