#include "testutil/invariants.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace parti::testutil {

std::string text_of(Fence fence) { return "(" + std::to_string(fence.epoch.value) + "," + std::to_string(fence.version) + ")"; }

std::string_view to_string(Promise promise) {
    switch (promise) {
        case Promise::p1_numbers: return "P-1";
        case Promise::p2_order: return "P-2";
        case Promise::p3_owners: return "P-3";
        case Promise::p4_coverage: return "P-4";
        case Promise::p5_untouched: return "P-5";
        case Promise::p6_movement: return "P-6";
        case Promise::p12_visible: return "P-12";
        case Promise::p7_versions: return "P-7";
        case Promise::tokens: return "tokens";
        case Promise::work: return "work";
        case Promise::other: break;
    }
    return "other";
}

void Invariants::report(Nanos now, Promise promise, std::string text) {
    if (!violation_) violation_ = Violation{promise, now, std::move(text)};
}

Invariants::WorkerId Invariants::worker_made(std::string name) {
    workers_.emplace_back();
    workers_.back().name = std::move(name);
    return static_cast<WorkerId>(workers_.size() - 1);
}

void Invariants::worker_gone(Nanos now, WorkerId worker) {
    Worker& w = workers_[worker];
    if (w.session) session_ended(now, worker);
    for (const Held& held : w.held) drop(held, worker);
    w.held.clear();
    w.gone = true;
}

void Invariants::leaving(WorkerId worker) { workers_[worker].leaving = true; }

void Invariants::relinquishing(Nanos now, WorkerId worker, Nanos budget) {
    Worker& w = workers_[worker];
    if (!w.session || w.relinquishing) return;
    w.relinquishing = true;
    if (!leases_lost_at_ && now < w.deadline - budget) {
        report(now, Promise::p5_untouched,
               w.name + " gives everything back " + std::to_string((w.deadline - now) / kMilli) +
                   " ms before its deadline, allowed are " + std::to_string(budget / kMilli) + " ms");
    }
}

std::uint32_t Invariants::index(std::string_view partition) {
    const auto it = indices_.find(partition);
    if (it != indices_.end()) return it->second;
    const auto i = static_cast<std::uint32_t>(partitions_.size());
    partitions_.push_back({std::string(partition), {}, std::nullopt, {}});
    indices_.emplace(std::string(partition), i);
    return i;
}

bool Invariants::counts(Nanos now, const Worker& worker, const Held& held) const {
    return ignore_deadlines_ || keep_ || now < deadline_of(worker, held);
}

void Invariants::drop(const Held& held, WorkerId worker) {
    auto& holders = partitions_[held.partition].holders;
    const auto it = std::find(holders.begin(), holders.end(), worker);
    PARTI_ASSERT(it != holders.end());
    holders.erase(it);
    if (holders.size() == 1) --contested_;
}

// ---- sessions ---------------------------------------------------------------------------------------------------------------

void Invariants::session_started(Nanos now, WorkerId worker, WorkerNumber number, Incarnation incarnation, SessionId session,
                                 Nanos deadline) {
    Worker& w = workers_[worker];
    if (w.session) report(now, Promise::other, w.name + " starts a session without having ended its last one");
    w.session = true;
    w.relinquishing = false;
    w.number = number;
    w.id = session;
    w.deadline = deadline;
    w.applied = {};
    w.told.reset();
    if (taken_before_start_ == session) w.taken_over = true;
    numbers_[number.value].push_back(worker);
    check_number(now, worker);
    check_incarnation(now, w, incarnation);
}

void Invariants::session_extended(Nanos now, WorkerId worker, Nanos deadline) {
    Worker& w = workers_[worker];
    if (!w.session) {
        report(now, Promise::other, w.name + " extends a session that has ended");
        return;
    }
    if (!alive(now, w) && !keep_) {
        report(now, Promise::p1_numbers, w.name + " extends its session after its deadline");
    }
    w.deadline = deadline;
    check_number(now, worker);
    if (contested_ == 0) return;
    for (const Held& held : w.held) check_partition(now, held.partition);
}

void Invariants::session_ended(Nanos now, WorkerId worker) {
    Worker& w = workers_[worker];
    (void)now;
    if (!w.session) return;
    w.session = false;
    std::erase(numbers_[w.number.value], worker);
    for (Held& held : w.held) {
        if (!held.current) continue;
        held.current = false;
        held.deadline = w.deadline;
    }
}

void Invariants::check_number(Nanos now, WorkerId worker) {
    const Worker& w = workers_[worker];
    const auto& holders = numbers_[w.number.value];
    if (holders.size() < 2) return;
    for (const WorkerId other : holders) {
        const Worker& o = workers_[other];
        if (other == worker || !alive(now, o) || !alive(now, w) || excused(now, {&o, o.deadline}, {&w, w.deadline})) continue;
        report(now, Promise::p1_numbers,
               "number " + std::to_string(w.number.value) + " is held by " + w.name + " and by " + o.name + " (until " +
                   std::to_string(o.deadline) + " ns)");
    }
}

// ---- a store that forgets ---------------------------------------------------------------------------------------------------

void Invariants::lost(Nanos now, Bucket bucket, Revision kept, Nanos notice, Nanos lease) {
    lost_at_ = now;
    loss_shows(now, bucket, notice);
    if (bucket == Bucket::lease) {
        leases_lost_at_ = now;
        lease_until_ = std::max(lease_until_, now + lease);
        leases_.clear();
        return;
    }
    records_lost_at_ = now;
    head_.reset();
    sealed_.reset();
    for (auto& [number, history] : history_) {
        for (Written& w : history) w.lost = w.lost || w.revision > kept;
    }
    for (PartitionState& state : partitions_) state.last = {};
}

void Invariants::loss_shows(Nanos now, Bucket bucket, Nanos notice) {
    notice_until_ = std::max(notice_until_, now + notice);
    if (bucket == Bucket::lease) leases_notice_until_ = std::max(leases_notice_until_, now + notice);
}

bool Invariants::excused(Nanos now, Claim one, Claim other) {
    if (trust_ && (one.worker->taken_over || other.worker->taken_over)) return true;
    if (!leases_lost_at_) return false;
    if (now > leases_notice_until_ && one.until > lease_until_ && other.until > lease_until_) return false;
    ++doubles_;
    const auto index_of = [&](const Worker* w) { return static_cast<std::size_t>(w - workers_.data()); };
    if (last_error_ < *leases_lost_at_) unreported_ = Unreported{index_of(one.worker), index_of(other.worker), *leases_lost_at_};
    return true;
}

// ---- holdings ---------------------------------------------------------------------------------------------------------------

void Invariants::granted(Nanos now, WorkerId worker, std::uint64_t grant, std::string_view partition, Fence fence) {
    Worker& w = workers_[worker];
    const std::uint32_t p = index(partition);
    PartitionState& state = partitions_[p];
    const std::string what = state.name + " " + text_of(fence) + " to " + w.name;
    ++grants_;
    if (!w.session) {
        report(now, Promise::tokens, "grant of " + what + " outside a session");
    } else if (!alive(now, w) && !keep_) {
        report(now, Promise::tokens, "grant of " + what + " after the session's deadline");
    }
    if (w.relinquishing) report(now, Promise::tokens, "grant of " + what + " while it gives everything back");
    // A loss makes histories begin anew: until it is noticed a deposed leader may write into the new one, and a record whose
    // chunks were just forgotten is known to its writer alone. P-7 and the judgement of owners hold all the same.
    const bool excused_now = after_a_loss(now);
    const Written* record = find(w.number, fence, &w.id, p);
    if (record == nullptr) {
        if (!excused_now) {
            report(now, Promise::p2_order,
                   "grant of " + what + ": the store never held such a record of worker." + std::to_string(w.number.value));
        }
    } else if (record->session != w.id) {
        if (!excused_now) {
            report(now, Promise::p2_order,
                   "grant of " + what + ": the record is for session " + parti::to_string(record->session) + ", not for " +
                       parti::to_string(w.id));
        }
    } else if (!std::binary_search(record->partitions.begin(), record->partitions.end(), p) && !excused_now) {
        report(now, Promise::p2_order, "grant of " + what + ": the record does not list it");
    }
    if (fence < w.granted || fence < w.applied) {
        report(now, Promise::p7_versions, "grant of " + what + " after " + text_of(std::max(w.granted, w.applied)));
    }
    w.granted = fence;
    // A worker that was taken over by trust, while it lived, may not have noticed yet; whoever compares tokens refuses it.
    const bool behind = fence <= state.last;
    const bool trusted_away = trust_ && w.taken_over;
    if (behind && !keep_ && !excused_now && !trusted_away) {
        report(now, Promise::tokens, "grant of " + what + ": the last owner's token was " + text_of(state.last));
    }
    if (!behind || !trusted_away) state.last = fence;
    if (state.last_owner && *state.last_owner != worker) ++handoffs_;
    state.last_owner = worker;
    w.held.push_back({grant, p, fence, w.deadline, true, false, false, false});
    state.holders.push_back(worker);
    if (state.holders.size() == 2) ++contested_;
    check_partition(now, p);
}

void Invariants::check_partition(Nanos now, std::uint32_t partition) {
    const PartitionState& state = partitions_[partition];
    if (state.holders.size() < 2 || keep_) return;
    const Worker* first = nullptr;
    Nanos first_until = 0;
    for (const WorkerId holder : state.holders) {
        const Worker& w = workers_[holder];
        Nanos until = 0;
        bool holds = false;
        bool draining = true;
        for (const Held& held : w.held) {
            if (held.partition != partition || !counts(now, w, held)) continue;
            holds = true;
            draining = draining && held.draining;
            until = std::max(until, deadline_of(w, held));
        }
        if (!holds || first == &w) continue;
        if (first != nullptr) {
            if (excused(now, {first, first_until}, {&w, until})) return;
            report(now, Promise::p3_owners,
                   state.name + " is held by " + first->name + " and by " + w.name + (draining ? " (draining)" : " (owning)") +
                       ", until " + std::to_string(first_until) + " and " + std::to_string(until) + " ns");
            return;
        }
        first = &w;
        first_until = until;
    }
}

void Invariants::revoked(Nanos now, WorkerId worker, std::span<const std::uint64_t> grants) {
    Worker& w = workers_[worker];
    for (const std::uint64_t grant : grants) {
        const auto held = std::find_if(w.held.begin(), w.held.end(), [grant](const Held& h) { return h.grant == grant; });
        if (held == w.held.end()) {
            report(now, Promise::other, w.name + " revokes grant " + std::to_string(grant) + ", which it does not hold");
            continue;
        }
        if (held->revoked) report(now, Promise::other, w.name + " revokes grant " + std::to_string(grant) + " twice");
        held->revoked = true;
        held->draining = true;
        if (w.leaving || w.relinquishing || !w.session || !held->current) continue;
        bool taken = false;
        const auto& history = history_[w.number.value];
        // Not in the order of fences: a store goes back, and operators put old records there.
        for (auto r = history.rbegin(); r != history.rend() && !taken; ++r) {
            taken = r->fence > held->fence && r->session == w.id &&
                    !std::binary_search(r->partitions.begin(), r->partitions.end(), held->partition);
        }
        if (!taken && !torn_.contains(w.number.value)) {
            report(now, Promise::p5_untouched,
                   w.name + " revokes " + partitions_[held->partition].name + " " + text_of(held->fence) +
                       " although its lease is valid and no later record takes it away");
        }
    }
}

void Invariants::released(WorkerId worker, std::span<const std::uint64_t> grants) {
    for (Held& held : workers_[worker].held) {
        if (std::find(grants.begin(), grants.end(), held.grant) != grants.end()) held.released = true;
    }
}

void Invariants::holdings(Nanos now, WorkerId worker, std::span<const HoldingSeen> seen) {
    Worker& w = workers_[worker];
    for (const HoldingSeen& s : seen) {
        const auto held = std::find_if(w.held.begin(), w.held.end(), [&s](const Held& h) { return h.grant == s.grant; });
        if (held == w.held.end()) {
            report(now, Promise::other,
                   w.name + " reports grant " + std::to_string(s.grant) + " of " + std::string(s.partition) +
                       ", which was never granted or is long released");
            continue;
        }
        if (partitions_[held->partition].name != s.partition || held->fence != s.fence) {
            report(now, Promise::other, w.name + " reports another partition or token for grant " + std::to_string(s.grant));
        }
        held->draining = s.draining;
    }
    if (seen.size() == w.held.size()) return;
    std::erase_if(w.held, [&](const Held& h) {
        const bool still = std::any_of(seen.begin(), seen.end(), [&h](const HoldingSeen& s) { return s.grant == h.grant; });
        if (still) return false;
        if (!h.revoked && h.current) {
            report(now, Promise::p5_untouched,
                   w.name + " no longer reports " + partitions_[h.partition].name + " " + text_of(h.fence) +
                       " although it was not revoked and the session lives");
        }
        if (h.revoked && !h.released) {
            report(now, Promise::p3_owners,
                   w.name + " counts " + partitions_[h.partition].name + " " + text_of(h.fence) +
                       " as given back although its user has not released it");
        }
        drop(h, worker);
        return true;
    });
}

void Invariants::applied(Nanos now, WorkerId worker, Fence fence) {
    Worker& w = workers_[worker];
    if (!w.session || fence == w.applied) return;
    if (fence < w.applied) {
        report(now, Promise::p7_versions, w.name + " goes back from applied " + text_of(w.applied) + " to " + text_of(fence));
    }
    w.applied = fence;
    if (find(w.number, fence, nullptr, std::nullopt) == nullptr && !after_a_loss(now)) {  // see granted()
        report(now, Promise::p2_order,
               w.name + " says that it applied " + text_of(fence) + ", which the store never held for worker." +
                   std::to_string(w.number.value));
    }
}

std::size_t Invariants::owners(Nanos now, std::string_view partition) const {
    const auto it = indices_.find(partition);
    if (it == indices_.end()) return 0;
    std::size_t count = 0;
    for (const WorkerId holder : partitions_[it->second].holders) {
        const Worker& w = workers_[holder];
        for (const Held& held : w.held) {
            if (held.partition == it->second && held.current && !held.draining && counts(now, w, held)) ++count;
        }
    }
    return count;
}

void Invariants::full_check(Nanos now) {
    for (std::uint32_t p = 0; p < partitions_.size(); ++p) check_partition(now, p);
    for (const auto& [number, holders] : numbers_) {
        if (!holders.empty()) check_number(now, holders.front());
    }
    std::uint32_t contested = 0;
    std::size_t held = 0;
    std::size_t holders = 0;
    for (const PartitionState& state : partitions_) {
        holders += state.holders.size();
        if (state.holders.size() > 1) ++contested;
    }
    for (const Worker& w : workers_) held += w.held.size();
    PARTI_ASSERT(contested == contested_ && held == holders);
    for (const Worker& w : workers_) check_told(now, w);
    if (!unreported_) return;
    // Who is gone cannot tell, and the other cannot know.
    if (last_error_ >= unreported_->since || workers_[unreported_->first].gone || workers_[unreported_->second].gone) {
        unreported_.reset();
    } else if (now > leases_notice_until_) {
        report(now, Promise::p12_visible, "the store lost what it had acknowledged, there were two owners, and nobody said so");
    }
}

}  // namespace parti::testutil
