#include "repeat.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "test_program.h"
#include "testutil/confirm.h"

namespace parti::report {

Outcome<void> repeat_failures(Report& report, const std::vector<TestResult>& results, const std::optional<Baseline>& baseline,
                              const std::filesystem::path& run_folder, std::chrono::seconds budget) {
    const auto deadline = Clock::now() + budget;
    std::map<std::string, std::string> why_not;
    std::vector<TestResult> fresh;
    for (const std::string& test : tests_to_repeat(report)) {
        const auto first =
            std::find_if(results.begin(), results.end(), [&](const TestResult& result) { return result.test == test; });
        if (first == results.end() || first->protocol.program.empty()) {
            why_not[test] = "the result does not say which program made it";
            continue;
        }
        const auto took = std::chrono::duration_cast<std::chrono::seconds>(first->duration());
        if (Clock::now() + took > deadline) {
            why_not[test] = "it takes " + std::to_string(took.count()) + " s, and the time for repeats (" +
                            std::to_string(budget.count()) + " s) is used up";
            continue;
        }
        std::printf("repeated, to confirm its FAIL: %s --gtest_filter=%s\n", first->protocol.program.c_str(),
                    first->protocol.filter.c_str());
        std::fflush(stdout);
        ProgramRun run;
        run.program = first->protocol.program;
        run.environment = first->protocol.environment;
        run.deadline = deadline;
        auto measured = measure(std::move(run), first->protocol.filter, run_folder / "confirmation");
        if (!measured) {
            why_not[test] = measured.error().text;
            continue;
        }
        if (!measured->problem.empty()) why_not[test] = "when it was run again it ended with: " + measured->problem;
        for (TestResult& result : measured->tests) {
            if (result.test == test) fresh.push_back(std::move(result));
        }
    }
    const auto repeated = compare(baseline, fresh);
    if (!repeated) return tl::unexpected<Problem>(repeated.error());
    confirm(report, *repeated, why_not);
    return {};
}

}  // namespace parti::report
