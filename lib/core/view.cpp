#include "core/view.h"

#include <algorithm>

#include "core/test_switch.h"

namespace parti::core {

namespace {

template <class Record>
bool learn_into(Seen<Record>& seen, const Entry& entry, Instant first_seen, bool known) {
    const bool vanished = entry.revision == 0;
    if (known && !vanished && entry.revision <= seen.revision) return false;
    if (known && vanished && seen.revision == 0) return false;
    seen.revision = entry.revision;
    seen.first_seen = first_seen;
    seen.record.reset();
    seen.unreadable.reset();
    if (const auto* record = std::get_if<std::shared_ptr<const Record>>(&entry.value)) seen.record = *record;
    if (const auto* unreadable = std::get_if<UnreadablePtr>(&entry.value)) seen.unreadable = *unreadable;
    return true;
}

template <class Map>
typename Map::mapped_type const* find(const Map& map, WorkerNumber number) {
    const auto it = map.find(number);
    return it == map.end() ? nullptr : &it->second;
}

}  // namespace

bool View::wanted(const Entry& entry) const {
    if (entry.key.kind != Key::Kind::worker) return true;
    if (entry.bucket == Bucket::lease) return interest_.all_leases || interest_.leader_lease == entry.key.number;
    return interest_.all_assignments || interest_.own_assignment == entry.key.number;
}

bool View::learn(const Entry& entry, Instant first_seen) {
    if (!wanted(entry)) return false;
    const auto stale = outdated_.find({entry.bucket, entry.key});
    if (stale != outdated_.end() && (entry.revision == 0 || entry.revision >= stale->second)) outdated_.erase(stale);
    if (PARTI_BROKEN(suspected_on_first_sight) && !complete_) first_seen = Instant{};
    if (entry.key.kind == Key::Kind::head) return learn_into(head_, entry, first_seen, head_.first_seen != Instant{});
    if (entry.key.kind == Key::Kind::control) {
        const std::shared_ptr<const ControlRecord> before = control_.record;
        const bool news = learn_into(control_, entry, first_seen, control_.first_seen != Instant{});
        if (news && control_.unreadable) control_.record = before;
        return news;
    }
    if (entry.bucket == Bucket::lease) {
        const auto [it, fresh] = leases_.try_emplace(entry.key.number);
        if (const auto* record = std::get_if<LeasePtr>(&entry.value))
            longest_silence_ms_ = std::max(longest_silence_ms_, (*record)->silence_ms);
        return learn_into(it->second, entry, first_seen, !fresh);
    }
    const auto [it, fresh] = assignments_.try_emplace(entry.key.number);
    return learn_into(it->second, entry, first_seen, !fresh);
}

void View::outdated(Bucket bucket, const Key& key, Revision revision) {
    Revision known = 0;
    if (key.kind == Key::Kind::head) {
        known = head_.revision;
    } else if (bucket == Bucket::lease) {
        if (const SeenLease* seen = lease(key.number)) known = seen->revision;
    } else if (const SeenAssignment* seen = assignment(key.number)) {
        known = seen->revision;
    }
    if (known < revision) {
        Revision& mark = outdated_[{bucket, key}];
        mark = std::max(mark, revision);
    }
}

bool View::current(Bucket bucket, const Key& key) const { return outdated_.empty() || !outdated_.contains({bucket, key}); }

const ControlRecord& View::control() const {
    static const ControlRecord kNothing;
    return control_.record ? *control_.record : kNothing;
}

std::uint32_t View::common_major(std::uint32_t own) const {
    std::uint32_t common = own;
    for (const auto& [number, seen] : leases_) {
        if (!seen.record || seen.record->state == LeaseState::released || seen.record->state == LeaseState::dead) continue;
        common = std::min(common, seen.record->speaks);
    }
    return common;
}

const SeenLease* View::lease(WorkerNumber number) const { return find(leases_, number); }
const SeenAssignment* View::assignment(WorkerNumber number) const { return find(assignments_, number); }

void View::set_interest(const Interest& interest) {
    interest_ = interest;
    complete_ = false;
    if (!interest.all_leases) {
        std::erase_if(leases_, [&](const auto& item) { return interest.leader_lease != item.first; });
        std::erase_if(outdated_, [](const auto& item) { return item.first.first == Bucket::lease; });
    }
    if (!interest.all_assignments) {
        std::erase_if(assignments_, [&](const auto& item) { return interest.own_assignment != item.first; });
    }
}

void View::snapshot_done(std::uint64_t interest, Instant now) {
    if (interest != interest_.id || complete_) return;
    complete_ = true;
    complete_since_ = now;
}

void View::count_silence_anew(Instant now) {
    for (auto& [number, seen] : leases_) seen.first_seen = now;
    complete_since_ = now;
}

void View::forget(Bucket bucket) {
    if (bucket == Bucket::lease) {
        leases_.clear();
    } else {
        assignments_.clear();
        head_ = {};
        control_ = {};
    }
    std::erase_if(outdated_, [&](const auto& item) { return item.first.first == bucket; });
    complete_ = false;
}

Epoch View::highest_epoch() const {
    Epoch highest;
    if (head_.record) highest = head_.record->epoch;
    for (const auto& [number, seen] : assignments_) {
        if (seen.record) highest = std::max(highest, seen.record->fence.epoch);
    }
    for (const auto& [number, seen] : leases_) {
        if (seen.record) highest = std::max({highest, seen.record->floor, seen.record->applied.epoch});
    }
    return highest;
}

}  // namespace parti::core
