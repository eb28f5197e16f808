#include <algorithm>
#include <cstdio>

#include "arguments.h"
#include "sources.h"
#include "testutil/json_file.h"
#include "testutil/run_folder.h"
#include "testutil/sessions.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

fs::path file_of(const CommandLine& line) {
    return line.has("--file") ? fs::path(line.get("--file")) : default_root() / "history.ndjson";
}

Outcome<ExitCode> add(const CommandLine& line) {
    if (line.positional.size() < 2) return bad_input("history add: takes at least one RESULT");
    std::vector<TestResult> results;
    for (std::size_t i = 1; i < line.positional.size(); ++i) {
        auto source = read_source(line.positional[i], false);
        if (!source) return tl::unexpected<Problem>(source.error());
        for (TestResult& result : source->tests) results.push_back(std::move(result));
    }
    const auto session = session_of(results);
    if (!session) return tl::unexpected<Problem>(session.error());
    if (const auto added = append_session(file_of(line), *session); !added) return tl::unexpected<Problem>(added.error());
    std::printf("%s: added run %s, %zu metrics\n", file_of(line).c_str(), session->run.c_str(), session->metrics.size());
    return ExitCode::pass;
}

void print_series(const Series& series, std::size_t last) {
    std::printf("%s  (%s%s)\n", series.key.c_str(), series.machine.c_str(),
                series.head.how.empty() ? "" : ("; " + series.head.how).c_str());
    const std::size_t n = series.values.size();
    for (std::size_t i = n - std::min(last, n); i < n; ++i) {
        const Session& session = *series.sessions[i];
        std::printf("  %s  %-12.12s%s  %s\n", session.started.c_str(), session.commit.c_str(), session.dirty ? "+" : " ",
                    format_value(series.values[i], series.head.unit).c_str());
    }
}

Outcome<ExitCode> show(const CommandLine& line, const std::vector<Series>& series) {
    const auto last = whole_number(line, "--last", 20, 1, 100000);
    if (!last) return tl::unexpected<Problem>(last.error());
    for (const Series& one : series) print_series(one, *last);
    if (series.empty()) std::printf("no metric matches\n");
    return ExitCode::pass;
}

Outcome<ExitCode> check(const CommandLine& line, const std::vector<Series>& series) {
    const auto found = drifts(series);
    Json points = Json::array();
    for (const Drift& drift : found) {
        const Session& session = *drift.series->sessions[drift.point.index];
        const Unit unit = drift.series->head.unit;
        std::printf("%s: %s\n", drift.series->key.c_str(), text_of(drift).c_str());
        points.push_back({{"metric", drift.series->key},
                          {"class", drift.series->machine},
                          {"worse", drift.worse},
                          {"change", drift.point.change},
                          {"before", drift.point.before},
                          {"after", drift.point.after},
                          {"unit", name(unit)},
                          {"p", drift.point.p},
                          {"run", session.run},
                          {"started", session.started},
                          {"commit", session.commit}});
    }
    std::printf("%zu lasting changes in %s (advisory)\n", found.size(), count_text(series).c_str());
    if (line.has("--json")) {
        const auto written =
            write_json(line.get("--json"), Json{{"schema", "parti-stress-drift/1"}, {"changes", std::move(points)}});
        if (!written) return tl::unexpected<Problem>(written.error());
    }
    return ExitCode::pass;
}

}  // namespace

Outcome<ExitCode> run_history(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {"--file", "--metric", "--last", "--json"}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    const std::string what = line->positional.empty() ? "" : line->positional.front();
    if (what == "add") return add(*line);
    if ((what != "show" && what != "check") || line->positional.size() != 1) {
        return bad_input("history: '" + what + "' must be add RESULT, show or check");
    }
    const auto sessions = read_sessions(file_of(*line));
    if (!sessions) return tl::unexpected<Problem>(sessions.error());
    for (const auto& remark : sessions->remarks) std::fprintf(stderr, "%s\n", remark.c_str());
    if (sessions->all.empty())
        return set_up_problem(file_of(*line).string() + ": holds no run; add one with: stress-report history add RESULT");
    const auto series = series_of(*sessions, line->has("--metric") ? line->get("--metric") : "*");
    return what == "show" ? show(*line, series) : check(*line, series);
}

}  // namespace parti::report
