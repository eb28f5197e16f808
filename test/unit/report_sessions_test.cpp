// Change points on seeded series, and the file of sessions.
#include "testutil/sessions.h"

#include <fstream>

#include <gtest/gtest.h>

#include "report_helpers.h"

namespace parti::report {
namespace {

constexpr int kSeries = 1000;

std::vector<double> noisy(Launches& source, std::size_t n, double level, double noise) {
    std::vector<double> values;
    for (std::size_t i = 0; i < n; ++i) values.push_back(level * std::exp(noise * source.normal()));
    return values;
}

std::vector<double> with_step(Launches& source, double noise, double step, std::size_t at = 20, std::size_t after = 20) {
    auto values = noisy(source, at, 2000, noise);
    const auto rest = noisy(source, after, 2000 * (1 + step), noise);
    values.insert(values.end(), rest.begin(), rest.end());
    return values;
}

// The size at which anonymous memory is noisy between nights (1 %): a step of 6 % after 20 of them. A night beside the step that
// errs by more than half of it (3 standard deviations) falls to the other side. Of 150 drawn seeds: 992.6 +- 2.8 exact of 1,000,
// 996.5 +- 1.9 near; the limits are eight standard deviations below.
TEST(ChangePoints, FindsASixPercentStepAfterTwentyPoints) {
    Launches source(test_seed());
    int exact = 0, near = 0;
    for (int i = 0; i < kSeries; ++i) {
        const auto points = change_points(with_step(source, 0.01, 0.06));
        exact += points.size() == 1 && points.front().index == 20 ? 1 : 0;
        near += points.size() == 1 && points.front().index >= 19 && points.front().index <= 21 && points.front().change > 0.05
                    ? 1
                    : 0;
    }
    EXPECT_GE(exact, kSeries * 97 / 100);
    EXPECT_GE(near, kSeries * 98 / 100);
}

TEST(ChangePoints, FindsItWithinAWeekOfNights) {
    Launches source(test_seed());
    int found = 0;
    for (int i = 0; i < kSeries; ++i) found += change_points(with_step(source, 0.01, 0.06, 30, 7)).size() == 1 ? 1 : 0;
    EXPECT_GE(found, kSeries * 95 / 100);
}

TEST(ChangePoints, IsQuietOnNoise) {
    Launches source(test_seed());
    int at_one = 0, at_five = 0;
    for (int i = 0; i < kSeries; ++i) {
        at_one += change_points(noisy(source, 100, 2000, 0.01)).empty() ? 0 : 1;
        at_five += change_points(noisy(source, 100, 2000, 0.05)).empty() ? 0 : 1;
    }
    EXPECT_EQ(at_one, 0);  // the least change of 5 % is five standard deviations
    EXPECT_LE(at_five, kSeries * 8 / 100);
}

TEST(ChangePoints, ASmallStepIsNotReportedHoweverCertain) {
    Launches source(test_seed());
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(change_points(with_step(source, 0.001, 0.03)).empty());
}

TEST(ChangePoints, FindsBothEndsOfABumpAndARecentStepBehindALongHistory) {
    Launches source(test_seed());
    int bumps = 0, recent = 0;
    for (int i = 0; i < 100; ++i) {
        auto bump = with_step(source, 0.01, 0.10, 20, 15);
        const auto back = noisy(source, 15, 2000, 0.01);
        bump.insert(bump.end(), back.begin(), back.end());
        const auto points = change_points(bump);
        bumps +=
            points.size() == 2 && points[0].index == 20 && points[1].index == 35 && points[0].change > 0 && points[1].change < 0
                ? 1
                : 0;
        const auto late = change_points(with_step(source, 0.01, 0.06, 300, 8));
        recent += late.size() == 1 && late.front().index >= 299 && late.front().index <= 301 ? 1 : 0;
    }
    EXPECT_GE(bumps, 97);
    EXPECT_GE(recent, 95);
}

TEST(ChangePoints, ShortAndConstantSeries) {
    EXPECT_TRUE(change_points(std::vector<double>{}).empty());
    EXPECT_TRUE(change_points(std::vector<double>{1, 2, 3}).empty());
    EXPECT_TRUE(change_points(std::vector<double>(40, 9)).empty());
    std::vector<double> counts(20, 9);
    counts.insert(counts.end(), 20, 10);
    const auto points = change_points(counts);
    ASSERT_EQ(points.size(), 1U);
    EXPECT_EQ(points.front().index, 20U);
    EXPECT_EQ(points.front().before, 9);
    EXPECT_EQ(points.front().after, 10);
}

TEST(ChangePoints, SameSeriesSameAnswer) {
    Launches source(7);
    const auto series = with_step(source, 0.05, 0.08);
    const auto first = change_points(series);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(change_points(series).size(), first.size());
}

// Reference values of the t distribution: t = 2.306 with 8 degrees of freedom is p = 0.05.
TEST(ChangePoints, WelchAgreesWithTheTables) {
    const std::vector<double> a{1, 2, 3, 4, 5};
    std::vector<double> b;
    for (const double value : a) b.push_back(value + 2.306004);  // both have variance 2.5: standard error 1
    EXPECT_NEAR(welch_p(a, b), 0.05, 1e-5);
    EXPECT_EQ(welch_p(std::vector<double>{1, 1}, std::vector<double>{1, 1}), 1);
    EXPECT_EQ(welch_p(std::vector<double>{1, 1}, std::vector<double>{2, 2}), 0);
}

TestResult night(int index, double factor) {
    TestResult result = usual_result("TestScale_Small/3w", factor);
    result.run = "night-" + std::to_string(index);
    char started[40];
    std::snprintf(started, sizeof started, "2026-%02d-%02dT02:17:00Z", 1 + index / 28, 1 + index % 28);
    result.started = started;
    return result;
}

class SessionFile : public ::testing::Test {
protected:
    void add(int index, double factor) {
        const auto session = session_of({night(index, factor)});
        ASSERT_TRUE(session.has_value());
        const auto added = append_session(file_, *session);
        ASSERT_TRUE(added.has_value()) << added.error().text;
    }
    TempFolder folder_;
    std::filesystem::path file_ = folder_ / "history.ndjson";
};

TEST_F(SessionFile, ASlowDriftIsFoundInItsMetricsOnly) {
    Launches source(test_seed());
    for (int i = 0; i < 40; ++i) add(i, (i < 20 ? 1 : 1.07) * std::exp(0.005 * source.normal()));
    const auto sessions = read_sessions(file_);
    ASSERT_TRUE(sessions.has_value()) << sessions.error().text;
    ASSERT_EQ(sessions->all.size(), 40U);
    const auto series = series_of(*sessions);
    EXPECT_EQ(series.size(), 6U);  // all but the advisory one
    const auto found = drifts(series);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found.front().series->key, "TestScale_Small/3w/rss_anon");
    EXPECT_EQ(found.front().series->sessions[found.front().point.index]->run, "night-20");
    EXPECT_TRUE(found.front().worse);
    EXPECT_EQ(series_of(*sessions, "*/threads").size(), 1U);
}

// The same metric of another profile, window or mode is another quantity; a step between them is no change.
TEST_F(SessionFile, WhatWasMeasuredInAnotherWayIsASeriesOfItsOwn) {
    for (int i = 0; i < 40; ++i) {
        TestResult result = night(i, i < 20 ? 1 : 1.3);
        result.protocol.environment["PARTI_STRESS_PROFILE"] = i < 20 ? "standard" : "nightly";
        const auto session = session_of({result});
        ASSERT_TRUE(session && append_session(file_, *session));
    }
    const auto sessions = read_sessions(file_);
    ASSERT_TRUE(sessions) << sessions.error().text;
    const auto series = series_of(*sessions, "*/rss_anon");
    ASSERT_EQ(series.size(), 2U);
    EXPECT_EQ(series[0].head.how + "|" + series[1].head.how, "nightly, 10 renewals, prod|standard, 10 renewals, prod");
    EXPECT_TRUE(drifts(series).empty());
}

TEST(SessionOf, AnotherWorkerProgramStoreOrStrategyIsNoPartOfTheHistory) {
    TestResult foreign = usual_result();
    for (const char* mode : {"prod, worker minimal-worker", "prod, store memory", "exact, strategy rendezvous"}) {
        foreign.protocol.mode = mode;
        EXPECT_EQ(session_of({foreign}).error().code, ExitCode::setup) << mode;
    }
}

TEST_F(SessionFile, ARunIsAddedOnce) {
    add(1, 1);
    const auto again = append_session(file_, *session_of({night(1, 1)}));
    ASSERT_FALSE(again.has_value());
    EXPECT_NE(again.error().text.find("night-1"), std::string::npos);
    EXPECT_EQ(read_sessions(file_)->all.size(), 1U);
}

TEST_F(SessionFile, ALineThatACrashCutIsSkippedAndTheNextBeginsANewOne) {
    add(1, 1);
    const std::string whole = slurp(file_);
    spill(file_, whole + whole.substr(0, whole.size() / 2));
    add(2, 1);
    const auto sessions = read_sessions(file_);
    ASSERT_TRUE(sessions.has_value()) << sessions.error().text;
    ASSERT_EQ(sessions->all.size(), 2U);
    EXPECT_EQ(sessions->all.back().run, "night-2");
    ASSERT_EQ(sessions->remarks.size(), 1U);
    EXPECT_NE(sessions->remarks.front().find("history.ndjson:2"), std::string::npos);
}

TEST_F(SessionFile, ALineThatBreaksARuleIsRefusedByNumber) {
    add(1, 1);
    const std::string whole = slurp(file_);
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = whole;
        text.replace(text.find(from), from.size(), to);
        spill(file_, whole + text);
        const auto sessions = read_sessions(file_);
        EXPECT_FALSE(sessions.has_value()) << from;
        return sessions ? "" : sessions.error().text;
    };
    EXPECT_NE(with("parti-stress-session/1", "parti-stress-session/2").find("history.ndjson:2"), std::string::npos);
    EXPECT_NE(with("\"unit\":\"kB\"", "\"unit\":\"lb\"").find("'lb'"), std::string::npos);
    EXPECT_NE(with("\"run\"", "\"ran\"").find("run"), std::string::npos);
    spill(file_, whole + "[1]\n");
    EXPECT_FALSE(read_sessions(file_).has_value());
    EXPECT_FALSE(read_sessions(folder_ / "absent").has_value());
}

TEST(SessionOf, SanitizerBuildsAndFailedTestsAreLeftOut) {
    TestResult failed = usual_result();
    failed.status = TestStatus::failed;
    EXPECT_EQ(session_of({failed}).error().code, ExitCode::setup);
    TestResult sanitized = usual_result();
    sanitized.fingerprint.set("sanitizer", "address+undefined");
    EXPECT_FALSE(session_of({sanitized}).has_value());
    TestResult elsewhere = usual_result("Other/1w");
    elsewhere.fingerprint.set("cpu_model", "another");
    EXPECT_EQ(session_of({usual_result(), elsewhere}).error().code, ExitCode::bad_input);
}

}  // namespace
}  // namespace parti::report
