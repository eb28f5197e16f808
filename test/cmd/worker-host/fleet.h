// Fleet: the workers of this process and what is said about them.
//
// Model     A slot per worker, by index. start and stop are called by the main thread; callbacks report on callback threads.
//           After every start or stop the fleet says once: all_stable (every running worker is Stable), covered (all partitions
//           of the group are owned here) and balanced (covered, and no two workers differ by more than one partition), each with
//           the time since the first start() or stop of that command.
// Threads   As said.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
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
    // One whole life of all workers: start, Stable and covered, stop, joined; then the heap, once it has not changed for `rest`.
    Result<void> cycle(std::chrono::milliseconds rest);
    // The source changes to so many partitions; `changed` is said when so many are owned here. `covered` and `balanced` go on
    // meaning the first set.
    Result<void> set_partitions(std::size_t count);
    void say_status() const;
    void say_ownership() const;
    void say_stats() const;
    void say_consumed() const;

    // For the status page: health, workers, counters; from any thread. Members of a JSON object, without its braces.
    std::string status_members() const;
    bool all_stable() const;

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
        std::int64_t changing_since_ns = 0;  // 0: no change of the partitions is under way
    };

    WorkerStats sum_of_stats(std::uint64_t& running) const;
    Result<void> start_one(std::size_t index);
    void stop_these(const std::vector<std::size_t>& indexes);
    Callbacks callbacks_of(std::size_t index);
    void expect_milestones();
    void look_for_milestones();
    bool wait_covered(std::chrono::milliseconds limit);
    void delay() const;
    Slot& slot(std::size_t index) { return slots_[index]; }

    Context context_;
    const Options& options_;
    std::shared_ptr<StaticSource> source_;
    std::atomic<std::uint32_t> partitions_;
    std::shared_ptr<HandledLog> handled_;  // nullptr: nothing is consumed
    std::deque<Slot> slots_;               // does not move
    mutable std::mutex slots_mutex_;       // held while a worker appears or goes, and by other threads that look at them
    std::vector<std::size_t> order_;       // indexes that run, in the order they were started
    mutable std::mutex milestones_mutex_;
    Milestones milestones_;
    std::condition_variable milestone_said_;
    Ballast ballast_;
    bool ballast_taken_ = false;
    LeakedBlocks leaked_;
    std::uint64_t cycles_ = 0;
};

}  // namespace parti::host
