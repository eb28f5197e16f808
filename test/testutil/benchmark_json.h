// Google Benchmark's JSON output as a test result: kind cpu-time, unit ns, one launch per repetition.
//
// Model     The test is "benchmark/PROGRAM", its metrics "NAME/cpu_time". Aggregates (mean, stddev) are not read: the repetitions
//           are (--benchmark_repetitions=5 at least). The fingerprint is the custom context `parti_fingerprint` (fingerprint.h,
//           to_text); without it every key but nproc is unknown and nothing gates. A benchmark that reported an error makes the
//           test failed.
// Errors    bad_input naming file, benchmark and rule.
// Threads   Pure function of the file.
#pragma once

#include <filesystem>

#include "testutil/results.h"

namespace parti::report {

// True when the file is JSON with a `benchmarks` array.
bool is_benchmark_json(const std::filesystem::path& file);
Outcome<TestResult> read_benchmark_json(const std::filesystem::path& file);

}  // namespace parti::report
