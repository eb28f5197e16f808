// The two strategies on a ring: the plain one, and the one with bounded loads.
#include <algorithm>
#include <numeric>

#include "assign/bounded_load.h"
#include "assign/hash_ring.h"
#include "assign/options.h"

namespace parti {

namespace {

using assign::HashRing;
using assign::RingPoint;

std::uint32_t valid_virtual_nodes(std::uint32_t value) { return std::clamp<std::uint32_t>(value, 1, assign::kVirtualNodesMax); }

class ConsistentHash final : public Strategy {
public:
    explicit ConsistentHash(ConsistentHashOptions options) : options_(options) {}

    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        const HashRing ring(input.workers, valid_virtual_nodes(options_.virtual_nodes), options_.seed);
        std::vector<std::int32_t> owner;
        owner.reserve(input.partitions.size());
        for (const Partition& partition : input.partitions) owner.push_back(ring.points()[ring.find(partition.id())].worker);
        return owner;
    }
    std::string_view name() const override { return "consistent_hash"; }
    Result<void> validate() const override { return options_.validate(); }

private:
    ConsistentHashOptions options_;
};

// Steps clockwise over the points of workers that are not closed. Points of closed workers are skipped for good: skip_[i] is a
// point at or after i such that all before it are closed.
class Walk {
public:
    Walk(const HashRing& ring, const assign::BoundedLoad& loads) : points_(ring.points()), loads_(loads), skip_(points_.size()) {
        std::iota(skip_.begin(), skip_.end(), 0U);
    }
    // The first open point at or after `from`, going round; some worker must be open.
    std::size_t open(std::size_t from) {
        std::size_t at = from;
        for (;;) {
            if (skip_[at] != at) {
                const std::size_t beyond = skip_[skip_[at]];
                skip_[at] = static_cast<std::uint32_t>(beyond);  // halves the way for those who come next
                at = beyond;
            } else if (loads_.closed(points_[at].worker)) {
                skip_[at] = static_cast<std::uint32_t>(next(at));
            } else {
                return at;
            }
        }
    }
    std::size_t next(std::size_t at) const { return at + 1 == points_.size() ? 0 : at + 1; }

private:
    const std::vector<RingPoint>& points_;
    const assign::BoundedLoad& loads_;
    std::vector<std::uint32_t> skip_;
};

class WeightedConsistentHash final : public Strategy {
public:
    explicit WeightedConsistentHash(WeightedConsistentHashOptions options) : options_(options) {}

    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        std::vector<std::int32_t> owner(input.partitions.size());
        if (owner.empty()) return owner;
        const HashRing ring(input.workers, valid_virtual_nodes(options_.virtual_nodes), options_.seed);
        assign::BoundedLoad loads(input, assign::to_ppm(options_.load_bound, assign::kLoadBoundMin, assign::kLoadBoundMax));
        Walk walk(ring, loads);
        for (const std::int32_t i : assign::heaviest_first(input.partitions)) {
            const Partition& partition = input.partitions[static_cast<std::size_t>(i)];
            std::int32_t worker = 0;
            if (loads.anybody_has_room(partition.weight())) {
                std::size_t at = walk.open(ring.find(partition.id()));
                while (!loads.has_room(ring.points()[at].worker, partition.weight())) at = walk.open(walk.next(at));
                worker = ring.points()[at].worker;
            } else {
                worker = loads.least_loaded();
            }
            loads.put(worker, partition.weight());
            owner[static_cast<std::size_t>(i)] = worker;
        }
        return owner;
    }
    std::string_view name() const override { return "weighted_consistent_hash"; }
    Result<void> validate() const override { return options_.validate(); }

private:
    WeightedConsistentHashOptions options_;
};

}  // namespace

std::shared_ptr<const Strategy> consistent_hash(ConsistentHashOptions options) {
    return std::make_shared<ConsistentHash>(options);
}

std::shared_ptr<const Strategy> weighted_consistent_hash(WeightedConsistentHashOptions options) {
    return std::make_shared<WeightedConsistentHash>(options);
}

}  // namespace parti
