// Names of enumerators in records.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "base/records.h"

namespace parti::wire {

inline constexpr std::array<std::pair<std::string_view, LeaseState>, 5> kLeaseStates{{
    {"live", LeaseState::live},
    {"draining", LeaseState::draining},
    {"released", LeaseState::released},
    {"dead", LeaseState::dead},
    {"evicted", LeaseState::evicted},
}};

constexpr std::string_view name_of(LeaseState state) {
    return kLeaseStates[static_cast<std::size_t>(state)].first;
}

}  // namespace parti::wire
