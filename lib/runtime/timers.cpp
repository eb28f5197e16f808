#include "runtime/timers.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "base/assert.h"
#include "runtime/boot_clock.h"

namespace parti::runtime {

using core::Instant;

struct TimerQueue::Impl {
    explicit Impl(boost::asio::io_context& io, int fd) : descriptor(io, fd) {}

    using Armed = std::set<std::pair<Instant, Timer*>>;

    void wait() {
        descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
            if (error) return;  // closed: the queue is being destroyed
            fire();
            wait();
        });
    }

    void fire() {
        std::uint64_t expirations = 0;
        if (::read(descriptor.native_handle(), &expirations, sizeof expirations) < 0) {
            PARTI_ASSERT(errno == EAGAIN || errno == EINTR);  // moved on between the wake-up and here
        }
        programmed.reset();
        const Instant now = boot_now();
        // Each round goes through the deadlines once, upwards: a handler that asks for the past again starves neither io nor
        // other timers.
        for (auto next = armed.begin(); next != armed.end() && next->first <= now;) {
            const auto due = *next;
            due.second->spare_ = armed.extract(next);
            due.second->deadline_.reset();
            const std::shared_ptr<const std::function<void()>> handler =
                due.second->handler_;  // the handler may destroy the timer
            (*handler)();
            next = armed.upper_bound(due);
        }
        program();
    }

    void program() {
        if (armed.empty()) return;
        const Instant first = armed.begin()->first;
        if (programmed && *programmed <= first) return;
        const auto ns = std::max<std::int64_t>(to_ns(first), 1);
        itimerspec spec{};
        spec.it_value.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
        spec.it_value.tv_nsec = static_cast<long>(ns % 1'000'000'000);
        PARTI_ASSERT(::timerfd_settime(descriptor.native_handle(), TFD_TIMER_ABSTIME, &spec, nullptr) == 0);
        programmed = first;
    }

    boost::asio::posix::stream_descriptor descriptor;
    Armed armed;
    std::optional<Instant> programmed;
};

TimerQueue::TimerQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TimerQueue::~TimerQueue() = default;

Result<std::unique_ptr<TimerQueue>> TimerQueue::make(boost::asio::io_context& io) {
    const int fd = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0) return fail(Errc::internal, std::string("timerfd_create(CLOCK_BOOTTIME): ") + std::strerror(errno));
    auto impl = std::make_unique<Impl>(io, fd);
    impl->wait();
    return std::unique_ptr<TimerQueue>(new TimerQueue(std::move(impl)));
}

std::size_t TimerQueue::armed() const { return impl_->armed.size(); }

TimerQueue::Timer::Timer(TimerQueue& queue, std::function<void()> handler)
    : queue_(queue), handler_(std::make_shared<const std::function<void()>>(std::move(handler))) {}

TimerQueue::Timer::~Timer() { set(std::nullopt); }

void TimerQueue::Timer::set(std::optional<Instant> deadline) {
    if (deadline == deadline_) return;
    Impl& impl = *queue_.impl_;
    if (deadline_) spare_ = impl.armed.extract({*deadline_, this});
    deadline_ = deadline;
    if (!deadline) return;
    if (spare_) {
        spare_.value() = {*deadline, this};
        impl.armed.insert(std::move(spare_));
    } else {
        impl.armed.insert({*deadline, this});
    }
    impl.program();
}

}  // namespace parti::runtime
