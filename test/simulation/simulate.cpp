// simulate: explores seeds of the simulated world, and replays one.
//
//   simulate --seed S [--trace] [--from-step N] [--steps N] [--breakage NAME] [--expect PROMISE]   one run; --trace prints every
//   step simulate --runs N [--first S] [--jobs J] [--breakage NAME]                         many; prints failures, their replay
//   lines, totals simulate --seed S --twice                                                           the same seed twice: the
//   digests must agree
//
// Exit      0: nothing found. 1: a violation, a sum of the totals that is 0, or digests that differ. 2: bad arguments.
// Model     Seeds run in J child processes, each taking every J-th; a child that dies (an assertion of the core) is reported with
// its
//           seed and its last words, and another child goes on behind it.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/sim_world.h"

#if defined(__SANITIZE_ADDRESS__)
// A small quarantine stays in the cache, and short stacks cost little: a thousand seeds must run within a minute. To see more of
// an error, replay its seed with ASAN_OPTIONS=malloc_context_size=30.
extern "C" const char* __asan_default_options() {
    return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64:malloc_context_size=1";
}  // NOLINT: the runtime's name
#endif

namespace {

using parti::testutil::Breakage;
using parti::testutil::SimOptions;
using parti::testutil::SimReport;
using parti::testutil::SimTotals;
using parti::testutil::SimWorld;

struct Arguments {
    std::optional<std::uint64_t> seed;
    std::uint64_t runs = 0;
    std::uint64_t first = 1;
    std::uint64_t jobs = 1;
    bool twice = false;
    bool trace = false;
    std::uint64_t steps = 0;
    std::uint64_t from_step = 0;
    Breakage breakage = Breakage::none;
    std::string breakage_name;
    std::string history;  // the folder for it
    std::string expect;  // the promise that must be found broken
};

// One child's results, in memory that the parent reads after it has ended, however it ended.
struct Shared {
    SimTotals totals;
    std::uint64_t seed = 0;  // being run now
    std::uint64_t failures = 0;
    bool finished = false;
};

int usage(const std::string& why) {
    std::fprintf(stderr, "simulate: %s\n%s", why.c_str(),
                 "usage: simulate --seed S [--twice] [--trace [--from-step N]] [--steps N] [--breakage NAME] [--expect PROMISE] "
                 "[--history FOLDER]\n"
                 "       simulate --runs N [--first S] [--jobs J] [--breakage NAME] [--expect PROMISE]\n");
    return 2;
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string replay_line(const Arguments& args, std::uint64_t seed) {
    return "simulate --seed " + std::to_string(seed) + (args.breakage_name.empty() ? "" : " --breakage " + args.breakage_name) +
           " --trace";
}

void print_violation(const Arguments& args, std::uint64_t seed, const SimReport& report) {
    const auto& v = *report.violation;
    std::printf("%s seed %llu: %s broken at %.6f s (step %llu): %s\n  replay: %s\n", args.expect.empty() ? "FAILED" : "found",
                static_cast<unsigned long long>(seed), std::string(to_string(v.promise)).c_str(), static_cast<double>(v.at) / 1e9,
                static_cast<unsigned long long>(report.step), v.text.c_str(), replay_line(args, seed).c_str());
    std::fflush(stdout);
}

// Totals and whether each is above 0: a sum of 0 means that something was not exercised.
bool print_totals(const SimTotals& totals, double seconds) {
    const auto hours = static_cast<double>(totals.fleet_seconds) / 3600.0;
    std::printf("%llu runs, %.1f s: %llu steps, %.1f worker-hours of virtual time, convergence %.1f s on average\n",
                static_cast<unsigned long long>(totals.runs), seconds, static_cast<unsigned long long>(totals.steps), hours,
                totals.runs == 0 ? 0.0 : static_cast<double>(totals.convergence_ms) / 1000.0 / static_cast<double>(totals.runs));
    bool all = true;
    const auto line = [&](const std::string& name, std::uint64_t count) {
        std::printf("  %-20s %12llu%s\n", name.c_str(), static_cast<unsigned long long>(count),
                    count == 0 ? "   <- never happened" : "");
        all = all && count != 0;
    };
    line("grants", totals.grants);
    line("handoffs", totals.handoffs);
    line("leader changes", totals.leader_changes);
    line("claims", totals.claims);
    line("fences", totals.fences);
    line("drain timeouts", totals.drain_timeouts);
    for (std::size_t i = 0; i < parti::testutil::kFaults; ++i) {
        line("fault: " + std::string(to_string(static_cast<parti::testutil::Fault>(i))), totals.faults[i]);
    }
    return all;
}

int run_one(const Arguments& args) {
    SimOptions options;
    options.seed = *args.seed;
    options.breakage = args.breakage;
    options.steps_max = args.steps;
    options.trace = args.trace ? stdout : nullptr;
    options.trace_from = args.from_step;
    options.history = args.history;
    std::uint64_t digest = 0;
    for (int i = 0; i < (args.twice ? 2 : 1); ++i) {
        SimWorld world(options);
        if (i == 0) std::printf("%s\n", world.plan().describe().c_str());
        const SimReport report = world.run();
        std::printf("steps %llu, handoffs %llu, digest %016llx\n", static_cast<unsigned long long>(report.step),
                    static_cast<unsigned long long>(report.totals.handoffs), static_cast<unsigned long long>(report.digest));
        if (i == 1 && report.digest != digest) {
            std::printf("FAILED: the same seed went another way the second time\n");
            return 1;
        }
        digest = report.digest;
        if (!args.expect.empty()) {
            if (report.violation && to_string(report.violation->promise) == args.expect) {
                std::printf("found as it must be: %s\n", report.violation->text.c_str());
                continue;
            }
            std::printf("FAILED: expected a violation of %s, found %s\n", args.expect.c_str(),
                        report.violation ? report.violation->text.c_str() : "none");
            return 1;
        }
        if (report.violation) {
            print_violation(args, *args.seed, report);
            return 1;
        }
    }
    return 0;
}

// Runs seeds first, first + step, ... below end; everything it finds goes to `shared` and stdout.
[[noreturn]] void child(const Arguments& args, std::uint64_t first, std::uint64_t end, std::uint64_t step, Shared& shared) {
    for (std::uint64_t seed = first; seed < end; seed += step) {
        shared.seed = seed;
        SimOptions options;
        options.seed = seed;
        options.breakage = args.breakage;
        SimReport report;
        {
            SimWorld world(options);
            report = world.run();
        }
        shared.totals.add(report.totals);
        if (!report.violation) continue;
        const bool expected = !args.expect.empty() && to_string(report.violation->promise) == args.expect;
        ++shared.failures;
        if (!expected || shared.failures <= 1) print_violation(args, seed, report);
        if (expected) break;  // shown once is shown
    }
    shared.finished = true;
    std::fflush(stdout);
    std::fflush(stderr);
    std::_Exit(0);
}

int run_many(const Arguments& args) {
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t end = args.first + args.runs;
    const std::size_t bytes = sizeof(Shared) * args.jobs;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return usage("cannot map memory for the results");
    std::vector<Shared*> shared;
    std::vector<pid_t> children(args.jobs, 0);
    for (std::uint64_t j = 0; j < args.jobs; ++j) shared.push_back(new (static_cast<char*>(memory) + j * sizeof(Shared)) Shared);
    const auto spawn = [&](std::size_t j, std::uint64_t first) {
        std::fflush(stdout);
        std::fflush(stderr);
        const pid_t pid = fork();
        if (pid == 0) child(args, first, end, args.jobs, *shared[j]);
        children[j] = pid;
    };
    for (std::uint64_t j = 0; j < args.jobs; ++j) spawn(j, args.first + j);
    std::uint64_t deaths = 0;
    for (;;) {
        int status = 0;
        const pid_t pid = wait(&status);
        if (pid < 0) break;
        for (std::size_t j = 0; j < args.jobs; ++j) {
            if (children[j] != pid || shared[j]->finished) continue;
            ++deaths;
            const std::uint64_t seed = shared[j]->seed;
            std::printf("FAILED seed %llu: the process died (%s %d)\n  replay: %s\n", static_cast<unsigned long long>(seed),
                        WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                        replay_line(args, seed).c_str());
            if (seed + args.jobs < end) spawn(j, seed + args.jobs);
        }
    }
    SimTotals totals;
    std::uint64_t failures = deaths;
    for (const Shared* s : shared) {
        totals.add(s->totals);
        failures += s->failures;
    }
    munmap(memory, bytes);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const bool all = print_totals(totals, seconds);
    if (!args.expect.empty()) {
        std::printf(failures > deaths ? "found as it must be\n" : "FAILED: %s was expected to be broken and was not\n",
                    args.expect.c_str());
        return failures > deaths ? 0 : 1;
    }
    if (failures != 0)
        std::printf("FAILED: %llu of %llu seeds\n", static_cast<unsigned long long>(failures),
                    static_cast<unsigned long long>(args.runs));
    if (!all) std::printf("FAILED: a sum above is 0\n");
    return failures == 0 && all ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "--break") {  // the core that can be broken is another program's
        std::string program(4096, '\0');
        program.resize(static_cast<std::size_t>(std::max<ssize_t>(readlink("/proc/self/exe", program.data(), program.size()), 0)));
        (void)execv((program + "_broken").c_str(), argv);
        return usage("--break needs " + program + "_broken");
    }
    Arguments args;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--trace") {
            args.trace = true;
            continue;
        }
        if (name == "--twice") {
            args.twice = true;
            continue;
        }
        if (i + 1 >= argc) return usage("'" + std::string(name) + "' needs a value, or is unknown");
        const std::string_view value = argv[++i];
        if (name == "--breakage") {
            const auto breakage = parti::testutil::breakage_of(value);
            if (!breakage) return usage("unknown breakage '" + std::string(value) + "'");
            args.breakage = *breakage;
            args.breakage_name = value;
            continue;
        }
        if (name == "--history") {
            args.history = value;
            continue;
        }
        if (name == "--expect") {
            args.expect = value;
            continue;
        }
        const auto parsed = number(value);
        if (!parsed) return usage("'" + std::string(value) + "' is not a number (" + std::string(name) + ")");
        if (name == "--seed") {
            args.seed = *parsed;
        } else if (name == "--runs") {
            args.runs = *parsed;
        } else if (name == "--first") {
            args.first = *parsed;
        } else if (name == "--jobs" && *parsed >= 1 && *parsed <= 64) {
            args.jobs = *parsed;
        } else if (name == "--steps") {
            args.steps = *parsed;
        } else if (name == "--from-step") {
            args.from_step = *parsed;
        } else {
            return usage("'" + std::string(name) + " " + std::string(value) + "' is not understood");
        }
    }
    if (args.trace)
        std::setvbuf(stdout, nullptr, _IOLBF, 1U << 16U);  // the last line before an assertion is the one that matters
    if (args.seed.has_value() == (args.runs != 0)) return usage("either --seed or --runs");
    return args.seed ? run_one(args) : run_many(args);
}
