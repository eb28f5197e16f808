#include "sources.h"

#include <cstdio>
#include <filesystem>

#include "testutil/benchmark_json.h"
#include "testutil/run_folder.h"

namespace parti::report {

namespace fs = std::filesystem;

// One RESULT of the command line: a run folder (or root), a result file, or a Google Benchmark file.
Outcome<PromoteSource> read_source(const std::string& text, bool current_only) {
    const fs::path path(text);
    std::error_code error;
    PromoteSource source;
    source.label = text;
    if (!fs::exists(path, error)) return set_up_problem(text + ": does not exist; run the suite first (ctest -L stress)");
    if (fs::is_directory(path, error)) {
        const auto run = current_only ? open_current_run(path) : open_run(path);
        if (!run) return tl::unexpected<Problem>(run.error());
        auto results = read_run(*run);
        if (!results) return tl::unexpected<Problem>(results.error());
        source.run = run->id;
        source.folder = run->folder;
        source.tests = std::move(results->tests);
        for (const auto& ignored : results->ignored) std::fprintf(stderr, "not read: %s\n", ignored.c_str());
        return source;
    }
    auto result = is_benchmark_json(path) ? read_benchmark_json(path) : read_result(path);
    if (!result) return tl::unexpected<Problem>(result.error());
    source.run = result->run;
    source.tests.push_back(std::move(*result));
    return source;
}

Outcome<Choice> load_baseline(const std::string& text, const std::vector<TestResult>& results) {
    const fs::path path(text);
    std::error_code error;
    if (!fs::exists(path, error)) return bad_input(text + ": does not exist; make a baseline with: stress-report promote");
    if (fs::is_directory(path, error))
        return choose_baseline(path, results.empty() ? local_fingerprint() : results.front().fingerprint, results);
    Choice choice;
    choice.why = text;
    if (is_benchmark_json(path)) {
        const auto result = read_benchmark_json(path);
        if (!result) return tl::unexpected<Problem>(result.error());
        choice.baseline = baseline_of({*result}, text);
        return choice;
    }
    auto baseline = read_baseline(path);
    if (!baseline) return tl::unexpected<Problem>(baseline.error());
    choice.baseline = std::move(*baseline);
    return choice;
}

}  // namespace parti::report
