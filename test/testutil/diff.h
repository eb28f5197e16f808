// compare: every metric of a run against a baseline, and what follows from it.
//
// Model     A row per metric that the run has, or that the baseline has and a test of this run passed without (it vanished: FAIL).
//           A metric gates when it says so itself, the fingerprint keys of its kind agree, and the protocol's window and mode are those
//           of the baseline (exact counts need neither). A row that does not gate never fails; its note says why it does not.
//           Exit: a failed test, then a regression, then "nothing could be compared", then pass.
// Errors    A metric whose unit, direction or kind differs from the baseline's: bad_input naming file, key and rule.
// Threads   Pure function.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "testutil/baseline.h"
#include "testutil/verdict.h"

namespace parti::report {

struct Row {
    std::string test, metric;
    Kind kind = Kind::advisory;
    Unit unit = Unit::count;
    Verdict verdict = Verdict::info;
    bool gates = false;
    bool measured = true;
    std::optional<double> before, now;  // medians
    std::size_t n_before = 0, n_now = 0;
    std::optional<double> change, bound;
    double limit = 0;  // relative threshold, signed in the bad direction; 0 = exact or none
    std::string note;
};

struct TestLine {
    std::string test;
    TestStatus status = TestStatus::passed;
};

struct Report {
    std::vector<TestLine> tests;
    std::vector<Row> rows;                // sorted by test, then metric
    std::vector<std::string> reasons;     // why rows do not gate, each once
    std::vector<std::string> remarks;     // versions that differ, tests of the baseline that did not run
    std::string not_measured;             // the build measures nothing, because ...
    std::size_t compared = 0, failed = 0, warned = 0, improved = 0, inconclusive = 0, fresh = 0, advisory = 0, recorded = 0;
    ExitCode exit = ExitCode::pass;
    std::string conclusion;               // one line
};

// Without a baseline every metric is NEW.
Outcome<Report> compare(const std::optional<Baseline>& baseline, const std::vector<TestResult>& results);

}  // namespace parti::report
