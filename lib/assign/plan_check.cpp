#include "assign/plan_check.h"

#include <string>

namespace parti::assign {

Result<void> check_plan(const StrategyInput& input, std::span<const std::int32_t> owner) {
    if (owner.size() != input.partitions.size()) {
        return fail(Errc::invalid_argument, "the plan has " + std::to_string(owner.size()) +
                                                " entries; there must be one for each of the " +
                                                std::to_string(input.partitions.size()) + " partitions");
    }
    for (std::size_t i = 0; i < owner.size(); ++i) {
        if (owner[i] >= 0 && static_cast<std::size_t>(owner[i]) < input.workers.size()) continue;
        return fail(Errc::invalid_argument, "the plan gives partition '" + input.partitions[i].id() + "' to worker index " +
                                                std::to_string(owner[i]) + "; it must be in 0.." +
                                                std::to_string(static_cast<std::int64_t>(input.workers.size()) - 1));
    }
    return {};
}

}  // namespace parti::assign
