#include "testutil/criteria.h"

#include <algorithm>

#include "testutil/json_file.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

using Metrics = std::vector<Metric>;

const Metric* find(const Metrics& metrics, const std::string& wanted) {
    const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& metric) { return metric.name == wanted; });
    return found == metrics.end() ? nullptr : &*found;
}

// A count of launches is a count, whatever they measured.
Unit unit_of(const Subject& subject, Unit metric) { return subject.aggregate == Aggregate::count ? Unit::count : metric; }

std::string unit_rule(const Criterion& criterion, const Subject& subject, Unit unit) {
    if (subject.aggregate == Aggregate::rate && unit != Unit::ratio) {
        return "rate is of a metric in unit ratio; '" + subject.metric + "' is in " + std::string(name(unit));
    }
    if (in_unit(criterion.expression.limit, unit_of(subject, unit))) return {};
    return unit_problem(criterion.expression.limit, unit_of(subject, unit));
}

void read_criterion(Fields fields, Criteria& criteria) {
    Criterion criterion;
    criterion.where = fields.path("expression");
    criterion.tests = fields.text("tests");
    criterion.metric = fields.text_or("metric", "");
    criterion.why = fields.text("why");
    criterion.abort_on_fail = fields.has("abort_on_fail") && fields.flag("abort_on_fail");
    const std::string text = fields.text("expression");
    const std::string grace = fields.text_or("grace", "0s");
    if (fields.failed()) return;
    auto expression = parse_expression(text);
    if (!expression) return fields.fail("expression", expression.error().text);
    criterion.expression = std::move(*expression);
    if (fields.has("grace") && !criterion.abort_on_fail) return fields.fail("grace", "is for criteria with abort_on_fail only");
    const auto pause = parse_quantity(grace);
    const auto nanoseconds = pause ? in_unit(*pause, Unit::ns) : std::nullopt;
    if (!nanoseconds || *nanoseconds < 0) return fields.fail("grace", "'" + grace + "' must be a time, such as 30s");
    criterion.grace = std::chrono::duration<double>(*nanoseconds / 1e9);
    criteria.criteria.push_back(std::move(criterion));
}

struct End {
    Quantity quantity;
    bool below = true, inside = false;
};
// "<400MB" or ">=10/s".
std::optional<End> read_end(Fields& fields, const char* key) {
    const std::string text = fields.text(key);
    if (fields.failed()) return std::nullopt;
    // As an expression over some metric, so that the rules are the same.
    const auto expression = parse_expression("x" + text);
    const bool begins_right = !text.empty() && (text.front() == '<' || text.front() == '>');
    if (!begins_right || !expression) {
        fields.fail(key, "'" + text + "' must be a bound, such as <400MB or >=10/s");
        return std::nullopt;
    }
    const Comparison comparison = expression->comparison;
    return End{expression->limit, comparison == Comparison::less || comparison == Comparison::at_most,
               comparison == Comparison::at_most || comparison == Comparison::at_least};
}

// Which of two ends is larger, in any unit both fit; nothing when there is none.
std::optional<double> larger_by(const Quantity& a, const Quantity& b) {
    for (const Unit unit : kAllUnits) {
        const auto x = in_unit(a, unit);
        const auto y = in_unit(b, unit);
        if (x && y) return *y - *x;
    }
    return std::nullopt;
}

void read_band(Fields fields, Criteria& criteria) {
    BandEntry entry;
    entry.where = fields.path("");
    if (entry.where.ends_with('.')) entry.where.pop_back();
    entry.tests = fields.text("tests");
    entry.metric = fields.text("metric");
    entry.why = fields.text("why");
    const auto healthy = read_end(fields, "healthy");
    const auto warning = read_end(fields, "warning");
    if (fields.failed() || !healthy || !warning) return;
    if (healthy->below != warning->below || healthy->inside != warning->inside) {
        return fields.fail("warning", "must have the same comparison as healthy, so that the bands touch");
    }
    const auto step = larger_by(healthy->quantity, warning->quantity);
    if (!step || (healthy->below ? *step <= 0 : *step >= 0)) {
        return fields.fail("warning", "must end beyond healthy, in a unit of the same kind");
    }
    entry.healthy = healthy->quantity;
    entry.warning = warning->quantity;
    entry.lower_is_better = healthy->below;
    entry.end_is_inside = healthy->inside;
    criteria.bands.push_back(std::move(entry));
}

void read_declared(Fields fields, Criteria& criteria) {
    for (const auto& [metric, unit] : read_texts(fields)) {
        const auto known = report::unit_of(unit);
        if (!known) return fields.fail(metric, "'" + unit + "' must be one of kB us ms ns count bytes per_s ratio");
        criteria.metrics[metric] = *known;
    }
}

// The units a metric has in the tests that match; declared ones count for every test.
std::optional<Unit> known_unit(const Known& known, const std::map<std::string, Unit>& declared, const std::string& tests,
                               const std::string& metric) {
    for (const auto& [test, metrics] : known.metrics) {
        const auto found = metrics.find(metric);
        if (found != metrics.end() && matches(tests, test)) return found->second;
    }
    const auto found = declared.find(metric);
    return found == declared.end() ? std::nullopt : std::optional<Unit>(found->second);
}

Outcome<void> check_pattern(const std::string& where, const std::string& tests, const Known& known) {
    const bool found =
        std::any_of(known.tests.begin(), known.tests.end(), [&](const std::string& test) { return matches(tests, test); });
    if (found || !known.all_tests) return {};
    return bad_input(where + ": tests '" + tests + "' match no test; must match one of the suite's or a baseline's");
}

std::string unknown_metric(const std::string& wanted, const std::string& tests) {
    return wanted + " is unknown for the tests '" + tests + "': no baseline has it, and it is not declared under metrics";
}

CriterionResult result_of(const Criterion& criterion, const std::string& test, const Subject& subject, const Metric& metric) {
    CriterionResult result;
    result.test = test;
    result.expression = criterion.expression.text;
    result.metric = metric.name;
    result.why = criterion.why;
    result.unit = unit_of(subject, metric.unit);
    result.limit = in_unit(criterion.expression.limit, result.unit).value_or(0);
    if (!metric.measured()) {
        result.note = "not measured: " + metric.note;
        return result;
    }
    result.value = aggregate(subject, metric.launches);
    result.state =
        holds(criterion.expression.comparison, *result.value, result.limit) ? CriterionState::held : CriterionState::broken;
    return result;
}

}  // namespace

std::string_view name(Band band) {
    switch (band) {
        case Band::none: return "-";
        case Band::healthy: return "healthy";
        case Band::warning: return "warning";
        case Band::critical: return "critical";
    }
    return "?";
}

std::string_view name(CriterionState state) {
    switch (state) {
        case CriterionState::held: return "held";
        case CriterionState::broken: return "BROKEN";
        case CriterionState::not_evaluated: return "not evaluated";
    }
    return "?";
}

bool matches(std::string_view pattern, std::string_view text) {
    std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

Outcome<Criteria> read_criteria(const std::filesystem::path& file) {
    const auto document = read_json(file);
    if (!document) return tl::unexpected<Problem>(document.error());
    std::optional<Problem> problem;
    Fields top(*document, file.string(), problem);
    check_schema(top, kCriteriaSchema);
    Criteria criteria;
    if (top.has("metrics")) read_declared(top.inside("metrics"), criteria);
    const auto each = [&](const char* key, void (*read)(Fields, Criteria&)) {
        std::size_t index = 0;
        for (const Json& item : top.array(key)) {
            const std::string path = std::string(key) + "[" + std::to_string(index++) + "]";
            if (!item.is_object()) top.fail(path, "must be an object");
            if (!problem) read(Fields(item, top.path(path), problem), criteria);
        }
    };
    each("criteria", read_criterion);
    each("bands", read_band);
    for (const auto& [key, value] : document->items()) {
        static constexpr std::array kKeys{"schema", "about", "metrics", "criteria", "bands"};
        if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end())
            top.fail(key, "is unknown; must be one of about, metrics, criteria, bands");
    }
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return criteria;
}

void add_known(Known& known, const Baseline& baseline) {
    for (const auto& [test, stored] : baseline.tests) known.tests.insert(test);
    for (const auto& [key, metric] : baseline.metrics) known.metrics[metric.test][metric.head.name] = metric.head.unit;
}

std::vector<std::string> listed_tests(const std::string& listing) {
    std::vector<std::string> tests;
    std::string suite;
    for (std::size_t at = 0; at < listing.size();) {
        const auto end = std::min(listing.find('\n', at), listing.size());
        std::string line = listing.substr(at, end - at);
        at = end + 1;
        line = line.substr(0, line.find("  #"));  // the value of a parameter
        if (line.starts_with("  ")) {
            const auto slash = line.find('/');
            tests.push_back(suite + (slash == std::string::npos ? "" : line.substr(slash)));
        } else if (line.ends_with('.')) {
            suite = line.substr(0, line.size() - 1);
        }
    }
    return tests;
}

Outcome<void> check_known(const Criteria& criteria, const Known& known) {
    for (const Criterion& criterion : criteria.criteria) {
        if (auto checked = check_pattern(criterion.where, criterion.tests, known); !checked) return checked;
        std::string wanted;
        const auto exists = [&](const std::string& metric) {
            return known_unit(known, criteria.metrics, criterion.tests, metric).has_value();
        };
        const auto subject = resolve(criterion.expression, criterion.metric, exists, wanted);
        const std::string where = criterion.where + ": '" + criterion.expression.text + "': ";
        if (!subject) return bad_input(where + unknown_metric(wanted, criterion.tests));
        const Unit unit = *known_unit(known, criteria.metrics, criterion.tests, subject->metric);
        if (const auto rule = unit_rule(criterion, *subject, unit); !rule.empty()) return bad_input(where + rule);
    }
    for (const BandEntry& entry : criteria.bands) {
        if (auto checked = check_pattern(entry.where, entry.tests, known); !checked) return checked;
        const auto unit = known_unit(known, criteria.metrics, entry.tests, entry.metric);
        if (!unit) return bad_input(entry.where + ": " + unknown_metric("metric '" + entry.metric + "'", entry.tests));
        for (const Quantity* const end : {&entry.healthy, &entry.warning}) {
            if (!in_unit(*end, *unit)) return bad_input(entry.where + ": " + unit_problem(*end, *unit));
        }
    }
    return {};
}

Outcome<std::vector<CriterionResult>> evaluate(const Criteria& criteria, const std::vector<TestResult>& results) {
    std::vector<CriterionResult> all;
    for (const Criterion& criterion : criteria.criteria) {
        std::size_t matched = 0, evaluated = 0;
        bool silent = true;  // passed, in a build that measures
        for (const TestResult& result : results) {
            if (!matches(criterion.tests, result.test)) continue;
            ++matched;
            silent = silent && result.status == TestStatus::passed && why_not_measured(result.fingerprint).empty();
            std::string wanted;
            const auto exists = [&](const std::string& metric) { return find(result.metrics, metric) != nullptr; };
            const auto subject = resolve(criterion.expression, criterion.metric, exists, wanted);
            if (!subject) continue;
            const Metric& metric = *find(result.metrics, subject->metric);
            if (const auto rule = unit_rule(criterion, *subject, metric.unit); !rule.empty()) {
                return bad_input(criterion.where + ": '" + criterion.expression.text + "': in " + result.test + ": " + rule);
            }
            ++evaluated;
            all.push_back(result_of(criterion, result.test, *subject, metric));
        }
        if (matched == 0 || evaluated > 0) continue;
        CriterionResult missing;
        missing.test = criterion.tests;
        missing.expression = criterion.expression.text;
        missing.why = criterion.why;
        missing.note = "none of the " + std::to_string(matched) + " tests that ran recorded it";
        // A criterion of one test that passes without its metric would never decide anything.
        const bool one_test = criterion.tests.find_first_of("*?") == std::string::npos;
        if (one_test && silent) missing.state = CriterionState::broken;
        all.push_back(std::move(missing));
    }
    return all;
}

std::vector<CriterionResult> evaluate_live(const Criteria& criteria, const std::string& test, const std::vector<Metric>& metrics,
                                           std::chrono::duration<double> since_start) {
    std::vector<CriterionResult> broken;
    for (const Criterion& criterion : criteria.criteria) {
        if (!criterion.abort_on_fail || since_start < criterion.grace || !matches(criterion.tests, test)) continue;
        std::string wanted;
        const auto subject = resolve(
            criterion.expression, criterion.metric, [&](const std::string& metric) { return find(metrics, metric) != nullptr; },
            wanted);
        if (!subject) continue;
        const Metric& metric = *find(metrics, subject->metric);
        if (!metric.measured() || !unit_rule(criterion, *subject, metric.unit).empty()) continue;  // the diff says so
        CriterionResult result = result_of(criterion, test, *subject, metric);
        if (result.state == CriterionState::broken) broken.push_back(std::move(result));
    }
    return broken;
}

Outcome<Band> band_of(const Criteria& criteria, const std::string& test, const Metric& metric, double value) {
    for (const BandEntry& entry : criteria.bands) {
        if (entry.metric != metric.name || !matches(entry.tests, test)) continue;
        const auto healthy = in_unit(entry.healthy, metric.unit);
        const auto warning = in_unit(entry.warning, metric.unit);
        if (!healthy || !warning)
            return bad_input(entry.where + ": in " + test + ": " +
                             unit_problem(healthy ? entry.warning : entry.healthy, metric.unit));
        const auto within = [&](double end) {
            if (value == end) return entry.end_is_inside;
            return (value < end) == entry.lower_is_better;
        };
        return within(*healthy) ? Band::healthy : (within(*warning) ? Band::warning : Band::critical);
    }
    return Band::none;
}

}  // namespace parti::report
