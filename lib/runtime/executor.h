// Executor: runs user callbacks on a few threads shared by all workers of a context.
//
// Model     One SerialQueue a worker: its tasks run one at a time, in order; different queues run in parallel. A task that runs
//           for longer than its queue's limit is reported to the queue's listener, its thread is written off (it may finish
//           whenever it likes, and only then its queue goes on) and replaced, while at most kReplacementsMax callbacks are
//           written off and have not returned. One that returns gives its place back.
// Errors    What a task throws is swallowed here; tasks report their own exceptions.
// Threads   submit, check and wait_idle from any thread; check() calls listeners on the caller's thread.
// Lifetime  stop() joins the threads; those still inside a callback after the grace are left behind: they own what they touch.
// Cost      The threads; nothing for a worker without waiting tasks but its queue.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <parti/worker.h>

#include "core/io.h"
#include "runtime/logger.h"

namespace parti::runtime {

using Subject = std::shared_ptr<const std::vector<Ownership>>;  // the partitions a callback is about; may be null

struct CallbackTask {
    const char* kind = "";  // "on_revoked"
    std::function<void()> run;
    Subject subject;
};

class StuckListener {
public:
    virtual ~StuckListener() = default;
    // A callback has run for `age` and its thread is written off (`replaced`: another one has taken its place).
    virtual void callback_stuck(const char* kind, const Subject& subject, Duration age, bool replaced) = 0;
};

// How long a callback may take where a revoke may take `drain_timeout`: one of 0 means that a revoke waits for nothing, not that
// every call's thread is written off.
inline Duration callback_limit(Duration drain_timeout) {
    return std::max<Duration>(drain_timeout, std::chrono::milliseconds(100));
}

class Executor {
public:
    static constexpr std::size_t kReplacementsMax = 16;

    class SerialQueue;
    using Clock = std::function<core::Instant()>;

    Executor(std::uint32_t threads, Clock clock, std::shared_ptr<Logger> log);
    ~Executor();
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    // The listener is called while it lives.
    std::shared_ptr<SerialQueue> make_queue(Duration limit, std::weak_ptr<StuckListener> listener);
    void submit(const std::shared_ptr<SerialQueue>& queue, CallbackTask task);
    // Looks for callbacks that run for too long; when to look again (nothing: no task waits or runs). A callback is written off
    // when two looks in a row find it too old, so that a process that was stopped for a while gives its callbacks time to go on.
    std::optional<core::Instant> check();
    // True: every task submitted so far has run. False at once when one of them has been written off.
    bool wait_idle(const std::shared_ptr<SerialQueue>& queue, Duration timeout);
    // Tasks of this queue that have not begun do not run, now or later.
    void close(const std::shared_ptr<SerialQueue>& queue);
    // As close() for every queue; threads that are not inside a callback are joined.
    void stop(Duration grace);

    std::size_t threads() const;      // that serve queues
    std::size_t written_off() const;  // so far
    bool on_callback_thread() const;  // is the caller one of mine

private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

}  // namespace parti::runtime
