#include "testutil/ab.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>

#include "testutil/common_mode.h"

namespace parti::report {
namespace {

void take_in(TestResult& whole, const TestResult& more) {
    if (more.status != TestStatus::passed) whole.status = more.status;
    whole.finished = more.finished;
    whole.protocol.launches += more.protocol.launches;
    for (const Metric& metric : more.metrics) {
        const auto known =
            std::find_if(whole.metrics.begin(), whole.metrics.end(), [&](const Metric& m) { return m.name == metric.name; });
        if (known == whole.metrics.end()) whole.metrics.push_back(metric);
        else known->launches.insert(known->launches.end(), metric.launches.begin(), metric.launches.end());
    }
}

std::string worker_of(const std::vector<TestResult>& results) {
    for (const TestResult& result : results) {
        const auto found = result.versions.find("worker_host_sha256");
        if (found != result.versions.end() && !found->second.empty()) return found->second;
    }
    return {};
}

// What the suite's environment set for them: "NAME 'A' against 'B'" of each variable that differs.
std::string differing_settings(const std::vector<TestResult>& a, const std::vector<TestResult>& b) {
    std::map<std::string, std::array<std::string, 2>> settings;
    for (const TestResult& result : a) {
        for (const auto& [name, value] : result.protocol.environment) settings[name][0] = value;
    }
    for (const TestResult& result : b) {
        for (const auto& [name, value] : result.protocol.environment) settings[name][1] = value;
    }
    std::string text;
    for (const auto& [name, values] : settings) {
        if (values[0] != values[1])
            text += (text.empty() ? "" : ", ") + name + " '" + values[0] + "' against '" + values[1] + "'";
    }
    return text;
}

void soften(Report& report, bool same_program) {
    for (Row& row : report.rows) {
        if (row.verdict != Verdict::fail) continue;
        const bool vanished = !row.measured;
        const bool noise = same_program && !row.test.starts_with("benchmark/");
        if (!vanished && !noise) continue;
        row.verdict = Verdict::warn;
        row.note += (row.note.empty() ? "" : "; ") +
                    std::string(vanished ? "only A has it" : "both sides measured the same worker-host: noise");
    }
}

}  // namespace

std::vector<TestResult> merge_launches(const std::vector<TestResult>& results) {
    std::map<std::string, TestResult> merged;
    for (const TestResult& result : results) {
        const auto [at, added] = merged.try_emplace(result.test, result);
        if (!added) take_in(at->second, result);
    }
    std::vector<TestResult> all;
    for (auto& [test, result] : merged) all.push_back(std::move(result));
    return all;
}

Outcome<Report> compare_builds(const std::vector<TestResult>& a, const std::vector<TestResult>& b,
                               const std::string& label_of_a) {
    std::vector<TestResult> usable;
    std::vector<std::string> remarks;
    for (const TestResult& result : a) {
        if (result.status == TestStatus::passed) usable.push_back(result);
        else remarks.push_back("A: " + result.test + " has status '" + std::string(name(result.status)) + "' and is left out");
    }
    std::optional<Baseline> baseline;
    if (!usable.empty()) baseline = baseline_of(usable, label_of_a);
    if (baseline && !b.empty()) {
        for (const auto& key : differing_keys(baseline->fingerprint, b.front().fingerprint)) {
            remarks.push_back(key + " differs: A '" + std::string(baseline->fingerprint.get(key)) + "', B '" +
                              std::string(b.front().fingerprint.get(key)) + "'");
        }
    }
    auto report = compare(baseline, b, {.ask_fingerprint = false, .discount_machine_shift = false});
    if (!report) return report;
    const std::string worker = worker_of(a);
    const std::string settings = differing_settings(a, b);
    if (!settings.empty()) remarks.push_back("settings differ: " + settings);
    const bool same_program = settings.empty() && !worker.empty() && worker == worker_of(b);
    if (same_program) remarks.emplace_back("both sides measured the same worker-host");
    soften(*report, same_program);
    report->common_mode = common_mode(*report);
    if (report->common_mode) {
        char text[64];
        std::snprintf(text, sizeof text, "all times together: x%.2f", *report->common_mode);
        remarks.emplace_back(text);
    }
    report->remarks.insert(report->remarks.end(), remarks.begin(), remarks.end());
    conclude(*report);
    return report;
}

}  // namespace parti::report
