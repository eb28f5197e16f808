#include "testutil/statistics.h"

#include <cmath>

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/verdict.h"

namespace parti::report {
namespace {

using Values = std::vector<double>;

TEST(Statistics, MedianAndSpreadOfSmallSets) {
    EXPECT_EQ(median(Values{3}), 3);
    EXPECT_EQ(median(Values{4, 1, 3, 2}), 2.5);
    EXPECT_EQ(median_absolute_deviation(Values{1, 2, 3, 4, 100}), 1);
    EXPECT_NEAR(relative_noise(Values{1, 2, 3, 4, 100}), 1.4826 / 3, 1e-12);
    EXPECT_EQ(relative_noise(Values{0, 0, 0}), 0);
    EXPECT_EQ(relative_noise(Values{0, 0, 0, 1, 1}), 0);  // the MAD of a minority is 0
    EXPECT_NEAR(coefficient_of_variation(Values{1, 2, 3}), 0.5, 1e-12);
    EXPECT_EQ(coefficient_of_variation(Values{7}), 0);
}

// Five against five: the bounds are the 5th smallest and 5th largest of the 25 differences (S-6.3).
TEST(Statistics, HodgesLehmannBoundsAreTheFifthOfTwentyFive) {
    const Values x{1, 2, 4, 8, 16};
    const Values y{3, 6, 12, 24, 48};
    std::vector<double> differences;
    for (const double a : x) {
        for (const double b : y) differences.push_back(std::log(b) - std::log(a));
    }
    std::sort(differences.begin(), differences.end());
    const Effect effect = hodges_lehmann(x, y);
    EXPECT_NEAR(effect.estimate, std::log(3), 1e-12);
    ASSERT_TRUE(effect.lower && effect.upper);
    EXPECT_EQ(*effect.lower, differences[4]);
    EXPECT_EQ(*effect.upper, differences[20]);
}

TEST(Statistics, TwoValuesGiveNoBound) {
    EXPECT_FALSE(hodges_lehmann(Values{1, 2}, Values{1}).lower);
    EXPECT_FALSE(hodges_lehmann(Values{1}, Values{1}).upper);
}

TEST(Statistics, SmallestDetectableChangeShrinksWithLaunchesDownToTheThreshold) {
    EXPECT_NEAR(smallest_detectable(0.1, 0.2, 4), 0.3, 1e-12);
    EXPECT_EQ(smallest_detectable(0.1, 0.01, 5), 0.1);
}

Judgement judge_memory(const Values& before, const Values& now) {
    const Metric metric = metric_of("m", Kind::anon_memory, Unit::kB, {1});
    return judge(metric, default_threshold(metric), before, now);
}

TEST(Verdict, MemoryThresholdIsTenPercentAndSixtyFourKilobytes) {
    const Values before{1000, 1001, 999, 1002, 998};
    EXPECT_EQ(judge_memory(before, {1150, 1151, 1149, 1152, 1148}).verdict, Verdict::fail);
    EXPECT_EQ(judge_memory(before, {1080, 1081, 1079, 1082, 1078}).verdict, Verdict::warn);
    EXPECT_EQ(judge_memory(before, {1040, 1041, 1039, 1042, 1038}).verdict, Verdict::pass);
    EXPECT_EQ(judge_memory(before, {850, 851, 849, 852, 848}).verdict, Verdict::improved);
    // 15 % of 200 kB is 30 kB: below the floor.
    EXPECT_EQ(judge_memory({200, 201, 199, 200, 200}, {230, 231, 229, 230, 230}).verdict, Verdict::pass);
}

TEST(Verdict, AMetricsOwnFloorReplacesTheKinds) {
    Metric metric = metric_of("per_worker", Kind::anon_memory, Unit::bytes, {1});
    const Values before{20000, 20100, 19900, 20050, 19950};
    const Values now{26000, 26100, 25900, 26050, 25950};
    EXPECT_EQ(judge(metric, default_threshold(metric), before, now).verdict, Verdict::pass);
    metric.floor = 1000;
    EXPECT_EQ(judge(metric, default_threshold(metric), before, now).verdict, Verdict::fail);
}

TEST(Verdict, FewLaunchesAndNoiseAreInconclusiveAndSayWhatCouldHaveBeenSeen) {
    const auto few = judge_memory({1000, 1001, 999}, {1500, 1501, 1502});
    EXPECT_EQ(few.verdict, Verdict::inconclusive);
    EXPECT_NE(few.note.find("n = 3"), std::string::npos) << few.note;
    const auto noisy = judge_memory({1000, 1001, 999, 1002, 998}, {900, 1000, 1100, 1200, 1300});
    EXPECT_EQ(noisy.verdict, Verdict::inconclusive);
    EXPECT_NE(noisy.note.find("smallest detectable change"), std::string::npos) << noisy.note;
}

TEST(Verdict, NoiseDoesNotHideAChangeThatIsUnmistakable) {
    EXPECT_EQ(judge_memory({1000, 1001, 999, 1002, 998}, {3000, 3300, 3600, 3900, 4200}).verdict, Verdict::fail);
}

TEST(Verdict, ExactCountsFailInBothDirections) {
    const Metric metric = metric_of("threads", Kind::exact, Unit::count, {1});
    const Values before{5, 5, 5};
    EXPECT_EQ(judge(metric, default_threshold(metric), before, Values{5}).verdict, Verdict::pass);
    EXPECT_EQ(judge(metric, default_threshold(metric), before, Values{4}).verdict, Verdict::fail);
    EXPECT_EQ(judge(metric, default_threshold(metric), before, Values{5, 5, 5, 5, 6}).verdict, Verdict::fail);
    EXPECT_EQ(judge(metric, default_threshold(metric), Values{0}, Values{1}).verdict, Verdict::fail);
}

TEST(Verdict, LessThroughputIsWorseAndMoreIsBetter) {
    const Metric metric = metric_of("rate", Kind::throughput, Unit::per_s, {1});
    const Values before{1000, 1001, 999, 1002, 998};
    EXPECT_EQ(judge(metric, default_threshold(metric), before, Values{700, 701, 699, 702, 698}).verdict, Verdict::fail);
    EXPECT_EQ(judge(metric, default_threshold(metric), before, Values{800, 801, 799, 802, 798}).verdict, Verdict::warn);
    EXPECT_EQ(judge(metric, default_threshold(metric), before, Values{1400, 1401, 1399, 1402, 1398}).verdict, Verdict::improved);
}

TEST(Verdict, FloorsOfTimes) {
    const Metric duration = metric_of("startup", Kind::duration, Unit::ms, {1});
    EXPECT_EQ(judge(duration, default_threshold(duration), Values{20, 20, 20, 20, 20}, Values{60, 60, 60, 60, 60}).verdict,
              Verdict::warn);
    EXPECT_EQ(judge(duration, default_threshold(duration), Values{20, 20, 20, 20, 20}, Values{80, 80, 80, 80, 80}).verdict,
              Verdict::fail);
    const Metric latency = metric_of("p95", Kind::latency, Unit::us, {1});
    EXPECT_EQ(default_threshold(latency).floor, 1000);
    EXPECT_EQ(judge(latency, default_threshold(latency), Values{100, 160, 90, 100, 130}, Values{190, 110, 300, 180, 210}).verdict,
              Verdict::pass);  // all of it below the floor, noise included
    EXPECT_EQ(default_threshold(metric_of("x", Kind::cpu_time, Unit::ns, {1})).floor, 1);
}

TEST(Verdict, ABaselineOfZeroIsNoDivision) {
    const Metric metric = metric_of("lost_time", Kind::duration, Unit::ms, {1});
    const Values zero{0, 0, 0, 0, 0};
    EXPECT_EQ(judge(metric, default_threshold(metric), zero, zero).verdict, Verdict::pass);
    EXPECT_EQ(judge(metric, default_threshold(metric), zero, Values{500, 500, 500, 500, 500}).verdict, Verdict::fail);
}

}  // namespace
}  // namespace parti::report
