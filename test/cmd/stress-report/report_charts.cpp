#include "report_charts.h"

#include <algorithm>
#include <map>
#include <set>

#include "svg.h"

namespace parti::report {
namespace {

std::string block(const std::string& charts) {
    return charts.empty() ? charts : "<div class=\"charts\">\n" + charts + "</div>\n";
}

bool is_memory(Unit unit) { return unit == Unit::kB || unit == Unit::bytes; }

std::string rows_of(const ReportView& view, std::string_view metric, const std::string& title) {
    std::map<Unit, std::vector<DotRow>> by_unit;
    for (const auto& [test, one] : metrics_named(view, metric)) {
        by_unit[one.metric->unit].push_back(
            {test->short_name, one.metric->launches, one.row == nullptr ? std::nullopt : one.row->before});
    }
    std::string charts;
    for (const auto& [unit, rows] : by_unit) charts += dot_chart(title, unit, rows);
    return charts;
}

std::string fits_of(const ReportView& view, bool memory) {
    std::string charts;
    for (const TestView& test : view.tests) {
        for (const Fit& fit : test.test->details.fits) {
            if (is_memory(fit.unit) == memory)
                charts += fit_chart(fit.name + " over " + fit.x + " (" + test.short_name + ")", fit);
        }
    }
    return charts;
}

std::string curves_of(const ReportView& view, bool memory) {
    std::string charts;
    for (const TestView& test : view.tests) {
        for (const Curve& series : test.test->details.series) {
            if (is_memory(series.unit) == memory)
                charts += curve_chart(series.name + " over time (" + test.short_name + ")", series);
        }
    }
    return charts;
}

// Names of the gated duration metrics, the most common ones first.
std::vector<std::string> duration_names(const ReportView& view) {
    std::map<std::string, std::size_t> uses;
    for (const TestView& test : view.tests) {
        for (const MetricView& one : test.metrics) {
            if (one.metric->kind == Kind::duration && one.metric->measured()) ++uses[one.metric->name];
        }
    }
    std::vector<std::string> names;
    for (const auto& use : uses) names.push_back(use.first);
    std::stable_sort(names.begin(), names.end(), [&](const auto& a, const auto& b) { return uses[a] > uses[b]; });
    constexpr std::size_t kMostCharts = 8;  // the table has them all
    if (names.size() > kMostCharts) names.resize(kMostCharts);
    return names;
}

}  // namespace

std::string memory_charts(const ReportView& view) {
    return block(rows_of(view, "rss_anon", "Anonymous memory of one process (rss_anon)") +
                 rows_of(view, "live_heap", "Live heap of one process (live_heap)") + fits_of(view, true) +
                 curves_of(view, true));
}

std::string latency_charts(const ReportView& view) {
    std::map<Unit, std::vector<PercentileRow>> by_unit;
    for (const TestView& test : view.tests) {
        for (const Distribution& d : test.test->details.distributions) {
            by_unit[d.unit].push_back({test.short_name + (test.test->details.distributions.size() > 1 ? " " + d.name : ""), d});
        }
    }
    std::string charts;
    for (const auto& [unit, rows] : by_unit) charts += percentile_chart("Latency, from the intended start", rows);
    return block(charts);
}

std::string scaling_charts(const ReportView& view) {
    std::string charts;
    for (const std::string& name : duration_names(view)) charts += rows_of(view, name, name);
    charts += rows_of(view, "threads", "Threads of one process (threads)");
    return block(charts + fits_of(view, false) + curves_of(view, false));
}

}  // namespace parti::report
