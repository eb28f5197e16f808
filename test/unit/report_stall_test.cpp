// A stall must show in p99.9 when it is counted from the intended time, and is invisible to who waits before asking again.
#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/ledger.h"

namespace parti::test {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kEvery = 2 * kMs;    // 500 messages a second
constexpr std::int64_t kMessages = 15'000;  // 30 s
constexpr std::int64_t kStall = 300 * kMs;

// Handling takes 1 ms but for a stall in which nothing is handled; what waited is handled at its end, at once.
LedgerReport handled(std::int64_t stall_at, std::int64_t stall, base::Rng& rng) {
    LedgerReport report;
    for (std::int64_t i = 0; i < kMessages; ++i) {
        const std::int64_t intended = i * kEvery;
        const std::int64_t usual = kMs + static_cast<std::int64_t>(rng.next() % kMs);
        const bool waits = intended >= stall_at && intended < stall_at + stall;
        report.latencies.push_back({intended, usual + (waits ? stall_at + stall - intended : 0)});
    }
    return report;
}

TEST(Stall, ThreeHundredMillisecondsShowInTheNinetyNinePointNine) {
    base::Rng rng(report::test_seed());
    for (int i = 0; i < 20; ++i) {
        const std::int64_t at = static_cast<std::int64_t>(rng.next() % (29'000)) * kMs;
        const LedgerReport stalled = handled(at, kStall, rng);
        const LedgerReport calm = handled(at, 0, rng);
        const auto p999 = [](const LedgerReport& report) { return report.latency_ns(0.999, 0, kMessages * kEvery, 10'000); };
        EXPECT_GE(p999(stalled), 250 * kMs);  // 150 messages of 15,000 wait, the 15th longest of them 270 ms
        EXPECT_LE(p999(calm), 2 * kMs);
        EXPECT_LE(stalled.latency_ns(0.5, 0, kMessages * kEvery, 1), 2 * kMs);
        EXPECT_GE(stalled.latency_ns(1, 0, kMessages * kEvery, 1), kStall);
    }
}

TEST(Stall, TooFewMessagesForThePercentileAreNotMeasured) {
    base::Rng rng(report::test_seed());
    const LedgerReport stalled = handled(0, kStall, rng);
    EXPECT_EQ(stalled.latency_ns(0.999, 0, 9'999 * kEvery, 10'000), -1);
    EXPECT_GE(stalled.latency_ns(0.999, 0, 10'000 * kEvery, 10'000), 0);
}

// What a closed loop would have said: it asks again only when it has an answer, so one message of the stall is all it sees.
TEST(Stall, AClosedLoopWouldNotHaveSeenIt) {
    LedgerReport closed;
    std::int64_t now = 0;
    for (std::int64_t i = 0; i < kMessages; ++i) {
        const bool stalls = i == kMessages / 2;
        const std::int64_t taken = kMs + (stalls ? kStall : 0);
        closed.latencies.push_back({now, taken});
        now += std::max(kEvery, taken);
    }
    EXPECT_LE(closed.latency_ns(0.999, 0, now, 10'000), 2 * kMs);
}

}  // namespace
}  // namespace parti::test
