// The alarm's own accuracy on made-up launches: silent when nothing changed, certain at +15 %, no FAIL at +5 %.
#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/verdict.h"

namespace parti::report {
namespace {

constexpr int kTrials = 3000;
constexpr double kNoise = 0.01;         // between the launches of one run, as measured for anonymous memory
constexpr double kBetweenRuns = 0.003;  // between runs: another order of launches, another address layout

struct Counts {
    int fail = 0, warn = 0, improved = 0, inconclusive = 0, pass = 0;
};

// `factor`: what the code under test really costs, against the baseline's code. Three runs of five launches against one.
Counts trials(const Metric& metric, double centre, double factor, double noise, std::uint64_t seed) {
    Launches source(seed);
    Counts counts;
    for (int trial = 0; trial < kTrials; ++trial) {
        std::vector<double> baseline;
        for (int run = 0; run < 3; ++run) {
            const auto launches = source.draw(centre * std::exp(kBetweenRuns * source.normal()), noise, 5);
            baseline.insert(baseline.end(), launches.begin(), launches.end());
        }
        const auto current = source.draw(centre * factor * std::exp(kBetweenRuns * source.normal()), noise, 5);
        switch (judge(metric, default_threshold(metric), baseline, current).verdict) {
            case Verdict::fail: ++counts.fail; break;
            case Verdict::warn: ++counts.warn; break;
            case Verdict::improved: ++counts.improved; break;
            case Verdict::inconclusive: ++counts.inconclusive; break;
            default: ++counts.pass; break;
        }
    }
    return counts;
}

class Alarm : public ::testing::Test {
protected:
    const Metric memory_ = metric_of("rss_anon", Kind::anon_memory, Unit::kB, {1});
};

TEST_F(Alarm, IsSilentWhenNothingChanged) {
    const auto counts = trials(memory_, 1100, 1.0, kNoise, test_seed());
    EXPECT_EQ(counts.pass, kTrials) << counts.fail << " FAIL, " << counts.warn << " WARN, " << counts.inconclusive
                                    << " INCONCLUSIVE";
}

TEST_F(Alarm, FindsFifteenPercentOfEverySizeWeMeasure) {
    const std::uint64_t seed = test_seed();
    for (const double kilobytes : {1100.0, 2000.0, 4000.0, 35000.0}) {
        EXPECT_EQ(trials(memory_, kilobytes, 1.15, kNoise, seed).fail, kTrials) << kilobytes << " kB";
    }
}

TEST_F(Alarm, DoesNotFailAtFivePercent) {
    const std::uint64_t seed = test_seed();
    for (const double kilobytes : {1100.0, 4000.0})
        EXPECT_EQ(trials(memory_, kilobytes, 1.05, kNoise, seed).fail, 0) << kilobytes;
}

TEST_F(Alarm, SaysInconclusiveInsteadOfGuessingOnANoisyMachine) {
    const auto counts = trials(memory_, 2000, 1.0, 0.15, test_seed());
    EXPECT_GT(counts.inconclusive, kTrials * 8 / 10);
    EXPECT_LT(counts.fail, kTrials / 100);
}

TEST_F(Alarm, FindsAThroughputThatFellByAThirdAndADurationThatDoubled) {
    const std::uint64_t seed = test_seed();
    EXPECT_EQ(trials(metric_of("rate", Kind::throughput, Unit::per_s, {1}), 50000, 0.66, kNoise, seed).fail, kTrials);
    EXPECT_EQ(trials(metric_of("rate", Kind::throughput, Unit::per_s, {1}), 50000, 0.90, kNoise, seed).fail, 0);
    EXPECT_EQ(trials(metric_of("startup", Kind::duration, Unit::ms, {1}), 200, 2.0, 0.05, seed).fail, kTrials);
    EXPECT_EQ(trials(metric_of("startup", Kind::duration, Unit::ms, {1}), 200, 1.2, 0.05, seed).fail, 0);
}

}  // namespace
}  // namespace parti::report
