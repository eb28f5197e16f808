// SimTotals: a sum of 0 is a failure only when so many runs of such a fleet should have brought it about.
#include <gtest/gtest.h>

#include <algorithm>

#include "testutil/sim_totals.h"

namespace parti::testutil {
namespace {

SimTotals totals(std::uint64_t runs) {
    SimTotals out;
    out.runs = runs;
    out.grants = out.handoffs = out.leader_changes = out.claims = out.fences = out.drain_timeouts = out.doubles = 1;
    out.faults.fill(1);
    return out;
}

std::vector<std::string> missing(const SimTotals& totals, bool standard) {
    std::vector<std::string> out;
    for (const SimTotals::Sum& sum : totals.sums(standard)) {
        if (sum.missing) out.push_back(sum.name);
    }
    return out;
}

TEST(SimTotals, DrawnRunsMustHaveEverythingWhenThereAreEnoughOfThem) {
    SimTotals some = totals(kRunsJudged);
    EXPECT_TRUE(missing(some, false).empty());
    some.doubles = 0;
    some.faults[static_cast<std::size_t>(Fault::takeover_trust)] = 0;
    const std::vector<std::string> expected = {"doubles after a loss", "fault: takeover by trust"};
    EXPECT_EQ(missing(some, false), expected);
    some.runs = kRunsJudged - 1;
    EXPECT_TRUE(missing(some, false).empty());
}

TEST(SimTotals, TheStandardFleetMustHaveWhatItCanHave) {
    SimTotals some = totals(kStandardRunsJudged);
    for (const Fault fault : {Fault::join, Fault::instance_shared, Fault::instance_changed, Fault::policy_keep,
                              Fault::takeover_trust, Fault::mixed_timing}) {
        some.faults[static_cast<std::size_t>(fault)] = 0;
    }
    EXPECT_TRUE(missing(some, true).empty());
    some.faults[static_cast<std::size_t>(Fault::crash)] = 0;
    EXPECT_EQ(missing(some, true), std::vector<std::string>{"fault: crash"});
    some.runs = kStandardRunsJudged - 1;
    EXPECT_TRUE(missing(some, true).empty());
}

TEST(SimTotals, WhatTheStandardFleetCannotHaveIsTheSameForEverySeed) {
    for (const std::uint64_t seed : {2U, 99U, 12345U}) EXPECT_EQ(SimPlan::standard(seed).on, SimPlan::standard(1).on) << seed;
}

}  // namespace
}  // namespace parti::testutil
