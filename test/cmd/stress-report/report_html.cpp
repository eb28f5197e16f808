#include <algorithm>
#include <map>
#include <utility>

#include "page_text.h"
#include "report_charts.h"
#include "report_pages.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

// What is said beside the colour, and what the style sheet calls it.
std::string badge(Grade grade, std::string_view text) {
    const char* const style =
        grade == Grade::pass ? "pass" : (grade == Grade::warn ? "warn" : (grade == Grade::fail ? "fail" : "unsure"));
    const char* const symbol =
        grade == Grade::pass ? "\xE2\x9C\x93 " : (grade == Grade::warn ? "! " : (grade == Grade::fail ? "\xE2\x9C\x95 " : "? "));
    return std::string("<span class=\"badge ") + style + "\">" + symbol + html_escaped(text) + "</span>";
}

std::string none(std::string_view text = kNotMeasured) { return "<p class=\"none\">" + html_escaped(text) + "</p>\n"; }

struct Section {
    const char* id;
    const char* title;
    std::string content;
};

std::string fact_table(const std::vector<Fact>& facts) {
    std::string out = "<table><tbody>\n";
    for (const Fact& fact : facts) {
        out += "<tr><td class=\"fact\">" + html_name(fact.name) + "</td><td>" + html_escaped(fact.text) + "</td></tr>\n";
    }
    return out + "</tbody></table>\n";
}

// Many short facts: side by side where there is room.
std::string fact_list(const std::vector<Fact>& facts) {
    std::string out = "<dl class=\"facts\">\n";
    for (const Fact& fact : facts)
        out += "<div><dt>" + html_name(fact.name) + "</dt><dd>" + html_escaped(fact.text) + "</dd></div>\n";
    return out + "</dl>\n";
}

Grade grade_of_status(TestStatus status) { return status == TestStatus::passed ? Grade::pass : Grade::fail; }
std::string shown_status(TestStatus status) {
    return std::string(status == TestStatus::passed ? "passed" : (status == TestStatus::failed ? "FAILED" : "DID NOT FINISH"));
}

std::string acceptance(const ReportView& view) {
    std::string out;
    if (view.input.criteria.empty()) {
        out += "<p class=\"note\">No criteria file was used for this run: absolute limits are " + std::string(kNotMeasured) +
               ".</p>\n";
    } else {
        out += "<table><thead><tr><th>criterion</th><th class=\"n\">measured</th><th>verdict</th></tr></thead><tbody>\n";
        for (const CriterionView& c : view.input.criteria) {
            out += "<tr><td>" + html_escaped(c.expression) + "<small>" +
                   html_escaped(c.test + (c.note.empty() ? "" : "; " + c.note)) + "</small></td><td class=\"n\">" +
                   html_escaped(c.measured) + "</td><td>" + badge(c.grade, c.verdict) + "</td></tr>\n";
        }
        out += "</tbody></table>\n";
    }
    if (view.tests.empty()) return out + none("no test has written a result");
    out +=
        "<table><thead><tr><th>test</th><th>result</th><th class=\"n\">metrics</th><th class=\"n wide\">compared</th>"
        "<th class=\"n\">worse</th></tr></thead><tbody>\n";
    for (const TestView& test : view.tests) {
        out += "<tr><td>" + html_name(test.test->test) + "</td><td>" +
               badge(grade_of_status(test.test->status), shown_status(test.test->status)) + "</td><td class=\"n\">" +
               std::to_string(test.metrics.size()) + "</td><td class=\"n wide\">" + std::to_string(test.compared) +
               "</td><td class=\"n\">" + std::to_string(test.failed) +
               (test.warned > 0 ? " (+" + std::to_string(test.warned) + " near)" : "") + "</td></tr>\n";
    }
    return out + "</tbody></table>\n";
}

std::string latency_table(const ReportView& view) {
    std::string out;
    for (const TestView& test : view.tests) {
        for (const Distribution& d : test.test->details.distributions) {
            out += "<h3>" + html_name(test.short_name + ": " + d.name) + "</h3>\n<dl class=\"figures\">";
            for (const double percent : {50.0, 95.0, 99.0, 99.9, 100.0}) {
                const auto found = d.percentiles.find(percent);
                out +=
                    "<div><dt>" + percentile_name(percent) + "</dt><dd>" +
                    html_escaped(found == d.percentiles.end() ? std::string(kNotMeasured) : shown_value(found->second, d.unit)) +
                    "</dd></div>";
            }
            out += "<div><dt>n</dt><dd>" + shown_value(static_cast<double>(d.n), Unit::count) + "</dd></div></dl>\n";
            if (!d.note.empty()) out += "<p class=\"note\">" + html_escaped(d.note) + "</p>\n";
        }
    }
    return out;
}

std::string leaks(const ReportView& view) {
    std::vector<Fact> facts;
    for (const TestView& test : view.tests) {
        for (const MetricView& one : test.metrics) {
            if (!is_leak_metric(test, *one.metric)) continue;
            const std::string verdict = one.row == nullptr ? "" : ", " + std::string(name(one.row->verdict));
            facts.push_back({test.short_name + "/" + one.metric->name,
                             shown_metric(*one.metric) + verdict + (one.metric->note.empty() ? "" : "; " + one.metric->note)});
        }
    }
    return facts.empty() ? none() : fact_table(facts);
}

std::string anomalies(const ReportView& view) {
    std::string out;
    for (const TestView& test : view.tests) {
        for (const Anomaly& anomaly : test.test->details.anomalies) {
            out += "<h3>" + html_escaped(anomaly.time) + " " + html_name(test.short_name) + "</h3>\n<p>" +
                   html_escaped(anomaly.text) + "</p>\n";
            if (!anomaly.excerpt.empty()) out += "<pre>" + html_escaped(anomaly.excerpt) + "</pre>\n";
        }
    }
    for (const std::string& ignored : view.input.results->ignored) out += "<p>Not read: " + html_escaped(ignored) + "</p>\n";
    return out.empty() ? none("none was noticed") : out;
}

std::string history(const ReportView& view) {
    const HistoryView& shown = view.input.history;
    if (shown.sentence.empty()) return none("no history of runs was given");
    std::vector<Fact> facts;
    for (const auto& [metric, change] : shown.changes) facts.push_back({metric, change});
    return "<p>" + html_escaped(shown.sentence) + "</p>\n" + (facts.empty() ? "" : fact_table(facts));
}

std::string profiles(const ReportView& view) {
    std::string out;
    for (const ProfileView& profile : view.input.profiles) {
        out += "<h3>" + html_name(profile.title) + "</h3>\n<p class=\"note\">" + html_escaped(profile.remark) +
               "</p>\n<table><tbody>\n";
        for (const ProfileView::Process& process : profile.processes) {
            out += "<tr><td class=\"fact\">" + html_escaped(process.arguments) + "</td><td>";
            for (const auto& [name, to] : process.links)
                out += "<a href=\"" + html_escaped(to) + "\">" + html_name(name) + "</a> ";
            out += (process.links.empty() ? "its files are gone" : "") + std::string("</td></tr>\n");
        }
        out += "</tbody></table>\n";
    }
    return out.empty() ? none("none was made; make profile TEST=... KIND=cpu (or heap) does") : out;
}

std::string spread_of(const Metric& metric) {
    if (!metric.measured()) return {};
    char noise[48];
    std::snprintf(noise, sizeof noise, "n %zu, \xC2\xB1%.1f %%", metric.launches.size(), relative_noise(metric.launches) * 100);
    return noise;
}

std::string metric_row(const MetricView& one) {
    const Metric& metric = *one.metric;
    std::string notes = metric.note;
    if (one.row != nullptr && !one.row->note.empty() && one.row->note != metric.note)
        notes += (notes.empty() ? "" : "; ") + one.row->note;
    std::string change, verdict;
    if (one.row != nullptr) {
        if (one.row->change) change = shown_percent(*one.row->change);
        if (one.row->before) change += "<small>from " + html_escaped(shown_value(*one.row->before, one.row->unit)) + "</small>";
        const bool judged = one.row->verdict != Verdict::info;
        verdict = judged ? badge(grade_of(one.row->verdict), name(one.row->verdict)) : "<span class=\"note\">recorded</span>";
    }
    return "<tr><td><span>" + html_name(metric.name) + "</span>" +
           (notes.empty() ? "" : "<small>" + html_escaped(notes) + "</small>") + "</td><td class=\"n\">" +
           html_escaped(shown_metric(metric)) + "<small>" + spread_of(metric) + "</small></td><td class=\"n wide\">" + change +
           "</td><td>" + verdict + "</td></tr>\n";
}

std::string all_metrics(const ReportView& view) {
    std::string out =
        "<p class=\"note\">Median over the launches (n), with their spread; the change is against the baseline's median.</p>\n";
    for (const TestView& test : view.tests) {
        out += "<h3>" + html_name(test.test->test) + "</h3>\n";
        if (test.metrics.empty()) {
            out += none();
            continue;
        }
        out += "<table class=\"metrics\" data-test=\"" + html_escaped(test.test->test) +
               "\"><thead><tr><th>metric</th><th class=\"n\">value</th><th class=\"n "
               "wide\">change</th><th>verdict</th></tr></thead><tbody>\n";
        for (const MetricView& one : test.metrics) out += metric_row(one);
        out += "</tbody></table>\n";
    }
    if (view.tests.empty()) out += none();
    if (view.vanished.empty()) return out;
    out += "<h3>In the baseline, and not measured now</h3>\n<table><tbody>\n";
    for (const Row* row : view.vanished) {
        out += "<tr><td>" + html_name(row->test + "/" + row->metric) +
               (row->note.empty() ? "" : "<small>" + html_escaped(row->note) + "</small>") + "</td><td>" +
               badge(grade_of(row->verdict), name(row->verdict)) + "</td></tr>\n";
    }
    return out + "</tbody></table>\n";
}

std::string replay(const ReportView& view) {
    std::string out;
    for (const TestView& test : view.tests) {
        const Protocol& protocol = test.test->protocol;
        out += "<h3>" + html_name(test.test->test) + "</h3>\n";
        out += "<p class=\"note\">" + std::to_string(protocol.launches) + " launches, window " +
               html_escaped(protocol.window.empty() ? "none" : protocol.window) + ", mode " + html_escaped(protocol.mode) +
               ", seed " + std::to_string(protocol.seed) + "</p>\n";
        out += protocol.replay.empty() ? none("no replay line") : "<pre>" + html_escaped(protocol.replay) + "</pre>\n";
    }
    return out.empty() ? none("no test has written a result") : out;
}

std::string head_figures(const ReportView& view) {
    const Report& diff = *view.input.diff;
    std::size_t passed = 0, metrics = 0;
    for (const TestView& test : view.tests) {
        passed += test.test->status == TestStatus::passed ? 1U : 0U;
        metrics += test.metrics.size();
    }
    const auto figure = [](const char* what, const std::string& value) {
        return std::string("<div><dt>") + what + "</dt><dd>" + value + "</dd></div>";
    };
    return "<dl class=\"figures\">" +
           figure("tests passed", std::to_string(passed) + " of " + std::to_string(view.tests.size())) +
           figure("metrics", std::to_string(metrics)) + figure("compared", std::to_string(diff.compared)) +
           figure("worse", std::to_string(diff.failed)) + figure("near a limit", std::to_string(diff.warned)) +
           figure("better", std::to_string(diff.improved)) + figure("too noisy", std::to_string(diff.inconclusive)) + "</dl>\n";
}

std::string or_none(std::string content) { return content.empty() ? none() : content; }

}  // namespace

std::string html_page(const ReportView& view) {
    const std::vector<Section> sections{
        {"acceptance", "Acceptance", acceptance(view)},
        {"environment", "Environment", fact_list(view.environment)},
        {"memory", "Memory", or_none(memory_charts(view))},
        {"latency", "Latency", or_none(latency_charts(view) + latency_table(view))},
        {"scaling", "Scaling", or_none(scaling_charts(view))},
        {"leaks", "Leaks", leaks(view)},
        {"contamination", "Contamination",
         view.tests.empty() ? none()
                            : (view.contamination.empty() ? none("no launch was disturbed by other work on the machine")
                                                          : fact_table(view.contamination))},
        {"capacity", "Bottleneck and capacity", view.capacity.empty() ? none() : fact_table(view.capacity)},
        {"anomalies", "Anomalies", anomalies(view)},
        {"history", "History", history(view)},
        {"profiles", "Profiles", profiles(view)},
        {"metrics", "Every metric", all_metrics(view)},
        {"replay", "Replay", replay(view)}};
    const char* const style = view.grade == Grade::pass
                                  ? "pass"
                                  : (view.grade == Grade::warn ? "warn" : (view.grade == Grade::fail ? "fail" : "unsure"));
    std::string out =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width, initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        "<link rel=\"icon\" href=\"data:,\">\n<title>" +
        std::string(name(view.grade)) + ": stress run " + html_escaped(view.input.results->run.id) + "</title>\n<style>" +
        kStyle + "</style></head>\n<body><main>\n<h1>parti stress suite, run " + html_escaped(view.input.results->run.id) +
        "</h1>\n<section class=\"verdict " + style + "\" id=\"verdict\">" + badge(view.grade, name(view.grade)) +
        "<p class=\"happened\">" + html_name(view.happened, false) + "</p><p class=\"action\">" + html_escaped(view.action) +
        "</p></section>\n" + head_figures(view) + "<nav>";
    for (const Section& section : sections) out += std::string("<a href=\"#") + section.id + "\">" + section.title + "</a> ";
    out += "</nav>\n";
    for (const Section& section : sections) {
        out +=
            std::string("<section id=\"") + section.id + "\"><h2>" + section.title + "</h2>\n" + section.content + "</section>\n";
    }
    return out + "</main></body></html>\n";
}

}  // namespace parti::report
