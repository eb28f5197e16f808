// memory_probe: what the kernel says about one process, and about the machine it runs on.
//
// Role      The measurements of SUITE.md section 3. The verdict metric is rss_anon; the others are companions.
// Model     Pure parsers over the text of /proc files, thin readers over them, and Sampler: a thread that takes a sample every
//           interval and answers with minimum, median and maximum over a window of time.
// Units     Bytes, seconds, counts. Fields the kernel does not offer are absent, never 0.
// Errors    A pid that does not exist, has ended, or is a zombie is an error that names it.
// Threads   Free functions from any thread. Sampler: samples() and window() from any thread.
// Lifetime  Sampler's destructor joins its thread. A process that ends stops the sampling; error() says so.
// Cost      read_memory about 5 us, with Pss 20-200 us (smaps_rollup grows with the number of mappings), threads 5 us each.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "outcome.h"

namespace parti::test {

struct MemorySample {
    std::chrono::steady_clock::time_point time;
    std::uint64_t rss_anon = 0;  // RssAnon
    std::uint64_t rss = 0;       // VmRSS
    std::uint64_t hwm = 0;       // VmHWM: highest rss since the start or the last reset
    std::uint64_t threads = 0;
    std::uint64_t voluntary_switches = 0;                                      // of the main thread
    std::uint64_t involuntary_switches = 0;                                    // of the main thread
    std::optional<std::uint64_t> pss, pss_anon, private_clean, private_dirty;  // of smaps_rollup, when asked for
    std::optional<std::uint64_t> uss() const {
        if (!private_clean || !private_dirty) return std::nullopt;
        return *private_clean + *private_dirty;
    }
};
enum class Detail : std::uint8_t { status, rollup };

Outcome<MemorySample> parse_status(std::string_view text);                // /proc/PID/status
Outcome<void> parse_rollup(std::string_view text, MemorySample& sample);  // /proc/PID/smaps_rollup
Outcome<MemorySample> read_memory(pid_t pid, Detail detail = Detail::rollup);
Outcome<void> reset_hwm(pid_t pid);  // clear_refs 5

// Name -> count; the names are those of /proc/PID/task/*/comm (at most 15 characters).
using ThreadNames = std::map<std::string, std::uint64_t>;
Outcome<ThreadNames> read_threads(pid_t pid);
Outcome<std::uint64_t> count_fds(pid_t pid);

struct ProcessTimes {
    double cpu_seconds = 0;                                          // user + system, all threads
    std::uint64_t voluntary_switches = 0, involuntary_switches = 0;  // all threads alive now
};
Outcome<double> parse_stat_cpu(std::string_view text);  // /proc/PID/stat
Outcome<ProcessTimes> read_times(pid_t pid);

// CPU time of one thread: of the main thread when tid is pid.
Outcome<double> parse_schedstat(std::string_view text);  // /proc/PID/task/TID/schedstat
Outcome<double> read_thread_cpu(pid_t pid, pid_t tid);

struct PressureLine {
    double avg10 = 0, avg60 = 0, avg300 = 0;  // per cent of time
    std::uint64_t total_us = 0;
};
struct Pressure {
    PressureLine some, full;  // full of cpu is 0 where the kernel has none
};
Outcome<Pressure> parse_pressure(std::string_view text);
Outcome<Pressure> read_pressure(const std::string& resource);  // "cpu", "memory", "io"; an error where the kernel has none

struct MachineTimes {  // /proc/stat, all processors together
    double total_seconds = 0, idle_seconds = 0, steal_seconds = 0;
};
Outcome<MachineTimes> parse_machine_times(std::string_view text);
Outcome<MachineTimes> read_machine_times();

struct Spread {
    double minimum = 0, median = 0, maximum = 0;
    std::size_t count = 0;  // 0: nothing was measured
};
Spread spread_of(std::vector<double> values);

struct Window {  // over the samples of one window; of one launch, so one observation
    Spread rss_anon, rss, pss, pss_anon, uss;
    std::uint64_t hwm = 0;      // of the last sample
    std::uint64_t threads = 0;  // the most frequent value
    bool threads_constant = false;
    std::size_t samples = 0;
};
Window window_of(const std::vector<MemorySample>& samples);

struct SamplerOptions {
    std::chrono::milliseconds interval{100};
    unsigned rollup_every = 5;  // every n-th sample reads smaps_rollup; 0: never
};

class Sampler {
public:
    using Time = std::chrono::steady_clock::time_point;
    Sampler(pid_t pid, SamplerOptions options);
    ~Sampler();
    Sampler(const Sampler&) = delete;
    Sampler& operator=(const Sampler&) = delete;

    std::vector<MemorySample> samples() const;
    Window window(Time from, Time to) const;   // samples with from <= time <= to
    double cpu_seconds() const;                // that the sampling itself has cost so far
    std::optional<std::string> error() const;  // why the sampling ended before it was stopped
    void stop();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::test
