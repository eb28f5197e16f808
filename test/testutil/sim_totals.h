// SimTotals: what many simulated runs did, counted, and which of it never happened although it should have.
//
// Role      A world fills one for its run; simulate adds them up, prints every sum and fails when one that must not be 0 is.
// Model     A sum of 0 means that something was not exercised. It is judged when so many runs bring everything about that can be
//           drawn: a seed draws a part of the faults, each run of the standard fleet has all but those that its plan leaves out.
// Units     Counts; fleet_seconds are workers x virtual seconds.
// Threads   One.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "testutil/sim_plan.h"

namespace parti::testutil {

inline constexpr std::uint64_t kRunsJudged = 200;         // of drawn runs; the rarest comes in 7 of 100
inline constexpr std::uint64_t kStandardRunsJudged = 10;  // of the standard fleet; the rarest comes about twice in each

struct SimTotals {
    std::uint64_t runs = 0;
    std::uint64_t steps = 0;
    std::uint64_t fleet_seconds = 0;
    std::uint64_t grants = 0;
    std::uint64_t handoffs = 0;
    std::uint64_t leader_changes = 0;
    std::uint64_t claims = 0;
    std::uint64_t fences = 0;  // sessions that ended without their worker leaving
    std::uint64_t drain_timeouts = 0;
    std::uint64_t doubles = 0;         // after a loss, within the bound
    std::uint64_t convergence_ms = 0;  // sum over runs: from the last fault to convergence
    FaultCounts faults{};

    struct Sum {
        std::string name;
        std::uint64_t count = 0;
        bool drawn = true;     // such runs can have it
        bool missing = false;  // it is 0 and must not be
    };
    // In the order in which they are printed. `standard`: the runs were of SimPlan::standard.
    std::vector<Sum> sums(bool standard) const;
    void add(const SimTotals& other);
};

}  // namespace parti::testutil
