// The timing keys and the enumerators of the configuration, once: rules, reader and writer all go by these tables.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include <parti/config.h>

namespace parti::base {

inline constexpr Duration kDurationMax = std::chrono::hours(24);
inline constexpr std::size_t kGroupBytesMax = 64;
inline constexpr std::size_t kPrefixBytesMax = 64;
inline constexpr std::size_t kInstanceBytesMax = 128;
inline constexpr std::size_t kZoneBytesMax = 64;
inline constexpr std::uint32_t kCapacityMax = 1'000'000;

struct TimingField {
    std::string_view name;
    Duration Timing::*member;
    bool may_be_zero;
};
inline constexpr std::array<TimingField, 19> kTimingFields{{
    {"heartbeat", &Timing::heartbeat, false},
    {"ttl", &Timing::ttl, false},
    {"margin", &Timing::margin, false},
    {"stop_budget", &Timing::stop_budget, false},
    {"drain_timeout", &Timing::drain_timeout, true},
    {"shutdown_timeout", &Timing::shutdown_timeout, false},
    {"grant_timeout", &Timing::grant_timeout, false},
    {"leader_publish_timeout", &Timing::leader_publish_timeout, false},
    {"cold_start_window", &Timing::cold_start_window, true},
    {"planned_scale_window", &Timing::planned_scale_window, true},
    {"settle_pause", &Timing::settle_pause, true},
    {"min_rebalance_interval", &Timing::min_rebalance_interval, true},
    {"operation_timeout", &Timing::operation_timeout, false},
    {"startup_timeout", &Timing::startup_timeout, false},
    {"recovery_grace", &Timing::recovery_grace, true},
    {"alert_info", &Timing::alert_info, false},
    {"alert_warning", &Timing::alert_warning, false},
    {"alert_error", &Timing::alert_error, false},
    {"alert_critical", &Timing::alert_critical, false},
}};
static_assert(sizeof(Timing) == kTimingFields.size() * sizeof(Duration), "every duration of Timing has a row");

template <class Enum, std::size_t N>
using Names = std::array<std::pair<std::string_view, Enum>, N>;

inline constexpr Names<Policy, 2> kPolicies{{{"relinquish", Policy::relinquish}, {"keep", Policy::keep}}};
inline constexpr Names<ColdStart, 2> kColdStarts{{{"grant_now", ColdStart::grant_now}, {"wait", ColdStart::wait}}};
inline constexpr Names<InstanceTakeover, 2> kInstanceTakeovers{
    {{"wait", InstanceTakeover::wait}, {"trust", InstanceTakeover::trust}}};
inline constexpr Names<Storage, 2> kStorages{{{"file", Storage::file}, {"memory", Storage::memory}}};
inline constexpr Names<CreateBuckets, 3> kCreateBuckets{
    {{"always", CreateBuckets::always}, {"at_start", CreateBuckets::at_start}, {"never", CreateBuckets::never}}};

}  // namespace parti::base
