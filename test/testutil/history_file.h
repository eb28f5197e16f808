// history_file: the history of one process as a file that says everything its judgement needs.
//
// Model     The process's own lines (worker-host, or the simulated world), and for one that has ended a last line by whoever saw
//           it end: {"t":ns,"e":"died","killed":true}. What a kill left of an unfinished line is dropped.
// Errors    Outcome; the text names the file and what is wrong with it.
// Threads   Free functions, any thread.
#pragma once

#include <string>
#include <vector>

#include "testutil/history.h"

namespace parti::test {

Outcome<ProcessHistory> read_process_history(const std::string& path);
Outcome<void> append_death(const std::string& path, std::int64_t died_ns, bool killed);

}  // namespace parti::test
