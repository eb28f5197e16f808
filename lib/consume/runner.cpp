#include "consume/runner.h"

#include <utility>

#include "runtime/boot_clock.h"

namespace parti::consume {
namespace {

constexpr std::uint32_t kMessagesPerTurn = 64;
constexpr Duration kTask = std::chrono::milliseconds(5);  // then other users of the thread have their turn

}  // namespace

void Runner::start(std::uint32_t concurrency) {
    const std::lock_guard lock(mutex_);
    for (std::uint32_t i = 0; i < concurrency; ++i) resting_.push_back(executor_.make_queue(handler_timeout_, weak_from_this()));
}

void Runner::ready(std::shared_ptr<Lane> lane) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    ready_.push_back(std::move(lane));
    if (resting_.empty()) return;
    const Queue queue = std::move(resting_.back());
    resting_.pop_back();
    serving_ += 1;
    submit(queue);
}

// With the lock held: after stop() the executor may be gone.
void Runner::submit(const Queue& queue) {
    runtime::CallbackTask task;
    task.kind = "consumer handler";
    task.run = [self = shared_from_this(), queue] { self->serve(queue); };
    executor_.submit(queue, std::move(task));
}

void Runner::serve(const Queue& queue) {
    const core::Instant until = runtime::boot_now() + kTask;
    for (;;) {
        std::shared_ptr<Lane> lane;
        {
            const std::lock_guard lock(mutex_);
            if (stopped_ || ready_.empty()) {
                serving_ -= 1;
                resting_.push_back(queue);
                return;
            }
            lane = std::move(ready_.front());
            ready_.pop_front();
        }
        const bool more = lane->run(kMessagesPerTurn);
        if (more) {
            const std::lock_guard lock(mutex_);
            ready_.push_back(std::move(lane));
        }
        if (runtime::boot_now() >= until) break;
    }
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    submit(queue);
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

void Runner::callback_stuck(const char*, const runtime::Subject&, Duration age, bool replaced) {
    if (replaced) {
        // Its queue is busy until the handler returns; another one serves the other lanes meanwhile.
        const std::lock_guard lock(mutex_);
        if (stopped_) return;
        serving_ += 1;
        submit(executor_.make_queue(handler_timeout_, weak_from_this()));
    }
    stuck_(age, replaced);
}

}  // namespace parti::consume
