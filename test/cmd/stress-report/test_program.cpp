#include "test_program.h"

#include "testutil/process.h"
#include "testutil/run_folder.h"

namespace parti::report {
namespace {

test::Milliseconds until(Clock::time_point deadline) {
    return std::max(test::Milliseconds(0), std::chrono::duration_cast<test::Milliseconds>(deadline - Clock::now()));
}

}  // namespace

Outcome<std::string> run_program(const ProgramRun& run) {
    test::ProcessOptions options;
    options.path = run.program;
    options.args = run.arguments;
    options.env = run.environment;
    options.env["PARTI_SEED"] = "";  // a new one is drawn
    options.stdin_pipe = false;
    options.stderr_file = run.log.string();
    options.stdout_with_stderr = true;
    auto child = test::ChildProcess::start(options);
    if (!child) return set_up_problem(run.program + ": " + child.error());
    const auto ended = child->wait(until(run.deadline));
    if (!ended) {
        child->terminate();
        return "was ended at its time limit";
    }
    return ended->code == 0 ? std::string() : ended->text();
}

Outcome<Measured> measure(ProgramRun run, const std::string& filter, const std::filesystem::path& root) {
    const auto begun = begin_run(root, run.source);
    if (!begun) return tl::unexpected<Problem>(begun.error());
    run.arguments = {"--gtest_filter=" + filter};
    run.environment["PARTI_STRESS_RUN_DIR"] = begun->folder.string();
    run.log = begun->folder / "output.log";
    auto problem = run_program(run);
    if (!problem) return tl::unexpected<Problem>(problem.error());
    auto results = read_run(*begun);
    if (!results) return tl::unexpected<Problem>(results.error());
    return Measured{std::move(results->tests), std::move(*problem)};
}

Outcome<std::string> list_tests(const std::string& program) {
    test::ProcessOptions options;
    options.path = program;
    options.args = {"--gtest_list_tests"};
    options.stdin_pipe = false;
    auto child = test::ChildProcess::start(options);
    if (!child) return set_up_problem(program + ": " + child.error());
    const auto deadline = Clock::now() + std::chrono::seconds(30);
    std::string listing;
    for (;;) {
        const auto read = child->read_line(until(deadline));
        if (read.state == test::ReadState::line) listing += read.text + "\n";
        if (read.state == test::ReadState::end) break;
        if (read.state == test::ReadState::timeout) return set_up_problem(program + ": did not list its tests within 30 s");
    }
    const auto ended = child->wait(until(deadline));
    if (!ended || ended->code != 0)
        return set_up_problem(program + ": cannot list its tests: " + (ended ? ended->text() : "does not end"));
    return listing;
}

}  // namespace parti::report
