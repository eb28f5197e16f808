// The commands of stress-report.
//
// Model     One function per command; each parses its own arguments, prints to stdout what was asked for and returns the exit
//           code, or a Problem that main prints to stderr. usage() describes them all.
// Threads   One thread.
#pragma once

#include <string>
#include <vector>

#include "testutil/problem.h"

namespace parti::report {

using Arguments = std::vector<std::string>;

Outcome<ExitCode> run_begin(const Arguments& arguments);
Outcome<ExitCode> run_preflight(const Arguments& arguments);
Outcome<ExitCode> run_diff(const Arguments& arguments);
Outcome<ExitCode> run_ab(const Arguments& arguments);       // ab.cpp
Outcome<ExitCode> run_compare(const Arguments& arguments);  // compare.cpp
Outcome<ExitCode> run_history(const Arguments& arguments);  // history.cpp
Outcome<ExitCode> run_promote(const Arguments& arguments);
Outcome<ExitCode> run_spread(const Arguments& arguments);
Outcome<ExitCode> run_summary(const Arguments& arguments);
Outcome<ExitCode> run_report(const Arguments& arguments);     // report_command.cpp
Outcome<ExitCode> run_dashboard(const Arguments& arguments);  // dashboard.cpp
const char* usage();

}  // namespace parti::report
