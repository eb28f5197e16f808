#include <parti/config.h>

#include <algorithm>
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
bool dotted_name_character(char c) {
    return name_character(c) || c == '.';
}

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
    check_numbers(rules, *this);
    check_timing(rules, timing);
    return rules.result(Errc::invalid_config);
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
