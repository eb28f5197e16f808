#include "testutil/promote.h"

#include <algorithm>
#include <set>

#include "testutil/statistics.h"
#include "testutil/verdict.h"

namespace parti::report {
namespace {

using Checked = Outcome<void>;

Checked check_sources(const std::vector<PromoteSource>& sources, Promotion& promotion) {
    std::set<std::string> runs;
    const Fingerprint* first = nullptr;
    for (const PromoteSource& source : sources) {
        if (!runs.insert(source.run).second) return bad_input(source.label + ": run " + source.run + " is given twice");
        if (source.tests.empty()) return bad_input(source.label + ": holds no result of run " + source.run);
        for (const TestResult& result : source.tests) {
            if (result.status != TestStatus::passed) {
                return tl::unexpected<Problem>(Problem{
                    ExitCode::test_failed, source.label + ": " + result.test + " has status '" +
                                               std::string(name(result.status)) + "'; only passed tests make a baseline"});
            }
            if (first == nullptr) first = &result.fingerprint;
            const auto differing = disagreements(Kind::duration, *first, result.fingerprint);
            if (!differing.empty()) {
                return bad_input(source.label + ": " + result.test + ": all runs must be of one class; " + differing.front());
            }
        }
        if (std::any_of(source.tests.begin(), source.tests.end(), [](const TestResult& r) { return r.dirty; })) {
            promotion.remarks.push_back("warning: " + source.label + " was built from a tree with uncommitted changes");
        }
    }
    if (first == nullptr) return bad_input("no run was given");
    promotion.baseline.fingerprint = *first;
    if (const auto why = why_not_measured(*first); !why.empty()) {
        return bad_input(sources.front().label + ": makes no baseline because " + why);
    }
    return {};
}

Checked merge_metric(Baseline& baseline, const TestResult& result, const Metric& metric, std::size_t run_index,
                     const std::string& label) {
    const std::string key = result.key(metric);
    auto [at, added] = baseline.metrics.try_emplace(key);
    BaselineMetric& stored = at->second;
    if (added) {
        stored.test = result.test;
        stored.head = metric;
        stored.head.launches.clear();
        stored.head.note.clear();
    } else if (stored.head.unit != metric.unit || stored.head.direction != metric.direction || stored.head.kind != metric.kind) {
        return bad_input(label + ": " + key + ": unit, direction and kind must be the same in all runs");
    }
    stored.runs.resize(run_index + 1);
    stored.runs[run_index] = metric.launches;
    return {};
}

Checked merge_result(Promotion& promotion, const TestResult& result, const PromoteSource& source) {
    Baseline& baseline = promotion.baseline;
    auto [at, added] = baseline.tests.try_emplace(result.test);
    BaselineTest& test = at->second;
    if (added) {
        test.protocol = result.protocol;
    } else if (test.protocol.window != result.protocol.window || test.protocol.mode != result.protocol.mode) {
        return bad_input(source.label + ": " + result.test + ": protocol window and mode must be the same in all runs");
    }
    test.runs.push_back(source.run);
    for (const auto& [key, value] : result.versions) {
        const auto [version, fresh] = baseline.versions.try_emplace(key, value);
        if (!fresh && version->second != value) {
            return bad_input(source.label + ": " + result.test + ": version " + key + " is '" + value +
                             "', an earlier run has '" + version->second + "'");
        }
    }
    for (const Metric& metric : result.metrics) {
        if (!metric.measured()) continue;
        if (auto merged = merge_metric(baseline, result, metric, test.runs.size() - 1, source.label); !merged) return merged;
    }
    return {};
}

Checked check_merged(Promotion& promotion, bool allow_single) {
    for (const auto& [test, stored] : promotion.baseline.tests) {
        if (stored.runs.size() < kFewestRuns && !allow_single) {
            return bad_input(test + ": is in " + std::to_string(stored.runs.size()) + " runs, a baseline needs at least " +
                             std::to_string(kFewestRuns) + " (or --allow-single)");
        }
    }
    for (auto& [key, metric] : promotion.baseline.metrics) {
        metric.runs.resize(promotion.baseline.tests[metric.test].runs.size());
        const auto all = metric.launches();
        const auto [low, high] = std::minmax_element(all.begin(), all.end());
        if (metric.head.kind == Kind::exact && *low != *high) {
            return bad_input(key + ": is of kind exact, but its launches range from " + format_value(*low, metric.head.unit) +
                             " to " + format_value(*high, metric.head.unit));
        }
        const Threshold threshold = default_threshold(metric.head);
        const bool judged = metric.head.kind != Kind::exact && metric.head.kind != Kind::advisory && metric.head.gate;
        if (judged && (all.size() < kFewestLaunches || relative_noise(all) > threshold.relative / 2)) {
            promotion.remarks.push_back("warning: " + key + " cannot judge: n = " + std::to_string(all.size()) + ", noise " +
                                        std::to_string(relative_noise(all)) + " of the median");
        }
    }
    return {};
}

void take_over(Promotion& promotion, const Baseline& old) {
    Baseline& baseline = promotion.baseline;
    for (auto& [key, metric] : baseline.metrics) {
        const auto before = old.metrics.find(key);
        if (before == old.metrics.end()) continue;
        metric.relative_threshold = before->second.relative_threshold;
        if (before->second.head.unit != metric.head.unit) continue;
        metric.history = before->second.history;
        metric.history.push_back({old.created, old.commit, median(before->second.launches())});
        if (metric.history.size() > kHistoryKept) metric.history.erase(metric.history.begin());
    }
    const bool same_class = disagreements(Kind::duration, old.fingerprint, baseline.fingerprint).empty();
    for (const auto& [test, stored] : old.tests) {
        if (baseline.tests.count(test) != 0) continue;
        promotion.remarks.push_back(test + (same_class ? ": not in these runs, kept from the old baseline"
                                                       : ": not in these runs and of another class, left out"));
        if (!same_class) continue;
        baseline.tests[test] = stored;
        for (const auto& [key, metric] : old.metrics) {
            if (metric.test == test) baseline.metrics[key] = metric;
        }
    }
}

}  // namespace

Outcome<Promotion> promote(const std::vector<PromoteSource>& sources, const std::optional<Baseline>& old,
                           const std::string& reason, bool allow_single) {
    if (reason.find_first_not_of(" \t\n") == std::string::npos) return bad_input("--reason: must say why the baseline changes");
    Promotion promotion;
    if (const auto checked = check_sources(sources, promotion); !checked) return tl::unexpected<Problem>(checked.error());
    promotion.baseline.created = utc_now();
    promotion.baseline.reason = reason;
    promotion.baseline.commit = sources.front().tests.front().commit;
    for (const PromoteSource& source : sources) {
        for (const TestResult& result : source.tests) {
            promotion.baseline.dirty = promotion.baseline.dirty || result.dirty;
            if (const auto merged = merge_result(promotion, result, source); !merged)
                return tl::unexpected<Problem>(merged.error());
        }
    }
    if (const auto checked = check_merged(promotion, allow_single); !checked) return tl::unexpected<Problem>(checked.error());
    if (old) take_over(promotion, *old);
    return promotion;
}

}  // namespace parti::report
