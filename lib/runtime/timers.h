// TimerQueue: one timerfd on CLOCK_BOOTTIME for every deadline of a context.
//
// Model     An ordered set of deadlines. Each Timer holds at most one; setting it again moves it.
// Errors    make: internal, when the kernel gives no timerfd.
// Threads   The io thread.
// Lifetime  Timers die before their queue. A Timer may be destroyed or set from inside its own handler.
// Cost      One descriptor in all; one set node a timer that was ever set.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include <parti/result.h>

#include "core/io.h"

namespace boost::asio {
class io_context;
}

namespace parti::runtime {

class TimerQueue {
public:
    class Timer;

    static Result<std::unique_ptr<TimerQueue>> make(boost::asio::io_context& io);
    ~TimerQueue();

    class Timer {
    public:
        Timer(TimerQueue& queue, std::function<void()> handler);
        ~Timer();
        Timer(const Timer&) = delete;
        Timer& operator=(const Timer&) = delete;

        void set(std::optional<core::Instant> deadline);  // nothing: cancel
        std::optional<core::Instant> deadline() const { return deadline_; }

    private:
        friend class TimerQueue;
        TimerQueue& queue_;
        std::shared_ptr<const std::function<void()>> handler_;
        std::set<std::pair<core::Instant, Timer*>>::node_type spare_;  // while no deadline is set; so setting one allocates once
        std::optional<core::Instant> deadline_;
    };

    std::size_t armed() const;

private:
    struct Impl;
    explicit TimerQueue(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::runtime
