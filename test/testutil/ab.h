// A/B: two builds measured in turns on one machine, compared without a stored baseline.
//
// Model     The rules are those of diff.h, with three differences. Fingerprints are not asked: both sides ran here, and what they
//           differ in (a compiler, say) is what the user compares; it is a remark. A metric that only A has is WARN, since nobody
//           can promote a new baseline here. And when both sides measured the very same worker-host with the same settings
//           (PARTI_ variables), a difference is noise by definition: FAIL becomes WARN.
// Errors    As compare().
// Threads   Pure functions.
#pragma once

#include <string>
#include <vector>

#include "testutil/diff.h"

namespace parti::report {

// Results of one test each, launches in order; failed as soon as one of them is.
std::vector<TestResult> merge_launches(const std::vector<TestResult>& results);
Outcome<Report> compare_builds(const std::vector<TestResult>& a, const std::vector<TestResult>& b, const std::string& label_of_a);

}  // namespace parti::report
