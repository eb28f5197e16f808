// What a scenario's run is recorded as: the ledger's classes, latencies, how long a fault took to settle.
#include <algorithm>
#include <cstdio>

#include "scenario.h"

namespace parti::stress {

std::string numbered(const char* prefix, std::uint32_t index) {
    char text[32];
    std::snprintf(text, sizeof text, "%s.%05u", prefix, index);
    return text;
}

void ScenarioTest::record_classes(const ScenarioResult& result) {
    const test::LedgerCounts& c = result.ledger.counts;
    record_count("lost", static_cast<double>(c.lost));
    record_count("reordered", static_cast<double>(c.reordered));
    record_count("duplicates", static_cast<double>(c.duplicates));
    const double errors = static_cast<double>(c.lost + c.reordered + c.duplicates);
    record_companion("errors_rate", report::Unit::ratio, errors / static_cast<double>(std::max<std::uint64_t>(c.confirmed, 1)));
    record_companion("confirmed", report::Unit::count, static_cast<double>(c.confirmed));
    record_companion("unacked", report::Unit::count, static_cast<double>(c.unacked));
    record_companion("replayed", report::Unit::count, static_cast<double>(c.replayed));
    record_companion("forgotten", report::Unit::count, static_cast<double>(c.forgotten));
    record_companion("misplaced", report::Unit::count, static_cast<double>(c.misplaced));
    record_companion("late_starts", report::Unit::count, static_cast<double>(c.late_starts));
    record_companion("stale", report::Unit::count, static_cast<double>(c.stale));
    record_companion("lateness_p99", report::Unit::us, static_cast<double>(result.load.late_p99_ns / 1000));
}

namespace {

struct Quantile {
    const char* name;
    double q;
    std::size_t least;  // values, else it says nothing
};
constexpr Quantile kQuantiles[] = {
    {"p50", 0.5, 10}, {"p95", 0.95, 200}, {"p99", 0.99, 1000}, {"p99.9", 0.999, 10'000}, {"max", 1, 1}};

}  // namespace

void ScenarioTest::record_quantiles(const std::string& prefix, std::vector<std::int64_t> taken_ns, const std::string& invalid) {
    std::sort(taken_ns.begin(), taken_ns.end());
    std::string text;
    std::string what = prefix.empty() ? "publish_to_handled" : prefix;
    what.erase(what.find_last_not_of('_') + 1);
    report::Distribution shown{what, report::Unit::us, taken_ns.size(), {}, {}};
    for (const Quantile& quantile : kQuantiles) {
        if (taken_ns.size() < quantile.least) {
            text += std::string(" ") + quantile.name + " not measured";
            continue;
        }
        if (!invalid.empty()) {
            not_measured(prefix + quantile.name, report::Unit::us, invalid);
            continue;
        }
        const std::int64_t ns = taken_ns[static_cast<std::size_t>(quantile.q * static_cast<double>(taken_ns.size() - 1) + 0.5)];
        char value[64];
        std::snprintf(value, sizeof value, " %s %.2f ms", quantile.name, static_cast<double>(ns) / 1e6);
        text += value;
        record_companion(prefix + quantile.name, report::Unit::us, static_cast<double>(ns / 1000));
        shown.percentiles[quantile.q * 100] = static_cast<double>(ns / 1000);
    }
    if (!shown.percentiles.empty()) record_distribution(std::move(shown));
    if (!invalid.empty()) text = " not measured: " + invalid;
    std::printf("  %s (n = %zu):%s\n", prefix.c_str(), taken_ns.size(), text.c_str());
    std::fflush(stdout);
}

void ScenarioTest::record_latency(const std::string& prefix, const ScenarioResult& result, std::int64_t from_ns,
                                  std::int64_t to_ns) {
    std::vector<std::int64_t> taken;
    for (const test::LedgerReport::Latency& l : result.ledger.latencies) {
        if (l.intended_ns >= from_ns && l.intended_ns < to_ns) taken.push_back(l.taken_ns);
    }
    record_quantiles(prefix, std::move(taken), result.load.why_invalid());
}

double ScenarioResult::handled_per_s() const {
    const auto handled = std::count_if(
        ledger.latencies.begin(), ledger.latencies.end(),
        [this](const test::LedgerReport::Latency& l) { return l.intended_ns + l.taken_ns < start_ns + planned_ns; });
    return static_cast<double>(handled) * 1e9 / static_cast<double>(planned_ns);
}

std::vector<std::int64_t> ScenarioResult::settled_ns(const Injected& injected) const {
    std::vector<std::int64_t> out;
    const bool came = injected.fault == Fault::add;
    const auto after =
        std::find_if(faults.begin(), faults.end(), [&](const Injected& i) { return i.begin_ns > injected.begin_ns; });
    const std::int64_t until = after == faults.end() ? end_ns : after->begin_ns;  // what comes later is another fault's
    const bool went = injected.fault == Fault::kill || injected.fault == Fault::leader || injected.fault == Fault::leave;
    for (const auto& [partition, owners] : timeline.partitions) {
        const bool extra = partition >= numbered("part", partitions);
        const auto held = std::find_if(owners.begin(), owners.end(), [&](const test::OwnershipInterval& o) {
            return o.begin_ns <= injected.begin_ns && injected.begin_ns < o.end_ns;
        });
        const auto next = std::find_if(owners.begin(), owners.end(),
                                       [&](const test::OwnershipInterval& o) { return o.begin_ns > injected.begin_ns; });
        if (came) {
            const auto won = std::find_if(owners.begin(), owners.end(), [&](const test::OwnershipInterval& o) {
                return timeline.labels[o.process] == injected.label && o.begin_ns < until;
            });
            if (won != owners.end()) out.push_back(won->begin_ns - injected.begin_ns);
        } else if (went) {
            if (held == owners.end() || timeline.labels[held->process] != injected.label) continue;
            out.push_back(next == owners.end() ? -1 : next->begin_ns - injected.begin_ns);
        } else if (injected.fault == Fault::grow && extra) {
            out.push_back(next == owners.end() ? -1 : next->begin_ns - injected.begin_ns);
        } else if (injected.fault == Fault::shrink && extra && held != owners.end()) {
            out.push_back(held->end_ns - injected.begin_ns);
        }
    }
    if (injected.fault == Fault::grow && out.size() < extra_partitions) out.push_back(-1);
    return out;
}

}  // namespace parti::stress
