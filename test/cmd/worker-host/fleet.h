// Fleet: the workers of this process and what is said about them.
//
// Model     A slot per worker, by index. start and stop are called by the main thread; callbacks report on callback threads.
//           After every start or stop the fleet says once: all_stable (every running worker is Stable), covered (all partitions
//           of the group are owned here) and balanced (covered, and no two workers differ by more than one partition), each with
//           the time since the first start() or stop of that command.
// Threads   As said.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <parti/parti.h>

#include "consume.h"
#include "memory.h"
#include "options.h"

namespace parti::host {

class Fleet {
public:
    Fleet(Context context, const Options& options, std::shared_ptr<StaticSource> source, std::shared_ptr<HandledLog> handled);
    ~Fleet();

    Result<void> start(std::optional<std::size_t> count);  // nothing: all that do not run
    Result<void> stop(std::optional<std::size_t> count);   // the newest; nothing: all
    Result<void> stop_worker(std::size_t index);
    Result<void> set_partitions(std::size_t count);  // of the source; `covered` and `balanced` go on meaning the first set
    void say_status() const;
    void say_ownership() const;
    void say_stats() const;
    void say_consumed() const;

private:
    struct Slot {
        std::optional<Worker> worker;
        std::optional<Consumer> consumer;
        std::atomic<State> state{State::init};
        std::atomic<std::int64_t> owned{0};
        std::atomic<bool> running{false};
    };
    struct Milestones {
        std::int64_t since_ns = 0;
        bool stable = true;  // said, or not wanted
        bool covered = true;
        bool balanced = true;
    };

    Result<void> start_one(std::size_t index);
    void stop_these(const std::vector<std::size_t>& indexes);
    Callbacks callbacks_of(std::size_t index);
    void expect_milestones();
    void look_for_milestones();
    void delay() const;
    Slot& slot(std::size_t index) { return slots_[index]; }

    Context context_;
    const Options& options_;
    std::shared_ptr<StaticSource> source_;
    std::shared_ptr<HandledLog> handled_;  // nullptr: nothing is consumed
    std::deque<Slot> slots_;          // does not move
    std::vector<std::size_t> order_;  // indexes that run, in the order they were started
    mutable std::mutex milestones_mutex_;
    Milestones milestones_;
    Ballast ballast_;
    bool ballast_taken_ = false;
};

}  // namespace parti::host
