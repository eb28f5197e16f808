// oracles: the judgement over a fleet that has ended, and over what the test process left behind.
//
// Role      Every test of the suite ends with these two calls; test/stress/stress_test.h sees to it.
// Model     judge() looks at the record of one fleet: histories, logs, exits, server. judge_leftovers() looks at the machine.
//           An expected exit is code 0, or signal 9 for a process that was killed by the test.
// Errors    What cannot be judged is a violation.
// Threads   Free functions, any thread. judge_leftovers blocks up to its timeout.
#pragma once

#include <vector>

#include "testutil/fleet.h"

namespace parti::test {

struct OracleOptions {
    std::vector<std::string> allowed_errors;  // kinds of error events that are right in this test, as part of the event's text
    std::uint32_t more_partitions = 0;        // ever owned besides the fleet's: its source has grown
};

struct Judgement {
    Timeline timeline;
    std::vector<Violation> violations;
};
Judgement judge(const FleetRecord& record, const OracleOptions& options = {});

// Numbers stay dense: a session that began alone chose among the first `choice` numbers that were free. A number counts as taken
// for some time after its session, since a killed worker's is not free before everybody has seen its lease run out.
struct Density {
    std::uint32_t first = 0;  // the group's smallest number
    std::uint32_t choice = 8;
    std::int64_t held_afterwards_ns = 0;
};
std::vector<Violation> check_dense(const Timeline& timeline, const Density& density);

std::vector<Violation> judge_leftovers(std::chrono::milliseconds timeout = std::chrono::milliseconds(5000));

}  // namespace parti::test
