#include "commands.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "render.h"
#include "testutil/baseline.h"
#include "testutil/benchmark_json.h"
#include "testutil/diff.h"
#include "testutil/json_file.h"
#include "testutil/promote.h"
#include "testutil/run_folder.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

// Splits "--name value" options and flags from positional arguments.
struct CommandLine {
    std::vector<std::string> positional;
    std::multimap<std::string, std::string> options;

    bool has(const std::string& option) const { return options.count(option) > 0; }
    std::string get(const std::string& option) const {
        const auto found = options.find(option);
        return found == options.end() ? std::string() : found->second;
    }
};

Outcome<CommandLine> parse(const Arguments& arguments, const std::vector<std::string>& with_value, const std::vector<std::string>& flags) {
    const auto contains = [](const std::vector<std::string>& list, const std::string& text) {
        return std::find(list.begin(), list.end(), text) != list.end();
    };
    CommandLine line;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (!argument.starts_with("--")) {
            line.positional.push_back(argument);
        } else if (contains(flags, argument)) {
            line.options.emplace(argument, "");
        } else if (contains(with_value, argument)) {
            if (i + 1 == arguments.size()) return bad_input(argument + ": needs a value");
            line.options.emplace(argument, arguments[++i]);
        } else {
            return bad_input(argument + ": is not an option of this command (--help explains them)");
        }
    }
    return line;
}

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

// A Google Benchmark file used as the baseline of another one.
Baseline baseline_of(const TestResult& result, const std::string& label) {
    Baseline baseline;
    baseline.label = label;
    baseline.created = result.started;
    baseline.fingerprint = result.fingerprint;
    baseline.tests[result.test] = BaselineTest{result.protocol, {result.run}};
    for (const Metric& metric : result.metrics) {
        BaselineMetric& stored = baseline.metrics[result.key(metric)];
        stored.test = result.test;
        stored.head = metric;
        stored.head.launches.clear();
        stored.runs = {metric.launches};
    }
    return baseline;
}

Outcome<Choice> load_baseline(const std::string& text, const Fingerprint& current) {
    const fs::path path(text);
    std::error_code error;
    if (!fs::exists(path, error)) return bad_input(text + ": does not exist; make a baseline with: stress-report promote");
    if (fs::is_directory(path, error)) return choose_baseline(path, current);
    Choice choice;
    choice.why = text;
    if (is_benchmark_json(path)) {
        const auto result = read_benchmark_json(path);
        if (!result) return tl::unexpected<Problem>(result.error());
        choice.baseline = baseline_of(*result, text);
        return choice;
    }
    auto baseline = read_baseline(path);
    if (!baseline) return tl::unexpected<Problem>(baseline.error());
    choice.baseline = std::move(*baseline);
    return choice;
}

std::vector<std::string> last_runs() {
    std::vector<std::string> runs;
    for (const fs::path& folder : run_folders(default_root())) runs.push_back(folder.string());
    if (runs.size() > kFewestRuns) runs.erase(runs.begin(), runs.end() - static_cast<std::ptrdiff_t>(kFewestRuns));
    return runs;
}

Outcome<void> write_outputs(const CommandLine& line, const Report& report, const Heading& heading, const RunResults& measured) {
    const std::string markdown = render_markdown(report, heading);
    const std::vector<std::pair<std::string, std::string>> outputs{{"--text", render_text(report, heading, true)},
                                                                   {"--markdown", markdown},
                                                                   {"--summary", markdown + "\n" + render_summary(measured)},
                                                                   {"--json", render_json(report, heading)}};
    for (const auto& [option, content] : outputs) {
        if (!line.has(option)) continue;
        if (const auto written = write_file(line.get(option), content); !written) return written;
    }
    return {};
}

}  // namespace

const char* usage() {
    return "stress-report begin ROOT\n"
           "    Begins a run: makes ROOT/<run>/ and lets ROOT/current name it. Removes nothing.\n"
           "stress-report preflight ROOT SECONDS\n"
           "    May a run begin on this machine? Waits up to SECONDS for it to become quiet; 100 names what must be done first.\n"
           "stress-report diff BASELINE RESULT... [--current-run-only] [--all]\n"
           "                   [--text F] [--markdown F] [--json F] [--summary F]\n"
           "    BASELINE: a baseline file, a folder of them (the best match is taken), or a Google Benchmark JSON file.\n"
           "    RESULT: a run folder, a root (its current run), a result file, or a Google Benchmark JSON file.\n"
           "    --current-run-only refuses every run but the current one; --all also prints what is recorded and not judged.\n"
           "stress-report promote --reason TEXT [--from RESULT ...] [--baseline FILE|FOLDER] [--allow-single]\n"
           "    Makes a baseline of at least three runs; without --from, of this build's last three. In a FOLDER (by default\n"
           "    the source tree's test/stress/baselines) the file is named after the machine and build class.\n"
           "stress-report spread FILE|RESULT...\n"
           "    Median, MAD, coefficient of variation, minimum and maximum of every metric over all launches given.\n"
           "stress-report summary RESULT\n"
           "    The run as Markdown, for a job summary.\n"
           "\n"
           "exit: 0 pass, 1 a test failed, 97 regression, 100 nothing to look at, 101 not comparable, 104 bad input\n";
}

Outcome<ExitCode> run_begin(const Arguments& arguments) {
    const auto line = parse(arguments, {}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() != 1) return bad_input("begin: takes one argument, the folder of all runs");
    const auto run = begin_run(line->positional.front());
    if (!run) return tl::unexpected<Problem>(run.error());
    std::printf("%s\n", run->folder.string().c_str());
    return ExitCode::pass;
}

Outcome<ExitCode> run_diff(const Arguments& arguments) {
    const auto line = parse(arguments, {"--text", "--markdown", "--json", "--summary"}, {"--current-run-only", "--all"});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() < 2) return bad_input("diff: takes a BASELINE and at least one RESULT");
    RunResults measured;
    std::vector<TestResult>& results = measured.tests;
    Heading heading;
    for (std::size_t i = 1; i < line->positional.size(); ++i) {
        auto source = read_source(line->positional[i], line->has("--current-run-only"));
        if (!source) return tl::unexpected<Problem>(source.error());
        heading.result += (i == 1 ? "" : "; ") + source->label + ", run " + source->run;
        measured.run.id += (i == 1 ? "" : ", ") + source->run;
        for (TestResult& result : source->tests) results.push_back(std::move(result));
    }
    if (!results.empty()) {
        measured.run.commit = results.front().commit;
        measured.run.dirty = results.front().dirty;
    }
    auto choice = load_baseline(line->positional.front(), results.empty() ? local_fingerprint() : results.front().fingerprint);
    if (!choice) return tl::unexpected<Problem>(choice.error());
    heading.baseline = choice->why;
    if (choice->baseline) heading.baseline += " (made " + choice->baseline->created + ")";
    const auto report = compare(choice->baseline, results);
    if (!report) return tl::unexpected<Problem>(report.error());
    if (const auto written = write_outputs(*line, *report, heading, measured); !written) return tl::unexpected<Problem>(written.error());
    std::fputs(render_text(*report, heading, line->has("--all")).c_str(), stdout);
    return report->exit;
}

Outcome<ExitCode> run_promote(const Arguments& arguments) {
    const auto line = parse(arguments, {"--from", "--baseline", "--reason"}, {"--allow-single"});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (!line->positional.empty()) return bad_input(line->positional.front() + ": runs are given with --from");
    if (line->options.count("--baseline") > 1) return bad_input("--baseline: must be given once");
    std::vector<std::string> from;
    for (auto [at, end] = line->options.equal_range("--from"); at != end; ++at) from.push_back(at->second);
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
        file /= class_name(sources.front().tests.front().fingerprint) + ".json";
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
    const auto line = parse(arguments, {}, {});
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
                if (!added && at->second.unit != metric.unit) return bad_input(text + ": " + key + ": unit differs from an earlier file's");
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
    const auto line = parse(arguments, {}, {});
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
