#include "render.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "testutil/json_file.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

constexpr std::size_t kColumns = 9;
using Cells = std::array<std::string, kColumns>;
const Cells kTitles{"metric", "baseline", "current", "change", "bound", "limit", "n", "verdict", "note"};
constexpr std::array<bool, kColumns> kRightAligned{false, true, true, true, true, true, true, false, false};

std::string percent(double ratio) {
    if (std::fabs(ratio) > 1e6) return ratio > 0 ? "from 0" : "to less than 0";
    char text[32];
    std::snprintf(text, sizeof text, "%+.1f %%", ratio * 100);
    return text;
}

Cells cells_of(const Row& row) {
    Cells cells;
    cells[0] = row.metric;
    cells[1] = row.before ? format_value(*row.before, row.unit) : "-";
    cells[2] = row.now ? format_value(*row.now, row.unit) : "-";
    cells[3] = row.change ? percent(*row.change) : "-";
    cells[4] = row.bound ? percent(*row.bound) : "-";
    cells[5] = row.kind == Kind::exact ? "exact" : (row.limit == 0 ? "-" : percent(row.limit));
    cells[6] = row.n_before == 0 ? std::to_string(row.n_now) : std::to_string(row.n_now) + " vs " + std::to_string(row.n_before);
    cells[7] = name(row.verdict);
    cells[8] = row.note;
    return cells;
}

void append_line(std::string& out, const Cells& cells, const std::array<std::size_t, kColumns>& widths) {
    std::string line = "  ";
    for (std::size_t i = 0; i < kColumns; ++i) {
        const std::string padding(widths[i] > cells[i].size() ? widths[i] - cells[i].size() : 0, ' ');
        line += kRightAligned[i] ? padding + cells[i] : cells[i] + padding;
        line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
}

std::string notes(const Report& report) {
    std::string out;
    if (!report.not_measured.empty()) out += "memory not measured: " + report.not_measured + "\n";
    for (const auto& reason : report.reasons) out += "advisory only, because of " + reason + "\n";
    for (const auto& remark : report.remarks) out += remark + "\n";
    return out;
}

std::string escaped(std::string text) {
    for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
    return text;
}

Json optional_number(const std::optional<double>& value) { return value ? json_number(*value) : Json(nullptr); }

bool is_worth_a_line(const CriterionResult& criterion) { return criterion.state != CriterionState::held; }

std::string value_of(const CriterionResult& criterion) {
    return criterion.value ? format_value(*criterion.value, criterion.unit) : "-";
}

// Broken limits and what could not be checked, one line each; what held is counted.
std::string criteria_text(const Report& report) {
    if (report.criteria.empty()) return {};
    std::string out;
    std::size_t held = 0;
    for (const CriterionResult& criterion : report.criteria) {
        held += criterion.state == CriterionState::held ? 1U : 0U;
        if (!is_worth_a_line(criterion)) continue;
        out += "criterion " + std::string(name(criterion.state)) + ": " + criterion.test + " " + criterion.expression;
        if (criterion.value) out += ", is " + value_of(criterion);
        if (!criterion.note.empty()) out += ", " + criterion.note;
        if (criterion.state == CriterionState::broken && !criterion.why.empty()) out += " (" + criterion.why + ")";
        out += "\n";
    }
    return out + "criteria: " + std::to_string(held) + " of " + std::to_string(report.criteria.size()) + " held\n";
}

std::string bands_text(const Report& report) {
    std::array<std::size_t, 4> counts{};
    std::string out;
    for (const Row& row : report.rows) {
        ++counts[static_cast<std::size_t>(row.band)];
        const bool worth = row.band == Band::warning || row.band == Band::critical;
        if (worth)
            out += "band " + std::string(name(row.band)) + ": " + row.test + " " + row.metric + ", is " +
                   format_value(*row.now, row.unit) + "\n";
    }
    if (counts[1] + counts[2] + counts[3] == 0) return {};
    return out + "bands: " + std::to_string(counts[1]) + " healthy, " + std::to_string(counts[2]) + " warning, " +
           std::to_string(counts[3]) + " critical\n";
}

std::string criteria_table(const Report& report) {
    if (report.criteria.empty()) return {};
    std::string out = "\n| criterion | test | value | state | source |\n|---|---|--:|---|---|\n";
    for (const CriterionResult& criterion : report.criteria) {
        const bool strong = criterion.state == CriterionState::broken;
        const std::string state = std::string(name(criterion.state)) + (criterion.note.empty() ? "" : ": " + criterion.note);
        out += "| `" + criterion.expression + "` | " + criterion.test + " | " + value_of(criterion) + " | " +
               (strong ? "**" + state + "**" : state) + " | " + escaped(criterion.why) + " |\n";
    }
    return out;
}

Json criteria_json(const Report& report) {
    Json all = Json::array();
    for (const CriterionResult& criterion : report.criteria) {
        all.push_back({{"test", criterion.test},
                       {"expression", criterion.expression},
                       {"metric", criterion.metric},
                       {"state", name(criterion.state)},
                       {"unit", name(criterion.unit)},
                       {"value", optional_number(criterion.value)},
                       {"limit", criterion.limit},
                       {"why", criterion.why},
                       {"note", criterion.note}});
    }
    return all;
}

}  // namespace

std::string render_text(const Report& report, const Heading& heading, bool all) {
    std::array<std::size_t, kColumns> widths{};
    const auto widen = [&](const Cells& cells) {
        for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], cells[i].size());
    };
    widen(kTitles);
    for (const Row& row : report.rows) {
        if (all || row.verdict != Verdict::info) widen(cells_of(row));
    }
    std::string out = "baseline  " + heading.baseline + "\nresult    " + heading.result + "\n";
    if (!report.rows.empty()) {
        out += "\n";
        append_line(out, kTitles, widths);
    }
    for (const TestLine& test : report.tests) {
        out += test.test;
        if (test.status != TestStatus::passed) out += test.status == TestStatus::failed ? "  (FAILED)" : "  (DID NOT FINISH)";
        out += "\n";
        for (const Row& row : report.rows) {
            if (row.test == test.test && (all || row.verdict != Verdict::info)) append_line(out, cells_of(row), widths);
        }
    }
    out += "\n" + notes(report) + bands_text(report) + criteria_text(report);
    if (report.recorded > 0 && !all)
        out += std::to_string(report.recorded) + " metrics are recorded and not judged (--all shows them)\n";
    return out + report.conclusion + "\n";
}

std::string render_markdown(const Report& report, const Heading& heading) {
    std::string out = "### Stress suite against its baseline\n\n**" + report.conclusion + "**\n\n";
    out += "- baseline: " + heading.baseline + "\n- result: " + heading.result + "\n";
    for (std::string line = notes(report); !line.empty();) {
        const auto end = line.find('\n');
        out += "- " + line.substr(0, end) + "\n";
        line.erase(0, end + 1);
    }
    out += "\n| test |";
    for (const auto& title : kTitles) out.append(" ").append(title).append(" |");
    out += "\n|---|---|--:|--:|--:|--:|--:|--:|---|---|\n";
    for (const Row& row : report.rows) {
        if (row.verdict == Verdict::info) continue;
        out += "| " + row.test + " |";
        const Cells cells = cells_of(row);
        for (std::size_t i = 0; i < kColumns; ++i) {
            const bool strong = i == 7 && (row.verdict == Verdict::fail || row.verdict == Verdict::warn);
            out.append(strong ? " **" : " ").append(escaped(cells[i])).append(strong ? "** |" : " |");
        }
        out += "\n";
    }
    return out + criteria_table(report);
}

std::string render_json(const Report& report, const Heading& heading) {
    Json rows = Json::array();
    for (const Row& row : report.rows) {
        rows.push_back({{"test", row.test},
                        {"metric", row.metric},
                        {"kind", name(row.kind)},
                        {"unit", name(row.unit)},
                        {"verdict", name(row.verdict)},
                        {"gates", row.gates},
                        {"measured", row.measured},
                        {"baseline", optional_number(row.before)},
                        {"current", optional_number(row.now)},
                        {"n_baseline", row.n_before},
                        {"n_current", row.n_now},
                        {"change", optional_number(row.change)},
                        {"bound", optional_number(row.bound)},
                        {"limit", row.limit},
                        {"launches_baseline", row.launches_before},
                        {"launches", row.launches_now},
                        {"confirmation", name(row.confirmation)},
                        {"repeated", optional_number(row.repeated)},
                        {"n_repeated", row.n_repeated},
                        {"band", name(row.band)},
                        {"note", row.note}});
    }
    Json tests = Json::object();
    for (const TestLine& test : report.tests) tests[test.test] = name(test.status);
    const Json document{{"schema", "parti-stress-diff/1"},
                        {"baseline", heading.baseline},
                        {"result", heading.result},
                        {"exit", static_cast<int>(report.exit)},
                        {"conclusion", report.conclusion},
                        {"tests", std::move(tests)},
                        {"reasons", report.reasons},
                        {"remarks", report.remarks},
                        {"criteria", criteria_json(report)},
                        {"common_mode", optional_number(report.common_mode)},
                        {"rows", std::move(rows)}};
    return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string render_summary(const RunResults& results) {
    std::string out = "### Stress run " + results.run.id + "\n\n- commit: " + results.run.commit;
    out += results.run.dirty ? " (with uncommitted changes, or not known)\n" : "\n";
    if (!results.tests.empty()) {
        const Fingerprint& here = results.tests.front().fingerprint;
        out += "- machine: " + std::string(here.get("cpu_model")) + ", " + std::string(here.get("nproc")) + " cores, " +
               std::string(here.get("arch")) + ", " + std::string(here.get("libc")) +
               "\n- build: " + std::string(here.get("build_type")) + ", " + std::string(here.get("compiler")) + ", sanitizer " +
               std::string(here.get("sanitizer")) + "\n";
    }
    for (const auto& ignored : results.ignored) out += "- not read: " + ignored + "\n";
    out += "\n| test | status | metric | median | noise | n | note |\n|---|---|---|--:|--:|--:|---|\n";
    for (const TestResult& test : results.tests) {
        const std::string head = "| " + test.test + " | " + std::string(name(test.status)) + " | ";
        if (test.metrics.empty()) out += head + "- | - | - | 0 | |\n";
        for (const Metric& metric : test.metrics) {
            out += head + metric.name + " | ";
            if (metric.measured()) {
                char noise[32];
                std::snprintf(noise, sizeof noise, "%.1f %%", relative_noise(metric.launches) * 100);
                out += format_value(median(metric.launches), metric.unit) + " | " + noise + " | ";
            } else {
                out += "not measured | - | ";
            }
            out += std::to_string(metric.launches.size()) + " | " + escaped(metric.note) + " |\n";
        }
    }
    return out;
}

}  // namespace parti::report
