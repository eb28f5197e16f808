// simulate_broken: the same simulated world over a core with one rule left out (core/test_switch.h). Is it noticed?
//
//   simulate_broken --break NAME [--first S] [--runs N] [--expect "P-1 P-3"]   until an invariant notices; then the same seeds
//                                                                              without it
//   simulate_broken --drill NAME [--expect "P-1 P-3"] [--trace]               its drill (drills.h), with the breakage and without
//   simulate_broken --survey NAME|all [--first S] [--runs N]                   how many of N seeds notice it, and as what
//   simulate_broken --seed S [--break NAME] --trace                            one run, every step
//   simulate_broken --list                                                     the breakages
//   simulate_broken --table FILE                                               FILE names every breakage exactly once
//   simulate_broken --find FILE [--runs N]                                     writes FILE anew with the seeds found in 1..N:
//                                                                              after a change of the world, which draws other
//                                                                              things from a seed
//
// Exit      0: noticed by an invariant as it must be, and nothing found in the same seeds without it. 1: not. 2: bad arguments.
// Model     Every run is a child process: an assertion, a crash or a run in circles is reported as such and does not count as
//           noticed.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/test_switch.h"
#include "drills.h"
#include "testutil/sim_world.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" const char* __asan_default_options() {  // as simulate does, for the same reason
    return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64:malloc_context_size=1";
}
#endif

namespace {

using parti::core::Breakage;
using parti::testutil::Drill;
using parti::testutil::SimOptions;
using parti::testutil::SimReport;
using parti::testutil::SimScenario;
using parti::testutil::SimWorld;

struct Named {
    std::string_view name;
    Breakage breakage;
    std::string_view text;
};
constexpr Named kBreakages[] = {
#define PARTI_BREAKAGE_ROW(name, text) {#name, Breakage::name, text},
    PARTI_BREAKAGES(PARTI_BREAKAGE_ROW)
#undef PARTI_BREAKAGE_ROW
};

const Named* find(std::string_view name) {
    for (const Named& named : kBreakages) {
        if (named.name == name) return &named;
    }
    return nullptr;
}

// What a child leaves behind.
struct Shared {
    bool finished = false;
    bool violated = false;
    double at = 0;
    std::array<char, 16> promise{};
    std::array<char, 320> text{};
};

void fill(Shared& shared, const std::optional<parti::testutil::Violation>& violation) {
    if (!violation) return;
    shared.violated = true;
    shared.at = static_cast<double>(violation->at) / 1e9;
    std::snprintf(shared.promise.data(), shared.promise.size(), "%s", std::string(to_string(violation->promise)).c_str());
    std::snprintf(shared.text.data(), shared.text.size(), "%s", violation->text.c_str());
}

template <class Play>
Shared in_a_child(Breakage breakage, const Play& play) {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return {};
    auto* shared = new (memory) Shared;
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(60);  // a broken core may go round in circles within one step, where no invariant can look
        parti::core::active_breakage = breakage;
        play(*shared);
        shared->finished = true;
        std::_Exit(0);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    const Shared out = *shared;
    munmap(memory, sizeof(Shared));
    return out;
}

Shared run(std::uint64_t seed, Breakage breakage) {
    return in_a_child(breakage, [seed](Shared& out) {
        SimOptions options;
        options.seed = seed;
        fill(out, SimWorld(options).run().violation);
    });
}

Shared run(const Drill& drill, Breakage breakage, bool print) {
    return in_a_child(breakage, [&](Shared& out) {
        SimScenario scenario(drill.options);
        drill.play(scenario);
        fill(out, scenario.violation());
        for (const std::string& line : scenario.lines()) {
            const bool in_vain = line.find("  script ") != std::string::npos;
            if (in_vain && !scenario.violation()) {  // the situation did not come about
                out.violated = true;
                std::snprintf(out.promise.data(), out.promise.size(), "other");
                std::snprintf(out.text.data(), out.text.size(), "%s", line.c_str());
            }
            if (print) std::printf("%s\n", line.c_str());
        }
        std::fflush(stdout);
    });
}

struct Arguments {
    std::string name;
    std::string expect;
    std::uint64_t first = 1;
    std::uint64_t runs = 50;
    std::optional<std::uint64_t> seed;
    bool trace = false;
};

bool expected(const Arguments& args, const Shared& result) {
    const std::string promise = result.promise.data();
    if (promise == "other") return false;  // how a run in circles is reported, too
    return args.expect.empty() || (" " + args.expect + " ").find(" " + promise + " ") != std::string::npos;
}

int play(const Arguments& args, const Named& named) {
    const Drill* drill = parti::testutil::find_drill(named.name);
    if (drill == nullptr) {
        std::printf("FAILED: there is no drill for %s\n", std::string(named.name).c_str());
        return 1;
    }
    std::printf("%s (%s): %s\n", std::string(named.name).c_str(), std::string(named.text).c_str(),
                std::string(drill->what).c_str());
    const Shared result = run(*drill, named.breakage, args.trace);
    if (!result.finished || !result.violated || !expected(args, result)) {
        std::printf("FAILED with the breakage: %s %s\n",
                    !result.finished  ? "died"
                    : result.violated ? result.promise.data()
                                      : "not noticed",
                    result.text.data());
        return 1;
    }
    std::printf("noticed at %.3f s: %s broken: %s\n", result.at, result.promise.data(), result.text.data());
    const Shared whole = run(*drill, Breakage::none, args.trace);
    if (!whole.finished || whole.violated) {
        std::printf("FAILED without the breakage: %s %s\n", whole.finished ? whole.promise.data() : "died", whole.text.data());
        return 1;
    }
    std::printf("the drill passes without it\n");
    return 0;
}

int notice(const Arguments& args, const Named& named) {
    std::printf("%s (%s)\n", std::string(named.name).c_str(), std::string(named.text).c_str());
    for (std::uint64_t seed = args.first; seed < args.first + args.runs; ++seed) {
        const Shared result = run(seed, named.breakage);
        if (!result.finished) {
            std::printf("FAILED seed %llu: the process died; a breakage must be noticed by an invariant\n",
                        static_cast<unsigned long long>(seed));
            return 1;
        }
        if (!result.violated) continue;
        if (!expected(args, result)) {
            std::printf("FAILED seed %llu: %s broken, expected %s: %s\n", static_cast<unsigned long long>(seed),
                        result.promise.data(), args.expect.c_str(), result.text.data());
            return 1;
        }
        std::printf("noticed in seed %llu (%llu of %llu) at %.3f s: %s broken: %s\n", static_cast<unsigned long long>(seed),
                    static_cast<unsigned long long>(seed - args.first + 1), static_cast<unsigned long long>(args.runs), result.at,
                    result.promise.data(), result.text.data());
        for (std::uint64_t again = args.first; again <= seed; ++again) {
            const Shared whole = run(again, Breakage::none);
            if (whole.finished && !whole.violated) continue;
            std::printf("FAILED seed %llu without the breakage: %s %s\n", static_cast<unsigned long long>(again),
                        whole.finished ? whole.promise.data() : "died", whole.text.data());
            return 1;
        }
        std::printf("the same seeds pass without it\n");
        return 0;
    }
    std::printf("FAILED: not noticed in %llu seeds\n", static_cast<unsigned long long>(args.runs));
    return 1;
}

void survey(const Arguments& args, const Named& named) {
    std::map<std::string, std::uint64_t> as;
    std::uint64_t noticed = 0;
    std::uint64_t first = 0;
    std::string example;
    for (std::uint64_t seed = args.first; seed < args.first + args.runs; ++seed) {
        const Shared result = run(seed, named.breakage);
        const std::string what = !result.finished ? "died" : result.violated ? std::string(result.promise.data()) : "";
        if (what.empty()) continue;
        ++as[what];
        if (what == "died" || what == "other") {
            if (as[what] == 1)
                std::printf("    %s: seed %llu %s\n", what.c_str(), static_cast<unsigned long long>(seed), result.text.data());
            continue;
        }
        if (noticed++ == 0) {
            first = seed;
            example = result.text.data();
        }
    }
    std::string list;
    for (const auto& [what, count] : as) list += (list.empty() ? "" : ", ") + what + " " + std::to_string(count);
    std::printf("%-32s noticed in %llu of %llu seeds, first %llu; %s\n    %s\n", std::string(named.name).c_str(),
                static_cast<unsigned long long>(noticed), static_cast<unsigned long long>(args.runs),
                static_cast<unsigned long long>(first), list.c_str(), example.c_str());
    std::fflush(stdout);
}

int replay(const Arguments& args, Breakage breakage) {
    parti::core::active_breakage = breakage;
    SimOptions options;
    options.seed = *args.seed;
    options.trace = args.trace ? stdout : nullptr;
    SimWorld world(options);
    std::printf("%s\n", world.plan().describe().c_str());
    const SimReport report = world.run();
    std::printf("steps %llu, digest %016llx\n", static_cast<unsigned long long>(report.step),
                static_cast<unsigned long long>(report.digest));
    if (!report.violation) return 0;
    std::printf("%s broken at %.6f s: %s\n", std::string(to_string(report.violation->promise)).c_str(),
                static_cast<double>(report.violation->at) / 1e9, report.violation->text.c_str());
    return 1;
}

int check_table(const std::string& path) {
    std::ifstream in(path);
    if (!in) {
        std::printf("FAILED: cannot read %s\n", path.c_str());
        return 1;
    }
    std::multiset<std::string> names;
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        std::string name;
        if (words >> name && name[0] != '#') names.insert(name);
    }
    int problems = 0;
    for (const Named& named : kBreakages) {
        const std::size_t count = names.count(std::string(named.name));
        names.erase(std::string(named.name));
        if (count == 1) continue;
        std::printf("FAILED: %s is named %zu times\n", std::string(named.name).c_str(), count);
        problems = 1;
    }
    for (const std::string& name : names) {
        std::printf("FAILED: there is no breakage %s\n", name.c_str());
        problems = 1;
    }
    return problems;
}

// The row's seed is still good, or another one is looked for.
std::string found_row(const Arguments& args, const Named& named, const std::string& expect, std::uint64_t first) {
    Arguments asked = args;
    asked.expect = expect;
    const auto good = [&](std::uint64_t seed) {
        const Shared result = run(seed, named.breakage);
        return result.finished && result.violated && expected(asked, result) ? std::string(result.promise.data()) : std::string();
    };
    std::string promise = first != 0 ? good(first) : "";
    for (std::uint64_t seed = 1; promise.empty() && seed <= args.runs; ++seed) {
        promise = good(seed);
        first = seed;
    }
    std::array<char, 200> row{};
    const std::string promises = expect.empty() ? promise : expect;
    if (promise.empty()) {
        std::snprintf(row.data(), row.size(), "%-32s | not noticed: in %llu seeds", std::string(named.name).c_str(),
                      static_cast<unsigned long long>(args.runs));
    } else {
        std::snprintf(row.data(), row.size(), "%-32s | %-12s | %6llu | 20", std::string(named.name).c_str(), promises.c_str(),
                      static_cast<unsigned long long>(first));
    }
    std::printf("%s\n", row.data());
    std::fflush(stdout);
    return row.data();
}

int find_seeds(const Arguments& args, const std::string& path) {
    std::ifstream in(path);
    std::map<std::string, std::string> rows;
    std::string out;
    for (std::string line; std::getline(in, line);) {
        if (!line.empty() && line[0] == '#') out += line + "\n";
        else rows[line.substr(0, line.find(' '))] = line;
    }
    for (const Named& named : kBreakages) {
        const std::string row = rows[std::string(named.name)];
        std::vector<std::string> cells;
        std::istringstream stream(row);
        for (std::string cell; std::getline(stream, cell, '|');) {
            const std::size_t begin = cell.find_first_not_of(' ');
            cells.push_back(begin == std::string::npos ? "" : cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
        }
        const bool known = cells.size() == 4;
        if (cells.size() == 3 && cells[2] == "drill") {  // needs no seed
            out += row + "\n";
            continue;
        }
        const std::string found =
            found_row(args, named, known ? cells[1] : "", known ? std::strtoull(cells[2].c_str(), nullptr, 10) : 0);
        const bool keep_reason = !known && !row.empty() && found.find("not noticed") != std::string::npos;
        out += (keep_reason ? row : found) + "\n";
    }
    std::ofstream(path) << out;
    return 0;
}

int usage(const std::string& why) {
    std::fprintf(stderr,
                 "simulate_broken: %s\n"
                 "usage: simulate_broken --break NAME [--first S] [--runs N] [--expect \"P-1 P-3\"]\n"
                 "       simulate_broken --drill NAME [--expect \"P-1 P-3\"] [--trace]\n"
                 "       simulate_broken --survey NAME|all [--first S] [--runs N]\n"
                 "       simulate_broken --seed S [--break NAME] [--trace]\n"
                 "       simulate_broken --list | --table FILE | --find FILE [--runs N]\n",
                 why.c_str());
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments args;
    bool surveying = false;
    bool drilling = false;
    std::string find_in;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--list") {
            for (const Named& named : kBreakages)
                std::printf("%-32s %s\n", std::string(named.name).c_str(), std::string(named.text).c_str());
            return 0;
        }
        if (name == "--trace") {
            args.trace = true;
            continue;
        }
        if (i + 1 >= argc) return usage("'" + std::string(name) + "' needs a value, or is unknown");
        const std::string value = argv[++i];
        if (name == "--table") return check_table(value);
        if (name == "--find") {
            find_in = value;
            continue;
        }
        if (name == "--break" || name == "--survey" || name == "--drill") {
            surveying = name == "--survey";
            drilling = name == "--drill";
            args.name = value;
            continue;
        }
        if (name == "--expect") {
            args.expect = value;
            continue;
        }
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
        if (error != std::errc() || end != value.data() + value.size()) return usage("'" + value + "' is not a number");
        if (name == "--first") {
            args.first = number;
        } else if (name == "--runs") {
            args.runs = number;
        } else if (name == "--seed") {
            args.seed = number;
        } else {
            return usage("'" + std::string(name) + "' is not understood");
        }
    }
    if (!find_in.empty()) return find_seeds(args, find_in);
    if (surveying && args.name == "all") {
        for (const Named& named : kBreakages) survey(args, named);
        return 0;
    }
    const Named* named = find(args.name);
    if (named == nullptr && !(args.seed && args.name.empty()))
        return usage("there is no breakage '" + args.name + "'; --list names them");
    if (drilling) return play(args, *named);
    if (args.seed) return replay(args, named == nullptr ? Breakage::none : named->breakage);
    if (!surveying) return notice(args, *named);
    survey(args, *named);
    return 0;
}
