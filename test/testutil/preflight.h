// preflight: may a run of the stress suite begin on this machine?
//
// Role      stress-report preflight, the first test of every run; and the pause before each test.
// Model     look() gathers facts, judge() says what they mean: pure, so that every finding has its test. What makes a run
//           worthless stops it (exit code 100): no nats-server or one that is too old, no launcher or worker-host, too little
//           memory or disk, processes that an earlier run left. A busy machine is a warning: its launches are made again and
//           marked (docs/BENCHMARKING.md); PARTI_STRESS_REQUIRE_QUIET=1 makes it stop the run as well.
//           Left by an earlier run: a process that carries a test's tag and whose parent is gone (process 1 adopted it).
// Units     Bytes; shares of all processors.
// Errors    A fact that cannot be had is absent, and judged as such.
// Threads   Free functions. busy_now() takes half a second; quiet_within() blocks up to its limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sweep.h"

namespace parti::test {

// How busy the machine is, of all processors, and with what.
struct Busy {
    double share = 0;
    std::vector<std::pair<std::string, double>> programs;  // by name, the busiest first: three at most, and 1 % at least
};
// "other programs use 50 % of its processors (cc1plus 48 %)"
std::string text_of(const Busy& busy);

struct PreflightFacts {
    std::optional<std::string> nats_server;          // path
    std::optional<std::string> nats_server_version;  // "2.9.10"
    std::vector<std::string> missing_programs;       // of this build: the launcher, worker-host
    std::optional<std::uint64_t> free_memory;        // MemAvailable
    std::optional<std::uint64_t> free_disk;          // of the results' folder
    std::optional<std::uint64_t> free_temp;          // where the servers' stores lie
    std::vector<LeftoverProcess> stale;
    Busy busy;                            // what others use; nothing when the machine became quiet
    std::chrono::milliseconds waited{0};  // for it to become quiet
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
// Called once, before a wait for a quiet machine: what it is busy with.
using OnBusy = std::function<void(const Busy&)>;
// `folder`: where results are written; its nearest existing parent counts. Waits up to `patience` for the machine to become
// quiet.
PreflightFacts look_before_run(const std::string& folder, std::chrono::milliseconds patience, const OnBusy& on_busy = {});

struct ProgramUse {
    std::string name;
    double seconds = 0;  // of all its threads, since it began
};
// What has been used until one moment. A processor's idle time may go backwards (proc(5)).
struct MachineUse {
    double total_seconds = 0, idle_seconds = 0;  // of all processors
    std::map<std::string, ProgramUse> programs;  // by pid
};
std::optional<MachineUse> read_machine_use();
// A program that began in between has used all of its time in between; one that ended is not named. Shares are within 0 to 1.
Busy busy_between(const MachineUse& before, const MachineUse& after);

// Over the next half second.
Busy busy_now();
struct Quiet {
    bool reached = false;  // within the limit
    std::chrono::milliseconds took{0};
    Busy last;  // as it was in the end
};
// Looks at least once. `look`: another one in tests.
Quiet quiet_within(std::chrono::milliseconds limit, const OnBusy& on_busy = {}, const std::function<Busy()>& look = busy_now);

}  // namespace parti::test
