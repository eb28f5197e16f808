#include "runtime/group_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/config_fields.h"
#include "runtime/hub.h"
#include "wire/codec.h"

namespace parti::runtime {

namespace {

template <class Record>
const Record* find(const GroupEntries& entries, Bucket bucket, const Key& key) {
    const auto it = entries.find({bucket, key});
    if (it == entries.end()) return nullptr;
    const auto* record = std::get_if<std::shared_ptr<const Record>>(&it->second.value);
    return record != nullptr ? record->get() : nullptr;
}

// An absent control record asks for nothing.
const ControlRecord& control_of(const GroupEntries& entries) {
    static const ControlRecord kNothing;
    const auto* control = find<ControlRecord>(entries, Bucket::assignment, control_key());
    return control != nullptr ? *control : kNothing;
}

WorkerStatus worker_of(WorkerNumber number, const LeaseRecord& lease, const AssignmentRecord* record) {
    WorkerStatus out;
    out.number = number;
    out.incarnation = lease.incarnation;
    out.session = lease.session;
    out.lease = lease.state;
    out.instance = lease.instance;
    out.zone = lease.zone;
    out.capacity = lease.capacity;
    out.speaks = lease.speaks;
    out.applied = lease.applied;
    if (record == nullptr || record->session != lease.session) return out;
    out.published = record->fence;
    out.acknowledged = lease.applied >= record->fence;
    if (!lease_lives(lease.state)) return out;
    out.owned = record->partitions.size();
    if (!out.acknowledged) out.revoking = record->revoking.size();
    return out;
}

// Every record there is carries the leader's epoch. (A slot that was added a moment ago may have none yet.)
bool sealed(const GroupEntries& entries, Epoch epoch) {
    return std::none_of(entries.begin(), entries.end(), [&](const auto& item) {
        const auto* record = std::get_if<AssignmentPtr>(&item.second.value);
        return record != nullptr && (*record)->fence.epoch < epoch;
    });
}

LeaderPhase phase_of(const GroupStatus& status, bool is_sealed) {
    if (!status.leader) return LeaderPhase::idle;
    if (!is_sealed) return LeaderPhase::sealing;
    const auto lives = [](const WorkerStatus& worker) { return lease_lives(worker.lease); };
    const bool anybody = std::any_of(status.workers.begin(), status.workers.end(), lives);
    const bool orphans = status.without_owner.value_or(0) > 0;
    if (orphans && !anybody) return LeaderPhase::emergency;
    if (status.frozen) return LeaderPhase::frozen;
    const bool outstanding = std::any_of(status.workers.begin(), status.workers.end(), [&](const WorkerStatus& worker) {
        return lives(worker) && worker.published != Fence() && !worker.acknowledged;
    });
    return orphans || outstanding || status.rebalance_pending ? LeaderPhase::rebalancing : LeaderPhase::idle;
}

bool looks_like_session(std::string_view name) { return parse_session(name).has_value(); }

// Sessions of `known` that have ended. Nothing can be said while a lease is unreadable.
std::vector<std::string> ended_sessions(const std::vector<std::string>& known, const GroupStatus& status) {
    std::vector<std::string> out;
    const std::string lease_bucket = lease_bucket_name(status.group);
    for (const UnreadableKey& key : status.unreadable) {
        if (key.bucket == lease_bucket) return out;
    }
    for (const std::string& name : known) {
        if (!looks_like_session(name)) continue;
        const bool needed = std::any_of(status.workers.begin(), status.workers.end(), [&](const WorkerStatus& worker) {
            return worker.instance == name || (lease_lives(worker.lease) && to_string(worker.session) == name);
        });
        if (!needed) out.push_back(name);
    }
    return out;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

void drop(std::vector<std::string>& list, const std::vector<std::string>& names) {
    std::erase_if(list, [&](const std::string& name) { return contains(names, name); });
}

Result<void> check_name(std::string_view name) {
    const auto allowed = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-';
    };
    if (!name.empty() && name.size() <= base::kInstanceBytesMax && std::all_of(name.begin(), name.end(), allowed)) return {};
    return fail(Errc::invalid_argument,
                fmt::format("name '{}' ({} bytes) must be 1..{} of [A-Za-z0-9_.-]: a session, an instance or a worker's number",
                            name.substr(0, 64), name.size(), base::kInstanceBytesMax));
}

std::optional<WorkerNumber> number_of(std::string_view name) {
    WorkerNumber out;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), out.value);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size() || out.value > kWorkerNumberMax) return std::nullopt;
    return out;
}

}  // namespace

bool lease_lives(LeaseState state) { return state != LeaseState::released && state != LeaseState::dead; }

bool drained_by(const std::vector<std::string>& list, SessionId session, const std::string& instance) {
    return contains(list, to_string(session)) || (!instance.empty() && contains(list, instance));
}

GroupStatus group_status(const std::string& group, const GroupEntries& entries) {
    GroupStatus out;
    out.group = group;
    const ControlRecord& control = control_of(entries);
    out.frozen = control.frozen;
    out.drain = control.drain;
    out.refreshes = control.refresh;
    const auto* head = find<HeadRecord>(entries, Bucket::assignment, head_key());
    std::uint64_t owned = 0;
    bool assignments_readable = true;
    for (const auto& [where, entry] : entries) {
        if (const auto* bad = std::get_if<UnreadablePtr>(&entry.value)) {
            const bool lease = where.first == Bucket::lease;
            out.unreadable.push_back(
                {lease ? lease_bucket_name(group) : assignment_bucket_name(group), wire::to_string(where.second), (*bad)->error});
            if (where.second.kind == Key::Kind::worker) assignments_readable = false;
        }
        const auto* lease = std::get_if<LeasePtr>(&entry.value);
        if (lease == nullptr) continue;
        const auto* record = find<AssignmentRecord>(entries, Bucket::assignment, where.second);
        WorkerStatus worker = worker_of(where.second.number, **lease, record);
        worker.drained = drained_by(control.drain, worker.session, worker.instance);
        if (head != nullptr) {
            worker.leader = head->leader.number == worker.number && head->leader.session == worker.session && !head->resigned &&
                            lease_lives(worker.lease);
            worker.standby = lease_lives(worker.lease) &&
                             std::find(head->standbys.begin(), head->standbys.end(), worker.number) != head->standbys.end();
            if (worker.leader) out.leader = worker.number;
        }
        owned += worker.owned;
        out.workers.push_back(std::move(worker));
    }
    if (head == nullptr) {
        out.rebalance_pending = control.rebalance > 0;
        return out;
    }
    out.epoch = head->epoch;
    out.record_major = head->major;
    out.policy = head->policy;
    out.partition_count = head->partition_count;
    out.rebalance_pending = control.rebalance != 0 && control.rebalance != head->rebalanced;
    const bool is_sealed = sealed(entries, head->epoch);
    if (assignments_readable && is_sealed) out.without_owner = head->partition_count > owned ? head->partition_count - owned : 0;
    out.phase = phase_of(out, is_sealed);
    return out;
}

Result<NamedWorkers> workers_named(const GroupStatus& status, std::string_view name) {
    NamedWorkers out;
    const WorkerStatus* numbered = nullptr;
    const auto number = number_of(name);
    for (const WorkerStatus& worker : status.workers) {
        const bool by_session = lease_lives(worker.lease) && to_string(worker.session) == name;
        if (by_session || worker.instance == name) {
            out.workers.push_back(&worker);
        } else if (number == worker.number && lease_lives(worker.lease)) {
            numbered = &worker;
        }
    }
    if (numbered == nullptr) return out;
    if (!out.workers.empty()) {
        return fail(
            Errc::invalid_argument,
            fmt::format("'{}' is the instance of worker {} and the number of another worker; name the session {} or {}", name,
                        out.workers[0]->number.value, to_string(out.workers[0]->session), to_string(numbered->session)));
    }
    out.workers.push_back(numbered);
    out.by_number = true;
    return out;
}

Result<std::vector<std::string>> with_drained(std::vector<std::string> list, const std::vector<std::string>& known,
                                              const GroupStatus& status, std::string_view name, DrainScope scope) {
    if (auto ok = check_name(name); !ok) return tl::unexpected(ok.error());
    const auto named = workers_named(status, name);
    if (!named) return tl::unexpected(named.error());
    std::string entry(name);
    if (named->by_number) entry = to_string(named->workers[0]->session);
    if (named->workers.empty()) {
        const auto lives = [](const WorkerStatus& worker) { return lease_lives(worker.lease); };
        const auto living = std::count_if(status.workers.begin(), status.workers.end(), lives);
        if (scope == DrainScope::present) {
            return fail(Errc::not_found,
                        fmt::format("'{}' is neither session, instance nor number of one of the {} living workers of group '{}'; "
                                    "an instance can be drained in advance",
                                    name, living, status.group));
        }
        if (looks_like_session(name)) {
            return fail(Errc::not_found,
                        fmt::format("session '{}' is not one of the {} living workers of group '{}'; only an instance can be "
                                    "drained in advance",
                                    name, living, status.group));
        }
    }
    drop(list, ended_sessions(known, status));
    if (contains(list, entry)) return list;
    if (list.size() >= kDrainMax) {
        return fail(Errc::overloaded,
                    fmt::format("'{}' cannot be drained as well: the list holds {} names, and at most {} are allowed", name,
                                list.size(), kDrainMax));
    }
    list.push_back(std::move(entry));
    return list;
}

Result<std::vector<std::string>> without_drained(std::vector<std::string> list, const std::vector<std::string>& known,
                                                 const GroupStatus& status, std::string_view name) {
    if (auto ok = check_name(name); !ok) return tl::unexpected(ok.error());
    const auto named = workers_named(status, name);
    if (!named) return tl::unexpected(named.error());
    std::vector<std::string> names = {std::string(name)};
    for (const WorkerStatus* worker : named->workers) {
        names.push_back(to_string(worker->session));
        if (!worker->instance.empty()) names.push_back(worker->instance);
    }
    const std::size_t before = list.size();
    drop(list, names);
    if (list.size() == before) {
        return fail(Errc::not_found,
                    fmt::format("nothing drains '{}' in group '{}': the list holds {} other names", name, status.group, before));
    }
    drop(list, ended_sessions(known, status));
    return list;
}

}  // namespace parti::runtime
