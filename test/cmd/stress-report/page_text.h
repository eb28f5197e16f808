// Text of the report's pages: escaping, and numbers as people read them.
//
// Units     shown_value() keeps the unit of the file, with thousands separated: "15,834 kB". Axis chooses one unit for a whole
//           chart: MB from 10 MB on, s from 10 s on, and so forth; kB and MB are of 1024, as the kernel's.
// Errors    None: what is not UTF-8 or not printable becomes U+FFFD; a number that is not finite is "not measured".
// Threads   Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "testutil/metric.h"

namespace parti::report {

inline constexpr std::string_view kNotMeasured = "not measured";

// For text and for attributes in double quotes.
std::string html_escaped(std::string_view text);
// The same, and a line may be broken after each _ / . and (in narrow columns) before a capital: for names of tests and metrics.
std::string html_name(std::string_view text, bool narrow = true);
// For a cell of a Markdown table: one line, nothing in it is taken as markup.
std::string markdown_escaped(std::string_view text);
// For a line of a code block: as it is, but one line of valid UTF-8.
std::string markdown_line(std::string_view text);

std::string shown_value(double value, Unit unit);
std::string shown_percent(double ratio);  // "+12.3 %"
// Median of the launches, or kNotMeasured.
std::string shown_metric(const Metric& metric);

// The scale of one chart's axis: from 0 or the lowest value to at least the highest, with round ticks.
class Axis {
public:
    // Requires: low <= high, both finite. A linear axis begins at 0 unless `low` is below.
    static Axis linear(double low, double high, Unit unit);
    static Axis logarithmic(double low, double high, Unit unit);  // requires: low > 0

    double place(double value) const;  // 0..1, clamped
    const std::vector<double>& ticks() const { return ticks_; }
    std::string tick_text(double tick) const;    // without the unit: "12.5"
    std::string value_text(double value) const;  // with the unit, three digits: "15.5 MB"
    std::string unit_text() const { return unit_; }

private:
    double low_ = 0, high_ = 1, scale_ = 1;
    bool log_ = false;
    std::string unit_;
    std::vector<double> ticks_;
};

}  // namespace parti::report
