// change_control: one operator's change of the control record, whatever happens to its answers.
//
// Model     Read, change, write under the revision that was read; again until the write is confirmed or the record is seen to be
//           as wanted. Changes are such that asking twice is the same as asking once, so a lost answer needs no write id: reading
//           back decides.
// Errors    As the store's that stay; timeout, which says when the change may still take effect.
// Threads   The caller's.
// Source   ; docs/PROTOCOL.md, "Operators".
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/records.h"
#include "jetstream/client.h"

namespace parti::runtime {

class ControlStore {
public:
    virtual ~ControlStore() = default;
    virtual Result<Entry> control() = 0;  // the record as it is now; Absent with its marker's revision
    // One attempt; no_information with an error that stays (reaction not retry) will not succeed later.
    virtual jetstream::PutAnswer put_control(const ControlRecord& record, Revision expected) = 0;
    virtual bool back_off() = 0;  // before a further attempt; false: no time is left for one
    virtual bool over() const = 0;
    virtual Error timed_out(const Error& last) const = 0;
};

// What a change does to the record as it is now. False: nothing, it is as wanted already. Called once per attempt of one change.
using Change = std::function<Result<bool>(ControlRecord& record, Revision revision)>;

Change ask_by(std::uint64_t ControlRecord::*counter);
Change set_frozen(bool frozen);
using DrainEdit = std::function<Result<std::vector<std::string>>(std::vector<std::string> list)>;
Change edit_drain(DrainEdit edit);

enum class OnUnreadable : std::uint8_t { refuse, replace };
Result<void> change_control(ControlStore& store, const Change& change, OnUnreadable on_unreadable = OnUnreadable::refuse);

}  // namespace parti::runtime
