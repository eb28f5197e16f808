// Rendezvous: each pair of partition and worker has a random number u in (0, 1); the worker with the least -ln(u) / capacity that
// has room takes the partition: each is first with a probability in proportion to its capacity, and a worker that comes or goes
// changes nobody else's order.
//
// Model     Workers of one capacity compare by u alone, so a logarithm is needed only between groups of capacities, and only
//           where the bound -ln(u) >= 1 - u does not settle it. u is the folded 128-bit product of both hashes.
// Cost      O(partitions * workers): one multiplication each. Closed workers are taken out.
// Source    Thaler, Ravishankar, "Using name-based mappings to increase hit rates", 1998; weighted: Schindelhauer, Schomaker,
//           "Weighted distributed hash tables", SPAA 2005.
#include <algorithm>

#include "assign/bounded_load.h"
#include "assign/fixed_log.h"
#include "assign/hash_ring.h"
#include "assign/options.h"

namespace parti {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kOffset = 0x9e3779b97f4a7c15ULL;  // so that no id's hash makes all products 0

std::uint64_t pair_hash(std::uint64_t partition, std::uint64_t worker) {
    const Wide product = Wide{partition ^ kOffset} * worker;
    return static_cast<std::uint64_t>(product >> 64U) ^ static_cast<std::uint64_t>(product);
}

class Ranks {
public:
    Ranks(const StrategyInput& input, std::uint64_t seed, std::int64_t load_bound_ppm)
        : loads_(input, load_bound_ppm), seed_(seed) {
        std::vector<std::int32_t> order(input.workers.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
        const auto worker = [&](std::int32_t i) -> const StrategyWorker& { return input.workers[static_cast<std::size_t>(i)]; };
        std::stable_sort(order.begin(), order.end(),
                         [&](std::int32_t a, std::int32_t b) { return worker(a).capacity > worker(b).capacity; });
        for (const std::int32_t i : order) {
            if (groups_.empty() || groups_.back().capacity != worker(i).capacity) groups_.push_back({worker(i).capacity, {}, {}});
            groups_.back().workers.push_back(i);
            groups_.back().hashes.push_back(assign::hash_of(seed, worker(i).number, 0) | 1U);
        }
    }

    std::int32_t place(const Partition& partition) {
        const std::uint64_t hash = assign::hash_of(seed_, partition.id());
        const std::int64_t weight = partition.weight();
        std::int32_t worker = kNobody;
        if (!loads_.anybody_has_room(weight)) {
            worker = loads_.least_loaded();
        } else {
            worker = best(hash, [](std::int32_t) { return true; });
            if (!loads_.has_room(worker, weight)) {
                worker = best(hash, [&](std::int32_t w) { return loads_.has_room(w, weight); });
            }
        }
        loads_.put(worker, weight);
        if (loads_.closed(worker)) take_out(worker);
        return worker;
    }

private:
    struct Group {
        std::uint64_t capacity;
        std::vector<std::int32_t> workers;  // ascending: of equal ranks the lowest number's comes first
        std::vector<std::uint64_t> hashes;
    };

    // The first in the partition's order among those allowed. Requires: there is one.
    template <class Allowed>
    std::int32_t best(std::uint64_t partition, const Allowed& allowed) const {
        std::int32_t winner = kNobody;
        std::uint64_t log = 0;
        std::uint64_t capacity = 1;
        for (const Group& group : groups_) {
            std::int32_t first = kNobody;
            std::uint64_t highest = 0;
            for (std::size_t i = 0; i < group.hashes.size(); ++i) {
                const std::uint64_t hash = pair_hash(partition, group.hashes[i]);
                if ((hash <= highest && first != kNobody) || !allowed(group.workers[i])) continue;
                highest = hash;
                first = group.workers[i];
            }
            if (first == kNobody) continue;
            // Worse even by the lower bound of its logarithm?
            if (winner != kNobody && Wide{(0 - highest) >> 7U} * capacity > Wide{log} * group.capacity) continue;
            const std::uint64_t exact = assign::neg_log(highest);
            const Wide mine = Wide{exact} * capacity;
            const Wide other = Wide{log} * group.capacity;
            if (winner != kNobody && (mine > other || (mine == other && first > winner))) continue;
            winner = first;
            log = exact;
            capacity = group.capacity;
        }
        return winner;
    }

    void take_out(std::int32_t worker) {
        for (Group& group : groups_) {
            const auto at = std::lower_bound(group.workers.begin(), group.workers.end(), worker);
            if (at == group.workers.end() || *at != worker) continue;
            group.hashes.erase(group.hashes.begin() + (at - group.workers.begin()));
            group.workers.erase(at);
            return;
        }
    }

    assign::BoundedLoad loads_;
    std::uint64_t seed_;
    std::vector<Group> groups_;
};

class Rendezvous final : public Strategy {
public:
    explicit Rendezvous(RendezvousOptions options) : options_(options) {}

    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        std::vector<std::int32_t> owner(input.partitions.size());
        if (owner.empty()) return owner;
        Ranks ranks(input, options_.seed, assign::to_ppm(options_.load_bound, assign::kLoadBoundMin, assign::kLoadBoundMax));
        for (const std::int32_t i : assign::heaviest_first(input.partitions)) {
            owner[static_cast<std::size_t>(i)] = ranks.place(input.partitions[static_cast<std::size_t>(i)]);
        }
        return owner;
    }
    std::string_view name() const override { return "rendezvous"; }
    Result<void> validate() const override { return options_.validate(); }

private:
    RendezvousOptions options_;
};

}  // namespace

std::shared_ptr<const Strategy> rendezvous(RendezvousOptions options) { return std::make_shared<Rendezvous>(options); }

}  // namespace parti
