// confirm: a FAIL counts only when fresh launches fail as well.
//
// Model     tests_to_repeat() are the tests with a FAIL. The caller runs each of them once more, as many launches as before, and
//           compares what came out with the same baseline. A FAIL whose metric fails there too is confirmed. One that does not
//           becomes WARN, "not confirmed", with both figures: a cleared alarm is data. What could not be repeated stays FAIL and
//           says why. One run fails by chance once in a while; two independent ones by the square of it.
// Threads   Pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "testutil/diff.h"

namespace parti::report {

std::vector<std::string> tests_to_repeat(const Report& report);
// `why_not`: by test, why it could not be repeated.
void confirm(Report& report, const Report& repeated, const std::map<std::string, std::string>& why_not);

}  // namespace parti::report
