// read_environment: what the machine was like when a test began, beside what the fingerprint holds: free memory and disk, load,
// pressure, switches of the kernel that change what memory costs.
//
// Role      Facts for the report; nothing is judged by them.
// Errors    None: what the kernel does not tell is absent.
// Threads   Any.
#pragma once

#include <filesystem>

#include "testutil/details.h"

namespace parti::report {

// `folder`: where the results go, for the free disk.
Environment read_environment(const std::filesystem::path& folder);

}  // namespace parti::report
