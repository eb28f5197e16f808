// repeat_failures: runs each test that failed the diff once more and lets the fresh launches confirm or clear it
// (testutil/confirm.h).
//
// Model     A result says which program, filter and environment made it. The repeated runs lie in RUN/confirmation. A test that
//           took longer than what is left of the budget is not begun; its FAIL stays.
// Errors    ExitCode::setup when a run folder cannot be made.
// Threads   One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "testutil/baseline.h"
#include "testutil/diff.h"

namespace parti::report {

Outcome<void> repeat_failures(Report& report, const std::vector<TestResult>& results, const std::optional<Baseline>& baseline,
                              const std::filesystem::path& run_folder, std::chrono::seconds budget);

}  // namespace parti::report
