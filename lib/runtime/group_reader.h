// GroupReader: blocking requests about one group, for threads that may wait.
//
// Model     Each call posts to the io thread and waits for the answer until a deadline. What may pass (reaction retry) is asked again with
//           back-off until then; then it is a timeout that carries the last trouble. The present records are read through a Hub of its
//           own, which lives as long as the call.
// Errors    not_found (a bucket is missing), timeout, permission and others that stay.
// Threads   Any but the io thread.
// Lifetime  Within a call of Control: the context outlives it.
#pragma once

#include <string>

#include "jetstream/client.h"
#include "runtime/context_impl.h"
#include "runtime/group_status.h"

namespace parti::runtime {

class GroupReader {
public:
    GroupReader(ContextImpl& context, std::string group, Duration timeout);

    Result<void> exists();
    Result<Entry> control();  // the record as it is now; Absent with its marker's revision
    Result<GroupEntries> everything();
    // One attempt; no_information with an error that stays (reaction not retry) will not succeed later.
    jetstream::PutAnswer put_control(const ControlRecord& record, Revision expected);

    bool over() const;
    // Before a further attempt; false: no time is left for one.
    bool back_off();
    Error timed_out(const Error& last) const;

private:
    using Trouble = std::optional<Error>;
    Duration left() const;
    Duration attempt() const;
    Result<void> exists(const std::string& bucket);
    template <class T>
    Result<T> until_answered(const std::function<Result<T>()>& ask);

    ContextImpl& context_;
    const std::string group_;
    const Duration timeout_;
    const core::Instant deadline_;
    Duration pause_;
};

}  // namespace parti::runtime
