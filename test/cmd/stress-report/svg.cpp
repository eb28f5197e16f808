#include "svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "page_text.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

constexpr double kWidth = 360;
constexpr double kLeft = 4, kRight = 356;  // of a row chart's track
constexpr double kRowHeight = 36;

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
}

class Svg {
public:
    Svg(const std::string& title, const std::string& description, double height) {
        out_ = "<figure><figcaption>" + html_escaped(title) + "</figcaption><svg viewBox=\"0 0 360 " + number(height) +
               "\" role=\"img\" aria-label=\"" + html_escaped(title + ": " + description) + "\">";
    }
    void line(const char* style, double x1, double y1, double x2, double y2) {
        out_ += std::string("<line class=\"") + style + "\" x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" +
                number(x2) + "\" y2=\"" + number(y2) + "\"/>";
    }
    void dot(const char* style, double x, double y, double r) {
        out_ += std::string("<circle class=\"") + style + "\" cx=\"" + number(x) + "\" cy=\"" + number(y) + "\" r=\"" +
                number(r) + "\"/>";
    }
    void path(const char* style, const std::string& d) { out_ += std::string("<path class=\"") + style + "\" d=\"" + d + "\"/>"; }
    void text(const char* style, double x, double y, const char* anchor, const std::string& text) {
        out_ += std::string("<text class=\"") + style + "\" x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" +
                anchor + "\">" + html_escaped(text) + "</text>";
    }
    std::string done(const std::string& note) {
        out_ += "</svg>";
        if (!note.empty()) out_ += "<p class=\"note\">" + html_escaped(note) + "</p>";
        return out_ + "</figure>\n";
    }

private:
    std::string out_;
};

double across(const Axis& axis, double value) { return kLeft + axis.place(value) * (kRight - kLeft); }

// The axis below the rows of a chart, with light lines up through them.
void draw_row_axis(Svg& svg, const Axis& axis, double bottom, bool logarithmic) {
    const auto& ticks = axis.ticks();
    const double low = ticks.front(), high = ticks.back();
    for (std::size_t i = 0; i < ticks.size(); ++i) {
        const double share =
            logarithmic ? static_cast<double>(i) / static_cast<double>(ticks.size() - 1) : (ticks[i] - low) / (high - low);
        const double x = kLeft + share * (kRight - kLeft);
        svg.line("grid", x, 4, x, bottom);
        const char* anchor = i == 0 ? "start" : (i + 1 == ticks.size() ? "end" : "middle");
        const bool last = i + 1 == ticks.size();
        svg.text("tick", x, bottom + 14, anchor,
                 axis.tick_text(ticks[i]) + (last && !axis.unit_text().empty() ? " " + axis.unit_text() : ""));
    }
}

// Row labels must fit beside the value: what is too long loses its middle.
std::string shortened(const std::string& label, std::size_t most) {
    if (label.size() <= most) return label;
    return label.substr(0, most / 2 - 1) + ".." + label.substr(label.size() - (most / 2 - 1));
}

struct Frame {
    double left = 44, right = 344, top = 20, bottom = 156;
    double x(const Axis& axis, double value) const { return left + axis.place(value) * (right - left); }
    double y(const Axis& axis, double value) const { return bottom - axis.place(value) * (bottom - top); }
};

void draw_frame(Svg& svg, const Frame& frame, const Axis& x, const Axis& y, const std::string& x_label) {
    const auto share = [](const Axis& axis, double tick) {
        return (tick - axis.ticks().front()) / (axis.ticks().back() - axis.ticks().front());
    };
    for (const double tick : y.ticks()) {
        const double at = frame.bottom - share(y, tick) * (frame.bottom - frame.top);
        svg.line("grid", frame.left, at, frame.right, at);
        svg.text("tick", frame.left - 5, at + 4, "end", y.tick_text(tick));
    }
    for (const double tick : x.ticks()) {
        const double at = frame.left + share(x, tick) * (frame.right - frame.left);
        svg.line("axis", at, frame.bottom, at, frame.bottom + 3);
        svg.text("tick", at, frame.bottom + 16, "middle", x.tick_text(tick));
    }
    svg.line("axis", frame.left, frame.bottom, frame.right, frame.bottom);
    svg.text("tick", frame.right, frame.bottom + 31, "end", shortened(x_label, 40));
}

}  // namespace

std::string dot_chart(const std::string& title, Unit unit, const std::vector<DotRow>& rows) {
    double low = 0, high = 0;
    bool any = false;
    std::string description;
    for (const DotRow& row : rows) {
        for (const double value : row.launches) {
            low = std::min(low, value);
            high = std::max(high, value);
            any = true;
        }
        if (row.baseline) high = std::max(high, *row.baseline);
        description +=
            row.label + " " + (row.launches.empty() ? std::string(kNotMeasured) : shown_value(median(row.launches), unit)) + "; ";
    }
    if (!any) return {};
    const Axis axis = Axis::linear(low, high, unit);
    const double bottom = 4 + kRowHeight * static_cast<double>(rows.size());
    Svg svg(title, description, bottom + 20);
    draw_row_axis(svg, axis, bottom, false);
    bool has_baseline = false;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const DotRow& row = rows[i];
        const double top = 4 + kRowHeight * static_cast<double>(i);
        const double y = top + 25;
        svg.text("label", kLeft, top + 13, "start", shortened(row.label, 38));
        if (row.launches.empty()) {
            svg.text("value", kRight, top + 13, "end", std::string(kNotMeasured));
            continue;
        }
        const double middle = median(row.launches);
        svg.text("value", kRight, top + 13, "end", axis.value_text(middle));
        svg.line("track", across(axis, 0), y, across(axis, middle), y);
        if (row.baseline) {
            has_baseline = true;
            const double x = across(axis, *row.baseline);
            svg.path("baseline", "M" + number(x) + " " + number(y - 5) + " l5 5 l-5 5 l-5 -5 z");
        }
        for (const double value : row.launches) svg.dot("launch", across(axis, value), y, 3);
        svg.line("median", across(axis, middle), y - 6, across(axis, middle), y + 6);
    }
    return svg.done(has_baseline ? "Dot: a launch. Bar and figure: their median. Diamond: the baseline."
                                 : "Dot: a launch. Bar and figure: their median.");
}

std::string fit_chart(const std::string& title, const Fit& fit) {
    if (fit.points.size() < 2) return {};
    double low = std::min(0.0, fit.intercept), high = 0, far = 0;
    for (const auto& [x, y] : fit.points) {
        low = std::min(low, y);
        high = std::max(high, y);
        far = std::max(far, x);
    }
    high = std::max(high, fit.intercept + fit.slope * far);
    const Axis x = Axis::linear(0, far, Unit::count);
    const Axis y = Axis::linear(low, high, fit.unit);
    const Axis step = Axis::linear(0, std::max(std::fabs(fit.slope), fit.bound.value_or(0)), fit.unit);
    const std::string bound = fit.bound ? " (95 %: \xC2\xB1" + step.value_text(*fit.bound) + ")" : "";
    char residual[32];
    std::snprintf(residual, sizeof residual, "%.1f %%", fit.residual * 100);
    const std::string words = y.value_text(fit.intercept) + " + " + step.value_text(fit.slope) + bound + " \xC3\x97 " + fit.x;
    Svg svg(title, words, 194);
    const Frame frame;
    draw_frame(svg, frame, x, y, fit.x);
    svg.text("tick", frame.left - 5, frame.top - 10, "end", y.unit_text());
    svg.line("fit", frame.x(x, 0), frame.y(y, fit.intercept), frame.x(x, far), frame.y(y, fit.intercept + fit.slope * far));
    for (const auto& [at, value] : fit.points) svg.dot("launch", frame.x(x, at), frame.y(y, value), 3);
    return svg.done("Line: " + words + ". Largest distance of a point: " + residual + " of its value.");
}

std::string curve_chart(const std::string& title, const Curve& series) {
    if (series.values.empty() || series.values.size() != series.times_ms.size()) return {};
    const auto [low, high] = std::minmax_element(series.values.begin(), series.values.end());
    const Axis x = Axis::linear(std::min(0.0, series.times_ms.front()), series.times_ms.back(), Unit::ms);
    const Axis y = Axis::linear(*low, *high, series.unit);
    const std::string last = y.value_text(series.values.back());
    Svg svg(title, "from " + y.value_text(series.values.front()) + " to " + last + ", highest " + y.value_text(*high), 194);
    const Frame frame;
    draw_frame(svg, frame, x, y, "time (" + x.unit_text() + ")");
    svg.text("tick", frame.left - 5, frame.top - 10, "end", y.unit_text());
    std::string path;
    for (std::size_t i = 0; i < series.values.size(); ++i) {
        path += (i == 0 ? "M" : "L") + number(frame.x(x, series.times_ms[i])) + " " + number(frame.y(y, series.values[i]));
    }
    svg.path("curve", path);
    const double end_x = frame.x(x, series.times_ms.back()), end_y = frame.y(y, series.values.back());
    svg.dot("end", end_x, end_y, 3);
    svg.text("value", end_x, std::max(frame.top + 10, end_y - 7), "end", last);
    return svg.done(series.note);
}

std::string percentile_chart(const std::string& title, const std::vector<PercentileRow>& rows) {
    double low = 0, high = 0;
    std::string description;
    for (const PercentileRow& row : rows) {
        description += row.label;
        for (const auto& [percent, value] : row.distribution.percentiles) {
            if (value > 0) low = low == 0 ? value : std::min(low, value);
            high = std::max(high, value);
            description += " " + percentile_name(percent) + " " + shown_value(value, row.distribution.unit) + ",";
        }
        description += "; ";
    }
    if (rows.empty() || !(low > 0)) return {};
    const Axis axis = Axis::logarithmic(low, high, rows.front().distribution.unit);
    constexpr double kHeight = 50;
    const double bottom = 4 + kHeight * static_cast<double>(rows.size());
    Svg svg(title, description, bottom + 20);
    draw_row_axis(svg, axis, bottom, true);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Distribution& d = rows[i].distribution;
        const double top = 4 + kHeight * static_cast<double>(i);
        const double y = top + 24;
        svg.text("label", kLeft, top + 13, "start", shortened(rows[i].label, 40));
        svg.text("value", kRight, top + 13, "end", "n " + shown_value(static_cast<double>(d.n), Unit::count));
        svg.line("track", across(axis, d.percentiles.begin()->second), y, across(axis, d.percentiles.rbegin()->second), y);
        double free_from = -1;
        for (const auto& [percent, value] : d.percentiles) {
            const double x = across(axis, value);
            svg.line("median", x, y - 5, x, y + 5);
            const std::string name = percentile_name(percent);
            const double width = 6.2 * static_cast<double>(name.size());
            const double text_x = std::clamp(x - width / 2, kLeft, kRight - width);
            if (text_x < free_from) continue;  // the table has every value
            svg.text("tick", text_x, y + 17, "start", name);
            free_from = text_x + width + 4;
        }
    }
    return svg.done("Logarithmic axis. Marks: the percentiles of the table below.");
}

}  // namespace parti::report
