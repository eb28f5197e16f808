#include <parti/config.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

#include "base/config_fields.h"
#include "base/durations.h"
#include "base/rule_list.h"

namespace parti {

namespace {

using base::RuleList;
using base::to_text;

bool name_character(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}
bool dotted_name_character(char c) { return name_character(c) || c == '.'; }

struct NameRule {
    std::size_t bytes_min;
    std::size_t bytes_max;
    bool dots;
};

void check_name(RuleList& rules, std::string_view key, std::string_view value, NameRule rule) {
    const bool fits = value.size() >= rule.bytes_min && value.size() <= rule.bytes_max &&
                      std::all_of(value.begin(), value.end(), rule.dots ? dotted_name_character : name_character);
    if (fits) return;
    std::string shown;
    for (const char c : value.substr(0, 160)) shown += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? '?' : c;
    rules.broken({key, " ('", shown, "', ", std::to_string(value.size()), " bytes) must be ", std::to_string(rule.bytes_min),
                  "..", std::to_string(rule.bytes_max), rule.dots ? " of [A-Za-z0-9_.-]" : " of [A-Za-z0-9_-]"});
}

void check_numbers(RuleList& rules, const Config& config) {
    rules.require(config.number_min <= config.number_max,
                  {"number_min (", std::to_string(config.number_min), ") must be at most number_max (",
                   std::to_string(config.number_max), ")"});
    rules.require(config.number_max <= kWorkerNumberMax,
                  {"number_max (", std::to_string(config.number_max), ") must be at most ", std::to_string(kWorkerNumberMax)});
    rules.require(config.capacity >= 1 && config.capacity <= base::kCapacityMax,
                  {"capacity (", std::to_string(config.capacity), ") must be in 1..", std::to_string(base::kCapacityMax)});
    if (config.number_min <= config.number_max) {
        const std::uint64_t numbers = std::uint64_t{config.number_max} - config.number_min + 1;
        rules.require(config.expected_workers <= numbers,
                      {"expected_workers (", std::to_string(config.expected_workers), ") must be at most the ",
                       std::to_string(numbers), " numbers from number_min (", std::to_string(config.number_min),
                       ") to number_max (", std::to_string(config.number_max), ")"});
    }
    rules.require(
        config.restart_detection_ratio > 0 && config.restart_detection_ratio <= 1,
        {"restart_detection_ratio (", std::to_string(config.restart_detection_ratio), ") must be above 0 and at most 1"});
    rules.require(config.replicas == 1 || config.replicas == 3 || config.replicas == 5,
                  {"replicas (", std::to_string(config.replicas), ") must be 1, 3 or 5"});
}

void check_timing(RuleList& rules, const Timing& timing) {
    bool in_range = true;
    for (const base::TimingField& field : base::kTimingFields) {
        const Duration value = timing.*field.member;
        const bool fits =
            value <= base::kDurationMax && (field.may_be_zero ? value >= Duration::zero() : value > Duration::zero());
        in_range = in_range && fits;
        rules.require(fits, {"timing.", field.name, " (", to_text(value), ") must be ", field.may_be_zero ? "0s" : "above 0s",
                             field.may_be_zero ? " to " : " and at most ", to_text(base::kDurationMax)});
    }
    if (!in_range) return;  // the relations below add and multiply
    const std::string ttl = to_text(timing.ttl);
    const std::string margin = to_text(timing.margin);
    rules.require(timing.margin >= std::chrono::milliseconds(100), {"timing.margin (", margin, ") must be at least 100ms"});
    rules.require(timing.margin * 10 >= timing.ttl, {"timing.margin (", margin, ") must be at least 10 % of timing.ttl (", ttl,
                                                     "), that is ", to_text(timing.ttl / 10)});
    const Duration needed = 2 * timing.heartbeat + timing.stop_budget;
    rules.require(needed <= timing.ttl - timing.margin,
                  {"2 x timing.heartbeat (", to_text(timing.heartbeat), ") + timing.stop_budget (", to_text(timing.stop_budget),
                   ") = ", to_text(needed), " must be at most timing.ttl (", ttl, ") - timing.margin (", margin,
                   ") = ", to_text(timing.ttl - timing.margin)});
    const std::array alerts = {&Timing::alert_info, &Timing::alert_warning, &Timing::alert_error, &Timing::alert_critical};
    constexpr std::array<std::string_view, 4> kNames = {"alert_info", "alert_warning", "alert_error", "alert_critical"};
    for (std::size_t i = 1; i < alerts.size(); ++i) {
        rules.require(timing.*alerts[i - 1] < timing.*alerts[i],
                      {"timing.", kNames[i - 1], " (", to_text(timing.*alerts[i - 1]), ") must be below timing.", kNames[i], " (",
                       to_text(timing.*alerts[i]), ")"});
    }
    rules.require(timing.shutdown_timeout >= timing.drain_timeout + std::chrono::seconds(2),
                  {"timing.shutdown_timeout (", to_text(timing.shutdown_timeout), ") must be at least timing.drain_timeout (",
                   to_text(timing.drain_timeout), ") + 2s"});
}

}  // namespace

Result<void> Config::validate() const {
    RuleList rules;
    check_name(rules, "group", group, {1, base::kGroupBytesMax, false});
    check_name(rules, "worker_prefix", worker_prefix, {1, base::kPrefixBytesMax, false});
    check_name(rules, "instance", instance, {0, base::kInstanceBytesMax, true});
    check_name(rules, "zone", zone, {0, base::kZoneBytesMax, true});
    rules.require(instance_takeover == InstanceTakeover::wait || !instance.empty(),
                  {"instance_takeover is 'trust' and instance is empty: trust needs an instance name"});
    check_numbers(rules, *this);
    check_timing(rules, timing);
    return rules.result(Errc::invalid_config);
}

std::vector<std::string> Config::warnings() const {
    std::vector<std::string> out;
    const auto warn = [&](std::initializer_list<std::string_view> parts) {
        std::string text;
        for (const std::string_view part : parts) text += part;
        out.push_back(std::move(text));
    };
    const std::string ttl = to_text(timing.ttl);
    if (timing.ttl < std::chrono::seconds(1)) {
        warn({"timing.ttl (", ttl, ") is below 1s: a scheduling delay of its size ends sessions"});
    }
    if (timing.heartbeat * 6 < timing.ttl) {
        warn({"timing.heartbeat (", to_text(timing.heartbeat), ") is below a sixth of timing.ttl (", ttl,
              "): it costs messages and finds nothing sooner"});
    }
    if (timing.grant_timeout < timing.drain_timeout) {
        warn({"timing.grant_timeout (", to_text(timing.grant_timeout), ") is below timing.drain_timeout (",
              to_text(timing.drain_timeout), "): a worker that drains for its whole timeout is close to being evicted"});
    }
    if (timing.cold_start_window < timing.planned_scale_window) {
        warn({"timing.cold_start_window (", to_text(timing.cold_start_window), ") is below timing.planned_scale_window (",
              to_text(timing.planned_scale_window), ")"});
    }
    if (cold_start == ColdStart::wait && expected_workers == 0) {
        warn(
            {"cold_start is 'wait' and expected_workers is 0: a new group waits for a pause without joins "
             "(timing.settle_pause)"});
    }
    if (policy == Policy::keep) warn({"policy is 'keep': a partition may have two owners while a worker is cut off"});
    if (instance_takeover == InstanceTakeover::trust) {
        warn({"instance_takeover is 'trust': a partition may have two owners while the old process of an instance still runs"});
    }
    return out;
}

namespace {

// Everything that hangs on the rhythm of renewals, in proportion to the defaults.
Timing paced(Duration heartbeat, Duration ttl, Duration margin) {
    Timing timing;
    timing.heartbeat = heartbeat;
    timing.ttl = ttl;
    timing.margin = margin;
    timing.stop_budget = heartbeat / 2;
    timing.leader_publish_timeout = ttl;
    timing.recovery_grace = heartbeat * 15 / 2;
    return timing;
}

}  // namespace

Timing conservative_timing() {
    using namespace std::chrono_literals;
    return paced(5s, 15s, 1500ms);
}

Timing balanced_timing() { return Timing{}; }

Timing aggressive_timing() {
    using namespace std::chrono_literals;
    return paced(1s, 3s, 300ms);
}

Timing fast_test_timing() {
    using std::chrono::milliseconds;
    using std::chrono::seconds;
    Timing timing;
    timing.heartbeat = milliseconds(300);
    timing.ttl = seconds(1);
    timing.margin = milliseconds(200);
    timing.stop_budget = milliseconds(200);
    timing.drain_timeout = seconds(2);
    timing.shutdown_timeout = seconds(4);
    timing.grant_timeout = seconds(3);
    timing.leader_publish_timeout = seconds(2);
    timing.cold_start_window = seconds(3);
    timing.planned_scale_window = seconds(2);
    timing.settle_pause = milliseconds(200);
    timing.min_rebalance_interval = milliseconds(200);
    timing.operation_timeout = seconds(5);
    timing.startup_timeout = seconds(15);
    timing.recovery_grace = seconds(2);
    return timing;
}

}  // namespace parti
