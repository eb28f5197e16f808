// Strategy: which worker should own which partition.
//
// Role      Called by the leader's core, on the io thread, with the whole picture; never told how to get there (the planner moves
//           ownership by revoke-before-grant).
// Model     A pure function: same input, same output on every machine; no clock, randomness or I/O. Input is sorted (workers by
//           number, partitions by id) and valid. The caller checks the output; a strategy that breaks the contract is reported and
//           its plan is not used.
// Threads   assign() is const and may be called from several contexts at once.
// Cost      Must be bounded: it runs between two renewals. Figures: docs/BENCHMARKING.md.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <parti/types.h>

namespace parti {

struct StrategyWorker {
    WorkerNumber number;
    std::uint32_t capacity = 1;  // relative; 1..1'000'000
    std::string_view zone;       // empty = none
};

inline constexpr std::int32_t kNobody = -1;

struct StrategyInput {
    std::span<const StrategyWorker> workers;       // not empty; strictly ascending by number
    std::span<const Partition> partitions;         // strictly ascending by id
    std::span<const std::int32_t> previous_owner;  // per partition: index into workers, or kNobody
};

class Strategy {
public:
    virtual ~Strategy() = default;
    // For every partition (same order as input.partitions) the index into input.workers of its owner.
    virtual std::vector<std::int32_t> assign(const StrategyInput& input) const = 0;
    virtual std::string_view name() const = 0;
};

// Partition i of the sorted list goes to worker i mod W. Balanced to +-1; moves almost everything on any change.
std::shared_ptr<const Strategy> round_robin();

struct ConsistentHashOptions {
    std::uint32_t virtual_nodes = 150;  // points per worker (times its capacity); 1..10'000
    std::uint64_t seed = 0;
};
// A hash ring (XXH3-64). Moves about 1/W on a change; max/mean about 1.2 to 1.3 with 150 virtual nodes.
std::shared_ptr<const Strategy> consistent_hash(ConsistentHashOptions options = {});

struct StickyOptions {
    double epsilon = 0.0;  // tolerated overload: max load <= (1 + epsilon) * fair share + the heaviest partition; 0..1
};
// Keeps every partition where it is unless balance demands a move: orphans go to the least loaded worker (against its share by
// capacity), then single partitions move from more to less loaded workers while that evens them. Its own result moves nothing.
// Default strategy.
std::shared_ptr<const Strategy> sticky(StickyOptions options = {});

}  // namespace parti
