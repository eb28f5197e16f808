// TimerQueue: one timerfd on CLOCK_BOOTTIME for every deadline of a context.
//
// Model     An ordered set of deadlines. Each Timer holds at most one; setting it again moves it.
// Errors    make: internal, when the kernel gives no timerfd.
// Threads   The io thread.
// Lifetime  Timers die before their queue. A Timer may be destroyed or set from inside its own handler.
// Cost      One descriptor in all; one set node a timer that is set.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include <parti/result.h>

#include "core/io.h"

namespace boost::asio {
class io_context;
}

namespace parti::runtime {

class TimerQueue {
public:
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
        std::optional<core::Instant> deadline_;
    };

    std::size_t armed() const;

private:
    struct Impl;
    explicit TimerQueue(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::runtime
