// The command `report`: one run as a page of HTML and as Markdown.
#include <cstdio>
#include <filesystem>
#include <optional>

#include "against.h"
#include "arguments.h"
#include "commands.h"
#include "limits.h"
#include "page_text.h"
#include "report_pages.h"
#include "testutil/baseline.h"
#include "testutil/diff.h"
#include "testutil/json_file.h"
#include "testutil/run_folder.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
    std::string result, baseline, html, markdown, history;
};

Outcome<ReportOptions> parse_report(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {"--baseline", "--html", "--markdown", "--history"}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() != 1) {
        return bad_input("report: takes one RESULT, a run folder or a root" +
                         (line->positional.empty() ? "" : "; '" + line->positional[1] + "' is a second one"));
    }
    return ReportOptions{line->positional[0], line->get("--baseline"), line->get("--html"), line->get("--markdown"),
                         line->get("--history")};
}

std::vector<CriterionView> criterion_views(const Report& diff) {
    std::vector<CriterionView> views;
    for (const CriterionResult& result : diff.criteria) {
        const Grade grade = result.state == CriterionState::held
                                ? Grade::pass
                                : (result.state == CriterionState::broken ? Grade::fail : Grade::unsure);
        const std::string note = result.why + (result.note.empty() ? "" : (result.why.empty() ? "" : "; ") + result.note);
        const bool named = result.metric.empty() || result.expression.find(result.metric) != std::string::npos;
        views.push_back({named ? result.expression : result.metric + ": " + result.expression, result.test,
                         result.value ? shown_value(*result.value, result.unit) : std::string(kNotMeasured),
                         std::string(name(result.state)), note, grade});
    }
    return views;
}

}  // namespace

Outcome<Against> baseline_for(const std::string& text, const std::vector<TestResult>& results) {
    const fs::path path = text.empty() ? default_baselines() : fs::path(text);
    std::error_code error;
    if (!fs::exists(path, error)) {
        if (text.empty()) return Against{std::nullopt, "none: " + path.string() + " does not exist"};
        return bad_input(text + ": does not exist; make a baseline with: stress-report promote");
    }
    if (fs::is_directory(path, error)) {
        auto choice = choose_baseline(path, results.empty() ? local_fingerprint() : results.front().fingerprint, results);
        if (!choice) return tl::unexpected<Problem>(choice.error());
        return Against{std::move(choice->baseline), choice->why};
    }
    auto baseline = read_baseline(path);
    if (!baseline) return tl::unexpected<Problem>(baseline.error());
    return Against{std::move(*baseline), path.string()};
}

Outcome<ExitCode> run_report(const Arguments& arguments) {
    const auto options = parse_report(arguments);
    if (!options) return tl::unexpected<Problem>(options.error());
    const auto run = open_run(options->result);
    if (!run) return tl::unexpected<Problem>(run.error());
    auto results = read_run(*run);
    if (!results) return tl::unexpected<Problem>(results.error());
    const auto against = baseline_for(options->baseline, results->tests);
    if (!against) return tl::unexpected<Problem>(against.error());
    auto diff = compare(against->baseline, results->tests);
    if (!diff) return tl::unexpected<Problem>(diff.error());
    const auto criteria = criteria_of({}, run->folder);
    if (!criteria) return tl::unexpected<Problem>(criteria.error());
    if (*criteria) {
        if (const auto applied = apply_criteria(*diff, **criteria, results->tests); !applied)
            return tl::unexpected<Problem>(applied.error());
    }

    const std::string html =
        options->html.empty() && options->markdown.empty() ? (run->folder / "report.html").string() : options->html;
    auto history = history_view(options->history.empty() ? run->folder / ".." / "history.ndjson" : fs::path(options->history));
    if (!history) return tl::unexpected<Problem>(history.error());
    auto profiles =
        profile_views(run->folder, fs::absolute(html.empty() ? options->markdown : html).parent_path(), results->ignored);
    const ReportView view =
        view_of({&*results, &*diff, against->why, criterion_views(*diff), std::move(*history), std::move(profiles)});
    if (!html.empty()) {
        if (const auto written = write_file(html, html_page(view)); !written) return tl::unexpected<Problem>(written.error());
    }
    if (!options->markdown.empty()) {
        if (const auto written = write_file(options->markdown, markdown_page(view)); !written)
            return tl::unexpected<Problem>(written.error());
    }
    std::printf("%s: %s\n%s\n", std::string(name(view.grade)).c_str(), view.happened.c_str(), view.action.c_str());
    for (const std::string& file : {html, options->markdown}) {
        if (!file.empty()) std::printf("written: %s\n", file.c_str());
    }
    return ExitCode::pass;
}

}  // namespace parti::report
