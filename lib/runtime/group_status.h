// group_status: what the records of a group say about it, as one value.
//
// Model     Pure: entries in, GroupStatus out. Works for any mixture of records, also ones that contradict each other or are
//           missing.
// Threads   Any.
// Cost      One pass over the entries; the lists of partitions are counted, not copied.
#pragma once

#include <map>
#include <string>
#include <utility>

#include <parti/control.h>

#include "base/records.h"

namespace parti::runtime {

using GroupEntries = std::map<std::pair<Bucket, Key>, Entry>;

GroupStatus group_status(const std::string& group, const GroupEntries& entries);

// live, draining or evicted: the session has not ended.
bool lease_lives(LeaseState state);
// The list drains this worker.
bool drained_by(const std::vector<std::string>& list, SessionId session, const std::string& instance);

// What `name` means for operators: the present workers it names.
struct NamedWorkers {
    std::vector<const WorkerStatus*> workers;
    bool by_number = false;
};
// Errors: invalid_argument, when it is the instance of one worker and the number of another.
Result<NamedWorkers> workers_named(const GroupStatus& status, std::string_view name);

// What drain and undrain make of a list. `known`: the list as it was before `status` was read: only entries of it are dropped as
// ended. Errors: not_found, invalid_argument, overloaded (kDrainMax names).
Result<std::vector<std::string>> with_drained(std::vector<std::string> list, const std::vector<std::string>& known,
                                              const GroupStatus& status, std::string_view name, DrainScope scope);
Result<std::vector<std::string>> without_drained(std::vector<std::string> list, const std::vector<std::string>& known,
                                                 const GroupStatus& status, std::string_view name);

}  // namespace parti::runtime
