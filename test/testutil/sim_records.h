// What a simulated store holds, as records: also those whose lists are in chunks.
//
// Model     As a reader would that is infinitely fast: the record and its chunks as they are at this instant. What cannot be put
//           together is Unreadable, as for the hub.
// Threads   One.
#pragma once

#include <string>

#include "base/records.h"
#include "testutil/sim_store.h"

namespace parti::testutil {

RecordValue stored_assignment(const SimStore& store, const std::string& bucket, const Key& key);

}  // namespace parti::testutil
