// Expression: one threshold, as k6 writes them: "p(95)<200ms", "rss_anon.p50<40MB", "rate<0.01".
//
// Model     SUBJECT OPERATOR NUMBER [UNIT]. A subject is METRIC, METRIC.AGGREGATE, or AGGREGATE alone, for the metric that the
//           criterion names beside it. Aggregates: min max avg med count rate p50 p95 p99.9 (or p(50), p(95), p(99.9)).
//           Operators: < <= > >= == !=. A metric often is a percentile already ("p95" of a launch's messages, "before_p95"). So
//           METRIC.p(95) means the recorded metric METRIC_p95 where there is one, else the percentile (nearest rank) over the
//           launches of METRIC; likewise rate, min, max, avg. Without an aggregate, and of such a metric: the median over the
//           launches.
// Units     B kB MB GB (1024 each), ns us ms s min, /s, % and none for ratios, none for counts. Memory and times need a unit.
// Errors    bad_input naming the text and the rule; unit_problem() says what does not fit a metric.
// Threads   Values and pure functions.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "testutil/metric.h"
#include "testutil/problem.h"

namespace parti::report {

enum class Aggregate { median, minimum, maximum, average, count, rate, percentile };
enum class Comparison { less, at_most, more, at_least, equal, unequal };

struct Quantity {
    double number = 0;
    std::string unit;  // as written; empty: none
};
// "40MB", "0.1 %", "3".
Outcome<Quantity> parse_quantity(std::string_view text);
// The quantity in a metric's unit; nothing when the dimension is another one.
std::optional<double> in_unit(const Quantity& quantity, Unit unit);
// Why it is nothing: "'MB' is no unit of time; ...".
std::string unit_problem(const Quantity& quantity, Unit unit);

struct Expression {
    std::string text;    // as written
    std::string metric;  // empty: the aggregate alone was given
    std::optional<Aggregate> aggregate;
    double percent = 0;          // of a percentile
    std::string aggregate_text;  // "p95", "max"; as a recorded metric's name would end
    Comparison comparison = Comparison::less;
    Quantity limit;
};
Outcome<Expression> parse_expression(std::string_view text);

// What an expression means among the metrics that exist: which one, and what is made of its launches.
struct Subject {
    std::string metric;
    Aggregate aggregate = Aggregate::median;
    double percent = 0;
};
// `metric`: of the criterion, for an aggregate that stands alone. Nothing: no such metric; `wanted` then names what was looked
// for.
std::optional<Subject> resolve(const Expression& expression, const std::string& metric,
                               const std::function<bool(const std::string&)>& exists, std::string& wanted);

double aggregate(const Subject& subject, std::span<const double> launches);  // requires: not empty
bool holds(Comparison comparison, double value, double limit);
std::string_view name(Comparison comparison);

}  // namespace parti::report
