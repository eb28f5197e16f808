// leak: does a process that starts and stops its workers again and again keep something? The exact mode's verdict.
//
// Model     With the allocator's caches pinned (exact_mode_environment) the live heap after each cycle is the same to the byte,
//           unless something is kept. So there are no statistics: after the first cycles (buffers made on first use) every
//           reading must equal every other within `tolerance`, threads and descriptors exactly. A leak is growth of at least
//           `growth` bytes in the median cycle, and in at least 8 of 9 cycles.
// Units     Bytes, counts.
// Threads   Pure functions.
// Source    SUITE-STUDY 6.2 A; calibration in docs/BENCHMARKING.md.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace parti::report {

struct CycleReading {
    std::uint64_t live_bytes = 0, rss_anon = 0, threads = 0, fds = 0;
};

struct ExactRule {
    std::size_t skip = 3;          // first cycles that may still make what stays
    std::uint64_t tolerance = 64;  // bytes between the smallest and the largest reading
    std::int64_t growth = 16;      // bytes a cycle
    double share_growing = 8.0 / 9.0;
};

enum class ExactVerdict { constant, unsettled, leak };
std::string_view name(ExactVerdict verdict);

struct ExactJudgement {
    ExactVerdict verdict = ExactVerdict::unsettled;
    std::string why;
    std::uint64_t spread = 0;              // largest - smallest live heap after the skipped cycles
    double bytes_per_cycle = 0;            // median change of the live heap
    std::size_t growing = 0, changes = 0;  // cycles that grew, of so many
    std::vector<std::int64_t> deltas;      // of every cycle but the first
};
ExactJudgement judge_cycles(std::span<const CycleReading> cycles, const ExactRule& rule = {});

// What pins the allocator: no per-thread cache, one arena, no cached stacks.
std::map<std::string, std::string> exact_mode_environment();

}  // namespace parti::report
