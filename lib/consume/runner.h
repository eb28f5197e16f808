// Runner: calls the handlers of the lanes that have messages, so many at once, on the context's callback threads.
//
// Model     Lanes that are ready wait in a queue. Up to `concurrency` tasks of the executor serve it, each on a SerialQueue of
//           its own; a task takes lanes in turn, some messages each, and gives its thread back after a short while, so that
//           worker callbacks get theirs. A task that finds nothing ready pays the flush that is owed, if one is, before it rests.
//           A handler beyond handler_timeout is reported by the executor's watchdog; a task in its place starts when the thread
//           is replaced, and when that handler returns after all, its task ends.
// Threads   ready() from any; the watchdog calls on the io thread.
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

class Runner final : public std::enable_shared_from_this<Runner> {
public:
    Runner(runtime::Executor& executor, std::shared_ptr<jetstream::Outlet> outlet, Duration handler_timeout,
           std::function<void(Duration age, bool replaced)> stuck)
        : executor_(executor), outlet_(std::move(outlet)), handler_timeout_(handler_timeout), report_stuck_(std::move(stuck)) {}

    void start(std::uint32_t concurrency);  // once
    void ready(std::shared_ptr<Lane> lane);
    bool running() const;  // the watchdog has something to watch
    void stop();           // nothing begins any more, and the executor is not used any more

private:
    // One of `concurrency`.
    struct Seat final : runtime::StuckListener {
        explicit Seat(std::weak_ptr<Runner> of) : runner(std::move(of)) {}
        void callback_stuck(const char* kind, const runtime::Subject& subject, Duration age, bool replaced) override;
        const std::weak_ptr<Runner> runner;
        std::shared_ptr<runtime::Executor::SerialQueue> queue;
        bool replaced = false;  // somebody else has its place; guarded by the runner, as the next
        bool resting = false;
    };
    using SeatPtr = std::shared_ptr<Seat>;
    SeatPtr make_seat();
    void rest(SeatPtr seat);
    void wake_one();
    void submit(const SeatPtr& seat);
    void serve(const SeatPtr& seat);
    void stuck(Seat& seat, Duration age, bool replaced);

    runtime::Executor& executor_;
    const std::shared_ptr<jetstream::Outlet> outlet_;
    const Duration handler_timeout_;
    const std::function<void(Duration, bool)> report_stuck_;
    mutable std::mutex mutex_;
    std::deque<std::shared_ptr<Lane>> ready_;
    std::vector<SeatPtr> resting_;
    std::uint32_t serving_ = 0;
    bool stopped_ = false;
};

}  // namespace parti::consume
