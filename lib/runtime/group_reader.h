// GroupReader: blocking requests about one group, for threads that may wait.
//
// Model     Each call posts to the io thread and waits for the answer until a deadline. What may pass (reaction retry) is asked
//           again with back-off until then; then it is a timeout that carries the last trouble. The present records are read
//           through a Hub of its own, which lives as long as the call.
// Errors    not_found (a bucket is missing), timeout, permission and others that stay.
// Threads   Any but the io thread.
// Lifetime  Within a call of Control: the context outlives it.
#pragma once

#include <string>

#include "jetstream/client.h"
#include "runtime/context_impl.h"
#include "runtime/control_change.h"
#include "runtime/group_status.h"

namespace parti::runtime {

class GroupReader final : public ControlStore {
public:
    GroupReader(ContextImpl& context, std::string group, Duration timeout);

    Result<void> exists();
    Result<GroupEntries> everything();

    Result<Entry> control() override;
    jetstream::PutAnswer put_control(const ControlRecord& record, Revision expected) override;
    bool back_off() override;
    bool over() const override;
    Error timed_out(const Error& last) const override;

private:
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
