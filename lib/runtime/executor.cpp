#include "runtime/executor.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <forward_list>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "runtime/io_thread.h"

namespace parti::runtime {

using core::Instant;

// Guarded by Shared::mutex.
class Executor::SerialQueue {
public:
    SerialQueue(Duration run_limit, std::weak_ptr<StuckListener> stuck_listener)
        : limit(run_limit), listener(std::move(stuck_listener)), last(waiting.before_begin()) {}

    void push(CallbackTask task) { last = waiting.insert_after(last, std::move(task)); }
    CallbackTask pop() {
        CallbackTask task = std::move(waiting.front());
        waiting.pop_front();
        if (waiting.empty()) last = waiting.before_begin();
        return task;
    }
    bool idle() const { return waiting.empty() && !running; }

    const Duration limit;
    const std::weak_ptr<StuckListener> listener;
    std::forward_list<CallbackTask> waiting;
    std::forward_list<CallbackTask>::iterator last;
    bool running = false;  // a thread is inside one of its tasks
    bool lost = false;     // and that thread has been written off
    bool ready = false;    // in Shared::ready
    bool closed = false;
};

namespace {

struct Slot {
    std::thread thread;
    std::shared_ptr<Executor::SerialQueue> queue;  // whose task it runs; null: idle
    const char* kind = "";
    Subject subject;
    Instant since;
    bool suspected = false;
    bool written_off = false;
    bool finished = false;
};

thread_local const void* executor_of_this_thread = nullptr;

}  // namespace

struct Executor::Shared : std::enable_shared_from_this<Shared> {
    Shared(Clock c, std::shared_ptr<Logger> l, std::size_t threads) : clock(std::move(c)), log(std::move(l)), wanted(threads) {}

    bool spawn();  // with the mutex held; false: the system gives no thread
    void serve(const std::shared_ptr<Slot>& slot);
    void run_one(const std::shared_ptr<Slot>& slot, std::unique_lock<std::mutex>& lock);

    const Clock clock;
    const std::shared_ptr<Logger> log;
    const std::size_t wanted;  // serving threads
    mutable std::mutex mutex;
    std::condition_variable work;    // a queue became ready, or stop
    std::condition_variable rested;  // a task ended, or a thread
    std::deque<std::shared_ptr<SerialQueue>> ready;
    std::vector<std::shared_ptr<Slot>> slots;  // serving threads
    std::size_t spawned = 0;
    std::size_t lost = 0;         // written off and still inside their callback
    std::size_t written_off = 0;  // so far
    bool stopping = false;
};

bool Executor::Shared::spawn() {
    auto slot = std::make_shared<Slot>();
    const std::string name = "parti-cb-" + std::to_string(spawned);
    try {
        slot->thread = std::thread([self = shared_from_this(), slot, name] {
            name_this_thread(name.c_str());
            executor_of_this_thread = self.get();
            self->serve(slot);
        });
    } catch (const std::system_error&) {
        return false;
    }
    spawned += 1;
    slots.push_back(std::move(slot));
    return true;
}

void Executor::Shared::serve(const std::shared_ptr<Slot>& slot) {
    std::unique_lock lock(mutex);
    while (!slot->written_off) {
        work.wait(lock, [&] { return stopping || !ready.empty(); });
        if (stopping) break;
        run_one(slot, lock);
    }
    slot->finished = true;
    rested.notify_all();
}

void Executor::Shared::run_one(const std::shared_ptr<Slot>& slot, std::unique_lock<std::mutex>& lock) {
    std::shared_ptr<SerialQueue> queue = std::move(ready.front());
    ready.pop_front();
    queue->ready = false;
    queue->running = true;
    CallbackTask task = queue->pop();
    slot->queue = queue;
    slot->kind = task.kind;
    slot->subject = task.subject;
    slot->since = clock();
    slot->suspected = false;
    lock.unlock();
    try {
        task.run();
    } catch (...) {  // tasks report their own; nothing may end the thread
    }
    task = {};  // what the task owned goes without the lock
    lock.lock();
    slot->queue.reset();
    slot->subject.reset();
    queue->running = false;
    queue->lost = false;
    if (slot->written_off) {
        lost -= 1;
        if (slots.size() < wanted && !stopping) spawn();  // it was not replaced
    }
    if (!queue->waiting.empty() && !stopping) {
        queue->ready = true;
        ready.push_back(std::move(queue));
        work.notify_one();
    }
    rested.notify_all();
}

Executor::Executor(std::uint32_t threads, Clock clock, std::shared_ptr<Logger> log)
    : shared_(std::make_shared<Shared>(std::move(clock), std::move(log), threads)) {
    const std::lock_guard lock(shared_->mutex);
    for (std::uint32_t i = 0; i < threads; ++i) shared_->spawn();
}

Executor::~Executor() { stop(Duration::zero()); }

std::shared_ptr<Executor::SerialQueue> Executor::make_queue(Duration limit, std::weak_ptr<StuckListener> listener) {
    return std::make_shared<SerialQueue>(limit, std::move(listener));
}

void Executor::submit(const std::shared_ptr<SerialQueue>& queue, CallbackTask task) {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->stopping || queue->closed) return;
    queue->push(std::move(task));
    if (queue->running || queue->ready) return;
    queue->ready = true;
    shared_->ready.push_back(queue);
    shared_->work.notify_one();
}

std::optional<Instant> Executor::check() {
    struct Finding {
        std::shared_ptr<StuckListener> listener;
        const char* kind;
        Subject subject;
        Duration age;
        bool replaced;
    };
    std::vector<Finding> findings;
    std::optional<Instant> next;
    const auto look_again = [&next](Instant at) { next = next ? std::min(*next, at) : at; };
    {
        const std::lock_guard lock(shared_->mutex);
        Shared& s = *shared_;
        const Instant now = s.clock();
        const std::vector<std::shared_ptr<Slot>> slots = s.slots;
        for (const auto& slot : slots) {
            if (slot->queue == nullptr) continue;
            const Duration limit = slot->queue->limit;
            const Duration age = now - slot->since;
            if (age < limit) {
                look_again(slot->since + limit);
            } else if (!slot->suspected) {
                slot->suspected = true;
                look_again(now + std::min<Duration>(limit / 10, std::chrono::seconds(1)));
            } else {
                slot->written_off = true;
                slot->queue->lost = true;
                s.written_off += 1;
                s.lost += 1;
                slot->thread.detach();
                std::erase(s.slots, slot);
                const bool replaced = s.lost <= kReplacementsMax && !s.stopping && s.spawn();
                findings.push_back({slot->queue->listener.lock(), slot->kind, slot->subject, age, replaced});
            }
        }
        for (const auto& queue : s.ready) look_again(now + queue->limit);
    }
    if (!findings.empty()) shared_->rested.notify_all();
    for (const Finding& f : findings) {
        if (f.listener) f.listener->callback_stuck(f.kind, f.subject, f.age, f.replaced);
    }
    return next;
}

bool Executor::wait_idle(const std::shared_ptr<SerialQueue>& queue, Duration timeout) {
    std::unique_lock lock(shared_->mutex);
    shared_->rested.wait_for(lock, timeout, [&] { return queue->idle() || queue->lost || shared_->stopping; });
    return queue->idle();
}

void Executor::close(const std::shared_ptr<SerialQueue>& queue) {
    std::forward_list<CallbackTask> tasks;  // what they own goes without the lock
    const std::lock_guard lock(shared_->mutex);
    queue->closed = true;
    tasks.swap(queue->waiting);
    queue->last = queue->waiting.before_begin();
    if (queue->ready) std::erase(shared_->ready, queue);
    queue->ready = false;
}

void Executor::stop(Duration grace) {
    std::vector<std::shared_ptr<Slot>> finished;
    std::deque<std::shared_ptr<SerialQueue>> dropped;
    {
        std::unique_lock lock(shared_->mutex);
        shared_->stopping = true;
        shared_->work.notify_all();
        dropped.swap(shared_->ready);
        const auto busy = [](const std::shared_ptr<Slot>& slot) { return !slot->finished; };
        const auto inside = [](const std::shared_ptr<Slot>& slot) { return slot->queue != nullptr; };
        auto& slots = shared_->slots;
        shared_->rested.wait_for(lock, grace, [&] { return std::none_of(slots.begin(), slots.end(), inside); });
        for (const auto& slot : slots) {
            if (inside(slot) && busy(slot)) {
                slot->written_off = true;
                shared_->written_off += 1;
                shared_->lost += 1;
                slot->thread.detach();
                shared_->log->print(LogLevel::error, "a {} callback is still running; its thread is left behind", slot->kind);
            } else {
                finished.push_back(slot);
            }
        }
        slots.clear();
    }
    for (const auto& slot : finished) slot->thread.join();
    for (const auto& queue : dropped) close(queue);
}

std::size_t Executor::threads() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->slots.size();
}

std::size_t Executor::written_off() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->written_off;
}

bool Executor::on_callback_thread() const { return executor_of_this_thread == shared_.get(); }

}  // namespace parti::runtime
