// Criteria: absolute limits and bands for the figures of the suite, in one reviewed file (test/stress/criteria.json).
//
// Model     A criterion is an expression (expression.h) for the tests whose names match a pattern (* and ?): it must hold for
//           each of them that recorded the metric. A band entry says up to where a metric is healthy and up to where it is a
//           warning; what is beyond is critical. The three touch by construction, so every value is in exactly one. Bands are
//           shown, criteria decide (exit 99). The first band entry that matches counts.
//           `abort_on_fail`: judged while the test runs, once `grace` has passed since its start; when it fails, the test ends,
//           and the tests after it in the same run do not start.
// Errors    check_known() is called when a run begins: a pattern that matches no test, a metric that no such test records, a unit
//           that does not fit: bad_input naming file, entry, value and rule.
// Threads   Values and pure functions.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "testutil/baseline.h"
#include "testutil/expression.h"
#include "testutil/results.h"

namespace parti::report {

inline constexpr std::string_view kCriteriaSchema = "parti-stress-criteria/1";

enum class Band { none, healthy, warning, critical };
std::string_view name(Band band);

struct Criterion {
    std::string where;   // "FILE: criteria[3]", for messages
    std::string tests;   // pattern
    std::string metric;  // for an aggregate that stands alone; may be empty
    Expression expression;
    std::string why;  // where the figure comes from
    bool abort_on_fail = false;
    std::chrono::duration<double> grace{0};
};

struct BandEntry {
    std::string where;
    std::string tests, metric;
    Quantity healthy, warning;  // the ends of both
    bool lower_is_better = true;
    bool end_is_inside = false;  // <= instead of <
    std::string why;
};

struct Criteria {
    std::map<std::string, Unit> metrics;  // declared: what a baseline does not know yet
    std::vector<Criterion> criteria;
    std::vector<BandEntry> bands;
};
Outcome<Criteria> read_criteria(const std::filesystem::path& file);

// What can be named: the tests of the programs and baselines, and the metrics of the baselines.
struct Known {
    std::set<std::string> tests;
    std::map<std::string, std::map<std::string, Unit>> metrics;  // by test
    bool all_tests = true;                                       // false: a program could not be asked
};
void add_known(Known& known, const Baseline& baseline);
// The names of result files that a GoogleTest program's --gtest_list_tests stands for.
std::vector<std::string> listed_tests(const std::string& listing);
Outcome<void> check_known(const Criteria& criteria, const Known& known);

enum class CriterionState { held, broken, not_evaluated };
std::string_view name(CriterionState state);

struct CriterionResult {
    std::string test;  // the pattern, when no test had the metric
    std::string expression, metric, why;
    CriterionState state = CriterionState::not_evaluated;
    Unit unit = Unit::count;
    std::optional<double> value;
    double limit = 0;  // in `unit`
    std::string note;
};
// One line per criterion and test that recorded its metric. One per criterion whose metric no test recorded: "not evaluated", or
// broken when it names one test, without * and ?, and that test has passed in a build that measures.
Outcome<std::vector<CriterionResult>> evaluate(const Criteria& criteria, const std::vector<TestResult>& results);
// The criteria to abort by that this test breaks so far.
std::vector<CriterionResult> evaluate_live(const Criteria& criteria, const std::string& test, const std::vector<Metric>& metrics,
                                           std::chrono::duration<double> since_start);
Outcome<Band> band_of(const Criteria& criteria, const std::string& test, const Metric& metric, double value);

bool matches(std::string_view pattern, std::string_view text);

}  // namespace parti::report
