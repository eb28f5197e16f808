#include "testutil/confirm.h"

#include <algorithm>
#include <cstdio>

namespace parti::report {
namespace {

const Row* find(const Report& report, const Row& wanted) {
    const auto found = std::find_if(report.rows.begin(), report.rows.end(),
                                    [&](const Row& row) { return row.test == wanted.test && row.metric == wanted.metric; });
    return found == report.rows.end() ? nullptr : &*found;
}

TestStatus status_of(const Report& report, const std::string& test) {
    for (const TestLine& line : report.tests) {
        if (line.test == test) return line.status;
    }
    return TestStatus::started;
}

std::string figures(const Row& again) {
    if (!again.measured || !again.now) return "not measured there";
    char change[32] = "";
    if (again.change) std::snprintf(change, sizeof change, " (%+.1f %%)", *again.change * 100);
    return format_value(*again.now, again.unit) + change;
}

void annotate(Row& row, const std::string& text) { row.note += (row.note.empty() ? "" : "; ") + text; }

void judge_again(Row& row, const Report& repeated, const std::map<std::string, std::string>& why_not) {
    const auto reason = why_not.find(row.test);
    const Row* const again = find(repeated, row);
    if (reason != why_not.end() || again == nullptr || status_of(repeated, row.test) != TestStatus::passed) {
        row.confirmation = Confirmation::not_repeated;
        annotate(row, "not repeated: " + (reason != why_not.end() ? reason->second
                                                                  : std::string("its test did not pass when it was run again")));
        return;
    }
    row.repeated = again->now;
    row.n_repeated = again->n_now;
    if (again->verdict == Verdict::fail) {
        row.confirmation = Confirmation::confirmed;
        annotate(row, "confirmed by fresh launches: " + figures(*again));
    } else {
        row.confirmation = Confirmation::not_confirmed;
        row.verdict = Verdict::warn;
        annotate(row, "not confirmed: fresh launches " + figures(*again) + " " + std::string(name(again->verdict)));
    }
}

}  // namespace

std::vector<std::string> tests_to_repeat(const Report& report) {
    std::vector<std::string> tests;
    for (const Row& row : report.rows) {
        if (row.verdict == Verdict::fail && (tests.empty() || tests.back() != row.test)) tests.push_back(row.test);
    }
    return tests;
}

void confirm(Report& report, const Report& repeated, const std::map<std::string, std::string>& why_not) {
    for (Row& row : report.rows) {
        if (row.verdict == Verdict::fail) judge_again(row, repeated, why_not);
    }
    conclude(report);
}

}  // namespace parti::report
