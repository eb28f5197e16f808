// stress-report ab: two builds on one machine, launches taking turns; see usage().
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string_view>

#include "arguments.h"
#include "outputs.h"
#include "sources.h"
#include "test_program.h"
#include "testutil/ab.h"
#include "testutil/benchmark_json.h"
#include "testutil/confirm.h"
#include "testutil/run_folder.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

struct Side {
    std::string label;
    fs::path build;
    std::vector<TestResult> tests;  // of every launch so far
};

struct Plan {
    std::vector<std::string> programs;  // relative to BUILD/test/stress
    std::string filter, benchmarks;
    unsigned pairs = 5;
    fs::path work;
    std::chrono::seconds limit{0};  // of one launch of one program
};

// Where a build folder's sources lie, says CMake; empty: it does not.
fs::path source_of(const fs::path& build) {
    constexpr std::string_view kKey = "CMAKE_HOME_DIRECTORY:INTERNAL=";
    std::ifstream cache(build / "CMakeCache.txt");
    for (std::string line; std::getline(cache, line);) {
        if (line.starts_with(kKey)) return line.substr(kKey.size());
    }
    return {};
}

bool is_build(const std::string& text) {
    std::error_code error;
    return fs::exists(fs::path(text) / "CMakeCache.txt", error);
}

// One launch of everything that is asked for, of one build. A launch without any result is no comparison: it must not end as one.
Outcome<void> launch(Side& side, const Plan& plan, const std::string& filter, const fs::path& root) {
    bool any = plan.programs.empty();
    for (const std::string& program : plan.programs) {
        ProgramRun run;
        run.program = (side.build / "test" / "stress" / program).string();
        run.environment = {{"PARTI_STRESS_LAUNCHES", "1"}};
        run.source = source_of(side.build);
        run.deadline = Clock::now() + plan.limit;
        auto measured = measure(std::move(run), filter, root);
        if (!measured) return tl::unexpected<Problem>(measured.error());
        const bool left_some = !measured->tests.empty();
        any = any || left_some;
        for (TestResult& result : measured->tests) side.tests.push_back(std::move(result));
        if (measured->problem.empty()) continue;
        const std::string said = side.label + ": " + program + ": " + measured->problem;
        if (!left_some)
            return set_up_problem(said + ", without any result; see output.log in the newest folder of " + root.string());
        std::printf("  %s (%s)\n", said.c_str(), root.c_str());
    }
    if (!any) return set_up_problem(side.label + ": no test matches --gtest_filter=" + filter);
    if (plan.benchmarks.empty()) return {};
    const auto begun = begin_run(root, source_of(side.build));
    if (!begun) return tl::unexpected<Problem>(begun.error());
    ProgramRun run;
    run.program = (side.build / "test" / "benchmark" / "parti_benchmark").string();
    const fs::path out = begun->folder / "benchmark.json.out";
    run.arguments = {"--benchmark_filter=" + plan.benchmarks, "--benchmark_out=" + out.string(), "--benchmark_out_format=json"};
    run.log = begun->folder / "output.log";
    run.deadline = Clock::now() + plan.limit;
    const auto problem = run_program(run);
    if (!problem) return tl::unexpected<Problem>(problem.error());
    if (!problem->empty()) return set_up_problem(run.program + ": " + *problem + "; see " + run.log.string());
    auto result = read_benchmark_json(out);
    if (!result) return tl::unexpected<Problem>(result.error());
    side.tests.push_back(std::move(*result));
    return {};
}

// A B B A A B B A ...: what drifts in the machine meets both alike.
Outcome<void> take_turns(Side& a, Side& b, const Plan& plan, const std::string& filter, const std::string& name) {
    for (unsigned pair = 0; pair < plan.pairs; ++pair) {
        for (const bool first : {true, false}) {
            Side& side = (pair % 2 == 0) == first ? a : b;
            std::printf("%s, pair %u of %u: %s\n", name.c_str(), pair + 1, plan.pairs, side.label.c_str());
            std::fflush(stdout);
            const fs::path root = plan.work / (&side == &a ? "A" : "B");
            if (const auto done = launch(side, plan, filter, root); !done) return done;
        }
    }
    return {};
}

std::string filter_of(const std::vector<TestResult>& results, const std::vector<std::string>& tests) {
    std::string filter;
    for (const std::string& test : tests) {
        const auto found =
            std::find_if(results.begin(), results.end(), [&](const TestResult& result) { return result.test == test; });
        if (found == results.end() || found->protocol.filter.empty()) continue;
        filter += (filter.empty() ? "" : ":") + found->protocol.filter;
    }
    return filter;
}

// The failing tests, as many pairs again, and the verdict over those alone.
Outcome<void> repeat(Report& report, const Side& a, const Side& b, const Plan& plan) {
    const auto failing = tests_to_repeat(report);
    if (failing.empty()) return {};
    Plan again = plan;
    const std::string filter = filter_of(b.tests, failing);
    if (filter.empty()) again.programs.clear();
    const bool benchmarks =
        std::any_of(failing.begin(), failing.end(), [](const std::string& test) { return test.starts_with("benchmark/"); });
    if (!benchmarks) again.benchmarks.clear();
    Side fresh_a{a.label, a.build, {}};
    Side fresh_b{b.label, b.build, {}};
    again.work = plan.work / "confirmation";
    if (const auto done = take_turns(fresh_a, fresh_b, again, filter, "confirmation"); !done) return done;
    const auto repeated = compare_builds(merge_launches(fresh_a.tests), merge_launches(fresh_b.tests), a.label);
    if (!repeated) return tl::unexpected<Problem>(repeated.error());
    confirm(report, *repeated, {});
    return {};
}

Outcome<Plan> plan_of(const CommandLine& line) {
    Plan plan;
    plan.programs = line.all("--program");
    plan.filter = line.has("--filter")
                      ? line.get("--filter")
                      : "TestMemoryBenchmark_IsolatedParti.*/10w_100p:TestMemoryBenchmark_IsolatedParti.*/50w_500p";
    plan.benchmarks = line.get("--benchmarks");
    if (plan.programs.empty() && (plan.benchmarks.empty() || line.has("--filter"))) plan.programs = {"parti_memory_tests"};
    const auto pairs = whole_number(line, "--pairs", 5, 1, 1000);
    if (!pairs) return tl::unexpected<Problem>(pairs.error());
    const auto limit = whole_number(line, "--limit", 300, 1, 100000);
    if (!limit) return tl::unexpected<Problem>(limit.error());
    plan.pairs = *pairs;
    plan.limit = std::chrono::seconds(*limit);
    plan.work = line.has("--work") ? fs::path(line.get("--work")) : default_root() / "ab";
    return plan;
}

// Two builds: measured here. Two results: taken as they are, and nothing is repeated.
Outcome<Report> judged(Side& a, Side& b, const CommandLine& line) {
    if (!is_build(a.label)) {
        for (const char* option : {"--filter", "--pairs", "--program", "--benchmarks", "--work", "--limit", "--no-confirm"}) {
            if (line.has(option))
                return bad_input(std::string(option) + ": is for two build folders; '" + a.label +
                                 "' is none (no CMakeCache.txt)");
        }
        for (Side* const side : {&a, &b}) {
            std::error_code error;
            if (fs::is_directory(side->label, error) && !open_run(side->label)) {
                return set_up_problem(side->label + ": is neither a build folder (no CMakeCache.txt) nor a folder of results");
            }
            auto source = read_source(side->label, false);
            if (!source) return tl::unexpected<Problem>(source.error());
            side->tests = std::move(source->tests);
        }
        return compare_builds(merge_launches(a.tests), merge_launches(b.tests), a.label);
    }
    const auto plan = plan_of(line);
    if (!plan) return tl::unexpected<Problem>(plan.error());
    if (const auto done = take_turns(a, b, *plan, plan->filter, "measuring"); !done) return tl::unexpected<Problem>(done.error());
    auto report = compare_builds(merge_launches(a.tests), merge_launches(b.tests), a.label);
    if (!report || line.has("--no-confirm")) return report;
    if (const auto done = repeat(*report, a, b, *plan); !done) return tl::unexpected<Problem>(done.error());
    return report;
}

}  // namespace

Outcome<ExitCode> run_ab(const Arguments& arguments) {
    const auto line = parse_arguments(
        arguments, {"--filter", "--pairs", "--program", "--benchmarks", "--work", "--limit", "--text", "--markdown", "--json"},
        {"--all", "--no-confirm"});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() != 2) return bad_input("ab: takes two build folders, A (before) and B (now), or two results");
    Side a{line->positional[0], fs::absolute(line->positional[0]), {}};
    Side b{line->positional[1], fs::absolute(line->positional[1]), {}};
    if (is_build(a.label) != is_build(b.label)) return bad_input("ab: both must be build folders, or both results");
    const auto report = judged(a, b, *line);
    if (!report) return tl::unexpected<Problem>(report.error());
    const auto commit = [](const Side& side) {
        return side.tests.empty() ? side.label
                                  : side.label + ", commit " + side.tests.front().commit.substr(0, 12) +
                                        (side.tests.front().dirty ? " (modified)" : "");
    };
    const Heading heading{"A: " + commit(a), "B: " + commit(b)};
    if (const auto written = write_outputs(*line, *report, heading, nullptr); !written)
        return tl::unexpected<Problem>(written.error());
    std::fputs(render_text(*report, heading, line->has("--all")).c_str(), stdout);
    return report->exit;
}

}  // namespace parti::report
