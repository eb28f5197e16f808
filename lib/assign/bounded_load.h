// BoundedLoad: who still has room, for the hash strategies with a load bound.
//
// Model     A worker's limit is load_bound * its fair share (total weight by capacity), rounded up. It has room for a partition
//           that does not take it above its limit; an empty worker has room for anything. Place the heaviest partitions first:
//           what has no room for the lightest is closed for good.
// Bound     When nobody has room, least_loaded() is at or below its fair share: load <= max(limit, fair share + that partition).
// Cost      Loads only grow, so both heaps are brought up to date only where they are looked at.
// Source    Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018; with weights and capacities.
#pragma once

#include <cstdint>
#include <limits>
#include <queue>
#include <vector>

#include <parti/strategy.h>

namespace parti::assign {

class BoundedLoad {
public:
    BoundedLoad(const StrategyInput& input, std::int64_t load_bound_ppm);

    bool has_room(std::int32_t worker, std::int64_t weight) const { return room(worker) >= weight; }
    bool closed(std::int32_t worker) const { return !has_room(worker, lightest_); }
    bool anybody_has_room(std::int64_t weight);
    // The least load for its capacity; the lowest number of those alike.
    std::int32_t least_loaded();
    void put(std::int32_t worker, std::int64_t weight) { load_[static_cast<std::size_t>(worker)] += weight; }

private:
    struct Room {
        std::int64_t room;
        std::int32_t worker;
        friend bool operator<(const Room& a, const Room& b) { return a.room != b.room ? a.room < b.room : a.worker > b.worker; }
    };
    struct Load {
        std::int64_t load;
        std::uint32_t capacity;
        std::int32_t worker;
        bool operator<(const Load& other) const;  // the least loaded is the greatest
    };

    std::int64_t room(std::int32_t worker) const {
        const auto at = static_cast<std::size_t>(worker);
        return load_[at] == 0 ? std::numeric_limits<std::int64_t>::max() : limit_[at] - load_[at];
    }

    std::int64_t lightest_ = std::numeric_limits<std::int64_t>::max();
    std::vector<std::int64_t> load_;
    std::vector<std::int64_t> limit_;
    std::priority_queue<Room> most_room_;
    std::priority_queue<Load> least_;
};

// Indices of the partitions, the heaviest first; of those alike the lowest id.
std::vector<std::int32_t> heaviest_first(std::span<const Partition> partitions);

}  // namespace parti::assign
