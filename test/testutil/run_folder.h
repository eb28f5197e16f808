// Run folders: where the results of one run of the suite lie, and which run is the current one.
//
// Model     ROOT/current holds the id of the current run; ROOT/<id>/run.json describes it; ROOT/<id>/<test>.json are its results.
//           A result whose own run id is another one (left over, copied) is never read. begin_run() makes a new folder and moves
//           `current`; it removes nothing.
// Errors    ExitCode::setup when there is no run to look at, bad_input when a file breaks a rule.
// Threads   One thread. Lifetime: the files stay.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "testutil/problem.h"
#include "testutil/results.h"

namespace parti::report {

struct Run {
    std::string id;
    std::filesystem::path folder;
    std::string started;
    std::string commit = std::string(kUnknown);
    bool dirty = true;  // uncommitted changes, or not known
};

struct RunResults {
    Run run;
    std::vector<TestResult> tests;     // sorted by name
    std::vector<std::string> ignored;  // files that belong to another run
};

// A new run below `root`; ROOT/current names it afterwards. `source`: the sources whose commit it records; empty: those of this
// program.
Outcome<Run> begin_run(const std::filesystem::path& root, const std::filesystem::path& source = {});
// `folder` is a run folder, or a root (then its current run).
Outcome<Run> open_run(const std::filesystem::path& folder);
// As open_run, but a run folder must be the one its root's `current` names.
Outcome<Run> open_current_run(const std::filesystem::path& folder);
Outcome<RunResults> read_run(const Run& run);

// The run folders below `root`, oldest first; `manual` is none of them.
std::vector<std::filesystem::path> run_folders(const std::filesystem::path& root);
// Of this build and this source tree.
std::filesystem::path default_root();       // BUILD/stress-results
std::filesystem::path default_baselines();  // SOURCE/test/stress/baselines

// The criteria a run began with (it may have none).
std::filesystem::path criteria_file(const std::filesystem::path& run_folder);
// A criterion with abort_on_fail is broken: the tests that follow in this run do not start. The first reason is kept.
Outcome<void> abort_run(const std::filesystem::path& run_folder, const std::string& why);
std::string why_aborted(const std::filesystem::path& run_folder);  // empty: it was not

// No other test has written a result beside this file.
bool is_first_of_run(const std::filesystem::path& result_file);

// Where ResultWriter writes; the same for the whole life of the process.
Outcome<Run> run_of_this_process();

}  // namespace parti::report
