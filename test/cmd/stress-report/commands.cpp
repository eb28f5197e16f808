#include "commands.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "arguments.h"
#include "limits.h"
#include "outputs.h"
#include "render.h"
#include "repeat.h"
#include "sources.h"
#include "testutil/baseline.h"
#include "testutil/diff.h"
#include "testutil/json_file.h"
#include "testutil/preflight_record.h"
#include "testutil/promote.h"
#include "testutil/run_folder.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> last_runs() {
    std::vector<std::string> runs;
    for (const fs::path& folder : run_folders(default_root())) runs.push_back(folder.string());
    if (runs.size() > kFewestRuns) runs.erase(runs.begin(), runs.end() - static_cast<std::ptrdiff_t>(kFewestRuns));
    return runs;
}

}  // namespace

const char* usage() {
    return "stress-report begin ROOT [--criteria FILE [--baselines FOLDER] [--program P ...]]\n"
           "    Begins a run: makes ROOT/<run>/ and lets ROOT/current name it. Removes nothing. The criteria are checked first: "
           "a test\n"
           "    that neither the programs nor the baselines have, a metric no baseline has, a wrong unit is bad input.\n"
           "stress-report preflight ROOT SECONDS\n"
           "    May a run begin on this machine? Waits up to SECONDS for it to become quiet; 100 names what must be done first.\n"
           "stress-report diff BASELINE RESULT... [--current-run-only] [--all] [--confirm [--confirm-seconds 240]] [--criteria "
           "FILE]\n"
           "                   [--text F] [--markdown F] [--json F] [--summary F]\n"
           "    BASELINE: a baseline file, a folder of them (the best match is taken), or a Google Benchmark JSON file.\n"
           "    RESULT: a run folder, a root (its current run), a result file, or a Google Benchmark JSON file.\n"
           "    --current-run-only refuses every run but the current one; --all also prints what is recorded and not judged.\n"
           "    --confirm runs each failing test again: what fresh launches do not confirm is WARN. Criteria: those the run "
           "began with.\n"
           "stress-report ab A B [--pairs 5] [--filter GTEST_FILTER] [--program parti_memory_tests ...] [--benchmarks REGEX]\n"
           "                   [--limit 300] [--work FOLDER] [--no-confirm] [--all] [--text F] [--markdown F] [--json F]\n"
           "    Two build folders, A before and B now, measured in turns (A B B A ...) and compared by the rules of diff, "
           "without a stored\n"
           "    baseline. Without --filter: 10w_100p and 50w_500p of TestMemoryBenchmark_IsolatedParti. --limit: seconds of one "
           "launch.\n"
           "    A and B may also be two RESULTs; then nothing is measured.\n"
           "stress-report compare [LABEL=]RESULT[#TEST[:PREFIX]] [LABEL=]RESULT... [--test GLOB] [--metric GLOB]\n"
           "              [--text F] [--markdown F]\n"
           "    One table, a column each, with the ratio to the first. #TEST picks one test, so that different tests stand side\n"
           "    by side; :PREFIX of its metrics those that begin so, named without it.\n"
           "stress-report history add RESULT... | show | check  [--file F] [--metric GLOB] [--last 20] [--json F]\n"
           "    One line of JSON per session. check: lasting changes too small for a diff (change points), advisory.\n"
           "stress-report promote --reason TEXT [--from RESULT ...] [--baseline FILE|FOLDER] [--allow-single]\n"
           "    Makes a baseline of at least three runs; without --from, of this build's last three. In a FOLDER (by default\n"
           "    the source tree's test/stress/baselines) the file is named after the machine and build class.\n"
           "stress-report spread FILE|RESULT...\n"
           "    Median, MAD, coefficient of variation, minimum and maximum of every metric over all launches given.\n"
           "stress-report summary RESULT\n"
           "    The run as Markdown, for a job summary.\n"
           "stress-report report RESULT [--baseline FILE|FOLDER] [--history F] [--html F] [--markdown F]\n"
           "    What the run says, verdict first, as one HTML file that needs nothing else (by default RESULT/report.html) and "
           "as\n"
           "    Markdown. Lasting changes are those of F, by default history.ndjson beside the run; profiles those that make "
           "profile\n"
           "    has left in it.\n"
           "    Exit 0 whatever the verdict is: diff is the judge.\n"
           "stress-report dashboard [RESULT] [--port P] [--baseline FILE|FOLDER]\n"
           "    A live page about the run that is going on, on 127.0.0.1; port 0 (the default): any that is free; the first line "
           "of\n"
           "    output is its address. Ends on SIGINT, SIGTERM and with its parent.\n"
           "\n"
           "exit: 0 pass, 1 a test failed, 97 regression, 98 leak, 99 criterion broken, 100 nothing to look at, 101 not "
           "comparable,\n"
           "      102 something survived its test, 104 bad input\n";
}

Outcome<ExitCode> run_begin(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {"--criteria", "--baselines", "--program"}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() != 1) return bad_input("begin: takes one argument, the folder of all runs");
    if (const auto checked = check_criteria(*line); !checked) return tl::unexpected<Problem>(checked.error());
    const auto run = begin_run(line->positional.front());
    if (!run) return tl::unexpected<Problem>(run.error());
    if (const auto taken = take_preflight(line->positional.front(), run->folder); !taken)
        return tl::unexpected<Problem>(taken.error());
    if (line->has("--criteria")) {
        if (const auto kept = keep_criteria(line->get("--criteria"), run->folder); !kept)
            return tl::unexpected<Problem>(kept.error());
    }
    std::printf("%s\n", run->folder.string().c_str());
    return ExitCode::pass;
}

Outcome<ExitCode> run_diff(const Arguments& arguments) {
    const auto line =
        parse_arguments(arguments, {"--text", "--markdown", "--json", "--summary", "--criteria", "--confirm-seconds"},
                        {"--current-run-only", "--all", "--confirm"});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() < 2) return bad_input("diff: takes a BASELINE and at least one RESULT");
    const auto budget = whole_number(*line, "--confirm-seconds", 240, 1, 100000);
    if (!budget) return tl::unexpected<Problem>(budget.error());
    RunResults measured;
    std::vector<TestResult>& results = measured.tests;
    fs::path folder;
    Heading heading;
    for (std::size_t i = 1; i < line->positional.size(); ++i) {
        auto source = read_source(line->positional[i], line->has("--current-run-only"));
        if (!source) return tl::unexpected<Problem>(source.error());
        heading.result += (i == 1 ? "" : "; ") + source->label + ", run " + source->run;
        measured.run.id += (i == 1 ? "" : ", ") + source->run;
        if (folder.empty()) folder = source->folder;
        for (TestResult& result : source->tests) results.push_back(std::move(result));
    }
    if (!results.empty()) {
        measured.run.commit = results.front().commit;
        measured.run.dirty = results.front().dirty;
    }
    auto choice = load_baseline(line->positional.front(), results);
    if (!choice) return tl::unexpected<Problem>(choice.error());
    heading.baseline = choice->why;
    if (choice->baseline) heading.baseline += " (made " + choice->baseline->created + ")";
    auto report = compare(choice->baseline, results);
    if (!report) return tl::unexpected<Problem>(report.error());
    if (line->has("--confirm") && !folder.empty()) {
        const auto repeated = repeat_failures(*report, results, choice->baseline, folder, std::chrono::seconds(*budget));
        if (!repeated) return tl::unexpected<Problem>(repeated.error());
    }
    const auto criteria = criteria_of(*line, folder);
    if (!criteria) return tl::unexpected<Problem>(criteria.error());
    if (*criteria) {
        if (const auto applied = apply_criteria(*report, **criteria, results); !applied)
            return tl::unexpected<Problem>(applied.error());
    }
    if (const auto written = write_outputs(*line, *report, heading, &measured); !written)
        return tl::unexpected<Problem>(written.error());
    std::fputs(render_text(*report, heading, line->has("--all")).c_str(), stdout);
    return report->exit;
}

Outcome<ExitCode> run_promote(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {"--from", "--baseline", "--reason"}, {"--allow-single"});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (!line->positional.empty()) return bad_input(line->positional.front() + ": runs are given with --from");
    if (line->options.count("--baseline") > 1) return bad_input("--baseline: must be given once");
    std::vector<std::string> from = line->all("--from");
    if (from.empty()) from = last_runs();
    std::vector<PromoteSource> sources;
    for (const std::string& text : from) {
        auto source = read_source(text, false);
        if (!source) return tl::unexpected<Problem>(source.error());
        std::printf("from %s, run %s, %zu tests\n", text.c_str(), source->run.c_str(), source->tests.size());
        sources.push_back(std::move(*source));
    }
    if (sources.empty()) return set_up_problem(default_root().string() + ": holds no run; run the suite first, or use --from");

    fs::path file = line->has("--baseline") ? fs::path(line->get("--baseline")) : default_baselines();
    std::error_code error;
    if (fs::is_directory(file, error)) {
        if (sources.front().tests.empty()) return bad_input(sources.front().label + ": holds no result");
        file /= baseline_file_name(sources.front().tests.front());
    }
    std::optional<Baseline> old;
    if (fs::exists(file, error)) {
        auto present = read_baseline(file);  // what cannot be read is never overwritten
        if (!present) return tl::unexpected<Problem>(present.error());
        old = std::move(*present);
    }
    const auto promotion = promote(sources, old, line->get("--reason"), line->has("--allow-single"));
    if (!promotion) return tl::unexpected<Problem>(promotion.error());
    if (const auto written = write_baseline(file, promotion->baseline); !written) return tl::unexpected<Problem>(written.error());
    for (const auto& remark : promotion->remarks) std::printf("%s\n", remark.c_str());
    std::printf("%s: %zu metrics of %zu tests from %zu runs\n", file.string().c_str(), promotion->baseline.metrics.size(),
                promotion->baseline.tests.size(), sources.size());
    return ExitCode::pass;
}

Outcome<ExitCode> run_spread(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.empty()) return bad_input("spread: takes at least one FILE or RESULT");
    struct Spread {
        Unit unit = Unit::count;
        std::vector<double> launches;
    };
    std::map<std::string, Spread> spreads;
    std::size_t width = 6;
    for (const std::string& text : line->positional) {
        const auto source = read_source(text, false);
        if (!source) return tl::unexpected<Problem>(source.error());
        for (const TestResult& result : source->tests) {
            for (const Metric& metric : result.metrics) {
                const std::string key = result.key(metric);
                const auto [at, added] = spreads.try_emplace(key, Spread{metric.unit, {}});
                if (!added && at->second.unit != metric.unit)
                    return bad_input(text + ": " + key + ": unit differs from an earlier file's");
                at->second.launches.insert(at->second.launches.end(), metric.launches.begin(), metric.launches.end());
                width = std::max(width, key.size());
            }
        }
    }
    const int columns = static_cast<int>(width);
    std::printf("%-*s  %5s  %14s  %12s  %8s  %14s  %14s\n", columns, "metric", "n", "median", "MAD", "CV", "min", "max");
    for (const auto& [key, spread] : spreads) {
        if (spread.launches.empty()) {
            std::printf("%-*s  %5d  %14s\n", columns, key.c_str(), 0, "not measured");
            continue;
        }
        const auto [low, high] = std::minmax_element(spread.launches.begin(), spread.launches.end());
        std::printf("%-*s  %5zu  %14s  %12s  %6.2f %%  %14s  %14s\n", columns, key.c_str(), spread.launches.size(),
                    format_value(median(spread.launches), spread.unit).c_str(),
                    format_value(median_absolute_deviation(spread.launches), spread.unit).c_str(),
                    coefficient_of_variation(spread.launches) * 100, format_value(*low, spread.unit).c_str(),
                    format_value(*high, spread.unit).c_str());
    }
    return ExitCode::pass;
}

Outcome<ExitCode> run_summary(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() != 1) return bad_input("summary: takes one RESULT folder");
    const auto run = open_run(line->positional.front());
    if (!run) return tl::unexpected<Problem>(run.error());
    const auto results = read_run(*run);
    if (!results) return tl::unexpected<Problem>(results.error());
    std::fputs(render_summary(*results).c_str(), stdout);
    return ExitCode::pass;
}

}  // namespace parti::report
