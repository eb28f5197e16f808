// Group: what the workers of one group share within a context: checked buckets and the hub.
//
// Model     ensure() checks or creates the two buckets once for all workers that ask; what may pass (no link, server not ready)
//           is tried again with back-off while anyone still waits, what may not fails everybody who waits. Success is kept while
//           the group lives.
// Threads   The io thread.
// Lifetime  Held by the workers that are started; the context only remembers it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <parti/config.h>

#include "jetstream/client.h"
#include "runtime/hub.h"
#include "runtime/timers.h"

namespace parti::runtime {

class ContextImpl;

class BucketWaiter {
public:
    virtual ~BucketWaiter() = default;
    virtual bool waits_for_buckets() const = 0;
    virtual void buckets_ready(const Result<void>& result) = 0;
};

class Group : public std::enable_shared_from_this<Group> {
public:
    Group(ContextImpl& context, const Config& config);
    ~Group();

    // Errors: invalid_config, when another worker of this process uses the group with other bucket settings.
    Result<void> agrees_with(const Config& config) const;
    void ensure(std::weak_ptr<BucketWaiter> waiter);
    const Error& last_error() const { return last_error_; }  // of the last try that failed, for time-outs
    Hub& hub();

private:
    enum class Phase : std::uint8_t { idle, checking, waiting, ready };

    void check();
    void checked(const std::string& bucket, const Result<jetstream::BucketInfo>& result);
    void conclude();
    bool anyone_waits();

    ContextImpl& context_;
    const std::string name_;
    const Storage storage_;
    const std::uint32_t replicas_;
    const bool create_;
    const Duration operation_timeout_;
    Phase phase_ = Phase::idle;
    int outstanding_ = 0;
    Error failure_;  // of this try
    bool failed_ = false;
    Error last_error_;
    Duration back_off_;
    std::vector<std::weak_ptr<BucketWaiter>> waiters_;
    TimerQueue::Timer retry_;
    TimerQueue::Timer hub_tick_;
    std::unique_ptr<Hub> hub_;
};

}  // namespace parti::runtime
