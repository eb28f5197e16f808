// What a report says beside one run's own results: lasting changes over earlier runs, and profiles of its tests.
//
// Role      report_command.cpp reads it, the pages lay it out. Nothing in here is judged.
// Errors    A history that breaks a rule: bad_input. A profile that does is not read, which the report says.
// Threads   Values.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "testutil/problem.h"

namespace parti::report {

struct HistoryView {
    std::string sentence;                                      // empty: there is no history
    std::vector<std::pair<std::string, std::string>> changes;  // metric, what changed when; the newest first
};
// Of a file that does not exist: empty.
Outcome<HistoryView> history_view(const std::filesystem::path& file);

struct ProfileView {
    std::string title;   // "TestScale_SmallCluster.Start/3w, cpu"
    std::string remark;  // the tool, and whether the rerun passed
    struct Process {
        std::string arguments;
        std::vector<std::pair<std::string, std::string>> links;  // what it is called, where it lies as seen from the page
    };
    std::vector<Process> processes;
};
// `page_folder`: where the page with the links will lie.
std::vector<ProfileView> profile_views(const std::filesystem::path& run_folder, const std::filesystem::path& page_folder,
                                       std::vector<std::string>& ignored);

}  // namespace parti::report
