#include "page_text.h"
#include "report_pages.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

std::string none(std::string_view text = kNotMeasured) { return "_" + std::string(text) + "_\n"; }
std::string cell(std::string_view text) { return text.empty() ? "-" : markdown_escaped(text); }

std::string marked(Grade grade, std::string_view text) {
    const char* const symbol =
        grade == Grade::pass ? "\xE2\x9C\x93 " : (grade == Grade::warn ? "! " : (grade == Grade::fail ? "\xE2\x9C\x95 " : "? "));
    const std::string shown = symbol + std::string(text);
    return grade == Grade::fail || grade == Grade::warn ? "**" + shown + "**" : shown;
}

std::string fact_table(const std::vector<Fact>& facts) {
    std::string out = "| | |\n|---|---|\n";
    for (const Fact& fact : facts) out += "| " + cell(fact.name) + " | " + cell(fact.text) + " |\n";
    return out;
}

std::string acceptance(const ReportView& view) {
    std::string out;
    if (view.input.criteria.empty()) {
        out = "No criteria file was used for this run: absolute limits are " + std::string(kNotMeasured) + ".\n\n";
    } else {
        out = "| criterion | test | measured | verdict |\n|---|---|--:|---|\n";
        for (const CriterionView& c : view.input.criteria) {
            out += "| " + cell(c.expression) + " | " + cell(c.test) + " | " + cell(c.measured) + " | " +
                   marked(c.grade, c.verdict) + " |\n";
        }
        out += "\n";
    }
    if (view.tests.empty()) return out + none("no test has written a result");
    out += "| test | result | metrics | compared | worse | near |\n|---|---|--:|--:|--:|--:|\n";
    for (const TestView& test : view.tests) {
        const bool passed = test.test->status == TestStatus::passed;
        out += "| " + cell(test.test->test) + " | " + marked(passed ? Grade::pass : Grade::fail, name(test.test->status)) +
               " | " + std::to_string(test.metrics.size()) + " | " + std::to_string(test.compared) + " | " +
               std::to_string(test.failed) + " | " + std::to_string(test.warned) + " |\n";
    }
    return out;
}

// Rows of the tests that measured the metric; empty: none did.
std::string metric_table(const ReportView& view, std::string_view metric) {
    std::string out;
    for (const auto& [test, one] : metrics_named(view, metric)) {
        const std::string before = one.row != nullptr && one.row->before ? shown_value(*one.row->before, one.row->unit) : "";
        out += "| " + cell(test->short_name) + " | " + std::string(metric) + " | " + cell(shown_metric(*one.metric)) + " | " +
               cell(before) + " |\n";
    }
    return out;
}

std::string tables(const ReportView& view, const std::vector<std::string>& metrics) {
    std::string rows;
    for (const std::string& metric : metrics) rows += metric_table(view, metric);
    return rows.empty() ? rows : "| test | metric | median | baseline |\n|---|---|--:|--:|\n" + rows + "\n";
}

std::string fits(const ReportView& view) {
    std::string out;
    for (const TestView& test : view.tests) {
        for (const Fit& fit : test.test->details.fits) {
            char line[160];
            std::snprintf(line, sizeof line, "%.1f + %.2f", fit.intercept, fit.slope);
            out += "- " + cell(test.short_name) + ", " + cell(fit.name) + ": " + line;
            if (fit.bound) {
                std::snprintf(line, sizeof line, " (95 %%: \xC2\xB1%.2f)", *fit.bound);
                out += line;
            }
            std::snprintf(line, sizeof line, ", largest residual %.1f %%, %zu points", fit.residual * 100, fit.points.size());
            out += " " + std::string(name(fit.unit)) + " \xC3\x97 " + cell(fit.x) + line + "\n";
        }
    }
    return out;
}

std::string latency(const ReportView& view) {
    std::string out;
    for (const TestView& test : view.tests) {
        for (const Distribution& d : test.test->details.distributions) {
            out += "| " + cell(test.short_name + " " + d.name) + " |";
            for (const double percent : {50.0, 95.0, 99.0, 99.9, 100.0}) {
                const auto found = d.percentiles.find(percent);
                out += " " +
                       (found == d.percentiles.end() ? std::string(kNotMeasured) : cell(shown_value(found->second, d.unit))) +
                       " |";
            }
            out += " " + std::to_string(d.n) + " |\n";
        }
    }
    return out.empty() ? out : "| | p50 | p95 | p99 | p99.9 | max | n |\n|---|--:|--:|--:|--:|--:|--:|\n" + out;
}

std::string leaks(const ReportView& view) {
    std::vector<Fact> facts;
    for (const TestView& test : view.tests) {
        for (const MetricView& one : test.metrics) {
            if (is_leak_metric(test, *one.metric))
                facts.push_back({test.short_name + "/" + one.metric->name, shown_metric(*one.metric)});
        }
    }
    return facts.empty() ? none() : fact_table(facts);
}

std::string anomalies(const ReportView& view) {
    std::string out;
    for (const TestView& test : view.tests) {
        for (const Anomaly& anomaly : test.test->details.anomalies) {
            out += "- " + cell(anomaly.time) + " " + cell(test.short_name) + ": " + cell(anomaly.text) +
                   (anomaly.excerpt.empty() ? "" : " (" + cell(anomaly.excerpt.substr(0, 300)) + ")") + "\n";
        }
    }
    for (const std::string& ignored : view.input.results->ignored) out += "- not read: " + cell(ignored) + "\n";
    return out.empty() ? none("none was noticed") : out;
}

std::string history(const ReportView& view) {
    const HistoryView& shown = view.input.history;
    if (shown.sentence.empty()) return none("no history of runs was given");
    std::string out = cell(shown.sentence) + "\n\n";
    for (const auto& [metric, change] : shown.changes) out += "- " + cell(metric) + ": " + cell(change) + "\n";
    return out;
}

std::string profiles(const ReportView& view) {
    std::string out;
    for (const ProfileView& profile : view.input.profiles) {
        out += "- " + cell(profile.title) + " (" + cell(profile.remark) + "):";
        for (const ProfileView::Process& process : profile.processes) {
            for (const auto& [name, to] : process.links) out += " [" + cell(name) + "](" + to + ")";
        }
        out += "\n";
    }
    return out.empty() ? none("none was made; make profile TEST=... KIND=cpu (or heap) does") : out;
}

std::string all_metrics(const ReportView& view) {
    if (view.tests.empty()) return none();
    std::string out =
        "<details><summary>the table</summary>\n\n| test | metric | median | noise | n | baseline | change | verdict | note |\n"
        "|---|---|--:|--:|--:|--:|--:|---|---|\n";
    for (const TestView& test : view.tests) {
        if (test.metrics.empty())
            out += "| " + cell(test.test->test) + " | - | " + std::string(kNotMeasured) + " | - | 0 | - | - | - | - |\n";
        for (const auto& [metric, row] : test.metrics) {
            char noise[32] = "-";
            if (metric->measured()) std::snprintf(noise, sizeof noise, "%.1f %%", relative_noise(metric->launches) * 100);
            out += "| " + cell(test.test->test) + " | " + cell(metric->name) + " | " + cell(shown_metric(*metric)) + " | " +
                   noise + " | " + std::to_string(metric->launches.size()) + " | " +
                   (row != nullptr && row->before ? cell(shown_value(*row->before, row->unit)) : "-") + " | " +
                   (row != nullptr && row->change ? shown_percent(*row->change) : "-") + " | " +
                   (row != nullptr ? marked(grade_of(row->verdict), name(row->verdict)) : "-") + " | " + cell(metric->note) +
                   " |\n";
        }
    }
    for (const Row* row : view.vanished) {
        out += "| " + cell(row->test) + " | " + cell(row->metric) + " | " + std::string(kNotMeasured) + " | - | 0 | - | - | " +
               marked(grade_of(row->verdict), name(row->verdict)) + " | " + cell(row->note) + " |\n";
    }
    return out + "\n</details>\n";
}

std::string replay(const ReportView& view) {
    std::string out;
    for (const TestView& test : view.tests) {
        if (!test.test->protocol.replay.empty()) out += "    " + markdown_line(test.test->protocol.replay) + "\n";
    }
    return out.empty() ? none("no replay line") : out;
}

}  // namespace

std::string markdown_page(const ReportView& view) {
    const auto section = [](const char* title, const std::string& content) {
        return std::string("\n#### ") + title + "\n\n" + (content.empty() ? none() : content);
    };
    return "### " + marked(view.grade, name(view.grade)) + ": stress run " + cell(view.input.results->run.id) + "\n\n**" +
           cell(view.happened) + "** " + cell(view.action) + "\n" + section("Acceptance", acceptance(view)) +
           section("Environment", fact_table(view.environment)) +
           section("Memory", tables(view, {"rss_anon", "live_heap"}) + fits(view)) + section("Latency", latency(view)) +
           section("Scaling", tables(view, {"startup", "assignment", "threads"})) + section("Leaks", leaks(view)) +
           section("Contamination",
                   view.tests.empty() ? none()
                                      : (view.contamination.empty() ? none("no launch was disturbed by other work on the machine")
                                                                    : fact_table(view.contamination))) +
           section("Bottleneck and capacity", view.capacity.empty() ? none() : fact_table(view.capacity)) +
           section("Anomalies", anomalies(view)) + section("History", history(view)) + section("Profiles", profiles(view)) +
           section("Every metric", all_metrics(view)) + section("Replay", replay(view));
}

}  // namespace parti::report
