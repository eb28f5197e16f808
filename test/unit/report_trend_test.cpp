// Trend: slopes, bounds, and the soak's rules against series that are drawn: quiet, warming up, with the allocator's steps,
// leaking.
#include "testutil/trend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <random>

namespace parti::report {
namespace {

constexpr std::uint64_t kSeed = 0x50a4'7e57'0000'0001;

// A process of 16 MB that is sampled once a second.
struct Series {
    double minutes = 15;
    double noise = 0.005;         // of the level; autocorrelated
    double correlation = 0.95;    // from one second to the next
    double warm_up = 0;           // share of the level that is filled up at first ...
    double warm_up_minutes = 1;   // ... with this time constant
    double steps_per_minute = 0;  // of the allocator, up and down, each up to 2 % of the level
    double growth = 0;            // share of the level over the whole time
};
constexpr double kLevel = 16e6;

// `parts` series of equal length, one process: what comes later goes on where the first ended.
std::vector<std::vector<Point>> draw(const Series& s, int parts, std::mt19937_64& random) {
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    const int seconds = static_cast<int>(s.minutes * 60);
    double noise = normal(random), steps = 0;
    std::vector<std::vector<Point>> out(static_cast<std::size_t>(parts));
    for (int t = 0; t < seconds * parts; ++t) {
        noise = s.correlation * noise + std::sqrt(1 - s.correlation * s.correlation) * normal(random);
        if (uniform(random) < s.steps_per_minute / 60) steps += 0.02 * (2 * uniform(random) - 1);
        const double warm = s.warm_up * (1 - std::exp(-t / (60 * s.warm_up_minutes)));
        const double y = kLevel * (1 + s.noise * noise + steps + warm + s.growth * t / seconds);
        out[static_cast<std::size_t>(t / seconds)].push_back({static_cast<double>(t), y});
    }
    return out;
}

struct Rates {
    int raw = 0, once = 0, twice = 0, of = 0;  // Mann-Kendall on raw samples; the rule; the rule and its extension
};

Rates count(const char* what, const Series& series, int draws = 300) {
    const TrendRule rule{.floor = 1 << 20};
    std::mt19937_64 random(kSeed);
    Rates rates;
    rates.of = draws;
    for (int i = 0; i < draws; ++i) {
        const auto parts = draw(series, 2, random);
        std::vector<double> raw;
        for (std::size_t j = 0; j < parts[0].size(); j += 3) raw.push_back(parts[0][j].y);
        rates.raw += std::fabs(mann_kendall(raw).z) > 2.576 ? 1 : 0;
        const Trend first = judge_trend(parts[0], rule);
        if (!first.suspect) continue;
        ++rates.once;
        rates.twice += judge_soak(first, judge_trend(parts[1], rule, 0, false)) == SoakVerdict::leak ? 1 : 0;
    }
    std::printf("%-28s raw Mann-Kendall %3d, suspected %3d, confirmed %3d of %d (seed 0x%llx)\n", what, rates.raw, rates.once,
                rates.twice, rates.of, static_cast<unsigned long long>(kSeed));
    return rates;
}

TEST(Trend, MannKendallCountsPairs) {
    const std::vector<double> up = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const MannKendall all = mann_kendall(up);
    EXPECT_EQ(all.s, 45);
    EXPECT_DOUBLE_EQ(all.variance, 125);
    EXPECT_NEAR(all.z, 44 / std::sqrt(125.0), 1e-12);
    const std::vector<double> flat(10, 7);
    EXPECT_EQ(mann_kendall(flat).z, 0);
    const std::vector<double> down = {3, 2, 1};
    EXPECT_EQ(mann_kendall(down).s, -3);
    EXPECT_LT(mann_kendall(down).z, 0);
    EXPECT_EQ(mann_kendall({}).z, 0);
}

TEST(Trend, TheilSenIgnoresOneOutlierAndBoundsTheSlope) {
    std::vector<Point> points;
    for (int i = 0; i < 20; ++i) points.push_back({static_cast<double>(i), 100.0 + 3 * i + (i % 2 == 0 ? 0.5 : -0.5)});
    points[10].y = 1e6;
    const Line line = theil_sen(points);
    EXPECT_NEAR(line.slope, 3, 0.05);
    EXPECT_NEAR(line.intercept, 100, 1);
    EXPECT_LE(line.lower, 3);
    EXPECT_GE(line.upper, 3);
    EXPECT_LT(line.upper - line.lower, 0.5);
    EXPECT_GT(line.max_residual, 100);
}

TEST(Trend, TheilSenPairsOnlyDifferentX) {
    // Three launches of each of four sizes: 24 kB + 16 kB a worker, with noise that does not average out.
    std::vector<Point> points;
    for (const double workers : {1.0, 10.0, 20.0, 30.0}) {
        for (const double noise : {-20.0, 0.0, 20.0}) points.push_back({workers, 24 + 16 * workers + noise});
    }
    const Line line = theil_sen(points);
    EXPECT_NEAR(line.slope, 16, 0.01);
    EXPECT_NEAR(line.intercept, 24, 1);
    EXPECT_GT(line.lower, 14);
    EXPECT_LT(line.lower, 16);
    EXPECT_GT(line.upper, 16);
    EXPECT_LT(line.upper, 18);
}

// The bounds hold what they promise: about 95 of 100 intervals contain the true slope.
TEST(Trend, TheilSenIntervalsCoverTheTrueSlope) {
    std::mt19937_64 random(kSeed);
    std::normal_distribution<double> normal;
    constexpr int kDraws = 1000;
    int inside = 0;
    for (int i = 0; i < kDraws; ++i) {
        std::vector<Point> points;
        for (const double workers : {1.0, 5.0, 10.0, 20.0, 30.0}) {
            for (int launch = 0; launch < 5; ++launch) points.push_back({workers, 1600 + 16 * workers + 10 * normal(random)});
        }
        const Line line = theil_sen(points);
        inside += line.lower <= 16 && 16 <= line.upper ? 1 : 0;
    }
    std::printf("%d of %d intervals contain the true slope\n", inside, kDraws);
    EXPECT_GE(inside, 930);
    EXPECT_LE(inside, 980);
}

TEST(Trend, BinnedMediansLeaveEmptyPiecesOut) {
    const std::vector<Point> points = {{0, 1}, {1, 100}, {2, 3}, {30, 5}, {40, 7}};
    const auto bins = binned_medians(points, 4);
    ASSERT_EQ(bins.size(), 2U);
    EXPECT_EQ(bins[0].y, 3);
    EXPECT_EQ(bins[1].y, 6);
    EXPECT_TRUE(binned_medians({}, 4).empty());
}

TEST(Trend, QuietSeriesAreLeftAloneAlthoughRawTestsAreNot) {
    const Rates quiet = count("quiet, 15 min", {});
    EXPECT_GE(quiet.raw, quiet.of / 4) << "the series are not autocorrelated enough to prove anything";
    EXPECT_EQ(quiet.once, 0);
    const Rates five = count("quiet, 5 min", {.minutes = 5});
    EXPECT_GE(five.raw, five.of / 4);
    EXPECT_EQ(five.once, 0);
    // A process four times as restless.
    const Rates restless = count("restless, 15 min", {.noise = 0.02, .correlation = 0.99});
    EXPECT_LE(restless.once, restless.of * 6 / 100);
    EXPECT_LE(restless.twice, restless.of / 100);
}

TEST(Trend, WarmUpIsNoLeak) {
    const Rates warm = count("warm-up, 15 min", {.warm_up = 0.3});
    EXPECT_GE(warm.raw, warm.of * 9 / 10) << "the warm-up is not seen at all";
    EXPECT_EQ(warm.once, 0);
    const Rates slow = count("slow warm-up, 15 min", {.warm_up = 0.3, .warm_up_minutes = 3});
    EXPECT_LE(slow.once, slow.of * 6 / 100);
    EXPECT_EQ(slow.twice, 0);
}

TEST(Trend, StepsOfTheAllocatorAreSeldomConfirmed) {
    const Rates steps = count("steps, 15 min", {.steps_per_minute = 0.5});
    EXPECT_GE(steps.raw, steps.of / 4);
    EXPECT_LE(steps.once, steps.of * 13 / 100);
    EXPECT_LE(steps.twice, steps.of / 100);
    const Rates hour = count("steps, 60 min", {.minutes = 60, .steps_per_minute = 0.5});
    EXPECT_LE(hour.once, hour.of * 13 / 100);
    EXPECT_LE(hour.twice, hour.of * 55 / 1000);
}

TEST(Trend, LeaksAreFound) {
    const Rates ten = count("+10 %, 15 min", {.growth = 0.1});
    EXPECT_GE(ten.twice, ten.of * 60 / 100);
    const Rates more = count("+15 %, 15 min", {.growth = 0.15});
    EXPECT_GE(more.twice, more.of * 98 / 100);
    const Rates noisy = count("+20 % and steps, 15 min", {.steps_per_minute = 0.5, .growth = 0.2});
    EXPECT_GE(noisy.twice, noisy.of * 90 / 100);
    const Rates warming = count("+15 % and warm-up, 15 min", {.warm_up = 0.3, .growth = 0.15});
    EXPECT_GE(warming.twice, warming.of * 90 / 100);
}

TEST(Trend, JudgementNamesTheConditionThatDoesNotHold) {
    const auto judge = [](const std::function<double(int)>& f, double floor) {
        std::vector<Point> points;
        for (int t = 0; t < 400; ++t) points.push_back({static_cast<double>(t), f(t)});
        return judge_trend(points, {.floor = floor, .floor_relative = 0}, 0, false);
    };
    EXPECT_NE(judge([](int) { return 5.0; }, 1).why.find("no trend"), std::string::npos);
    EXPECT_NE(judge([](int t) { return 1000.0 + t * 0.1; }, 100).why.find("not above the floor"), std::string::npos);
    // One jump in the middle: each half is flat.
    EXPECT_NE(judge([](int t) { return 1000.0 + t * 0.001 + (t < 200 ? 0 : 500); }, 100).why.find("not"), std::string::npos);
    EXPECT_FALSE(judge([](int t) { return t < 200 ? 1000.0 + t * 0.001 : 1500.0; }, 100).suspect);
    const Trend leak = judge([](int t) { return 1000.0 + t; }, 100);
    EXPECT_TRUE(leak.suspect) << leak.why;
    EXPECT_NEAR(leak.slope, 1, 0.005);
    EXPECT_NEAR(leak.growth, 399, 2);
    const std::vector<Point> few = {{0, 1}, {1, 2}};
    EXPECT_NE(judge_trend(few, {}, 0).why.find("pieces of time"), std::string::npos);
}

TEST(Trend, ALeakFollowsTheRateOfOperations) {
    EXPECT_TRUE(proportional(100, 10, 190, 20));
    EXPECT_FALSE(proportional(100, 10, 100, 20)) << "drift that does not depend on the operations";
    EXPECT_FALSE(proportional(100, 10, 0, 20));
    EXPECT_FALSE(proportional(100, 0, 100, 10));
    EXPECT_TRUE(proportional(100, 10, 141, 20));
    EXPECT_FALSE(proportional(100, 10, 139, 20));
}

TEST(Trend, PlateauIsADriftBelowOnePercent) {
    const auto judge = [](double per_sample) {
        std::vector<Point> points;
        for (int i = 0; i < 30; ++i) points.push_back({0.1 * i, 2e6 + per_sample * i});
        return judge_plateau(points);
    };
    EXPECT_TRUE(judge(0).reached);
    EXPECT_TRUE(judge(600).reached);
    EXPECT_FALSE(judge(1000).reached);
    EXPECT_FALSE(judge(-1000).reached);
    EXPECT_NEAR(judge(1000).drift, 29000 / 2.0145e6, 1e-4);
    EXPECT_TRUE(judge_plateau(std::vector<Point>{}).reached);
}

}  // namespace
}  // namespace parti::report
