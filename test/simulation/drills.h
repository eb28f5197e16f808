// Drills: situations that random faults meet too rarely, played on the real core in the simulated world and judged by its
// invariants.
//
// Role      simulate_broken plays a drill with the breakage whose name it has (core/test_switch.h), which an invariant must
//           notice, and without it, which must pass. What is forced is only what a network, an operator or a store may do: when a
//           write arrives, what is removed, what is lost.
// Threads   One.
#pragma once

#include <string_view>

#include "testutil/sim_scenario.h"

namespace parti::testutil {

struct Drill {
    std::string_view breakage;
    std::string_view what;
    SimScenario::Options options;
    void (*play)(SimScenario&);
};

// Nothing when there is none of this name.
const Drill* find_drill(std::string_view breakage);

}  // namespace parti::testutil
