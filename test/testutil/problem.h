// Problem, Outcome, ExitCode: how the result, baseline and report code says what went wrong.
//
// Model     Every call that can meet bad input returns Outcome<T>. A Problem carries the exit code the program must end with and
//           one line that names the file, the key and the rule.
// Threads   Values.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace parti::report {

// The suite's exit codes; what ctest, make and CI see.
enum class ExitCode : int {
    pass = 0,
    test_failed = 1,
    regression = 97,
    leak = 98,
    criterion = 99,  // an absolute limit of the criteria file is broken
    setup = 100,     // nothing to look at: no run, no folder, output not writable
    not_comparable = 101,
    orphan = 102,     // a process, port or folder survived its test
    bad_input = 104,  // a baseline, result, criteria file or command line that breaks a rule
};

struct [[nodiscard]] Problem {
    ExitCode code = ExitCode::bad_input;
    std::string text;
};

template <class T>
using Outcome = tl::expected<T, Problem>;

inline tl::unexpected<Problem> bad_input(std::string text) {
    return tl::unexpected<Problem>(Problem{ExitCode::bad_input, std::move(text)});
}
inline tl::unexpected<Problem> set_up_problem(std::string text) {
    return tl::unexpected<Problem>(Problem{ExitCode::setup, std::move(text)});
}

}  // namespace parti::report
