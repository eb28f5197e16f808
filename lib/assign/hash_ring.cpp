#include "assign/hash_ring.h"

#include <algorithm>
#include <array>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace parti::assign {

namespace {

constexpr std::uint64_t kPointsMax = 2'000'000;

}  // namespace

std::uint64_t hash_of(std::uint64_t seed, std::string_view id) { return XXH3_64bits_withSeed(id.data(), id.size(), seed); }

std::uint64_t hash_of(std::uint64_t seed, WorkerNumber number, std::uint64_t k) {
    std::array<unsigned char, 12> bytes{};  // little-endian on every machine
    for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<unsigned char>(number.value >> (8 * i));
    for (std::size_t i = 0; i < 8; ++i) bytes[4 + i] = static_cast<unsigned char>(k >> (8 * i));
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

HashRing::HashRing(std::span<const StrategyWorker> workers, std::uint32_t virtual_nodes, std::uint64_t seed) : seed_(seed) {
    const auto points_of = [virtual_nodes](const StrategyWorker& w) { return std::uint64_t{virtual_nodes} * w.capacity; };
    std::uint64_t total = 0;
    for (const StrategyWorker& worker : workers) total += points_of(worker);
    unsigned halvings = 0;
    while ((total >> halvings) > kPointsMax) ++halvings;
    points_.reserve((total >> halvings) + workers.size());
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const std::uint64_t count = std::max<std::uint64_t>(1, points_of(workers[i]) >> halvings);
        for (std::uint64_t k = 0; k < count; ++k) {
            points_.push_back({hash_of(seed, workers[i].number, k), static_cast<std::int32_t>(i)});
        }
    }
    std::sort(points_.begin(), points_.end());
}

std::size_t HashRing::find(std::string_view id) const {
    const std::uint64_t hash = hash_of(seed_, id);
    const auto at =
        std::lower_bound(points_.begin(), points_.end(), hash, [](const RingPoint& p, std::uint64_t h) { return p.hash < h; });
    return at == points_.end() ? 0 : static_cast<std::size_t>(at - points_.begin());
}

}  // namespace parti::assign
