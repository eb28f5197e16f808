// launch: one launch of one configuration, from a fresh server to its end, measured as SUITE.md section 3 says.
//
// Model     fresh server and store -> fresh worker-host -> all Stable and covered -> quiet (nothing gained, lost or planned while
//           every worker renewed twice) -> window of so many renewals a worker, sampled every 100 ms -> live heap -> balance
//           checked -> end. A window in which memory still drifts is followed by one more, which then counts.
//           Questions that make the measured process build long answers (ownership) come after the window.
// Units     As named; kB of 1024 bytes, as the kernel's.
// Errors    Outcome; a launch that fails has failed its test.
// Cost      Some 5 s for a window of 10 renewals at a heartbeat of 300 ms.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "testutil/fleet.h"
#include "testutil/memory_probe.h"

namespace parti::stress {

struct LaunchPlan {
    std::uint32_t workers = 1;
    std::uint32_t partitions = 100;
    bool expected_workers = true;
    std::uint64_t window_renewals = 10;        // of every worker; 0: no window, memory is read once
    std::string inject_memory{};               // "15%"; empty: none
    std::chrono::milliseconds heartbeat{300};  // what config says, for the time limits
    std::string config{};                      // JSON over the fast test timing; empty: as it is
};
std::string name_of(const LaunchPlan& plan);  // "10w_500p"

struct LaunchSample {
    test::Window window;  // bytes
    std::uint64_t live_bytes = 0, arena_bytes = 0;
    test::ThreadNames threads;
    std::uint64_t thread_count = 0;
    std::uint64_t fds = 0;
    double cpu_ms = 0;                // over the window
    std::uint64_t switches = 0;       // over the window, voluntary and not
    double stable_ms = 0;             // from the first start() to the last Stable, as the process says
    double covered_ms = 0;            // ... to the moment its users hold every partition
    std::int64_t started_ns = 0;      // the command to start was given
    std::int64_t balanced_by_ns = 0;  // seen balanced; exact times are in the history
    test::Balance balance;
    double window_seconds = 0;
    bool plateau = true;  // memory drifted by less than 1 % over the window, or over its one extension
    double drift = 0;     // relative, signed
    // CPU the sampling cost over the window, in cores: here, and in the process for its answers
    double sampling_share = 0;
    std::vector<test::MemorySample> memory;  // of the window and its extension; for the report
    test::Sampler::Time started, window_from;
    std::uint64_t server_in = 0, server_out = 0, server_api = 0;  // messages and API calls the server counted over the window
    std::uint64_t server_mem = 0;
    std::string contamination;     // why this launch's times are doubtful; empty: they are not
    bool memory_doubtful = false;  // and its memory too
};

// The fleet must be new and have no process yet.
test::Outcome<LaunchSample> run_launch(test::Fleet& fleet, const LaunchPlan& plan);

// How busy the machine is just now: median of wall / cpu time of ten pieces of 5 ms. 1: idle.
double busy_probe();

}  // namespace parti::stress
