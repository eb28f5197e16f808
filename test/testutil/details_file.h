// read_details, json_of: the member `details` of a result file.
//
// Errors    The first broken rule goes into the Fields' problem: file, key and rule.
// Threads   Pure functions.
#pragma once

#include "testutil/details.h"
#include "testutil/json_file.h"

namespace parti::report {

Details read_details(Fields fields);
Json json_of(const Details& details);

}  // namespace parti::report
