// promote: makes a new baseline from runs of the suite.
//
// Model     Every test must be in at least three runs (or the caller says that one is enough), have passed in each, and have been
//           made on the same machine class with the same protocol. Raw launches are kept per run. Medians of the baseline that is
//           replaced go into the history. Tests that the runs do not contain are carried over when the old baseline is of the
//           same class.
// Errors    Problem names the run, the test or the metric, and the rule. Nothing is written here.
// Threads   Pure function but for the clock.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "testutil/baseline.h"

namespace parti::report {

inline constexpr std::size_t kFewestRuns = 3;

struct PromoteSource {
    std::string label;  // as given on the command line
    std::string run;
    std::vector<TestResult> tests;
    std::filesystem::path folder{};  // of the run; empty for a single file
};

struct Promotion {
    Baseline baseline;
    std::vector<std::string> remarks;  // warnings and what was left out
};

Outcome<Promotion> promote(const std::vector<PromoteSource>& sources, const std::optional<Baseline>& old,
                           const std::string& reason, bool allow_single);

}  // namespace parti::report
