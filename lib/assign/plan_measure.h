// measure_plan: how even a plan is, and what it moves.
//
// Units     Loads are sums of weights. A worker's fair share is the total weight times its share of the total capacity.
// Cost      One pass.
#pragma once

#include <cstdint>
#include <span>

#include <parti/strategy.h>

namespace parti::assign {

struct PlanMeasure {
    std::int64_t total_weight = 0;
    std::int64_t moved_weight = 0;  // owned before, by another worker
    std::uint64_t moved = 0;        // partitions, likewise
    double max_over_fair = 0;       // the most loaded worker's load over its fair share; 0 without partitions
    std::int64_t max_overload = 0;  // largest load - fair share, rounded up
};

// Requires: check_plan() holds.
PlanMeasure measure_plan(const StrategyInput& input, std::span<const std::int32_t> owner);

// FNV-1a of the plan: two machines that planned alike print the same.
std::uint64_t plan_digest(std::span<const std::int32_t> owner);

}  // namespace parti::assign
