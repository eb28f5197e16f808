#include "assign/options.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include <parti/strategy.h>

namespace parti {

namespace assign {

namespace {

std::string number(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.9g", value);
    return text.data();
}

Result<void> refuse(std::string_view strategy, std::string_view option, const std::string& value, std::string_view rule) {
    std::string detail(strategy);
    detail.append(": ").append(option).append(" (").append(value).append(") must be ").append(rule);
    return fail(Errc::invalid_config, std::move(detail));
}

}  // namespace

Result<void> check_virtual_nodes(std::string_view strategy, std::uint32_t value) {
    if (value >= 1 && value <= kVirtualNodesMax) return {};
    return refuse(strategy, "virtual_nodes", std::to_string(value), "in 1..10000");
}

Result<void> check_load_bound(std::string_view strategy, double value) {
    if (value >= kLoadBoundMin && value <= kLoadBoundMax) return {};
    return refuse(strategy, "load_bound", number(value), "a number in 1.01..10");
}

std::int64_t to_ppm(double value, double low, double high) {
    const double valid = value > low ? std::min(value, high) : low;
    return std::llround(valid * static_cast<double>(kMillion));
}

}  // namespace assign

Result<void> ConsistentHashOptions::validate() const { return assign::check_virtual_nodes("consistent_hash", virtual_nodes); }

Result<void> WeightedConsistentHashOptions::validate() const {
    if (auto ok = assign::check_virtual_nodes("weighted_consistent_hash", virtual_nodes); !ok) return ok;
    return assign::check_load_bound("weighted_consistent_hash", load_bound);
}

Result<void> RendezvousOptions::validate() const { return assign::check_load_bound("rendezvous", load_bound); }

Result<void> StickyOptions::validate() const {
    if (!(epsilon >= 0 && epsilon <= 1)) {
        return assign::refuse("sticky", "epsilon", assign::number(epsilon), "a number in 0..1");
    }
    if (!(max_moves_share > 0 && max_moves_share <= 1)) {
        return assign::refuse("sticky", "max_moves_share", assign::number(max_moves_share), "a number above 0, at most 1");
    }
    return {};
}

std::span<const std::string_view> strategy_names() {
    static constexpr std::array<std::string_view, 5> kNames = {"sticky", "round_robin", "consistent_hash",
                                                               "weighted_consistent_hash", "rendezvous"};
    return kNames;
}

Result<std::shared_ptr<const Strategy>> strategy_from_name(std::string_view name) {
    if (name == "sticky") return sticky();
    if (name == "round_robin") return round_robin();
    if (name == "consistent_hash") return consistent_hash();
    if (name == "weighted_consistent_hash") return weighted_consistent_hash();
    if (name == "rendezvous") return rendezvous();
    std::string detail = "strategy '" + std::string(name) + "' must be one of";
    for (const std::string_view known : strategy_names()) detail.append(known == "sticky" ? " " : ", ").append(known);
    return fail(Errc::invalid_config, std::move(detail));
}

}  // namespace parti
