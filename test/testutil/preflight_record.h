// PreflightRecord: what was found before a run, kept for its report.
//
// Role      stress-report preflight leaves it in the folder of all runs, since there is no run yet; stress-report begin moves it
//           into the run it begins; each test's result names its facts, and the run's first one its findings.
// Model     RUN/preflight/preflight.json: {"schema": "parti-stress-preflight/1", "time": "...", "facts": {...}, "findings":
//           [...]}
// Errors    A file that breaks a rule is bad_input; none is no error.
// Threads   One thread. Lifetime: the file stays.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "testutil/details.h"
#include "testutil/problem.h"

namespace parti::report {

struct PreflightRecord {
    std::string time;  // UTC
    Environment facts;
    std::vector<std::string> findings;  // that did not stop the run
};

Outcome<void> write_preflight(const std::filesystem::path& root, const PreflightRecord& record);
// Nothing to move is no error.
Outcome<void> take_preflight(const std::filesystem::path& root, const std::filesystem::path& run_folder);
Outcome<std::optional<PreflightRecord>> read_preflight(const std::filesystem::path& run_folder);

}  // namespace parti::report
