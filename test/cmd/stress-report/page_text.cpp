#include "page_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "testutil/statistics.h"

namespace parti::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Length of the UTF-8 sequence at the front; 0: there is none. Surrogates and overlong forms are none.
std::size_t sequence_length(std::string_view text) {
    const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const auto follows = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
    const unsigned lead = at(0);
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
    if ((lead & 0xF0U) == 0xE0U && follows(1) && follows(2)) {
        const unsigned point = (lead & 0x0FU) << 12U | (at(1) & 0x3FU) << 6U;
        return point < 0x800 || (point >= 0xD800 && point < 0xE000) ? 0 : 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4 && follows(1) && follows(2) && follows(3)) {
        const unsigned point = (lead & 0x07U) << 18U | (at(1) & 0x3FU) << 12U;
        return point < 0x10000 || point >= 0x110000 ? 0 : 4;
    }
    return 0;
}

// Characters that turn the direction of what follows: U+202A..U+202E and U+2066..U+2069.
bool turns_direction(std::string_view c) {
    return c.size() == 3 && ((c >= "\xE2\x80\xAA" && c <= "\xE2\x80\xAE") || (c >= "\xE2\x81\xA6" && c <= "\xE2\x81\xA9"));
}

// Calls `append` for each character, with what is none (or cannot be shown) replaced.
template <class Append>
void for_each_character(std::string_view text, Append append) {
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        const auto c = static_cast<unsigned char>(text.front());
        const bool control = length == 1 && (c == 0x7F || (c < 0x20 && c != '\n' && c != '\t'));
        append(length == 0 || control || turns_direction(text.substr(0, length)) ? kReplacement : text.substr(0, length));
        text.remove_prefix(std::max<std::size_t>(1, length));
    }
}

std::string grouped(std::string digits) {
    const std::size_t end = std::min(digits.find('.'), digits.size());
    const std::size_t first = digits.front() == '-' ? 1 : 0;
    for (std::size_t at = end; at > first + 3; at -= 3) digits.insert(at - 3, ",");
    return digits;
}

std::string three_digits(double value) {
    char text[40];
    const double size = std::fabs(value);
    const int places = size == 0 || size >= 100 ? 0 : (size >= 10 ? 1 : (size >= 1 ? 2 : 3));
    std::snprintf(text, sizeof text, "%.*f", places, value);
    std::string out = text;
    if (out.find('.') != std::string::npos) {
        out.erase(out.find_last_not_of('0') + 1);
        if (out.back() == '.') out.pop_back();
    }
    return grouped(out == "-0" ? "0" : out);
}

struct Scaled {
    double factor;
    const char* unit;
};

Scaled scale_of(Unit unit, double high) {
    const double size = std::fabs(high);
    switch (unit) {
        case Unit::kB: return size >= 10'240 ? Scaled{1.0 / 1024, "MB"} : Scaled{1, "kB"};
        case Unit::bytes:
            return size >= 10 * 1024.0 * 1024 ? Scaled{1.0 / 1024 / 1024, "MB"}
                                              : (size >= 10'240 ? Scaled{1.0 / 1024, "kB"} : Scaled{1, "bytes"});
        case Unit::ns: return size >= 10e6 ? Scaled{1e-6, "ms"} : (size >= 10e3 ? Scaled{1e-3, "us"} : Scaled{1, "ns"});
        case Unit::us: return size >= 10e6 ? Scaled{1e-6, "s"} : (size >= 10e3 ? Scaled{1e-3, "ms"} : Scaled{1, "us"});
        case Unit::ms: return size >= 10e3 ? Scaled{1e-3, "s"} : Scaled{1, "ms"};
        case Unit::per_s: return {1, "/s"};
        case Unit::count:
        case Unit::ratio: return {1, ""};
    }
    return {1, ""};
}

}  // namespace

std::string html_escaped(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for_each_character(text, [&](std::string_view c) {
        if (c == "&") out += "&amp;";
        else if (c == "<") out += "&lt;";
        else if (c == ">") out += "&gt;";
        else if (c == "\"") out += "&quot;";
        else if (c == "'") out += "&#39;";
        else out += c;
    });
    return out;
}

std::string html_name(std::string_view text, bool narrow) {
    std::string out;
    for_each_character(text, [&](std::string_view c) {
        if (narrow && c >= "A" && c <= "Z" && c.size() == 1 && !out.empty()) out += "<wbr>";
        out += html_escaped(c);
        if (c == "_" || c == "/" || c == ".") out += "<wbr>";
    });
    return out;
}

std::string markdown_escaped(std::string_view text) {
    constexpr std::string_view kMarkup = "\\|*`[]~";
    std::string out;
    for_each_character(text, [&](std::string_view c) {
        if (c == "&") out += "&amp;";
        else if (c == "<") out += "&lt;";
        else if (c == ">") out += "&gt;";
        else if (c == "\n" || c == "\t") out += ' ';
        else if (c.size() == 1 && kMarkup.find(c) != std::string_view::npos) out.append("\\").append(c);
        else out += c;
    });
    return out;
}

std::string markdown_line(std::string_view text) {
    std::string out;
    for_each_character(text, [&](std::string_view c) { out += c == "\n" || c == "\t" ? " " : c; });
    return out;
}

std::string shown_value(double value, Unit unit) {
    if (!std::isfinite(value)) return std::string(kNotMeasured);
    const std::string plain = format_value(value, unit);
    const std::size_t blank = plain.find(' ');
    return grouped(plain.substr(0, blank)) + (blank == std::string::npos ? "" : plain.substr(blank));
}

std::string shown_percent(double ratio) {
    if (!std::isfinite(ratio)) return std::string(kNotMeasured);
    if (std::fabs(ratio) > 1e4) return ratio > 0 ? "from 0" : "to 0";
    char text[32];
    std::snprintf(text, sizeof text, "%+.1f %%", ratio * 100);
    return text;
}

std::string shown_metric(const Metric& metric) {
    return metric.measured() ? shown_value(median(metric.launches), metric.unit) : std::string(kNotMeasured);
}

Axis Axis::linear(double low, double high, Unit unit) {
    Axis axis;
    const Scaled scaled = scale_of(unit, std::max(std::fabs(low), std::fabs(high)));
    axis.scale_ = scaled.factor;
    axis.unit_ = scaled.unit;
    double from = std::min(0.0, low) * scaled.factor;
    const double to = std::max(high * scaled.factor, from);
    const double span = to > from ? to - from : 1;
    const double rough = span / 4;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double round : {1.0, 2.0, 2.5, 5.0}) {
        if (round * power >= rough) {
            step = round * power;
            break;
        }
    }
    if (unit == Unit::count) step = std::max(1.0, std::ceil(step));
    from = std::floor(from / step) * step;
    const auto steps = static_cast<int>(std::max(1.0, std::ceil((to - from) / step - 1e-9)));
    for (int i = 0; i <= steps; ++i) axis.ticks_.push_back(from + step * i);
    axis.low_ = axis.ticks_.front();
    axis.high_ = axis.ticks_.back();
    return axis;
}

Axis Axis::logarithmic(double low, double high, Unit unit) {
    Axis axis;
    const Scaled scaled = scale_of(unit, high);
    axis.scale_ = scaled.factor;
    axis.unit_ = scaled.unit;
    axis.log_ = true;
    const double first = std::floor(std::log10(low * scaled.factor) + 1e-9);
    const double last = std::max(first + 1, std::ceil(std::log10(std::max(low, high) * scaled.factor) - 1e-9));
    for (double power = first; power <= last + 0.5; ++power) axis.ticks_.push_back(std::pow(10, power));
    axis.low_ = first;
    axis.high_ = last;
    return axis;
}

double Axis::place(double value) const {
    const double scaled = value * scale_;
    const double at = log_ ? std::log10(std::max(scaled, std::pow(10, low_))) : scaled;
    return std::clamp((at - low_) / (high_ - low_), 0.0, 1.0);
}

std::string Axis::tick_text(double tick) const { return three_digits(tick); }

std::string Axis::value_text(double value) const {
    return three_digits(value * scale_) + (unit_.empty() ? "" : (unit_.front() == '/' ? unit_ : " " + unit_));
}

}  // namespace parti::report
