#include "testutil/sim_totals.h"

namespace parti::testutil {

void SimTotals::add(const SimTotals& other) {
    runs += other.runs;
    steps += other.steps;
    fleet_seconds += other.fleet_seconds;
    grants += other.grants;
    handoffs += other.handoffs;
    leader_changes += other.leader_changes;
    claims += other.claims;
    fences += other.fences;
    drain_timeouts += other.drain_timeouts;
    doubles += other.doubles;
    convergence_ms += other.convergence_ms;
    for (std::size_t i = 0; i < kFaults; ++i) faults[i] += other.faults[i];
}

std::vector<SimTotals::Sum> SimTotals::sums(bool standard) const {
    std::vector<Sum> out = {{"grants", grants},
                            {"handoffs", handoffs},
                            {"leader changes", leader_changes},
                            {"claims", claims},
                            {"fences", fences},
                            {"drain timeouts", drain_timeouts},
                            {"doubles after a loss", doubles}};
    const SimPlan plan = SimPlan::standard(1);  // which faults are on does not depend on its seed
    for (std::size_t i = 0; i < kFaults; ++i) {
        const auto fault = static_cast<Fault>(i);
        out.push_back({"fault: " + std::string(to_string(fault)), faults[i], !standard || plan.is_on(fault)});
    }
    const bool enough = runs >= (standard ? kStandardRunsJudged : kRunsJudged);
    for (Sum& sum : out) sum.missing = sum.count == 0 && sum.drawn && enough;
    return out;
}

}  // namespace parti::testutil
