// check_plan: does a strategy's answer keep the contract of parti/strategy.h?
//
// Model     Exactly one entry per partition, each the index of a worker. Users write strategies: what they answer is input.
// Errors    invalid_argument naming the partition, the value and the rule.
// Cost      One pass.
#pragma once

#include <span>

#include <parti/strategy.h>

namespace parti::assign {

Result<void> check_plan(const StrategyInput& input, std::span<const std::int32_t> owner);

}  // namespace parti::assign
