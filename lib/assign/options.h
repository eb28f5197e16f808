// Options of strategies as whole numbers, and the rules they must keep.
//
// Units     ppm: millionths, so that no result depends on how a machine rounds.
// Model     Weights are 1..10^9, capacities 1..10^6: products of sums of both need Wide.
// Errors    check_*: invalid_config naming the option, the value and the rule. *_ppm: the nearest valid value, also for "not a
//           number".
#pragma once

#include <cstdint>
#include <string_view>

#include <parti/result.h>

namespace parti::assign {

__extension__ using Wide = __int128;  // weights (2^50 in sum) x capacities (2^37 in sum) x 10^7 at most

inline constexpr std::int64_t kMillion = 1'000'000;
inline constexpr std::uint32_t kVirtualNodesMax = 10'000;
inline constexpr double kLoadBoundMin = 1.01;
inline constexpr double kLoadBoundMax = 10.0;

Result<void> check_virtual_nodes(std::string_view strategy, std::uint32_t value);
Result<void> check_load_bound(std::string_view strategy, double value);

// `value` within low..high, in millionths; low for "not a number".
std::int64_t to_ppm(double value, double low, double high);

}  // namespace parti::assign
