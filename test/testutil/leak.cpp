#include "testutil/leak.h"

#include <algorithm>
#include <cstdio>

#include "testutil/statistics.h"

namespace parti::report {
namespace {

std::string changed(std::span<const CycleReading> cycles, std::uint64_t CycleReading::*field, const char* what) {
    const auto [least, most] = std::minmax_element(
        cycles.begin(), cycles.end(), [&](const CycleReading& a, const CycleReading& b) { return a.*field < b.*field; });
    if ((*least).*field == (*most).*field) return {};
    return std::string(what) + " changed: " + std::to_string((*least).*field) + " to " + std::to_string((*most).*field) + "; ";
}

std::int64_t difference(std::uint64_t before, std::uint64_t after) {
    return static_cast<std::int64_t>(after) - static_cast<std::int64_t>(before);
}

}  // namespace

std::string_view name(ExactVerdict verdict) {
    switch (verdict) {
        case ExactVerdict::constant: return "constant";
        case ExactVerdict::unsettled: return "UNSETTLED";
        case ExactVerdict::leak: return "LEAK";
    }
    return "?";
}

ExactJudgement judge_cycles(std::span<const CycleReading> cycles, const ExactRule& rule) {
    ExactJudgement out;
    for (std::size_t i = 1; i < cycles.size(); ++i)
        out.deltas.push_back(difference(cycles[i - 1].live_bytes, cycles[i].live_bytes));
    if (rule.skip == 0 || cycles.size() < rule.skip + 3) {
        out.why = std::to_string(cycles.size()) + " cycles are too few";
        return out;
    }
    const auto judged = cycles.subspan(rule.skip);
    std::vector<double> changes;  // the first one is against the last skipped cycle
    for (std::size_t i = rule.skip; i < cycles.size(); ++i) changes.push_back(static_cast<double>(out.deltas[i - 1]));
    out.changes = changes.size();
    out.bytes_per_cycle = median(changes);
    out.growing = static_cast<std::size_t>(std::count_if(changes.begin(), changes.end(), [](double d) { return d > 0; }));
    const auto [least, most] = std::minmax_element(
        judged.begin(), judged.end(), [](const CycleReading& a, const CycleReading& b) { return a.live_bytes < b.live_bytes; });
    out.spread = most->live_bytes - least->live_bytes;
    out.why = changed(judged, &CycleReading::threads, "threads") + changed(judged, &CycleReading::fds, "descriptors");
    char text[160];
    const bool grows = out.bytes_per_cycle >= static_cast<double>(rule.growth) &&
                       static_cast<double>(out.growing) >= rule.share_growing * static_cast<double>(out.changes) - 1e-9;
    if (grows) {
        out.verdict = ExactVerdict::leak;
        std::snprintf(text, sizeof text, "live heap grows by %.0f bytes a cycle, in %zu of %zu cycles", out.bytes_per_cycle,
                      out.growing, out.changes);
    } else if (out.spread > rule.tolerance) {
        std::snprintf(text, sizeof text, "live heap differs by %llu bytes between cycles (%llu allowed) without growing steadily",
                      static_cast<unsigned long long>(out.spread), static_cast<unsigned long long>(rule.tolerance));
    } else {
        if (out.why.empty()) out.verdict = ExactVerdict::constant;
        std::snprintf(text, sizeof text, "live heap the same within %llu bytes over %zu cycles",
                      static_cast<unsigned long long>(out.spread), judged.size());
    }
    out.why += text;
    return out;
}

std::map<std::string, std::string> exact_mode_environment() {
    return {{"GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1:glibc.pthread.stack_cache_size=0"}};
}

}  // namespace parti::report
