// recovery_of on made-up ledgers: 300 messages a second, 5 s of calm, 1 s of burst, 8 s after it.
#include "testutil/recovery.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

namespace parti::test {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr Span kCalm{1000 * kMs, 5000 * kMs}, kAfter{6000 * kMs, 14'000 * kMs};

// The latency of a message by its intended time, in ms; a tenth of the messages take twice as long, so that p95 sees them only.
LedgerReport ledger(const std::function<double(std::int64_t)>& latency_ms) {
    LedgerReport report;
    for (std::int64_t i = 0; i < 300 * 14; ++i) {
        const std::int64_t at = i * 1000 * kMs / 300;
        const double ms = latency_ms(at / kMs) * (i % 10 == 0 ? 2 : 1);
        report.latencies.push_back({at, static_cast<std::int64_t>(ms * 1e6)});
    }
    return report;
}

std::optional<Recovery> judge(const std::function<double(std::int64_t)>& latency_ms) {
    const auto recovery = recovery_of(ledger(latency_ms), kCalm, kAfter);
    if (recovery) std::printf("  %s\n", describe(*recovery).c_str());
    return recovery;
}

bool in_burst(std::int64_t ms) { return ms >= 5000 && ms < 6000; }

TEST(Recovery, ABacklogThatIsWorkedOff) {
    // 100 ms when the burst ends, gone 2 s later
    const auto r = judge([](std::int64_t ms) {
        if (in_burst(ms)) return 100.0;
        return ms >= 6000 && ms < 8000 ? 1 + 99 * static_cast<double>(8000 - ms) / 2000 : 1.0;
    });
    ASSERT_TRUE(r);
    EXPECT_TRUE(r->recovered());
    EXPECT_DOUBLE_EQ(r->usual_ns, 2e6);
    EXPECT_DOUBLE_EQ(r->allowed_ns, 2.4e6);
    EXPECT_DOUBLE_EQ(r->last_ns, 2e6);
    EXPECT_EQ(r->after_ns, 2000 * kMs);
}

TEST(Recovery, AtOnceWhenTheBurstLeavesNothing) {
    const auto r = judge([](std::int64_t ms) { return in_burst(ms) ? 5.0 : 1.0; });
    ASSERT_TRUE(r);
    EXPECT_TRUE(r->recovered());
    EXPECT_EQ(r->after_ns, 0);
    EXPECT_DOUBLE_EQ(r->ratio(), 1);
}

TEST(Recovery, NeverWhenItStaysAThirdSlower) {
    const auto r = judge([](std::int64_t ms) { return in_burst(ms) ? 5.0 : ms < 5000 ? 1.0 : 1.3; });
    ASSERT_TRUE(r);
    EXPECT_FALSE(r->recovered());
    EXPECT_FALSE(r->after_ns);
    EXPECT_NEAR(r->ratio(), 1.3, 1e-9);
    EXPECT_NE(describe(*r).find("never as before"), std::string::npos);
}

TEST(Recovery, OneLuckyWindowIsNone) {
    const auto r = judge([](std::int64_t ms) {
        const bool lucky = ms >= 7000 && ms < 7500;
        return ms < 5000 || lucky ? 1.0 : 3.0;
    });
    ASSERT_TRUE(r);
    EXPECT_FALSE(r->after_ns);
    EXPECT_FALSE(r->recovered());
}

TEST(Recovery, WhatDoesNotLastIsNone) {
    // as before for the first 3 s, and worse from then on
    const auto r = judge([](std::int64_t ms) { return in_burst(ms) ? 5.0 : ms < 9000 ? 1.0 : 2.0; });
    ASSERT_TRUE(r);
    EXPECT_EQ(r->after_ns, 0);
    EXPECT_NEAR(r->ratio(), 2, 1e-9);
    EXPECT_FALSE(r->recovered());
}

TEST(Recovery, OneUnluckyWindowAtTheEndDoesNotMatter) {
    const auto r = judge([](std::int64_t ms) { return in_burst(ms) ? 5.0 : ms >= 13'000 && ms < 13'500 ? 50.0 : 1.0; });
    ASSERT_TRUE(r);
    EXPECT_TRUE(r->recovered());
}

// A calm that has windows three times as slow as its usual ones allows no less to what comes after it.
TEST(Recovery, TheNoiseOfTheCalmIsAllowedAfterItToo) {
    const auto noisy = [](std::int64_t ms) { return in_burst(ms) ? 50.0 : ms / 500 % 4 == 0 ? 3.0 : 1.0; };
    const auto r = judge([&](std::int64_t ms) { return noisy(ms) * (ms < 6000 ? 1 : 1.5); });
    ASSERT_TRUE(r);
    EXPECT_DOUBLE_EQ(r->usual_ns, 2e6);
    EXPECT_DOUBLE_EQ(r->allowed_ns, 6e6);
    EXPECT_TRUE(r->recovered());
    const auto slower = judge([&](std::int64_t ms) { return noisy(ms) * (ms < 6000 ? 1 : 3.5); });
    ASSERT_TRUE(slower);
    EXPECT_FALSE(slower->recovered());
}

TEST(Recovery, OneFreakOfTheCalmAllowsNothing) {
    const auto r = judge([](std::int64_t ms) {
        return in_burst(ms) ? 50.0 : ms < 5000 ? (ms >= 1000 && ms < 1500 ? 40.0 : 1.0) : 1.5;
    });
    ASSERT_TRUE(r);
    EXPECT_DOUBLE_EQ(r->allowed_ns, 2.4e6);
    EXPECT_FALSE(r->recovered());
}

// How often it is wrong about machines that only are noisy: log-normal windows, the same before and after. Judged twice, as the
// scenarios do, since either alone would fail them now and then.
TEST(Recovery, NoiseAloneSeldomLooksLikeNoRecovery) {
    constexpr std::uint64_t kSeed = 0x5eed'0000'0000'0007;
    constexpr int kDraws = 300;
    for (const double noise : {0.05, 0.3, 0.8}) {
        std::mt19937_64 random(kSeed);
        std::lognormal_distribution<double> draw(0, noise);
        int once = 0, twice = 0;
        const auto fails = [&] {
            std::vector<double> windows(28);
            for (double& window : windows) window = draw(random);
            const auto of = [&](std::int64_t ms) { return windows[static_cast<std::size_t>(ms / 500)]; };
            const auto r = recovery_of(ledger(of), kCalm, kAfter);
            return r && !r->recovered();
        };
        for (int i = 0; i < kDraws; ++i) {
            if (!fails()) continue;
            ++once;
            twice += fails() ? 1 : 0;
        }
        std::printf("  noise of %.0f %%: %d of %d fail once, %d twice (seed 0x%llx)\n", noise * 100, once, kDraws, twice,
                    static_cast<unsigned long long>(kSeed));
        EXPECT_LE(once, kDraws * 6 / 100);
        EXPECT_LE(twice, kDraws / 100);
    }
}

TEST(Recovery, TooFewMessagesAreNoJudgement) {
    LedgerReport sparse;
    for (std::int64_t i = 0; i < 14 * 18; ++i) sparse.latencies.push_back({i * 1000 * kMs / 18, kMs});  // 9 in half a second
    EXPECT_FALSE(recovery_of(sparse, kCalm, kAfter));
    const LedgerReport enough = ledger([](std::int64_t) { return 1.0; });
    EXPECT_TRUE(recovery_of(enough, kCalm, kAfter));
    EXPECT_FALSE(recovery_of(enough, {1000 * kMs, 2900 * kMs}, kAfter));
    EXPECT_FALSE(recovery_of(enough, kCalm, {6000 * kMs, 7900 * kMs}));
    EXPECT_FALSE(recovery_of({}, kCalm, kAfter));
}

}  // namespace
}  // namespace parti::test
