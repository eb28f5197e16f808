// Strategy: which worker should own which partition. Which one when, with figures: docs/STRATEGIES.md.
//
// Role      Called by the leader's core, on the io thread, with the whole picture; never told how to get there (the planner moves
//           ownership by revoke-before-grant).
// Model     A pure function: same input, same output on every machine; no clock, randomness or I/O. Input is sorted (workers by
//           number, partitions by id) and valid. The caller checks the output; a strategy that breaks the contract is reported
//           and its plan is not used. Everything here computes in whole numbers.
// Errors    Factories do not fail. validate() of the options, and of a strategy made from them, names the option, the value and
//           the rule; Worker::make refuses a strategy that does not validate. Its assign() still keeps the contract: it uses the
//           nearest valid value. What assign() throws is reported (on_error), and the plan tried again after settle_pause (at
//           least 100 ms), for ever; what the others throw is Worker::make's error, which asks each of them once.
// Threads   assign() is const and may be called from several contexts at once.
// Cost      Must be bounded: it runs between two renewals. Figures: docs/STRATEGIES.md.
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
    // Are its options valid? Errors: invalid_config.
    virtual Result<void> validate() const { return {}; }
    // True: one call may do a part of the work only (a churn budget). The leader then asks again with the previous result as
    // previous_owner, once that one is in force and min_rebalance_interval is over, until a result equals its previous_owner. A
    // strategy that says so must reach such a result. False: the leader asks when workers or partitions change, and at no other
    // time.
    virtual bool works_in_steps() const { return false; }
};

// Partition i of the sorted list goes to worker i mod W. Balanced to +-1; moves almost everything on any change; knows no
// weights, capacities or zones.
std::shared_ptr<const Strategy> round_robin();

struct ConsistentHashOptions {
    std::uint32_t virtual_nodes = 150;  // points per worker (times its capacity); 1..10'000
    std::uint64_t seed = 0;
    Result<void> validate() const;  // Errors: invalid_config
};
// A hash ring (XXH3-64). Moves about 1/W on a change; max/mean about 1.3 with 150 virtual nodes and 64 partitions a
// worker; knows no weights.
std::shared_ptr<const Strategy> consistent_hash(ConsistentHashOptions options = {});

struct WeightedConsistentHashOptions {
    std::uint32_t virtual_nodes = 150;  // as above
    std::uint64_t seed = 0;
    double load_bound = 1.25;       // 1.01..10
    Result<void> validate() const;  // Errors: invalid_config
};
// The ring with bounded loads: partitions are placed from the heaviest to the lightest; a worker that a partition would take
// above load_bound times its fair share (total weight by capacity) is passed over, unless it is empty; when nobody has room, the
// worker with the least load for its capacity takes it. So load <= max(load_bound * fair share, fair share + the heaviest
// partition).
std::shared_ptr<const Strategy> weighted_consistent_hash(WeightedConsistentHashOptions options = {});

struct RendezvousOptions {
    std::uint64_t seed = 0;
    double load_bound = 1.25;       // 1.01..10
    Result<void> validate() const;  // Errors: invalid_config
};
// Weighted highest random weight: each partition ranks all workers, by capacity; it goes to the first with room. Rule and bound
// as in weighted_consistent_hash. More even than a ring below its bound, no ring to build. Cost: partitions x workers.
std::shared_ptr<const Strategy> rendezvous(RendezvousOptions options = {});

struct StickyOptions {
    double epsilon = 0.0;  // tolerated overload: max load <= (1 + epsilon) * fair share + the heaviest partition; 0..1
    // Churn budget: a plan takes at most so many partitions from living owners; partitions without one are no part of it. The
    // rest moves with later plans, min_rebalance_interval apart. The smaller of the two holds; a share is rounded down, to at
    // least 1.
    std::uint32_t max_moves = 0;   // 0 = no limit
    double max_moves_share = 1.0;  // of all partitions; above 0, at most 1; 1 = no limit
    // Workers name zones: no zone's load should be above the share of its workers' capacity either, so that the loss of a zone
    // costs its share and no more. Never at the cost of balance between workers. Workers without a zone count as one zone.
    bool spread_zones = true;
    Result<void> validate() const;  // Errors: invalid_config
};
// Keeps every partition where it is unless balance demands a move: orphans go to the least loaded worker (against its share by
// capacity), then single partitions move from more to less loaded workers while that evens them. Its own result moves nothing,
// unless the churn budget cut it short. Default strategy.
std::shared_ptr<const Strategy> sticky(StickyOptions options = {});

// The names of the five, for configuration and command lines: "sticky" first, as it is the default.
std::span<const std::string_view> strategy_names();
// With default options. Errors: invalid_config naming the value and the names there are.
Result<std::shared_ptr<const Strategy>> strategy_from_name(std::string_view name);

}  // namespace parti
