#include "launch.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <vector>

#include "testutil/trend.h"

#include "progress.h"

namespace parti::stress {
namespace {

using test::failure;
using test::Milliseconds;
using test::Outcome;
using Clock = std::chrono::steady_clock;

constexpr Milliseconds kStart{60000};
constexpr Milliseconds kQuiet{20000};
constexpr Milliseconds kPoll{100};
constexpr double kBusy = 1.25;            // wall / cpu of the probe
constexpr double kSteal = 0.02;           // of the window's time
constexpr double kMemoryPressure = 0.01;  // of the window's time, "full"

double seconds(clockid_t clock) {
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// For so many renewals of every worker: ten times as long as they take.
Milliseconds time_limit(const LaunchPlan& plan, std::uint64_t renewals) {
    return 10 * plan.heartbeat * static_cast<int>(renewals);
}

using Stats = std::map<std::string, std::uint64_t>;

std::uint64_t of(const Stats& stats, const char* key) {
    const auto found = stats.find(key);
    return found == stats.end() ? 0 : found->second;
}

// An answer adds up all workers of the process: the more there are, the less often it is asked, so that asking stays below 1 % of
// a core.
Outcome<Stats> wait_renewals(test::WorkerProcess& process, std::size_t workers, std::uint64_t target, Milliseconds timeout) {
    const Milliseconds pause = std::max(kPoll, Milliseconds(2 * workers));
    const auto deadline = Clock::now() + timeout;
    while (true) {
        auto stats = process.stats();
        if (stats) progress().counted("renewals", of(*stats, "renewals"));
        if (!stats || of(*stats, "renewals") >= target) return stats;
        if (Clock::now() > deadline) {
            return failure(process.label() + ": " + std::to_string(of(*stats, "renewals")) + " of " + std::to_string(target) +
                           " renewals after " + std::to_string(timeout.count()) + " ms");
        }
        process.listen_for(pause);
    }
}

// Nothing moves while every worker renews twice.
Outcome<Stats> wait_quiet(test::WorkerProcess& process, const LaunchPlan& plan) {
    const auto deadline = Clock::now() + kQuiet + 10 * plan.heartbeat;
    const auto activity = [](const Stats& s) {
        return std::array{of(s, "partitions_gained"), of(s, "partitions_lost"), of(s, "plans"), of(s, "records_written")};
    };
    auto before = process.stats();
    while (before) {
        auto now = wait_renewals(process, plan.workers, of(*before, "renewals") + 2 * plan.workers, time_limit(plan, 2));
        if (!now) return now;
        if (activity(*now) == activity(*before)) return now;
        if (Clock::now() > deadline) return failure(process.label() + ": assignments still change after 20 s");
        before = std::move(now);
    }
    return before;
}

struct Surroundings {
    test::MachineTimes machine;
    std::optional<test::Pressure> memory;
    test::ProcessTimes process;
    double answering = 0;  // CPU seconds of the process's main thread, which does nothing but answer
    test::ServerStats server;
    double at = 0;
};

Outcome<Surroundings> look_around(test::Fleet& fleet, pid_t pid) {
    Surroundings now;
    const auto machine = test::read_machine_times();
    if (!machine) return failure(machine.error());
    now.machine = *machine;
    if (const auto pressure = test::read_pressure("memory")) now.memory = *pressure;  // not every kernel has it
    const auto times = test::read_times(pid);
    if (!times) return failure(times.error());
    now.process = *times;
    const auto answering = test::read_thread_cpu(pid, pid);
    if (!answering) return failure(answering.error());
    now.answering = *answering;
    auto server = test::read_server_stats(fleet.server().monitor_url());
    if (!server) return failure(server.error());
    now.server = std::move(*server);
    now.at = seconds(CLOCK_BOOTTIME);
    return now;
}

std::uint64_t grown(std::uint64_t before, std::uint64_t after) { return after > before ? after - before : 0; }

void compare(const Surroundings& before, const Surroundings& after, LaunchSample& sample) {
    sample.window_seconds = after.at - before.at;
    sample.cpu_ms = (after.process.cpu_seconds - before.process.cpu_seconds) * 1000;
    sample.switches = grown(before.process.voluntary_switches + before.process.involuntary_switches,
                            after.process.voluntary_switches + after.process.involuntary_switches);
    sample.server_in = grown(before.server.in_msgs, after.server.in_msgs);
    sample.server_out = grown(before.server.out_msgs, after.server.out_msgs);
    sample.server_api = grown(before.server.api_total, after.server.api_total);
    sample.server_mem = after.server.mem;
    char text[96];
    const double total = after.machine.total_seconds - before.machine.total_seconds;
    const double steal = total > 0 ? (after.machine.steal_seconds - before.machine.steal_seconds) / total : 0;
    if (steal > kSteal) {
        std::snprintf(text, sizeof text, "steal %.1f %%; ", steal * 100);
        sample.contamination += text;
        sample.memory_doubtful = true;
    }
    if (before.memory && after.memory && sample.window_seconds > 0) {
        const double stalled = static_cast<double>(grown(before.memory->full.total_us, after.memory->full.total_us)) / 1e6;
        if (stalled / sample.window_seconds > kMemoryPressure) {
            std::snprintf(text, sizeof text, "memory pressure %.1f %%; ", stalled / sample.window_seconds * 100);
            sample.contamination += text;
            sample.memory_doubtful = true;
        }
    }
}

Outcome<void> read_process(test::WorkerProcess& process, LaunchSample& sample) {
    const auto memory = process.memory();
    if (!memory) return failure(memory.error());
    sample.live_bytes = memory->live_bytes;
    sample.arena_bytes = memory->arena_bytes;
    const auto threads = test::read_threads(process.pid());
    if (!threads) return failure(threads.error());
    sample.threads = *threads;
    for (const auto& entry : *threads) sample.thread_count += entry.second;
    const auto fds = test::count_fds(process.pid());
    if (!fds) return failure(fds.error());
    sample.fds = *fds;
    return {};
}

report::Plateau plateau_of(const test::Sampler& sampler, Clock::time_point from, Clock::time_point to) {
    std::vector<report::Point> points;
    for (const test::MemorySample& s : sampler.samples()) {
        if (s.time < from || s.time > to) continue;
        points.push_back({std::chrono::duration<double>(s.time - from).count(), static_cast<double>(s.rss_anon)});
    }
    return report::judge_plateau(points);
}

Outcome<void> measure_window(test::Fleet& fleet, test::WorkerProcess& process, const LaunchPlan& plan, LaunchSample& sample) {
    const auto quiet = wait_quiet(process, plan);
    if (!quiet) return failure(quiet.error());
    if (auto reset = test::reset_hwm(process.pid()); !reset) return reset;
    const auto before = look_around(fleet, process.pid());
    if (!before) return failure(before.error());
    test::Sampler sampler(process.pid(), {});
    const double sampling = sampler.cpu_seconds();
    auto from = Clock::now(), to = from;
    std::uint64_t renewals = of(*quiet, "renewals");
    for (int window = 0; window == 0 || (window == 1 && !sample.plateau); ++window) {
        from = Clock::now();
        const auto done = wait_renewals(process, plan.workers, renewals + plan.window_renewals * plan.workers,
                                        time_limit(plan, plan.window_renewals));
        if (!done) return failure(done.error());
        to = Clock::now();
        renewals = of(*done, "renewals");
        const report::Plateau plateau = plateau_of(sampler, from, to);
        sample.plateau = plateau.reached;
        sample.drift = plateau.drift;
    }
    sampler.stop();
    if (const auto error = sampler.error()) return failure(*error);
    const auto after = look_around(fleet, process.pid());
    if (!after) return failure(after.error());
    sample.window = sampler.window(from, to);
    sample.memory = sampler.samples();
    sample.window_from = from;
    if (sample.window.samples < 5) return failure("only " + std::to_string(sample.window.samples) + " samples in the window");
    compare(*before, *after, sample);
    sample.sampling_share = (sampler.cpu_seconds() - sampling + after->answering - before->answering) / sample.window_seconds;
    return {};
}

}  // namespace

std::string name_of(const LaunchPlan& plan) {
    return std::to_string(plan.workers) + "w_" + std::to_string(plan.partitions) + "p";
}

double busy_probe() {
    std::array<double, 10> ratios{};
    for (double& ratio : ratios) {
        const double wall = seconds(CLOCK_MONOTONIC);
        const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
        volatile std::uint64_t sink = 0;
        while (seconds(CLOCK_THREAD_CPUTIME_ID) - cpu < 0.005) sink = sink + 1;
        ratio = (seconds(CLOCK_MONOTONIC) - wall) / (seconds(CLOCK_THREAD_CPUTIME_ID) - cpu);
    }
    std::sort(ratios.begin(), ratios.end());
    return (ratios[4] + ratios[5]) / 2;
}

Outcome<LaunchSample> run_launch(test::Fleet& fleet, const LaunchPlan& plan) {
    LaunchSample sample;
    if (const double busy = busy_probe(); busy > kBusy) {
        char text[64];
        std::snprintf(text, sizeof text, "busy machine (wall/cpu %.2f); ", busy);
        sample.contamination += text;
    }
    test::WorkerProcessOptions options;
    options.workers = plan.workers;
    options.expected_workers = plan.expected_workers ? plan.workers : 0;
    options.inject_memory = plan.inject_memory;
    const auto index = fleet.add(options);
    if (!index) return failure(index.error());
    test::WorkerProcess& process = fleet.process(*index);

    sample.started = Clock::now();
    sample.started_ns = test::boot_now_ns();
    progress().workers(0, plan.workers);
    if (auto started = process.start_workers(0); !started) return failure(started.error());
    const auto stable = process.wait_milestone("all_stable", kStart);
    if (!stable) return failure(stable.error());
    const auto covered = process.wait_milestone("covered", kStart);
    if (!covered) return failure(covered.error());
    progress().workers(plan.workers, plan.workers);
    sample.stable_ms = stable->ms;
    sample.covered_ms = covered->ms;

    if (plan.window_renewals > 0) {
        if (auto measured = measure_window(fleet, process, plan, sample); !measured) return failure(measured.error());
    } else {
        const auto quiet = wait_quiet(process, plan);
        if (!quiet) return failure(quiet.error());
        const auto memory = test::read_memory(process.pid());
        if (!memory) return failure(memory.error());
        sample.window = test::window_of({*memory});
    }
    if (auto read = read_process(process, sample); !read) return failure(read.error());
    const auto balance = fleet.wait_balanced(kStart, plan.workers);
    if (!balance) return failure(balance.error());
    sample.balanced_by_ns = test::boot_now_ns();
    sample.balance = *balance;
    return sample;
}

}  // namespace parti::stress
