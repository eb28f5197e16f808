// The ring: point k of worker n is hash(n, k), so that a worker's points do not depend on who else is there. A partition belongs
// to the first point at or after its own hash.
//
// Model     A worker has virtual_nodes * capacity points. When all together would be above two million, everybody gets half of
//           them, until they fit: a worker's remaining points stay where they were.
// Cost      Sorting the points; each search is binary.
// Source    Karger et al., "Consistent hashing and random trees", STOC 1997. Hash: XXH3-64 (xxHash, header-only).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <parti/strategy.h>

namespace parti::assign {

struct RingPoint {
    std::uint64_t hash = 0;
    std::int32_t worker = 0;  // index; ascending by number, so that a tie goes to the lowest number on every machine
    friend bool operator<(const RingPoint& a, const RingPoint& b) {
        return a.hash != b.hash ? a.hash < b.hash : a.worker < b.worker;
    }
};

class HashRing {
public:
    // Requires: workers is not empty; 1 <= virtual_nodes <= kVirtualNodesMax.
    HashRing(std::span<const StrategyWorker> workers, std::uint32_t virtual_nodes, std::uint64_t seed);

    // The first point at or after the id's hash, as an index into points().
    std::size_t find(std::string_view id) const;
    const std::vector<RingPoint>& points() const { return points_; }

private:
    std::uint64_t seed_;
    std::vector<RingPoint> points_;
};

// Of a partition's id, and of point (or any other aspect) k of a worker. The same on every machine.
std::uint64_t hash_of(std::uint64_t seed, std::string_view id);
std::uint64_t hash_of(std::uint64_t seed, WorkerNumber number, std::uint64_t k);

}  // namespace parti::assign
