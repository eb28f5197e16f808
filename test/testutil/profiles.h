// ProfileCapture: what tools/profile.sh left beside a run's results, for its report.
//
// Model     RUN/profiles/<test>.<kind>/profile.json names the files beside it: per worker process the profiler's data and what it
//           says as text. A file that is named and not there is left out.
// Errors    A profile.json that breaks a rule is one line of `ignored`; a report is made all the same.
// Threads   One thread. Lifetime: values.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace parti::report {

struct ProfileProcess {
    std::filesystem::path text, data;  // whole paths; empty: not there
    std::string arguments;             // of the worker program
};

struct ProfileCapture {
    std::string test, kind, tool;  // "cpu" or "heap"; the tool with its version
    bool passed = false;           // the rerun's test
    std::vector<ProfileProcess> processes;
};

// In the order of their folders' names.
std::vector<ProfileCapture> read_profiles(const std::filesystem::path& run_folder, std::vector<std::string>& ignored);

}  // namespace parti::report
