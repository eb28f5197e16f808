// Runs the suite's programs for a command: some cases of a GoogleTest program into a run folder of its own, or a benchmark
// program.
//
// Model     The child dies with this process, and is ended at its deadline. What it prints goes into a log beside its results. It
//           gets a fresh seed: launches that are to confirm something are independent of the first ones.
// Errors    ExitCode::setup when it cannot be started. A failed or late test is no error here: `problem` says what happened.
// Threads   One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "testutil/problem.h"
#include "testutil/results.h"

namespace parti::report {

using Clock = std::chrono::steady_clock;

struct ProgramRun {
    std::string program;
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;
    std::filesystem::path log;
    std::filesystem::path source{};  // of the program: whose commit the run records; empty: our own
    Clock::time_point deadline;
};
// Empty: it exited with 0. Else "exit 1", "was ended at its time limit".
Outcome<std::string> run_program(const ProgramRun& run);

struct Measured {
    std::vector<TestResult> tests;
    std::string problem;  // of run_program
};
// The cases of a filter into a new run below `root`. `run.arguments` and `run.log` are set here.
Outcome<Measured> measure(ProgramRun run, const std::string& filter, const std::filesystem::path& root);

// What `--gtest_list_tests` prints.
Outcome<std::string> list_tests(const std::string& program);

}  // namespace parti::report
