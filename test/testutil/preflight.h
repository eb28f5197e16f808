// preflight: may a run of the stress suite begin on this machine?
//
// Role      stress-report begin --preflight, the first test of every run; and the pause before each test.
// Model     look() gathers facts, judge() says what they mean: pure, so that every finding has its test. What makes a run worthless stops
//           it (exit code 100): no nats-server or one that is too old, no launcher or worker-host, too little memory or disk, processes
//           that an earlier run left. A busy machine is a warning: its launches are made again and marked (docs/BENCHMARKING.md);
//           PARTI_STRESS_REQUIRE_QUIET=1 makes it stop the run as well.
//           Left by an earlier run: a process that carries a test's tag and whose parent is gone (process 1 adopted it).
// Units     Bytes; shares of all processors.
// Errors    A fact that cannot be had is absent, and judged as such.
// Threads   Free functions. quiet_within blocks up to its limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sweep.h"

namespace parti::test {

struct PreflightFacts {
    std::optional<std::string> nats_server;          // path
    std::optional<std::string> nats_server_version;  // "2.9.10"
    std::vector<std::string> missing_programs;       // of this build: the launcher, worker-host
    std::optional<std::uint64_t> free_memory;        // MemAvailable
    std::optional<std::uint64_t> free_disk;          // of the results' folder
    std::optional<std::uint64_t> free_temp;          // where the servers' stores lie
    std::vector<LeftoverProcess> stale;
    double busy = 0;                                 // share of all processors that others use
    bool quiet_required = false;
};

struct PreflightFinding {
    bool stops = false;
    std::string text;  // what is wrong, and what to do
};

inline constexpr std::uint64_t kPreflightMemory = 1ULL << 30U;
inline constexpr std::uint64_t kPreflightDisk = 2ULL << 30U;
inline constexpr double kQuiet = 0.2;  // others may use so much of all processors

std::vector<PreflightFinding> judge_preflight(const PreflightFacts& facts);
// `folder`: where results are written; its nearest existing parent counts. Waits up to `patience` for the machine to become quiet.
PreflightFacts look_before_run(const std::string& folder, std::chrono::milliseconds patience);

// The share of all processors in use within the last half second; measured now.
double busy_share();
// How long it took until the machine was quiet; nullopt: it was not, within the limit.
std::optional<std::chrono::milliseconds> quiet_within(std::chrono::milliseconds limit);

}  // namespace parti::test
