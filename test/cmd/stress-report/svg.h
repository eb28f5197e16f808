// Charts as inline SVG: launches of several configurations, a fitted line, a curve over time, percentiles.
//
// Model     Each is 360 units wide, so that its text keeps its size on a phone; colours and fonts come from the page's classes,
//           so that one drawing serves light, dark and paper. Each names its unit, labels its data directly, and describes itself
//           in words for readers that do not see it. place() of ticks is in the axis' own unit.
// Errors    A chart without data is an empty string: the caller says "not measured".
// Threads   Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "testutil/details.h"
#include "testutil/metric.h"

namespace parti::report {

struct DotRow {
    std::string label;
    std::vector<double> launches;      // empty: drawn as "not measured"
    std::optional<double> baseline{};  // its median
};
// One row per configuration: every launch a dot, the median a bar with its value, the baseline's median an open diamond.
std::string dot_chart(const std::string& title, Unit unit, const std::vector<DotRow>& rows);
// Points, the line, and "a + b for each further ...".
std::string fit_chart(const std::string& title, const Fit& fit);
std::string curve_chart(const std::string& title, const Curve& series);
struct PercentileRow {
    std::string label;
    Distribution distribution;
};
// One row per distribution, on a logarithmic axis: from the lowest to the highest percentile given, each marked.
std::string percentile_chart(const std::string& title, const std::vector<PercentileRow>& rows);

}  // namespace parti::report
