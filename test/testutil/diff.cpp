#include "testutil/diff.h"

#include <algorithm>
#include <cstdio>

#include "testutil/common_mode.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

void add_once(std::vector<std::string>& list, const std::string& text) {
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

std::string mismatch(const Baseline& baseline, const std::string& key, std::string_view what, std::string_view before,
                     std::string_view now) {
    return baseline.label + ": metrics." + key + "." + std::string(what) + ": is '" + std::string(before) +
           "', the result has '" + std::string(now) +
           "'; both must be the same (promote a new baseline when the metric changed its meaning)";
}

std::string check_heads(const Baseline& baseline, const std::string& key, const Metric& before, const Metric& now) {
    if (before.unit != now.unit) return mismatch(baseline, key, "unit", name(before.unit), name(now.unit));
    if (before.direction != now.direction)
        return mismatch(baseline, key, "direction", name(before.direction), name(now.direction));
    if (before.kind != now.kind) return mismatch(baseline, key, "kind", name(before.kind), name(now.kind));
    return {};
}

// Times of launches that were made on a busy machine say little about the code: the test notes them as `contaminated`, launch by
// launch.
std::string busy_machine(const TestResult& result, Kind kind) {
    const Metric* const noted = result.find("contaminated");
    if (noted == nullptr || kind == Kind::anon_memory || !noted->measured()) return {};
    const auto busy = static_cast<std::size_t>(
        std::count_if(noted->launches.begin(), noted->launches.end(), [](double value) { return value > 0; }));
    if (2 * busy <= noted->launches.size()) return {};
    return "a busy machine: " + std::to_string(busy) + " of " + std::to_string(noted->launches.size()) + " launches of " +
           result.test;
}

// Why a stored figure may not judge this one; empty = it may.
std::string why_not_comparable(const Baseline& baseline, const TestResult& result, Kind kind, const CompareOptions& options) {
    if (kind == Kind::exact) return {};
    const auto differing = disagreements(kind, baseline.fingerprint, result.fingerprint);
    if (options.ask_fingerprint && !differing.empty()) return differing.front();
    if (const auto busy = busy_machine(result, kind); !busy.empty() && options.discount_machine_shift) return busy;
    const auto test = baseline.tests.find(result.test);
    if (test == baseline.tests.end()) return {};
    const Protocol& before = test->second.protocol;
    if (before.mode != result.protocol.mode) {
        return "protocol mode: baseline '" + before.mode + "', here '" + result.protocol.mode + "'";
    }
    if (before.window != result.protocol.window) {
        return "protocol window: baseline '" + before.window + "', here '" + result.protocol.window + "'";
    }
    return {};
}

void set_before(Row& row, const BaselineMetric& stored) {
    row.launches_before = stored.launches();
    row.before = median(row.launches_before);
    row.n_before = row.launches_before.size();
}

// The baseline's own runs may lie further apart than the threshold assumes.
void raise_by_history(Threshold& threshold, const BaselineMetric& stored, std::string& note) {
    const auto spread = stored.between_runs();
    if (threshold.relative <= 0 || !spread || 3 * *spread <= threshold.relative) return;
    threshold.relative = 3 * *spread;
    char text[96];
    std::snprintf(text, sizeof text, "limit raised to %.3g %%: 3 x the spread of the baseline's %zu runs",
                  threshold.relative * 100, stored.runs.size());
    note = text;
}

void judge_row(Row& row, const BaselineMetric& stored, const Metric& metric, const std::string& obstacle) {
    set_before(row, stored);
    Metric head = stored.head;  // floors are the baseline's: they change in review only
    Threshold threshold = default_threshold(head);
    if (stored.relative_threshold) threshold.relative = *stored.relative_threshold;
    std::string raised;
    raise_by_history(threshold, stored, raised);
    row.threshold = threshold;
    row.limit = head.direction == Direction::lower ? threshold.relative : -threshold.relative;
    if (!metric.measured()) return;

    const Judgement judgement = judge(head, threshold, row.launches_before, metric.launches);
    row.change = judgement.change;
    row.bound = judgement.bound;
    if (!obstacle.empty()) {
        row.verdict = Verdict::inconclusive;
        row.note = "advisory; " + obstacle;
        return;
    }
    row.verdict = judgement.verdict;
    row.note = raised + (raised.empty() || judgement.note.empty() ? "" : "; ") + judgement.note;
    row.gates = metric.gate && stored.head.gate;
    if (!row.gates && row.verdict == Verdict::fail) {
        row.verdict = Verdict::warn;
        row.note = row.note.empty() ? "does not gate" : "does not gate; " + row.note;
    }
}

Outcome<Row> row_of(const std::optional<Baseline>& baseline, const TestResult& result, const Metric& metric, Report& report,
                    const CompareOptions& options) {
    Row row;
    row.test = result.test;
    row.metric = metric.name;
    row.kind = metric.kind;
    row.unit = metric.unit;
    row.direction = metric.direction;
    row.measured = metric.measured();
    row.launches_now = metric.launches;
    row.n_now = metric.launches.size();
    if (metric.measured()) row.now = median(metric.launches);
    row.note = metric.note;

    const BaselineMetric* stored = nullptr;
    if (baseline) {
        const auto found = baseline->metrics.find(result.key(metric));
        if (found != baseline->metrics.end()) stored = &found->second;
    }
    if (stored != nullptr) {
        const auto broken = check_heads(*baseline, result.key(metric), stored->head, metric);
        if (!broken.empty()) return bad_input(broken);
    }
    if (metric.kind == Kind::advisory) {
        row.verdict = Verdict::info;
        if (stored != nullptr) set_before(row, *stored);
    } else if (stored == nullptr) {
        row.verdict = metric.measured() ? Verdict::fresh : Verdict::inconclusive;
    } else {
        const std::string obstacle = why_not_comparable(*baseline, result, metric.kind, options);
        if (!obstacle.empty() && metric.measured()) add_once(report.reasons, obstacle);
        judge_row(row, *stored, metric, obstacle);
    }
    if (!metric.measured()) {
        if (metric.kind != Kind::advisory) row.verdict = Verdict::inconclusive;
        row.note = "not measured: " + metric.note;
    }
    return row;
}

void add_vanished(const Baseline& baseline, const TestResult& result, Report& report) {
    if (result.status != TestStatus::passed) return;
    for (const auto& [key, stored] : baseline.metrics) {
        if (stored.test != result.test || result.find(stored.head.name) != nullptr) continue;
        if (stored.head.kind == Kind::advisory) continue;
        Row row;
        row.test = result.test;
        row.metric = stored.head.name;
        row.kind = stored.head.kind;
        row.unit = stored.head.unit;
        row.direction = stored.head.direction;
        row.measured = false;
        row.gates = stored.head.gate;
        row.verdict = row.gates ? Verdict::fail : Verdict::warn;
        set_before(row, stored);
        row.note = "vanished: the test passed without it";
        report.rows.push_back(std::move(row));
    }
}

void add_remarks(const Baseline& baseline, const std::vector<TestResult>& results, Report& report) {
    for (const TestResult& result : results) {
        for (const auto& [key, now] : result.versions) {
            const auto before = baseline.versions.find(key);
            if (before == baseline.versions.end() || before->second == now || key.ends_with("sha256")) continue;
            add_once(report.remarks, "version of " + key + ": baseline " + before->second + ", here " + now);
        }
    }
    const auto absent = std::count_if(baseline.tests.begin(), baseline.tests.end(), [&](const auto& test) {
        return std::none_of(results.begin(), results.end(), [&](const TestResult& r) { return r.test == test.first; });
    });
    if (absent > 0)
        report.remarks.push_back(std::to_string(absent) + " tests of the baseline did not run now; they are not judged");
}

void count_rows(Report& report) {
    report.compared = report.failed = report.warned = report.improved = report.inconclusive = report.fresh = report.advisory =
        report.recorded = 0;
    for (const Row& row : report.rows) {
        if (row.verdict == Verdict::info) {
            ++report.recorded;
        } else if (row.verdict == Verdict::fresh) {
            ++report.fresh;
        } else if (!row.measured && row.verdict == Verdict::inconclusive) {
            ++report.inconclusive;
        } else if (!row.gates && (row.verdict == Verdict::inconclusive || row.before)) {
            ++report.advisory;
        } else if (row.verdict == Verdict::inconclusive) {
            ++report.inconclusive;
        } else {
            ++report.compared;
            report.failed += row.verdict == Verdict::fail ? 1U : 0U;
            report.warned += row.verdict == Verdict::warn ? 1U : 0U;
            report.improved += row.verdict == Verdict::improved ? 1U : 0U;
        }
    }
}

std::string counts(const Report& report) {
    std::string text = std::to_string(report.compared) + " compared";
    const auto add = [&](std::size_t count, const char* what) {
        if (count > 0) text += ", " + std::to_string(count) + " " + what;
    };
    add(report.compared - report.failed - report.warned - report.improved, "PASS");
    add(report.warned, "WARN");
    add(report.improved, "IMPROVED");
    add(report.failed, "FAIL");
    add(report.inconclusive, "INCONCLUSIVE");
    add(report.fresh, "NEW");
    add(report.advisory, "advisory");
    return text;
}

// The cause that all failed tests share, else a plain failure.
ExitCode cause_of(const Report& report) {
    std::optional<ExitCode> shared;
    for (const TestLine& test : report.tests) {
        if (test.status == TestStatus::passed) continue;
        const ExitCode cause = test.status == TestStatus::failed ? test.cause : ExitCode::test_failed;
        if (shared && *shared != cause) return ExitCode::test_failed;
        shared = cause;
    }
    return shared.value_or(ExitCode::test_failed);
}

std::string what_failed(ExitCode cause) {
    switch (cause) {
        case ExitCode::leak: return "LEAK: ";
        case ExitCode::orphan: return "LEFT BEHIND: ";
        case ExitCode::criterion: return "CRITERION BROKEN: ";
        default: return "TEST FAILED: ";
    }
}

std::string unfinished_tests(const Report& report) {
    std::string unfinished;
    for (const TestLine& test : report.tests) {
        if (test.status == TestStatus::passed) continue;
        unfinished += (unfinished.empty() ? "" : ", ") + test.test;
        unfinished += test.status == TestStatus::started ? " (did not finish)" : "";
    }
    return unfinished;
}

std::string broken_criteria(const Report& report) {
    std::string broken;
    for (const CriterionResult& criterion : report.criteria) {
        if (criterion.state != CriterionState::broken) continue;
        broken += (broken.empty() ? "" : ", ") + criterion.test + " " + criterion.expression;
    }
    return broken;
}

std::string why_nothing_was_compared(const Report& report) {
    if (report.tests.empty()) return "no test ran in this run";
    if (!report.has_baseline) return "there is no baseline";
    return report.reasons.empty() ? "no metric could be judged" : report.reasons.front();
}

}  // namespace

std::string_view name(Confirmation confirmation) {
    switch (confirmation) {
        case Confirmation::none: return "none";
        case Confirmation::confirmed: return "confirmed";
        case Confirmation::not_confirmed: return "not confirmed";
        case Confirmation::not_repeated: return "not repeated";
    }
    return "?";
}

void conclude(Report& report) {
    count_rows(report);
    const std::string summary = counts(report);
    const std::string unfinished = unfinished_tests(report);
    const std::string broken = broken_criteria(report);
    if (!unfinished.empty()) {
        report.exit = cause_of(report);
        report.conclusion = what_failed(report.exit) + unfinished + " (" + summary + ")";
    } else if (!broken.empty()) {
        report.exit = ExitCode::criterion;
        report.conclusion = what_failed(report.exit) + broken + " (" + summary + ")";
    } else if (report.failed > 0) {
        report.exit = ExitCode::regression;
        report.conclusion = "REGRESSION: " + summary;
    } else if (!report.not_measured.empty() && !report.tests.empty()) {
        report.exit = ExitCode::pass;
        report.conclusion = "PASS: memory not measured, because " + report.not_measured + " (" + summary + ")";
    } else if (report.shifted > 0) {
        report.exit = ExitCode::not_comparable;
        report.conclusion =
            "not comparable, because the machine is slower than the baseline's: " + std::to_string(report.shifted) +
            " times would fail otherwise (" + summary + ")";
    } else if (report.compared == 0) {
        report.exit = ExitCode::not_comparable;
        report.conclusion = "not comparable, because " + why_nothing_was_compared(report) + " (" + summary + ")";
    } else {
        report.exit = ExitCode::pass;
        report.conclusion = "PASS: " + summary;
    }
}

Outcome<void> apply_criteria(Report& report, const Criteria& criteria, const std::vector<TestResult>& results) {
    auto evaluated = evaluate(criteria, results);
    if (!evaluated) return tl::unexpected<Problem>(evaluated.error());
    report.criteria = std::move(*evaluated);
    for (Row& row : report.rows) {
        if (!row.now) continue;
        Metric metric;
        metric.name = row.metric;
        metric.unit = row.unit;
        const auto band = band_of(criteria, row.test, metric, *row.now);
        if (!band) return tl::unexpected<Problem>(band.error());
        row.band = *band;
    }
    conclude(report);
    return {};
}

Outcome<Report> compare(const std::optional<Baseline>& baseline, const std::vector<TestResult>& results,
                        const CompareOptions& options) {
    Report report;
    report.has_baseline = baseline.has_value();
    for (const TestResult& result : results) {
        report.tests.push_back({result.test, result.status, result.cause});
        for (const Metric& metric : result.metrics) {
            auto row = row_of(baseline, result, metric, report, options);
            if (!row) return tl::unexpected<Problem>(row.error());
            report.rows.push_back(std::move(*row));
        }
        if (baseline) add_vanished(*baseline, result, report);
        // Google Benchmark files without our context say nothing about sanitizers.
        const bool known = result.fingerprint.get("sanitizer") != kUnknown;
        if (known && report.not_measured.empty()) report.not_measured = why_not_measured(result.fingerprint);
    }
    std::sort(report.rows.begin(), report.rows.end(),
              [](const Row& a, const Row& b) { return a.test != b.test ? a.test < b.test : a.metric < b.metric; });
    std::sort(report.tests.begin(), report.tests.end(), [](const TestLine& a, const TestLine& b) { return a.test < b.test; });
    if (baseline) add_remarks(*baseline, results, report);
    if (options.discount_machine_shift) discount_machine_shift(report);
    conclude(report);
    return report;
}

}  // namespace parti::report
