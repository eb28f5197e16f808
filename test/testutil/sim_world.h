// SimWorld: a fleet of real cores and real hubs over a simulated server, under faults, judged after every step.
//
// Role      Plays the shell of every process: executes effects in order, feeds answers, ticks and users' callbacks back, restarts
//           what stopped or crashed. Decides nothing about the protocol; the only things of lib/ it replaces are clocks, threads
//           and nats.
// Model     One run = the safety phase (faults drawn by SimPlan), then the liveness phase (none): the fleet must converge within
//           a bound (P-4: every partition one owner, all workers stable, one leader, all at rest) and then nothing may move
//           (P-5). Every process has its own clock (offset and rate); a core only ever sees that one.
// Errors    run() returns the first violation, with the time and step at which it was found. A core's assertion ends the process:
//           test/simulation's runner forks.
// Threads   One.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "testutil/invariants.h"
#include "testutil/sim_plan.h"
#include "testutil/sim_totals.h"

namespace parti::testutil {

// Deliberate breakages of the *world*, which the judge must notice.
enum class Breakage : std::uint8_t {
    none,
    deadlines_ignored,     // the judge forgets deadlines
    expectations_ignored,  // the server stores every put, whatever revision it expects
    clocks_wild,           // clock rates off by half
    record_replayed,       // an operator writes an old assignment record over a newer one
    never_heals,           // the liveness phase begins with the server down for good
    records_emptied,       // an operator empties records in the liveness phase, in the leader's name
};
std::optional<Breakage> breakage_of(std::string_view name);

struct SimOptions {
    std::uint64_t seed = 1;
    Breakage breakage = Breakage::none;
    std::FILE* trace = nullptr;
    std::string history;           // a folder: write what every process does there, as worker-host does
    bool standard = false;         // the fleet that speed is measured with: see SimPlan::standard
    std::uint64_t steps_min = 0;   // the safety phase goes on until there were so many steps
    std::uint64_t steps_max = 0;   // stop (without a verdict) after so many steps; 0 = run to the end
    std::uint64_t trace_from = 0;  // step
};

struct SimReport {
    std::optional<Violation> violation;
    std::uint64_t step = 0;    // at which it was found
    std::uint64_t digest = 0;  // of every event and effect
    SimTotals totals;
};

class SimWorld {
public:
    explicit SimWorld(const SimOptions& options);
    ~SimWorld();
    SimWorld(const SimWorld&) = delete;
    SimWorld& operator=(const SimWorld&) = delete;

    const SimPlan& plan() const;
    SimReport run();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::testutil
