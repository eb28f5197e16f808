#include "testutil/load_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "testutil/load_generator.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

std::vector<DueMessage> all(const LoadPlan& plan) {
    LoadSchedule schedule(plan);
    std::vector<DueMessage> out;
    while (const auto due = schedule.next()) out.push_back(*due);
    return out;
}

LoadPlan plan_of(Weights weights, std::vector<LoadPhase> phases, std::uint32_t partitions = 100) {
    LoadPlan plan;
    plan.seed = 42;
    plan.partitions = partitions;
    plan.weights = weights;
    plan.phases = std::move(phases);
    return plan;
}

TEST(LoadSchedule, ASteadyRateIsEvenlySpaced) {
    const auto due = all(plan_of(Weights::uniform, {{2000ms, 500, 500}}));
    ASSERT_EQ(due.size(), 1000U);
    for (std::size_t i = 0; i < due.size(); ++i)
        EXPECT_NEAR(static_cast<double>(due[i].offset_ns), static_cast<double>(i) * 2e6, 2);
}

TEST(LoadSchedule, ARampHasItsIntegralAndItsOrder) {
    const LoadPlan plan = plan_of(Weights::uniform, {{1000ms, 0, 1000}, {1000ms, 1000, 1000}, {1000ms, 1000, 0}});
    EXPECT_DOUBLE_EQ(plan.messages(), 2000);
    EXPECT_EQ(plan.duration(), 3000ms);
    const auto due = all(plan);
    ASSERT_EQ(due.size(), 2000U);
    EXPECT_TRUE(std::is_sorted(due.begin(), due.end(), [](const auto& a, const auto& b) { return a.offset_ns < b.offset_ns; }));
    const auto before = [&](std::int64_t ms) {
        return std::count_if(due.begin(), due.end(), [&](const DueMessage& d) { return d.offset_ns < ms * 1'000'000; });
    };
    EXPECT_NEAR(static_cast<double>(before(500)), 125, 1);  // t^2 / 2
    EXPECT_NEAR(static_cast<double>(before(1000)), 500, 1);
    EXPECT_NEAR(static_cast<double>(before(2000)), 1500, 1);
    EXPECT_NEAR(static_cast<double>(before(2500)), 1875, 1);
    EXPECT_LT(due.back().offset_ns, 3'000'000'000);
}

TEST(LoadSchedule, FractionsOfPhasesAddUp) {
    const auto due = all(plan_of(Weights::uniform, {{100ms, 25, 25}, {100ms, 25, 25}, {100ms, 25, 25}, {100ms, 25, 25}}));
    EXPECT_EQ(due.size(), 10U);
}

TEST(LoadSchedule, OneSeedIsOneSchedule) {
    LoadPlan plan = plan_of(Weights::zipf, {{1000ms, 100, 2000}});
    const auto same = [](const DueMessage& a, const DueMessage& b) {
        return a.offset_ns == b.offset_ns && a.partition == b.partition;
    };
    const auto first = all(plan), second = all(plan);
    EXPECT_TRUE(std::equal(first.begin(), first.end(), second.begin(), second.end(), same));
    plan.seed = 43;
    const auto other = all(plan);
    EXPECT_FALSE(std::equal(first.begin(), first.end(), other.begin(), other.end(), same));
}

TEST(LoadSchedule, WeightsAreThoseOfTheirName) {
    const auto shares = [](Weights weights) {
        const LoadSchedule schedule(plan_of(weights, {{1000ms, 1, 1}}));
        std::vector<double> out;
        for (std::uint32_t i = 0; i < 100; ++i) out.push_back(schedule.share(i));
        std::sort(out.rbegin(), out.rend());
        return out;
    };
    for (const double share : shares(Weights::uniform)) EXPECT_NEAR(share, 0.01, 1e-9);
    const auto zipf = shares(Weights::zipf);
    EXPECT_NEAR(zipf[0] / zipf[9], 10, 1e-6);
    EXPECT_NEAR(zipf[0] / zipf[99], 100, 1e-6);
    const auto hot = shares(Weights::hot);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(hot[i], 0.1, 1e-9);
    EXPECT_NEAR(hot[5], 0.5 / 95, 1e-9);
}

TEST(LoadSchedule, DrawsFollowTheShares) {
    const LoadPlan plan = plan_of(Weights::hot, {{1000ms, 100'000, 100'000}});
    const LoadSchedule schedule(plan);
    std::vector<double> count(100);
    for (const DueMessage& d : all(plan)) count[d.partition] += 1;
    for (std::uint32_t i = 0; i < 100; ++i) EXPECT_NEAR(count[i] / 100'000, schedule.share(i), 0.005);
}

TEST(LoadSchedule, OnePartitionGetsAll) {
    for (const Weights weights : {Weights::uniform, Weights::zipf, Weights::hot}) {
        for (const DueMessage& d : all(plan_of(weights, {{100ms, 1000, 1000}}, 1))) EXPECT_EQ(d.partition, 0U);
    }
}

TEST(LoadSchedule, ABadPlanIsNamedAndEmpty) {
    const auto error_of = [](LoadPlan plan) {
        EXPECT_TRUE(all(plan).empty());
        const auto ok = check_plan(plan);
        return ok ? std::string("none") : ok.error();
    };
    EXPECT_NE(error_of(plan_of(Weights::uniform, {{100ms, 1, 1}}, 0)).find("partitions (0)"), std::string::npos);
    EXPECT_NE(error_of(plan_of(Weights::uniform, {})).find("phases (0)"), std::string::npos);
    EXPECT_NE(error_of(plan_of(Weights::uniform, {{0ms, 1, 1}})).find("duration (0 ms)"), std::string::npos);
    EXPECT_NE(error_of(plan_of(Weights::uniform, {{1ms, -1, 1}})).find("rate (-1"), std::string::npos);
    LoadPlan plan = plan_of(Weights::hot, {{1ms, 1, 1}});
    plan.hot_share = 1;
    EXPECT_NE(error_of(plan).find("(1.0"), std::string::npos);
}

TEST(LoadPayload, IsReadAndRefused) {
    const auto payload = parse_load_payload("17 123456789 ......");
    ASSERT_TRUE(payload);
    EXPECT_EQ(payload->sequence, 17U);
    EXPECT_EQ(payload->intended_ns, 123456789);
    for (const char* bad : {"", "17", "17 ", "17 5", "0 5 .", "x 5 .", "17 x .", " 17 5 ."})
        EXPECT_FALSE(parse_load_payload(bad)) << bad;
}

TEST(LoadReport, IsValidWhenNothingWasLateOrDropped) {
    LoadReport report;
    report.due = 1000;
    report.late_p99_ns = 20'000'000;
    EXPECT_TRUE(report.on_time());
    EXPECT_EQ(report.why_invalid(), "");
    report.late_p99_ns = 20'000'001;
    EXPECT_EQ(report.why_invalid(), "the load generator was late: p99 20.0 ms, at most 20 ms is valid");
    EXPECT_EQ(report.why_invalid(50'000'000), "");
    report.dropped = 3;
    EXPECT_EQ(report.why_invalid(50'000'000), "the load generator dropped 3 of 1000 messages");
}

}  // namespace
}  // namespace parti::test
