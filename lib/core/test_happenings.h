// What an event is to a machine, for test/simulation/state_matrix. Included in the simulation's build only (core/test_switch.h).
#pragma once

#include "core/io.h"
#include "core/test_switch.h"

namespace parti::core {

inline Happening happening(const EntrySeen& seen, WorkerNumber own) {
    const Entry& entry = seen.entry;
    if (std::holds_alternative<Absent>(entry.value)) return Happening::marker;
    if (std::holds_alternative<UnreadablePtr>(entry.value)) return Happening::unreadable;
    if (entry.key.kind == Key::Kind::head) return Happening::head;
    if (entry.key.kind == Key::Kind::control) return Happening::control;
    const bool mine = entry.key.number == own;
    if (entry.bucket == Bucket::lease) return mine ? Happening::own_lease : Happening::other_lease;
    return mine ? Happening::own_record : Happening::other_record;
}

inline Happening happening(const Event& event, WorkerNumber own) {
    if (const auto* seen = std::get_if<EntrySeen>(&event)) return happening(*seen, own);
    if (const auto* answer = std::get_if<WriteAnswered>(&event)) {
        if (answer->result == WriteResult::done) return Happening::done;
        return answer->result == WriteResult::wrong_revision ? Happening::wrong_revision : Happening::no_information;
    }
    if (const auto* fetched = std::get_if<FetchAnswered>(&event))
        return fetched->entry ? Happening::fetched : Happening::fetched_nothing;
    if (const auto* link = std::get_if<LinkChanged>(&event)) return link->up ? Happening::link_up : Happening::link_down;
    if (std::holds_alternative<Start>(event)) return Happening::start;
    if (std::holds_alternative<Stop>(event)) return Happening::stop;
    if (std::holds_alternative<SnapshotDone>(event)) return Happening::snapshot_done;
    if (std::holds_alternative<HistoryLost>(event)) return Happening::history_lost;
    if (std::holds_alternative<PartitionsChanged>(event)) return Happening::partitions_changed;
    if (std::holds_alternative<ReleaseDone>(event)) return Happening::release_done;
    if (std::holds_alternative<SessionLapsed>(event)) return Happening::session_lapsed;
    return Happening::tick;
}

}  // namespace parti::core
