#include "runtime/control_change.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace parti::runtime {

namespace {

// The next number of a request. Above every earlier one, also when the record was replaced or deleted in between: a number is
// never higher than the revision of the write that brought it.
std::uint64_t next_request(std::uint64_t present, Revision revision) { return std::max(present, revision) + 1; }

}  // namespace

// Reads, changes, writes, until it is stored or seen to be as wanted. Whatever an answer that was lost did, reading back tells
//
Result<void> change_control(ControlStore& store, const Change& change, OnUnreadable on_unreadable) {
    bool unsure = false;  // an earlier write may still arrive
    Error last{Errc::timeout, "other operators kept changing the control record"};
    const auto over = [&](Error error) {
        if (unsure) error.detail += "; the change may still take effect";
        return tl::unexpected(std::move(error));
    };
    do {
        const auto entry = store.control();
        if (!entry) return over(entry.error());
        ControlRecord record;
        if (const auto* present = std::get_if<ControlPtr>(&entry->value)) record = **present;
        if (const auto* bad = std::get_if<UnreadablePtr>(&entry->value)) {
            if (on_unreadable == OnUnreadable::refuse || (*bad)->future) {
                return fail((*bad)->error.code, (*bad)->error.detail + ((*bad)->future ? "; only that version can change it"
                                                                                       : "; reset replaces it"));
            }
        }
        const auto changed = change(record, entry->revision);
        if (!changed) return tl::unexpected(changed.error());
        const bool unreadable = std::holds_alternative<UnreadablePtr>(entry->value);
        if (!*changed && !unreadable) return {};
        const jetstream::PutAnswer answer = store.put_control(record, entry->revision);
        if (answer.result == jetstream::PutResult::done) return {};
        if (answer.result == jetstream::PutResult::wrong_revision) continue;  // somebody else's is there now
        if (reaction_to(answer.error.code) != Reaction::retry) return tl::unexpected(answer.error);
        unsure = true;
        last = answer.error;
        if (!store.back_off()) break;
    } while (!store.over());
    return over(store.timed_out(last));
}

// A counter that grew since the call began has been asked for by us or by another operator: either way after the call began.
Change ask_by(std::uint64_t ControlRecord::*counter) {
    return [counter, first = std::optional<std::uint64_t>()](ControlRecord& record, Revision revision) mutable -> Result<bool> {
        if (first && record.*counter > *first) return false;
        first = record.*counter;
        record.*counter = next_request(record.*counter, revision);
        return true;
    };
}

Change set_frozen(bool frozen) {
    return [frozen](ControlRecord& record, Revision) -> Result<bool> { return std::exchange(record.frozen, frozen) != frozen; };
}

Change edit_drain(DrainEdit edit) {
    // `edited`: a later look finds our own write when its answer was lost.
    return [edit = std::move(edit), edited = false](ControlRecord& record, Revision) mutable -> Result<bool> {
        auto list = edit(record.drain);
        if (!list && edited && list.error().code == Errc::not_found) return false;
        if (!list) return tl::unexpected(list.error());
        edited = true;
        return std::exchange(record.drain, *list) != *list;
    };
}

}  // namespace parti::runtime
