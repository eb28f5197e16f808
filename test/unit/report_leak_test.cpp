// The exact mode's verdict: what is constant, what is a leak, and what is neither.
#include "testutil/leak.h"

#include <gtest/gtest.h>

namespace parti::report {
namespace {

std::vector<CycleReading> cycles(std::initializer_list<std::int64_t> live) {
    std::vector<CycleReading> out;
    for (const std::int64_t bytes : live) out.push_back({static_cast<std::uint64_t>(1'000'000 + bytes), 2'000'000, 9, 12});
    return out;
}

TEST(ExactLeak, TheSameHeapIsConstantWhateverTheFirstCyclesDid) {
    const auto judged = judge_cycles(cycles({0, 5000, 5100, 5200, 5200, 5200, 5200, 5200, 5200, 5200, 5200, 5200}));
    EXPECT_EQ(judged.verdict, ExactVerdict::constant) << judged.why;
    EXPECT_EQ(judged.spread, 0U);
    EXPECT_EQ(judged.bytes_per_cycle, 0);
    ASSERT_EQ(judged.deltas.size(), 11U);
    EXPECT_EQ(judged.deltas[0], 5000);
}

TEST(ExactLeak, OneChunkACycleIsALeak) {
    const auto judged = judge_cycles(cycles({0, 0, 0, 16, 32, 48, 64, 80, 96, 112, 128, 144}));
    EXPECT_EQ(judged.verdict, ExactVerdict::leak) << judged.why;
    EXPECT_EQ(judged.bytes_per_cycle, 16);
    EXPECT_EQ(judged.growing, 9U);
    // One cycle in which something else was given back does not hide it.
    EXPECT_EQ(judge_cycles(cycles({0, 0, 0, 16, 32, 48, 0, 80, 96, 112, 128, 144})).verdict, ExactVerdict::leak);
}

TEST(ExactLeak, ToleranceIsForWhatGoesUpAndDown) {
    EXPECT_EQ(judge_cycles(cycles({0, 0, 0, 0, 64, 0, 64, 0, 64, 0, 64, 0})).verdict, ExactVerdict::constant);
    const auto judged = judge_cycles(cycles({0, 0, 0, 0, 80, 0, 80, 0, 80, 0, 80, 0}));
    EXPECT_EQ(judged.verdict, ExactVerdict::unsettled);
    EXPECT_NE(judged.why.find("80 bytes"), std::string::npos) << judged.why;
    // One step is not a leak, but it is not constant either.
    EXPECT_EQ(judge_cycles(cycles({0, 0, 0, 0, 0, 0, 4096, 4096, 4096, 4096, 4096, 4096})).verdict, ExactVerdict::unsettled);
}

TEST(ExactLeak, ThreadsAndDescriptorsAreExact) {
    auto threads = cycles({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    threads[7].threads = 10;
    auto judged = judge_cycles(threads);
    EXPECT_EQ(judged.verdict, ExactVerdict::unsettled);
    EXPECT_NE(judged.why.find("threads changed: 9 to 10"), std::string::npos) << judged.why;
    auto fds = cycles({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    fds[11].fds = 13;
    judged = judge_cycles(fds);
    EXPECT_EQ(judged.verdict, ExactVerdict::unsettled);
    EXPECT_NE(judged.why.find("descriptors changed"), std::string::npos) << judged.why;
    // In the skipped ones they may differ.
    auto first = cycles({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    first[0].threads = 5;
    EXPECT_EQ(judge_cycles(first).verdict, ExactVerdict::constant);
}

TEST(ExactLeak, TooFewCyclesSayNothing) {
    const auto judged = judge_cycles(cycles({0, 0, 0, 0, 0}));
    EXPECT_EQ(judged.verdict, ExactVerdict::unsettled);
    EXPECT_NE(judged.why.find("too few"), std::string::npos);
}

TEST(ExactLeak, TheEnvironmentPinsTheAllocator) {
    const auto environment = exact_mode_environment();
    ASSERT_EQ(environment.count("GLIBC_TUNABLES"), 1U);
    for (const char* wanted : {"tcache_count=0", "arena_max=1", "stack_cache_size=0"}) {
        EXPECT_NE(environment.at("GLIBC_TUNABLES").find(wanted), std::string::npos) << wanted;
    }
}

}  // namespace
}  // namespace parti::report
