// Runner: calls the handlers of the lanes that have messages, so many at once, on the context's callback threads.
//
// Model     Lanes that are ready wait in a queue. Up to `concurrency` tasks of the executor serve it, each on a SerialQueue of its own; a task
//           takes lanes in turn, some messages each, and gives its thread back after a short while, so that worker callbacks get theirs.
//           A handler beyond handler_timeout is reported by the executor's watchdog; a task in its place starts when the thread is replaced.
// Threads   ready() from any; callback_stuck() on the io thread.
// Cost      One SerialQueue per unit of concurrency; a ready lane costs one deque entry.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "consume/lane.h"
#include "runtime/executor.h"

namespace parti::consume {

class Runner final : public runtime::StuckListener, public std::enable_shared_from_this<Runner> {
public:
    Runner(runtime::Executor& executor, Duration handler_timeout, std::function<void(Duration age, bool replaced)> stuck)
        : executor_(executor), handler_timeout_(handler_timeout), stuck_(std::move(stuck)) {}

    void start(std::uint32_t concurrency);  // once
    void ready(std::shared_ptr<Lane> lane);
    bool running() const;  // the watchdog has something to watch
    void stop();           // nothing begins any more, and the executor is not used any more
    void callback_stuck(const char* kind, const runtime::Subject& subject, Duration age, bool replaced) override;

private:
    using Queue = std::shared_ptr<runtime::Executor::SerialQueue>;
    void submit(const Queue& queue);
    void serve(const Queue& queue);

    runtime::Executor& executor_;
    const Duration handler_timeout_;
    const std::function<void(Duration, bool)> stuck_;
    mutable std::mutex mutex_;
    std::deque<std::shared_ptr<Lane>> ready_;
    std::vector<Queue> resting_;
    std::uint32_t serving_ = 0;
    bool stopped_ = false;
};

}  // namespace parti::consume
