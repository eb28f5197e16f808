#include "testutil/expression.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "testutil/statistics.h"

namespace parti::report {
namespace {

enum class Dimension { memory, time, rate, ratio, count };

Dimension dimension_of(Unit unit) {
    switch (unit) {
        case Unit::kB:
        case Unit::bytes: return Dimension::memory;
        case Unit::us:
        case Unit::ms:
        case Unit::ns: return Dimension::time;
        case Unit::per_s: return Dimension::rate;
        case Unit::ratio: return Dimension::ratio;
        case Unit::count: break;
    }
    return Dimension::count;
}

// Of a metric's unit, in bytes, nanoseconds or ones.
double base_of(Unit unit) {
    switch (unit) {
        case Unit::kB: return 1024;
        case Unit::us: return 1e3;
        case Unit::ms: return 1e6;
        case Unit::bytes:
        case Unit::ns:
        case Unit::count:
        case Unit::per_s:
        case Unit::ratio: break;
    }
    return 1;
}

struct KnownUnit {
    std::string_view text;
    Dimension dimension;
    double base;
};
constexpr std::array kUnits{
    KnownUnit{"B", Dimension::memory, 1},
    KnownUnit{"kB", Dimension::memory, 1024},
    KnownUnit{"MB", Dimension::memory, 1024.0 * 1024},
    KnownUnit{"GB", Dimension::memory, 1024.0 * 1024 * 1024},
    KnownUnit{"ns", Dimension::time, 1},
    KnownUnit{"us", Dimension::time, 1e3},
    KnownUnit{"ms", Dimension::time, 1e6},
    KnownUnit{"s", Dimension::time, 1e9},
    KnownUnit{"min", Dimension::time, 60e9},
    KnownUnit{"/s", Dimension::rate, 1},
    KnownUnit{"%", Dimension::ratio, 0.01},
};

const KnownUnit* find_unit(std::string_view text) {
    const auto* const found =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const KnownUnit& unit) { return unit.text == text; });
    return found == kUnits.end() ? nullptr : found;
}

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::optional<double> number_of(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
    return value;
}

constexpr std::array<std::pair<std::string_view, Aggregate>, 7> kAggregates{{{"min", Aggregate::minimum},
                                                                             {"max", Aggregate::maximum},
                                                                             {"avg", Aggregate::average},
                                                                             {"med", Aggregate::median},
                                                                             {"median", Aggregate::median},
                                                                             {"count", Aggregate::count},
                                                                             {"rate", Aggregate::rate}}};

// "p95", "p(99.9)"; the percent.
std::optional<double> percentile_of(std::string_view text) {
    if (text.size() < 2 || text.front() != 'p') return std::nullopt;
    text.remove_prefix(1);
    const bool bracketed = text.front() == '(' && text.back() == ')' && text.size() > 2;
    if (bracketed) text = text.substr(1, text.size() - 2);
    if (text.find_first_not_of("0123456789.") != std::string_view::npos) return std::nullopt;
    const auto percent = number_of(text);
    if (!percent || *percent < 0 || *percent > 100) return std::nullopt;
    return percent;
}

bool set_aggregate(Expression& expression, std::string_view text) {
    if (const auto percent = percentile_of(text)) {
        expression.aggregate = Aggregate::percentile;
        expression.percent = *percent;
        expression.aggregate_text.clear();
        for (const char c : text) {
            if (c != '(' && c != ')') expression.aggregate_text += c;
        }
        return true;
    }
    for (const auto& [word, value] : kAggregates) {
        if (word != text) continue;
        expression.aggregate = value;
        expression.aggregate_text = word;
        return true;
    }
    return false;
}

tl::unexpected<Problem> broken(std::string_view text, std::string_view rule) {
    return bad_input("'" + std::string(text) + "': " + std::string(rule) + ", such as p(95)<200ms or rss_anon.p50<40MB");
}

std::optional<std::string> set_subject(Expression& expression, std::string_view subject) {
    if (subject.empty()) return "a metric or an aggregate must stand before the comparison";
    if (set_aggregate(expression, subject)) return std::nullopt;
    // The metric ends at the first dot whose rest is an aggregate; a metric's own name may have dots ("p99.9").
    for (std::size_t dot = subject.find('.'); dot != std::string_view::npos; dot = subject.find('.', dot + 1)) {
        if (!set_aggregate(expression, subject.substr(dot + 1))) continue;
        subject = subject.substr(0, dot);
        break;
    }
    if (subject.find('(') != std::string_view::npos) {
        return "'" + std::string(subject) + "' must be a metric, or one of min max avg med count rate p(0) to p(100)";
    }
    if (auto bad = check_name(subject); !bad.empty()) return bad;
    expression.metric = subject;
    return std::nullopt;
}

}  // namespace

Outcome<Quantity> parse_quantity(std::string_view text) {
    text = trimmed(text);
    const auto end = std::min(text.find_first_not_of("+-.0123456789"), text.size());
    const auto number = number_of(text.substr(0, end));
    if (!number) return broken(text, "must be a number, with a unit where the metric has one");
    Quantity quantity{*number, std::string(trimmed(text.substr(end)))};
    if (!quantity.unit.empty() && find_unit(quantity.unit) == nullptr) {
        return broken(text, "unknown unit '" + quantity.unit + "'; must be one of B kB MB GB ns us ms s min /s %");
    }
    return quantity;
}

std::optional<double> in_unit(const Quantity& quantity, Unit unit) {
    const Dimension wanted = dimension_of(unit);
    if (quantity.unit.empty()) {
        const bool zero = quantity.number == 0;  // nothing is nothing in every unit
        if (wanted == Dimension::count || wanted == Dimension::ratio || wanted == Dimension::rate || zero) return quantity.number;
        return std::nullopt;
    }
    const KnownUnit* const known = find_unit(quantity.unit);
    if (known == nullptr || known->dimension != wanted) return std::nullopt;
    return quantity.number * known->base / base_of(unit);
}

std::string unit_problem(const Quantity& quantity, Unit unit) {
    std::string fitting;
    for (const KnownUnit& known : kUnits) {
        if (known.dimension == dimension_of(unit)) fitting += (fitting.empty() ? "" : " ") + std::string(known.text);
    }
    const std::string is = quantity.unit.empty() ? "a unit is missing" : "unit '" + quantity.unit + "' does not fit";
    return is + "; the metric is measured in " + std::string(name(unit)) + ", which takes " +
           (fitting.empty() ? "none" : fitting);
}

Outcome<Expression> parse_expression(std::string_view text) {
    Expression expression;
    expression.text = text;
    const auto at = text.find_first_of("<>=!");
    if (at == std::string_view::npos) return broken(text, "has no comparison; must have one of < <= > >= == !=");
    static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kComparisons{{{"<=", Comparison::at_most},
                                                                                          {">=", Comparison::at_least},
                                                                                          {"==", Comparison::equal},
                                                                                          {"!=", Comparison::unequal},
                                                                                          {"<", Comparison::less},
                                                                                          {">", Comparison::more}}};
    const auto* const comparison = std::find_if(kComparisons.begin(), kComparisons.end(),
                                                [&](const auto& known) { return text.substr(at).starts_with(known.first); });
    if (comparison == kComparisons.end()) return broken(text, "the comparison must be one of < <= > >= == !=");
    expression.comparison = comparison->second;
    if (const auto rule = set_subject(expression, trimmed(text.substr(0, at)))) return broken(text, *rule);
    auto limit = parse_quantity(text.substr(at + comparison->first.size()));
    if (!limit) return bad_input("'" + std::string(text) + "': " + limit.error().text);
    expression.limit = std::move(*limit);
    return expression;
}

std::optional<Subject> resolve(const Expression& expression, const std::string& metric,
                               const std::function<bool(const std::string&)>& exists, std::string& wanted) {
    const std::string& base = expression.metric.empty() ? metric : expression.metric;
    if (!expression.aggregate) {
        wanted = "metric '" + base + "'";
        if (exists(base)) return Subject{base};
        return std::nullopt;
    }
    // A launch's own figure first: "before" and "p95" is the metric "before_p95", "p95" alone the metric "p95".
    const std::string recorded = base.empty() ? expression.aggregate_text : base + "_" + expression.aggregate_text;
    if (exists(recorded)) return Subject{recorded};
    wanted = "metric '" + recorded + "'" + (base.empty() ? "" : " or '" + base + "'");
    if (base.empty() || !exists(base)) return std::nullopt;
    return Subject{base, *expression.aggregate, expression.percent};
}

double aggregate(const Subject& subject, std::span<const double> launches) {
    std::vector<double> sorted(launches.begin(), launches.end());
    std::sort(sorted.begin(), sorted.end());
    const double n = static_cast<double>(sorted.size());
    switch (subject.aggregate) {
        case Aggregate::minimum: return sorted.front();
        case Aggregate::maximum: return sorted.back();
        case Aggregate::rate:
        case Aggregate::average: return std::accumulate(sorted.begin(), sorted.end(), 0.0) / n;
        case Aggregate::count: return n;
        case Aggregate::percentile:
            return sorted[static_cast<std::size_t>(std::max(1.0, std::ceil(subject.percent / 100 * n))) - 1];
        case Aggregate::median: break;
    }
    return median(sorted);
}

bool holds(Comparison comparison, double value, double limit) {
    switch (comparison) {
        case Comparison::less: return value < limit;
        case Comparison::at_most: return value <= limit;
        case Comparison::more: return value > limit;
        case Comparison::at_least: return value >= limit;
        case Comparison::equal: return value == limit;
        case Comparison::unequal: return value != limit;
    }
    return false;
}

std::string_view name(Comparison comparison) {
    switch (comparison) {
        case Comparison::less: return "<";
        case Comparison::at_most: return "<=";
        case Comparison::more: return ">";
        case Comparison::at_least: return ">=";
        case Comparison::equal: return "==";
        case Comparison::unequal: return "!=";
    }
    return "?";
}

}  // namespace parti::report
