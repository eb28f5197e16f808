#include "consume/runner.h"

#include <utility>

#include "runtime/boot_clock.h"

namespace parti::consume {
namespace {

constexpr std::uint32_t kMessagesPerTurn = 64;
constexpr Duration kTask = std::chrono::milliseconds(5);  // then other users of the thread have their turn

}  // namespace

Runner::SeatPtr Runner::make_seat() {
    auto seat = std::make_shared<Seat>(weak_from_this());
    seat->queue = executor_.make_queue(handler_timeout_, seat);
    return seat;
}

void Runner::start(std::uint32_t concurrency) {
    const std::lock_guard lock(mutex_);
    for (std::uint32_t i = 0; i < concurrency; ++i) rest(make_seat());
}

void Runner::ready(std::shared_ptr<Lane> lane) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    ready_.push_back(std::move(lane));
    wake_one();
}

// With the lock held.
void Runner::rest(SeatPtr seat) {
    seat->resting = true;
    resting_.push_back(std::move(seat));
}

// With the lock held.
void Runner::wake_one() {
    if (resting_.empty()) return;
    const SeatPtr seat = std::move(resting_.back());
    resting_.pop_back();
    seat->resting = false;
    serving_ += 1;
    submit(seat);
}

// With the lock held: after stop() the executor may be gone.
void Runner::submit(const SeatPtr& seat) {
    runtime::CallbackTask task;
    task.kind = "consumer handler";
    task.run = [self = shared_from_this(), seat] { self->serve(seat); };
    executor_.submit(seat->queue, std::move(task));
}

void Runner::serve(const SeatPtr& seat) {
    const core::Instant until = runtime::boot_now() + kTask;
    for (;;) {
        std::shared_ptr<Lane> lane;
        {
            std::unique_lock lock(mutex_);
            if (ready_.empty() && !stopped_ && outlet_->owes_flush()) {
                lock.unlock();
                outlet_->flush();
                lock.lock();
            }
            if (seat->replaced) return;  // whoever has its place goes on
            if (stopped_ || ready_.empty()) {
                serving_ -= 1;
                rest(seat);
                return;
            }
            lane = std::move(ready_.front());
            ready_.pop_front();
        }
        if (lane->run(kMessagesPerTurn)) {
            const std::lock_guard lock(mutex_);
            if (stopped_) return;
            ready_.push_back(std::move(lane));
            if (seat->replaced) wake_one();
        }
        if (runtime::boot_now() >= until) break;
    }
    const std::lock_guard lock(mutex_);
    if (stopped_ || seat->replaced) return;
    submit(seat);
}

bool Runner::running() const {
    const std::lock_guard lock(mutex_);
    return serving_ > 0;
}

void Runner::stop() {
    std::deque<std::shared_ptr<Lane>> dropped;
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(ready_);
}

void Runner::Seat::callback_stuck(const char*, const runtime::Subject&, Duration age, bool thread_replaced) {
    if (const auto self = runner.lock()) self->stuck(*this, age, thread_replaced);
}

void Runner::stuck(Seat& seat, Duration age, bool replaced) {
    {
        const std::lock_guard lock(mutex_);
        if (stopped_ || seat.resting) return;  // it has returned since the watchdog looked
        if (replaced) {
            // Its queue is busy until the handler returns; another one serves the other lanes meanwhile.
            seat.replaced = true;
            submit(make_seat());
        }
    }
    report_stuck_(age, replaced);
}

}  // namespace parti::consume
