#include "report_view.h"

#include <algorithm>
#include <map>

#include "page_text.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

std::string counted(std::size_t n, const std::string& one, const std::string& many) {
    return std::to_string(n) + " " + (n == 1 ? one : many);
}

// "a", "a and b", "a, b and 3 more"
std::string listed(const std::vector<std::string>& items) {
    constexpr std::size_t kMost = 3;
    if (items.empty()) return {};
    if (items.size() == 1) return items.front();
    std::string out = items.front();
    const std::size_t shown = items.size() <= kMost ? items.size() - 1 : kMost - 1;
    for (std::size_t i = 1; i < shown; ++i) out += ", " + items[i];
    return out + " and " + (items.size() <= kMost ? items.back() : std::to_string(items.size() - shown) + " more");
}

std::string short_test_name(const std::string& test) {
    for (const std::string_view prefix : {"TestMemoryBenchmark_", "TestScale_", "TestScenario_"}) {
        if (test.starts_with(prefix)) return test.substr(prefix.size());
    }
    return test;
}

std::string describe(const Row& row) {
    std::string text = row.test + "/" + row.metric;
    if (row.change) text += " (" + shown_percent(*row.change) + ")";
    return text;
}

std::vector<std::string> rows_with(const Report& diff, Verdict verdict) {
    std::vector<std::string> rows;
    for (const Row& row : diff.rows) {
        if (row.verdict == verdict) rows.push_back(describe(row));
    }
    return rows;
}

void set(ReportView& view, Grade grade, std::string happened, std::string action) {
    view.grade = grade;
    view.happened = std::move(happened);
    view.action = std::move(action);
}

std::vector<std::string> tests_with(const ReportView& view, TestStatus status) {
    std::vector<std::string> names;
    for (const TestView& test : view.tests) {
        if (test.test->status == status) names.push_back(test.test->test);
    }
    return names;
}

std::vector<std::string> criteria_with(const ReportView& view, Grade grade) {
    std::vector<std::string> names;
    for (const CriterionView& criterion : view.input.criteria) {
        if (criterion.grade == grade) names.push_back(criterion.test + " " + criterion.expression);
    }
    return names;
}

// True when it said why the run is bad.
bool conclude_failure(ReportView& view) {
    const auto failed = tests_with(view, TestStatus::failed);
    const auto unfinished = tests_with(view, TestStatus::started);
    if (!failed.empty() || !unfinished.empty()) {
        std::string happened;
        if (!failed.empty()) happened = counted(failed.size(), "test", "tests") + " failed: " + listed(failed);
        if (!unfinished.empty()) {
            happened += (happened.empty() ? "" : "; ") + counted(unfinished.size(), "test", "tests") +
                        " did not finish: " + listed(unfinished);
        }
        set(view, Grade::fail, happened + ".", "Repeat it with its replay line below; its figures mean nothing until it passes.");
        return true;
    }
    if (const auto broken = criteria_with(view, Grade::fail); !broken.empty()) {
        set(view, Grade::fail, counted(broken.size(), "criterion is", "criteria are") + " not met: " + listed(broken) + ".",
            "See the acceptance table for what was measured; the limits are in the criteria file, which is reviewed like code.");
        return true;
    }
    if (const auto worse = rows_with(*view.input.diff, Verdict::fail); !worse.empty()) {
        set(view, Grade::fail,
            counted(worse.size(), "metric is", "metrics are") + " worse than the baseline: " + listed(worse) + ".",
            "Find the change that did it (its commit is below). When the cost is meant, make baseline REASON=\"...\" writes a "
            "new baseline.");
        return true;
    }
    return false;
}

void conclude(ReportView& view) {
    const Report& diff = *view.input.diff;
    const std::string all = "All " + counted(view.tests.size(), "test", "tests") + " passed";
    const std::string passed = view.tests.size() == 1 ? "The only test passed" : all;
    if (view.tests.empty()) {
        return set(view, Grade::unsure, "Nothing was measured: no test of this run has written a result.",
                   "Run make stress, or ctest -L stress in the build folder; if that was done, its log says why nothing began.");
    }
    if (conclude_failure(view)) return;
    if (!diff.not_measured.empty()) {
        return set(view, Grade::unsure, passed + "; memory and times were not measured (" + diff.not_measured + ").",
                   "For figures, build the release preset and run make stress.");
    }
    const auto warned = rows_with(diff, Verdict::warn);
    const auto near = criteria_with(view, Grade::warn);
    if (!warned.empty() || !near.empty()) {
        std::vector<std::string> both = warned;
        both.insert(both.end(), near.begin(), near.end());
        return set(
            view, Grade::warn,
            passed + "; " + counted(both.size(), "figure moves", "figures move") + " towards its limit: " + listed(both) + ".",
            "Run it again; if it is seen twice, look for the change before it becomes a failure.");
    }
    if (diff.compared == 0) {
        const std::string why = diff.reasons.empty() ? "there is no baseline for them" : "of " + diff.reasons.front();
        return set(view, Grade::unsure, passed + "; nothing could be compared with a baseline, because " + why + ".",
                   "Take three runs on this machine and make a baseline (make baseline), or compare two builds here.");
    }
    std::string happened =
        passed + ", and none of " + counted(diff.compared, "compared metric", "compared metrics") + " is worse than the baseline";
    if (diff.improved > 0) happened += "; " + counted(diff.improved, "is", "are") + " better";
    if (diff.inconclusive > 0) happened += "; " + counted(diff.inconclusive, "was", "were") + " too noisy to judge";
    std::string action = "Nothing has to be done.";
    if (diff.improved > 0) action = "Nothing has to be done; a new baseline would hold the gain (make baseline).";
    if (diff.inconclusive > 0) action = "To judge the rest, run it again on a quiet machine, with at least 4 launches.";
    set(view, Grade::pass, happened + ".", std::move(action));
}

void add_environment(ReportView& view) {
    const RunResults& results = *view.input.results;
    const auto add = [&](std::string fact, std::string text) {
        if (!text.empty()) view.environment.push_back({std::move(fact), std::move(text)});
    };
    add("run", results.run.id);
    add("started", results.run.started);
    add("commit", results.run.commit + (results.run.dirty ? " (with uncommitted changes, or not known)" : ""));
    add("baseline", view.input.baseline);
    if (results.tests.empty()) return;
    const TestResult& first = results.tests.front();
    for (const auto& [key, text] : first.fingerprint.values()) add(key, text);
    std::map<std::string, std::string> versions;
    for (const TestResult& test : results.tests) versions.insert(test.versions.begin(), test.versions.end());
    for (const auto& [what, version] : versions) add("version of " + what, version);
    // Facts of the first test that has any: the machine as the run found it.
    for (const TestResult& test : results.tests) {
        if (test.details.environment.empty()) continue;
        add("what follows is of", "the start of " + short_test_name(test.test));
        for (const auto& [fact, text] : test.details.environment) add(fact, text);
        break;
    }
}

void add_tests(ReportView& view) {
    std::map<std::pair<std::string, std::string>, const Row*> rows;
    for (const Row& row : view.input.diff->rows) rows[{row.test, row.metric}] = &row;
    for (const TestResult& test : view.input.results->tests) {
        TestView shown;
        shown.test = &test;
        shown.short_name = short_test_name(test.test);
        for (const Metric& metric : test.metrics) {
            const auto found = rows.find({test.test, metric.name});
            MetricView one{&metric, found == rows.end() ? nullptr : found->second};
            if (found != rows.end()) rows.erase(found);
            if (one.row != nullptr && one.row->verdict != Verdict::info && one.row->verdict != Verdict::fresh) ++shown.compared;
            if (one.row != nullptr && one.row->verdict == Verdict::fail) ++shown.failed;
            if (one.row != nullptr && one.row->verdict == Verdict::warn) ++shown.warned;
            shown.metrics.push_back(one);
        }
        view.tests.push_back(std::move(shown));
    }
    for (const auto& [key, row] : rows) view.vanished.push_back(row);
}

// Notes of several parts end with a separator.
std::string trimmed(std::string text) {
    text.erase(text.find_last_not_of("; ") + 1);
    return text;
}

void add_machine_facts(ReportView& view) {
    for (const TestView& test : view.tests) {
        for (const MetricView& one : test.metrics) {
            const Metric& metric = *one.metric;
            if (metric.name == "contaminated" && metric.measured()) {
                double sum = 0;
                for (const double launch : metric.launches) sum += launch;
                if (sum == 0) continue;
                view.contamination.push_back({test.test->test, shown_value(sum, Unit::count) + " of " +
                                                                   std::to_string(metric.launches.size()) + " launches" +
                                                                   (metric.note.empty() ? "" : ": " + trimmed(metric.note))});
            }
            const bool limit =
                metric.name == "carried" || metric.name.starts_with("carried_") || metric.name.starts_with("capacity");
            if (limit) {
                view.capacity.push_back({test.test->test + "/" + metric.name,
                                         shown_metric(metric) + (metric.note.empty() ? "" : "; the limit is " + metric.note)});
            }
        }
    }
}

}  // namespace

std::string_view name(Grade grade) {
    switch (grade) {
        case Grade::pass: return "PASS";
        case Grade::warn: return "WARN";
        case Grade::fail: return "FAIL";
        case Grade::unsure: return "INCONCLUSIVE";
    }
    return "?";
}

Grade grade_of(Verdict verdict) {
    switch (verdict) {
        case Verdict::fail: return Grade::fail;
        case Verdict::warn: return Grade::warn;
        case Verdict::pass:
        case Verdict::improved: return Grade::pass;
        case Verdict::inconclusive:
        case Verdict::fresh:
        case Verdict::info: return Grade::unsure;
    }
    return Grade::unsure;
}

ReportView view_of(ReportInput input) {
    ReportView view;
    view.input = std::move(input);
    add_tests(view);
    add_environment(view);
    add_machine_facts(view);
    conclude(view);
    return view;
}

std::vector<std::pair<const TestView*, MetricView>> metrics_named(const ReportView& view, std::string_view name,
                                                                  std::string_view part) {
    std::vector<std::pair<const TestView*, MetricView>> found;
    for (const TestView& test : view.tests) {
        if (test.test->test.find(part) == std::string::npos) continue;
        for (const MetricView& one : test.metrics) {
            if (one.metric->name == name) found.emplace_back(&test, one);
        }
    }
    return found;
}

bool is_leak_metric(const TestView& test, const Metric& metric) {
    const auto has = [](const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; };
    return has(test.test->test, "Leak") || has(test.test->test, "Soak") || has(metric.name, "leak") ||
           has(metric.name, "per_cycle") || has(metric.name, "per_hour") || has(metric.name, "trend");
}

}  // namespace parti::report
