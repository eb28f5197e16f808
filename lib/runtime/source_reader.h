// SourceReader: one source, asked for all workers of a context that use it.
//
// Role      Sources are user code that may block or never return: they are called on callback threads, one call at a time per
//           source whatever the number of workers, on a queue of their own, so that a source that hangs costs one thread and
//           holds up no worker's callbacks.
// Model     join() to hear changes. ask(): answered by a call that begins after it; workers that ask while a call is under way
//           share the next one. What the source tells while a call is under way is newer than the call's answer.
// Errors    What the source throws or returns wrong is an error (callback_failed, invalid_argument).
// Threads   The io thread.
// Lifetime  Held by the workers that are started; the context only remembers it. The source's handle goes on a callback thread.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include <parti/source.h>

#include "runtime/executor.h"

namespace parti::runtime {

class ContextImpl;

using PartitionNews = Result<std::shared_ptr<const PartitionSet>>;

class SourceUser {
public:
    virtual ~SourceUser() = default;
    // `asked`: the answer to ask(), or what stands for it. Else the source told it by itself.
    virtual void partitions_told(const PartitionNews& news, bool asked) = 0;
};

class SourceReader final : public StuckListener, public std::enable_shared_from_this<SourceReader> {
public:
    // limit: how long a call may take before it is reported and its thread replaced.
    SourceReader(ContextImpl& context, std::shared_ptr<Source> source, Duration limit);
    ~SourceReader() override;
    SourceReader(const SourceReader&) = delete;
    SourceReader& operator=(const SourceReader&) = delete;

    void join(std::weak_ptr<SourceUser> user);
    void ask(const std::weak_ptr<SourceUser>& user, bool refresh);
    bool tells() const { return handle_ != nullptr; }  // by itself
    void callback_stuck(const char* kind, const Subject& subject, Duration age, bool replaced) override;

private:
    using Users = std::vector<std::weak_ptr<SourceUser>>;
    void make_queue();
    void call();
    void listening(std::shared_ptr<void> handle);
    void answered(const PartitionNews& news, std::uint64_t told_before);
    void told(const PartitionNews& news);
    static void tell(const Users& users, const PartitionNews& news, bool asked);

    ContextImpl& context_;
    const std::shared_ptr<Source> source_;
    const Duration limit_;
    std::shared_ptr<Executor::SerialQueue> queue_;
    std::shared_ptr<void> handle_;
    std::shared_ptr<std::atomic<std::uint64_t>> told_;  // sets the source has told
    Users users_;
    Users waiting_;  // for the next call
    Users asking_;   // of the call under way
    bool refresh_ = false;
    bool listened_ = false;
    bool calling_ = false;
};

}  // namespace parti::runtime
