// compare: every metric of a run against a baseline, and what follows from it.
//
// Model     A row per metric that the run has, or that the baseline has and a test of this run passed without (it vanished:
//           FAIL). A metric gates when it says so itself, the fingerprint keys of its kind agree, and the protocol's window and
//           mode are those of the baseline (exact counts need neither). Times do not gate when most launches were made on a busy
//           machine (metric `contaminated` of their test). A row that does not gate never fails; its note says why it does not.
//           A FAIL is provisional until confirm.h has seen fresh launches.
//           Limits of the criteria file are checked beside the comparison and do not depend on it.
//           Exit, the first that applies: a failed test (with its own cause when every failed one has the same: leak, orphan,
//           criterion), a broken criterion, a regression, "nothing could be compared", pass.
// Errors    A metric whose unit, direction or kind differs from the baseline's: bad_input naming file, key and rule.
// Threads   Pure function.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "testutil/baseline.h"
#include "testutil/criteria.h"
#include "testutil/verdict.h"

namespace parti::report {

enum class Confirmation { none, confirmed, not_confirmed, not_repeated };
std::string_view name(Confirmation confirmation);

struct Row {
    std::string test, metric;
    Kind kind = Kind::advisory;
    Unit unit = Unit::count;
    Direction direction = Direction::lower;
    Verdict verdict = Verdict::info;
    bool gates = false;
    bool measured = true;
    std::optional<double> before, now;  // medians
    std::size_t n_before = 0, n_now = 0;
    std::optional<double> change, bound;
    double limit = 0;  // relative threshold, signed in the bad direction; 0 = exact or none
    std::string note;
    std::vector<double> launches_before, launches_now;
    Threshold threshold;  // that was applied
    Confirmation confirmation = Confirmation::none;
    std::optional<double> repeated;  // median of the confirming launches
    std::size_t n_repeated = 0;
    Band band = Band::none;
};

struct TestLine {
    std::string test;
    TestStatus status = TestStatus::passed;
    ExitCode cause = ExitCode::test_failed;  // of a failed one
};

struct Report {
    std::vector<TestLine> tests;
    std::vector<Row> rows;             // sorted by test, then metric
    std::vector<std::string> reasons;  // why rows do not gate, each once
    std::vector<std::string> remarks;  // versions that differ, tests of the baseline that did not run
    std::string not_measured;          // the build measures nothing, because ...
    std::vector<CriterionResult> criteria;
    std::optional<double> common_mode;  // all times together, current / baseline (common_mode.h)
    std::size_t shifted = 0;            // FAILs that a slower machine explains
    bool has_baseline = false;
    std::size_t compared = 0, failed = 0, warned = 0, improved = 0, inconclusive = 0, fresh = 0, advisory = 0, recorded = 0;
    ExitCode exit = ExitCode::pass;
    std::string conclusion;  // one line
};

struct CompareOptions {
    bool ask_fingerprint = true;         // false: both sides were measured on one machine (ab.h)
    bool discount_machine_shift = true;  // common_mode.h; and times of launches made on a busy machine do not gate
};
// Without a baseline every metric is NEW.
Outcome<Report> compare(const std::optional<Baseline>& baseline, const std::vector<TestResult>& results,
                        const CompareOptions& options = {});
// Adds the limits' results and the rows' bands.
Outcome<void> apply_criteria(Report& report, const Criteria& criteria, const std::vector<TestResult>& results);
// Counts the rows again and draws the conclusion; whoever changes a verdict calls it.
void conclude(Report& report);

}  // namespace parti::report
