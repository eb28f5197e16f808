// baseline_for: the baseline that a run is shown against.
//
// Model     A file, the best match of a folder, or (nothing given) the best match of the source tree's own folder.
// Errors    bad_input: what was given does not exist or is no baseline. No file in a folder is no error: there is none, and `why`
//           says so.
// Threads   Reads files only.
#pragma once

#include <optional>
#include <string>

#include "testutil/baseline.h"

namespace parti::report {

struct Against {
    std::optional<Baseline> baseline;
    std::string why;
};
// Without results: of this machine.
Outcome<Against> baseline_for(const std::string& text, const std::vector<TestResult>& results);

}  // namespace parti::report
