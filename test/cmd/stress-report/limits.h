// The criteria file on the command line: checked when a run begins, kept in its folder, and read from there when it is judged.
//
// Errors    bad_input naming file, entry, value and rule; ExitCode::setup when a program cannot be asked for its tests.
// Threads   One thread.
#pragma once

#include <optional>

#include "arguments.h"
#include "testutil/criteria.h"

namespace parti::report {

// --criteria against --baselines and the tests of every --program. A program that is not built is skipped with a remark.
Outcome<void> check_criteria(const CommandLine& line);
Outcome<void> keep_criteria(const std::filesystem::path& file, const std::filesystem::path& run_folder);
// --criteria, else what the run began with, else nothing.
Outcome<std::optional<Criteria>> criteria_of(const CommandLine& line, const std::filesystem::path& run_folder);

}  // namespace parti::report
