#include "testutil/common_mode.h"

#include <cstdio>
#include <vector>

#include "testutil/statistics.h"

namespace parti::report {
namespace {

bool is_time(const Row& row) {
    return row.kind == Kind::duration || row.kind == Kind::latency || row.kind == Kind::throughput || row.kind == Kind::cpu_time;
}

}  // namespace

std::optional<double> common_mode(const Report& report) {
    std::vector<double> ratios;
    for (const Row& row : report.rows) {
        const bool counts = is_time(row) && row.gates && row.before && row.now && *row.before > 0 && *row.now > 0;
        if (!counts) continue;
        ratios.push_back(row.kind == Kind::throughput ? *row.before / *row.now : *row.now / *row.before);
    }
    if (ratios.size() < kFewestTimes) return std::nullopt;
    return median(ratios);
}

void discount_machine_shift(Report& report) {
    report.common_mode = common_mode(report);
    if (!report.common_mode || *report.common_mode <= kMachineShift) return;
    char factor[32];
    std::snprintf(factor, sizeof factor, "%.2f", *report.common_mode);
    for (Row& row : report.rows) {
        if (row.verdict != Verdict::fail || !is_time(row) || !row.measured) continue;
        std::vector<double> before = row.launches_before;
        for (double& value : before)
            value = row.kind == Kind::throughput ? value / *report.common_mode : value * *report.common_mode;
        Metric metric;
        metric.kind = row.kind;
        metric.unit = row.unit;
        metric.direction = row.direction;
        if (judge(metric, row.threshold, before, row.launches_now).verdict == Verdict::fail) continue;
        row.verdict = Verdict::inconclusive;
        ++report.shifted;
        row.note += (row.note.empty() ? "" : "; ") + std::string("machine shift: all times together are x") + factor;
    }
    report.remarks.push_back(std::string("machine shift: all times together are x") + factor +
                             " of the baseline's; two builds interleaved on one machine decide: stress-report ab");
}

}  // namespace parti::report
