#include "testutil/recovery.h"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace parti::test {
namespace {

struct Window {
    std::int64_t from_ns = 0;
    double latency_ns = 0;
};

std::vector<Window> windows_of(const LedgerReport& report, Span span, const RecoveryRule& rule) {
    std::vector<Window> out;
    for (std::int64_t at = span.from_ns; at + rule.window_ns <= span.to_ns; at += rule.window_ns) {
        const std::int64_t latency = report.latency_ns(rule.quantile, at, at + rule.window_ns, rule.least);
        if (latency >= 0) out.push_back({at, static_cast<double>(latency)});
    }
    return out;
}

double median_of(std::vector<Window> windows) {
    std::sort(windows.begin(), windows.end(), [](const Window& a, const Window& b) { return a.latency_ns < b.latency_ns; });
    const std::size_t half = windows.size() / 2;
    return windows.size() % 2 == 1 ? windows[half].latency_ns : (windows[half - 1].latency_ns + windows[half].latency_ns) / 2;
}

double second_worst(std::vector<Window> windows) {
    std::nth_element(windows.begin(), windows.begin() + 1, windows.end(),
                     [](const Window& a, const Window& b) { return a.latency_ns > b.latency_ns; });
    return windows[1].latency_ns;
}

}  // namespace

std::string describe(const Recovery& r) {
    char text[192];
    std::snprintf(text, sizeof text, "usually %.2f ms, at most %.2f ms is as before; %.2f ms at the end, ", r.usual_ns / 1e6,
                  r.allowed_ns / 1e6, r.last_ns / 1e6);
    if (!r.after_ns) return std::string(text) + "never as before";
    return std::string(text) + "as before after " + std::to_string(*r.after_ns / 1'000'000) + " ms";
}

std::optional<Recovery> recovery_of(const LedgerReport& report, Span calm, Span after, const RecoveryRule& rule) {
    const std::vector<Window> before = windows_of(report, calm, rule);
    const std::vector<Window> later = windows_of(report, after, rule);
    if (before.size() < rule.fewest || later.size() < std::max(rule.fewest, rule.in_a_row)) return std::nullopt;
    Recovery out;
    out.usual_ns = median_of(before);
    out.allowed_ns = rule.within * out.usual_ns;
    out.allowed_ns = std::max(out.allowed_ns, second_worst(before));
    const std::size_t last = std::min(rule.last, later.size());
    out.last_ns = median_of({later.end() - static_cast<std::ptrdiff_t>(last), later.end()});
    std::size_t row = 0;
    for (std::size_t i = 0; i < later.size() && !out.after_ns; ++i) {
        row = later[i].latency_ns <= out.allowed_ns ? row + 1 : 0;
        if (row == rule.in_a_row) out.after_ns = later[i + 1 - row].from_ns - after.from_ns;
    }
    return out;
}

}  // namespace parti::test
