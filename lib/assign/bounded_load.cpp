#include "assign/bounded_load.h"

#include <algorithm>
#include <numeric>

#include "assign/options.h"

namespace parti::assign {

bool BoundedLoad::Load::operator<(const Load& other) const {
    const Wide left = Wide{load} * other.capacity;
    const Wide right = Wide{other.load} * capacity;
    return left != right ? left > right : worker > other.worker;
}

BoundedLoad::BoundedLoad(const StrategyInput& input, std::int64_t load_bound_ppm) {
    std::int64_t total = 0;
    std::int64_t capacity = 0;
    for (const Partition& partition : input.partitions) {
        total += partition.weight();
        lightest_ = std::min(lightest_, partition.weight());
    }
    for (const StrategyWorker& worker : input.workers) capacity += worker.capacity;
    const Wide divisor = Wide{capacity} * kMillion;
    for (std::size_t i = 0; i < input.workers.size(); ++i) {
        const Wide share = Wide{total} * input.workers[i].capacity * load_bound_ppm;
        limit_.push_back(static_cast<std::int64_t>((share + divisor - 1) / divisor));
        load_.push_back(0);
        most_room_.push({room(static_cast<std::int32_t>(i)), static_cast<std::int32_t>(i)});
        least_.push({0, input.workers[i].capacity, static_cast<std::int32_t>(i)});
    }
}

bool BoundedLoad::anybody_has_room(std::int64_t weight) {
    while (most_room_.top().room >= weight) {
        const Room top = most_room_.top();
        const std::int64_t now = room(top.worker);
        if (now >= weight) return true;
        most_room_.pop();
        most_room_.push({now, top.worker});
    }
    return false;
}

std::int32_t BoundedLoad::least_loaded() {
    for (;;) {
        const Load top = least_.top();
        const std::int64_t now = load_[static_cast<std::size_t>(top.worker)];
        if (now == top.load) return top.worker;
        least_.pop();
        least_.push({now, top.capacity, top.worker});
    }
}

std::vector<std::int32_t> heaviest_first(std::span<const Partition> partitions) {
    std::vector<std::int32_t> order(partitions.size());
    std::iota(order.begin(), order.end(), 0);
    const auto weight = [&](std::int32_t i) { return partitions[static_cast<std::size_t>(i)].weight(); };
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return weight(a) > weight(b); });
    return order;
}

}  // namespace parti::assign
