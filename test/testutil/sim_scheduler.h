// SimScheduler: virtual time and the order of everything that happens in a simulated world.
//
// Role      A queue of tasks by (time, order of posting). Each task belongs to a lane: lane 0 is the world (servers, the
//           network), every other lane is one simulated process. A lane can be paused (its tasks wait, in order, until it wakes)
//           or ended (they vanish).
// Units     Nanoseconds of true simulated time from 0. Processes' own clocks are the world's business.
// Threads   One.
// Cost      A task is kept inline up to 80 bytes; O(log n) per task.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace parti::testutil {

using Nanos = std::int64_t;
inline constexpr Nanos kMicro = 1'000;
inline constexpr Nanos kMilli = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

// A move-only void().
class SimTask {
public:
    SimTask() = default;
    template <class F>
    requires(!std::is_same_v<std::decay_t<F>, SimTask>)
        SimTask(F&& function) {  // NOLINT(google-explicit-constructor): a callable is a task
        using Function = std::decay_t<F>;
        if constexpr (sizeof(Function) <= kInline && alignof(Function) <= alignof(std::max_align_t) &&
                      std::is_nothrow_move_constructible_v<Function>) {
            new (&space_) Function(std::forward<F>(function));
            table_ = &kTable<Function>;
        } else {
            using Boxed = std::unique_ptr<Function>;
            auto boxed = [box = Boxed(new Function(std::forward<F>(function)))] { (*box)(); };
            using Box = decltype(boxed);
            new (&space_) Box(std::move(boxed));
            table_ = &kTable<Box>;
        }
    }
    SimTask(SimTask&& other) noexcept : table_(std::exchange(other.table_, nullptr)) {
        if (table_ != nullptr) table_->move(&other.space_, &space_);
    }
    SimTask& operator=(SimTask&& other) noexcept {
        if (this != &other) {
            reset();
            table_ = std::exchange(other.table_, nullptr);
            if (table_ != nullptr) table_->move(&other.space_, &space_);
        }
        return *this;
    }
    SimTask(const SimTask&) = delete;
    SimTask& operator=(const SimTask&) = delete;
    ~SimTask() { reset(); }

    void operator()() { table_->call(&space_); }
    void reset() {
        if (table_ != nullptr) std::exchange(table_, nullptr)->destroy(&space_);
    }

private:
    static constexpr std::size_t kInline = 80;
    struct Table {
        void (*call)(void*);
        void (*move)(void* from, void* to) noexcept;  // and destroys `from`
        void (*destroy)(void*) noexcept;
    };
    template <class F>
    static constexpr Table kTable{
        [](void* space) { (*static_cast<F*>(space))(); },
        [](void* from, void* to) noexcept {
            new (to) F(std::move(*static_cast<F*>(from)));
            static_cast<F*>(from)->~F();
        },
        [](void* space) noexcept { static_cast<F*>(space)->~F(); },
    };

    alignas(std::max_align_t) std::byte space_[kInline];
    const Table* table_ = nullptr;
};

class SimScheduler {
public:
    using Lane = std::uint32_t;
    static constexpr Lane kWorld = 0;

    SimScheduler() : lanes_(1) {}
    // Drops every task; what destroying them posts is dropped too. Call it while what the tasks refer to is alive.
    void clear() {
        closed_ = true;
        heap_.clear();
        free_.clear();
        const std::vector<SimTask> dropped = std::move(tasks_);
        tasks_.clear();
    }

    Nanos now() const { return now_; }
    std::uint64_t executed() const { return executed_; }
    bool empty() const { return heap_.empty(); }
    Nanos next_time() const { return heap_.empty() ? std::numeric_limits<Nanos>::max() : heap_.front().when; }

    void at(Nanos when, Lane lane, SimTask task) {
        if (closed_) return;
        std::uint32_t slot = 0;
        if (free_.empty()) {
            slot = static_cast<std::uint32_t>(tasks_.size());
            tasks_.push_back(std::move(task));
        } else {
            slot = free_.back();
            free_.pop_back();
            tasks_[slot] = std::move(task);
        }
        push({std::max(when, now_), ++order_, lane, slot});
    }
    void after(Nanos delay, Lane lane, SimTask task) { at(now_ + delay, lane, std::move(task)); }

    Lane add_lane() {
        lanes_.emplace_back();
        return static_cast<Lane>(lanes_.size() - 1);
    }
    void end_lane(Lane lane) { lanes_[lane].ended = true; }
    void pause_lane(Lane lane, Nanos until) { lanes_[lane].paused_until = std::max(lanes_[lane].paused_until, until); }
    bool paused(Lane lane) const { return lanes_[lane].paused_until > now_; }
    bool ended(Lane lane) const { return lanes_[lane].ended; }

    // Runs the next task; false when there is none. A task of a paused or ended lane counts as a turn without doing anything.
    bool step() {
        if (heap_.empty()) return false;
        std::pop_heap(heap_.begin(), heap_.end(), Later{});
        Item item = heap_.back();
        heap_.pop_back();
        PARTI_ASSERT(item.when >= now_);
        now_ = item.when;
        const LaneState& lane = lanes_[item.lane];
        if (!lane.ended && lane.paused_until > now_) {  // waits; popped in order, so it is queued again in order
            item.when = lane.paused_until;
            item.order = ++order_;
            push(item);
            return true;
        }
        SimTask task = std::move(tasks_[item.slot]);
        free_.push_back(item.slot);
        if (lane.ended) return true;
        ++executed_;
        task();
        return true;
    }

private:
    struct Item {
        Nanos when = 0;
        std::uint64_t order = 0;
        Lane lane = 0;
        std::uint32_t slot = 0;
    };
    struct Later {
        bool operator()(const Item& a, const Item& b) const { return a.when != b.when ? a.when > b.when : a.order > b.order; }
    };
    struct LaneState {
        Nanos paused_until = 0;
        bool ended = false;
    };
    void push(const Item& item) {
        heap_.push_back(item);
        std::push_heap(heap_.begin(), heap_.end(), Later{});
    }

    Nanos now_ = 0;
    std::uint64_t order_ = 0;
    std::uint64_t executed_ = 0;
    bool closed_ = false;
    std::vector<Item> heap_;
    std::vector<SimTask> tasks_;
    std::vector<std::uint32_t> free_;
    std::vector<LaneState> lanes_;
};

}  // namespace parti::testutil
