// simulate: explores seeds of the simulated world, and replays one.
//
//   simulate --seed S [--twice] [--trace [--from-step N]] [--stop-at N]   one run; --trace prints every step
//   simulate --runs N [--first S]                                          seeds S, S + 1, ...; prints failures, replay lines,
//                                                                          totals
//   simulate --minutes M [--first S]                                       as many seeds as fit
//   With all: --jobs J, --steps N (at least so many steps a seed), --standard (the fleet that speed is measured with),
//   --breakage NAME, --expect PROMISE, --progress (a line every ten seconds), --any-totals (no sum of 0 is a failure).
//   simulate --digests FILE [--update]                                     the seeds in FILE must have the digests in FILE
//
// Exit      0: nothing found. 1: a violation, a sum that is 0 and must not be (testutil/sim_totals.h), or digests that differ. 2:
//           bad arguments.
// Model     Seeds run in J child processes, each taking every J-th; a child that dies (an assertion of the core) is reported with
//           its seed and its last words, and another child goes on behind it.
// Units     A fleet-hour is one virtual hour of ten workers; with --standard they have 100 partitions, the default timing and all
//           the faults that they can have. Rates are per minute of processor time, so that a busy machine does not count.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <new>
#include <optional>
#include <sstream>
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
    bool standard = false;
    bool progress = false;
    bool update = false;
    bool any_totals = false;
    std::uint64_t minutes = 0;
    std::uint64_t steps = 0;    // at least, a seed
    std::uint64_t stop_at = 0;  // step
    std::string digests;        // file
    std::optional<std::chrono::steady_clock::time_point> until;
    std::uint64_t from_step = 0;
    Breakage breakage = Breakage::none;
    std::string breakage_name;
    std::string history;  // the folder for it
    std::string expect;   // the promise that must be found broken
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
                 "usage: simulate --seed S [--twice] [--trace [--from-step N]] [--stop-at STEP] [--history FOLDER]\n"
                 "       simulate --runs N | --minutes M [--first S] [--jobs J] [--progress]\n"
                 "       simulate --digests FILE [--update]\n"
                 "       with all: [--steps N] [--standard] [--any-totals] [--breakage NAME] [--expect PROMISE]\n");
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
           (args.standard ? " --standard" : "") + (args.steps == 0 ? "" : " --steps " + std::to_string(args.steps)) + " --trace";
}

void print_violation(const Arguments& args, std::uint64_t seed, const SimReport& report) {
    const auto& v = *report.violation;
    std::printf("%s seed %llu: %s broken at %.6f s (step %llu): %s\n  replay: %s\n", args.expect.empty() ? "FAILED" : "found",
                static_cast<unsigned long long>(seed), std::string(to_string(v.promise)).c_str(), static_cast<double>(v.at) / 1e9,
                static_cast<unsigned long long>(report.step), v.text.c_str(), replay_line(args, seed).c_str());
    std::fflush(stdout);
}

// Every sum; false when one is 0 that must not be.
bool print_totals(const SimTotals& totals, bool standard, double seconds) {
    const auto hours = static_cast<double>(totals.fleet_seconds) / 36000.0;
    std::printf(
        "%llu runs, %.1f s of processor time: %llu steps, %.1f fleet-hours (%.1f a minute), convergence %.1f s on average\n",
        static_cast<unsigned long long>(totals.runs), seconds, static_cast<unsigned long long>(totals.steps), hours,
        seconds > 0 ? hours * 60.0 / seconds : 0.0,
        totals.runs == 0 ? 0.0 : static_cast<double>(totals.convergence_ms) / 1000.0 / static_cast<double>(totals.runs));
    bool all = true;
    for (const SimTotals::Sum& sum : totals.sums(standard)) {
        const char* remark = sum.count != 0 ? ""
                             : !sum.drawn   ? "   (not of this fleet)"
                             : sum.missing  ? "   <- never happened"
                                            : "   (few runs)";
        std::printf("  %-32s %12llu%s\n", sum.name.c_str(), static_cast<unsigned long long>(sum.count), remark);
        all = all && !sum.missing;
    }
    return all;
}

int run_one(const Arguments& args) {
    SimOptions options;
    options.seed = *args.seed;
    options.breakage = args.breakage;
    options.steps_max = args.stop_at;
    options.steps_min = args.steps;
    options.standard = args.standard;
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
    for (std::uint64_t seed = first; seed < end && !(args.until && std::chrono::steady_clock::now() >= *args.until);
         seed += step) {
        shared.seed = seed;
        SimOptions options;
        options.steps_min = args.steps;
        options.standard = args.standard;
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

// Of the children that have ended.
double processor_seconds() {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void print_progress(const std::vector<Shared*>& shared, std::chrono::steady_clock::time_point begin) {
    SimTotals totals;
    std::uint64_t failures = 0;
    for (const Shared* s : shared) {
        totals.add(s->totals);
        failures += s->failures;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::fprintf(stderr, "%6.0f s: %llu seeds, %llu steps, %.1f fleet-hours, %llu failures\n", seconds,
                 static_cast<unsigned long long>(totals.runs), static_cast<unsigned long long>(totals.steps),
                 static_cast<double>(totals.fleet_seconds) / 36000.0, static_cast<unsigned long long>(failures));
}

int run_many(Arguments args) {
    const auto begin = std::chrono::steady_clock::now();
    if (args.minutes != 0) {
        args.until = begin + std::chrono::minutes(args.minutes);
        args.runs = std::uint64_t{1} << 40U;
    }
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
    auto next_line = begin + std::chrono::seconds(10);
    for (;;) {
        int status = 0;
        const pid_t pid = waitpid(-1, &status, args.progress ? WNOHANG : 0);
        if (pid < 0) break;
        if (pid == 0) {
            timespec nap{0, 100'000'000};
            nanosleep(&nap, nullptr);  // children run; there is nothing to wait on but their end or the next line's time
            if (std::chrono::steady_clock::now() < next_line) continue;
            print_progress(shared, begin);
            next_line += std::chrono::seconds(10);
            continue;
        }
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
    const bool all = print_totals(totals, args.standard, processor_seconds());
    if (!args.expect.empty()) {
        std::printf(failures > deaths ? "found as it must be\n" : "FAILED: %s was expected to be broken and was not\n",
                    args.expect.c_str());
        return failures > deaths ? 0 : 1;
    }
    if (failures != 0)
        std::printf("FAILED: %llu of %llu seeds\n", static_cast<unsigned long long>(failures),
                    static_cast<unsigned long long>(totals.runs + deaths));
    if (!all && !args.any_totals) std::printf("FAILED: a sum above is 0\n");
    return failures == 0 && (all || args.any_totals) ? 0 : 1;
}

// The same seed goes the same way on every compiler and build type. Lines of the file: seed, digest, steps.
int check_digests(const Arguments& args) {
    std::ifstream in(args.digests);
    std::string fresh;
    std::uint64_t seed = 0;
    std::uint64_t digest = 0;
    std::uint64_t steps = 0;
    int differ = 0;
    int count = 0;
    for (std::string line; std::getline(in, line);) {
        if (line.empty() || line[0] == '#') {
            fresh += line + "\n";
            continue;
        }
        std::istringstream fields(line);
        fields >> seed >> std::hex >> digest >> std::dec >> steps;
        if (!fields) return usage(args.digests + ": '" + line + "' is not: seed digest steps");
        SimOptions options;
        options.seed = seed;
        SimWorld world(options);
        const SimReport report = world.run();
        char text[80];
        std::snprintf(text, sizeof text, "%llu %016llx %llu", static_cast<unsigned long long>(seed),
                      static_cast<unsigned long long>(report.digest), static_cast<unsigned long long>(report.step));
        fresh += std::string(text) + "\n";
        ++count;
        if (report.digest == digest && report.step == steps) continue;
        ++differ;
        std::printf("%s now: %s\n", line.c_str(), text);
    }
    if (count == 0) return usage(args.digests + " holds no seeds");
    if (args.update) {
        std::ofstream(args.digests) << fresh;
        std::printf("wrote %d digests, %d of them new\n", count, differ);
        return 0;
    }
    if (differ != 0) {
        std::printf(
            "FAILED: %d of %d seeds went another way. If the protocol or the world was changed on purpose:\n"
            "  simulate --digests %s --update\n"
            "If not, something depends on the compiler: an order of addresses or of a hash table.\n",
            differ, count, args.digests.c_str());
        return 1;
    }
    std::printf("%d seeds went the way they always go\n", count);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "--break") {  // the core that can be broken is another program's
        std::string program(4096, '\0');
        program.resize(
            static_cast<std::size_t>(std::max<ssize_t>(readlink("/proc/self/exe", program.data(), program.size()), 0)));
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
        bool* const flag = name == "--twice"        ? &args.twice
                           : name == "--standard"   ? &args.standard
                           : name == "--progress"   ? &args.progress
                           : name == "--update"     ? &args.update
                           : name == "--any-totals" ? &args.any_totals
                                                    : nullptr;
        if (flag != nullptr) {
            *flag = true;
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
        if (name == "--digests") {
            args.digests = value;
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
        } else if (name == "--stop-at") {
            args.stop_at = *parsed;
        } else if (name == "--minutes") {
            args.minutes = *parsed;
        } else if (name == "--from-step") {
            args.from_step = *parsed;
        } else {
            return usage("'" + std::string(name) + " " + std::string(value) + "' is not understood");
        }
    }
    if (args.trace)
        std::setvbuf(stdout, nullptr, _IOLBF, 1U << 16U);  // the last line before an assertion is the one that matters
    const int kinds =
        (args.seed ? 1 : 0) + (args.runs != 0 ? 1 : 0) + (args.minutes != 0 ? 1 : 0) + (args.digests.empty() ? 0 : 1);
    if (kinds != 1) return usage("one of --seed, --runs, --minutes and --digests");
    if (!args.digests.empty()) return check_digests(args);
    return args.seed ? run_one(args) : run_many(args);
}
