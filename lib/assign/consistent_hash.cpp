// The ring: point k of worker n is hash(n, k), so that a worker's points do not depend on who else is there. A partition belongs
// to the first point at or after its own hash.
//
// Source    Karger et al., "Consistent hashing and random trees", STOC 1997. Hash: XXH3-64 (xxHash, header-only).
#include <algorithm>
#include <array>

#include <parti/strategy.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace parti {

namespace {

// Above it every worker gets half of its points, until they fit: a worker's remaining points stay where they were.
constexpr std::uint64_t kPointsMax = 2'000'000;
constexpr std::uint32_t kVirtualNodesMax = 10'000;

struct Point {
    std::uint64_t hash = 0;
    std::int32_t worker = 0;  // index; ascending by number, so that a tie goes to the lowest number on every machine
    friend bool operator<(const Point& a, const Point& b) { return a.hash != b.hash ? a.hash < b.hash : a.worker < b.worker; }
};

std::uint64_t hash_of(std::uint64_t seed, std::uint32_t number, std::uint64_t k) {
    std::array<unsigned char, 12> bytes{};  // little-endian on every machine
    for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<unsigned char>(number >> (8 * i));
    for (std::size_t i = 0; i < 8; ++i) bytes[4 + i] = static_cast<unsigned char>(k >> (8 * i));
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

class ConsistentHash final : public Strategy {
public:
    explicit ConsistentHash(ConsistentHashOptions options) : options_(options) {
        options_.virtual_nodes = std::clamp<std::uint32_t>(options_.virtual_nodes, 1, kVirtualNodesMax);
    }

    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        const std::vector<Point> ring = make_ring(input.workers);
        std::vector<std::int32_t> owner;
        owner.reserve(input.partitions.size());
        for (const Partition& partition : input.partitions) {
            const std::uint64_t hash = XXH3_64bits_withSeed(partition.id().data(), partition.id().size(), options_.seed);
            const auto at =
                std::lower_bound(ring.begin(), ring.end(), hash, [](const Point& p, std::uint64_t h) { return p.hash < h; });
            owner.push_back(at == ring.end() ? ring.front().worker : at->worker);
        }
        return owner;
    }
    std::string_view name() const override { return "consistent_hash"; }

private:
    std::vector<Point> make_ring(std::span<const StrategyWorker> workers) const {
        std::uint64_t total = 0;
        for (const StrategyWorker& worker : workers) total += points_of(worker);
        unsigned halvings = 0;
        while ((total >> halvings) > kPointsMax) ++halvings;
        std::vector<Point> ring;
        ring.reserve((total >> halvings) + workers.size());
        for (std::size_t i = 0; i < workers.size(); ++i) {
            const std::uint64_t count = std::max<std::uint64_t>(1, points_of(workers[i]) >> halvings);
            for (std::uint64_t k = 0; k < count; ++k) {
                ring.push_back({hash_of(options_.seed, workers[i].number.value, k), static_cast<std::int32_t>(i)});
            }
        }
        std::sort(ring.begin(), ring.end());
        return ring;
    }
    std::uint64_t points_of(const StrategyWorker& worker) const {
        return std::uint64_t{options_.virtual_nodes} * worker.capacity;
    }

    ConsistentHashOptions options_;
};

}  // namespace

std::shared_ptr<const Strategy> consistent_hash(ConsistentHashOptions options) {
    return std::make_shared<ConsistentHash>(options);
}

}  // namespace parti
