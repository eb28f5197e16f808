#include "assign/plan_measure.h"

#include <algorithm>
#include <cmath>

namespace parti::assign {

PlanMeasure measure_plan(const StrategyInput& input, std::span<const std::int32_t> owner) {
    PlanMeasure out;
    std::vector<std::int64_t> load(input.workers.size());
    for (std::size_t i = 0; i < owner.size(); ++i) {
        const std::int64_t weight = input.partitions[i].weight();
        load[static_cast<std::size_t>(owner[i])] += weight;
        out.total_weight += weight;
        if (input.previous_owner[i] == kNobody || input.previous_owner[i] == owner[i]) continue;
        out.moved_weight += weight;
        ++out.moved;
    }
    if (out.total_weight == 0) return out;
    std::int64_t capacity = 0;
    for (const StrategyWorker& worker : input.workers) capacity += worker.capacity;
    long double overload = 0;
    for (std::size_t i = 0; i < load.size(); ++i) {
        const long double fair =
            static_cast<long double>(out.total_weight) * input.workers[i].capacity / static_cast<long double>(capacity);
        out.max_over_fair = std::max(out.max_over_fair, static_cast<double>(static_cast<long double>(load[i]) / fair));
        overload = std::max(overload, static_cast<long double>(load[i]) - fair);
    }
    out.max_overload = static_cast<std::int64_t>(std::ceil(overload));
    return out;
}

std::uint64_t plan_digest(std::span<const std::int32_t> owner) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const std::int32_t worker : owner) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            hash ^= (static_cast<std::uint32_t>(worker) >> shift) & 0xffU;
            hash *= 0x100000001b3ULL;
        }
    }
    return hash;
}

}  // namespace parti::assign
