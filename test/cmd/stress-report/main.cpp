// stress-report: begins runs of the stress suite, compares them with a baseline, and makes new baselines. See usage() in
// commands.cpp.
#include <cstdio>
#include <exception>
#include <string>

#include "commands.h"

namespace {

using parti::report::Arguments;
using parti::report::ExitCode;

struct Command {
    const char* name;
    parti::report::Outcome<ExitCode> (*run)(const Arguments&);
};
constexpr Command kCommands[] = {
    {"begin", parti::report::run_begin},     {"preflight", parti::report::run_preflight}, {"diff", parti::report::run_diff},
    {"ab", parti::report::run_ab},           {"compare", parti::report::run_compare},     {"history", parti::report::run_history},
    {"promote", parti::report::run_promote}, {"spread", parti::report::run_spread},       {"summary", parti::report::run_summary},
    {"report", parti::report::run_report},   {"dashboard", parti::report::run_dashboard},
};

parti::report::Outcome<ExitCode> dispatch(const std::string& command, const Arguments& arguments) {
    std::string names;
    for (const Command& known : kCommands) {
        if (command == known.name) return known.run(arguments);
        names += (names.empty() ? "" : ", ") + std::string(known.name);
    }
    return parti::report::bad_input("'" + command + "' must be one of " + names + " (--help explains them)");
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
