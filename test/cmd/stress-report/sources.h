// What a command line names as a RESULT or a BASELINE, read.
//
// Model     RESULT: a run folder, a root (its current run), a result file, or a Google Benchmark JSON file. BASELINE: a baseline
//           file, a folder of them (the best match is taken), or a Google Benchmark JSON file.
// Errors    ExitCode::setup when it does not exist, bad_input when it breaks a rule.
// Threads   One thread.
#pragma once

#include <string>

#include "testutil/baseline.h"
#include "testutil/promote.h"

namespace parti::report {

// `current_only`: refuse a run folder that is not its root's current one.
Outcome<PromoteSource> read_source(const std::string& text, bool current_only);
// For these results; without any, of this machine.
Outcome<Choice> load_baseline(const std::string& text, const std::vector<TestResult>& results);

}  // namespace parti::report
