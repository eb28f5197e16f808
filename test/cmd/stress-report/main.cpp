// stress-report: begins runs of the stress suite, compares them with a baseline, and makes new baselines. See usage() in commands.cpp.
#include <cstdio>
#include <exception>
#include <string>

#include "commands.h"

namespace {

using parti::report::Arguments;
using parti::report::ExitCode;

parti::report::Outcome<ExitCode> dispatch(const std::string& command, const Arguments& arguments) {
    if (command == "begin") return parti::report::run_begin(arguments);
    if (command == "preflight") return parti::report::run_preflight(arguments);
    if (command == "diff") return parti::report::run_diff(arguments);
    if (command == "promote") return parti::report::run_promote(arguments);
    if (command == "spread") return parti::report::run_spread(arguments);
    if (command == "summary") return parti::report::run_summary(arguments);
    return parti::report::bad_input("'" + command + "' must be one of begin, preflight, diff, promote, spread, summary (--help explains them)");
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "--help" || command == "-h") {
        std::fputs(parti::report::usage(), stdout);
        return 0;
    }
    try {
        const auto outcome = dispatch(command, Arguments(argv + (argc > 1 ? 2 : 1), argv + argc));
        if (outcome) return static_cast<int>(*outcome);
        std::fprintf(stderr, "stress-report: %s\n", outcome.error().text.c_str());
        return static_cast<int>(outcome.error().code);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "stress-report: %s\n", e.what());  // a folder that vanishes while it is read, and the like
        return static_cast<int>(ExitCode::setup);
    }
}
