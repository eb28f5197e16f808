// folder_reaper: folders that go when this process is gone, whatever ended it.
//
// Role      TempFolder and LimitedGroup name theirs before they make them; an orderly end removes them first. What a launcher
//           makes has a watcher of its own.
// Model     One detached process (folder_reaper.sh) reads the names from a pipe and removes the folders when the pipe closes. It
//           carries no test tag and is nobody's child: no sweep counts it, and a ctest that kills a test's whole tree does not
//           reach it.
// Errors    The process cannot be started or has gone.
// Threads   Any.
// Lifetime  The process ends with this one, at most 10 s later.
// Cost      The first call starts a shell (1 ms); each later one writes a line.
#pragma once

#include <string>

#include "outcome.h"

namespace parti::test {

// The folder need not exist, now or at the end. Its path holds no line end.
Outcome<void> remove_at_end(const std::string& folder);

}  // namespace parti::test
