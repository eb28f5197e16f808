// state_matrix: which (state, event) pairs of each machine the simulation reaches; every other one needs a reason.
//
//   state_matrix FILE [--runs N] [--first S]
//
// FILE      One line a pair or more: "machine state event | unreachable: why" or "... | not drawn: why"; a state or event is
//           `*`, a list `a,b`, or all but some: `*,-a,-b`.
//           An unreachable pair that is seen makes the test fail as well; one that is only not drawn does not.
// Exit      0: every pair is seen or listed. 1: not. 2: bad arguments or file.
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/test_switch.h"
#include "testutil/sim_world.h"

namespace {

using parti::core::Happening;
using parti::core::Machine;

constexpr std::string_view kKinds[] = {
    "start",          "stop",           "tick",        "own_lease",       "other_lease",        "head",         "own_record",
    "other_record",   "control",        "marker",      "unreadable",      "snapshot_done",      "history_lost", "done",
    "wrong_revision", "no_information", "fetched",     "fetched_nothing", "partitions_changed", "release_done", "link_up",
    "link_down",      "session_lapsed", "late_answer", "entry_of_mine",   "entry_of_another",   "overdue"};
static_assert(std::size(kKinds) == static_cast<std::size_t>(Happening::overdue) + 1);

constexpr std::string_view kWorker[] = {"init",   "claiming_id", "waiting_assignment", "stable", "degraded", "draining",
                                        "fenced", "stopped"};
constexpr std::string_view kSession[] = {"idle", "claiming", "held", "relinquishing", "over", "leaving", "gone"};
constexpr std::string_view kAssignee[] = {"empty", "owning", "draining", "owning_and_draining"};
constexpr std::string_view kElection[] = {"waiting", "standing", "resigning"};
constexpr std::string_view kLeader[] = {"off", "idle", "sealing", "settling", "rebalancing", "emergency", "frozen"};
constexpr std::string_view kCasWrite[] = {"idle", "in_flight", "resolving"};
struct Shape {
    std::string_view name;
    std::span<const std::string_view> states;
};
constexpr Shape kMachines[] = {{"worker", kWorker},     {"session", kSession}, {"assignee", kAssignee},
                               {"election", kElection}, {"leader", kLeader},   {"cas_write", kCasWrite}};
static_assert(std::size(kMachines) == static_cast<std::size_t>(Machine::cas_write) + 1);

constexpr std::size_t kStatesMax = 8;
std::array<std::array<std::array<std::uint64_t, std::size(kKinds)>, kStatesMax>, std::size(kMachines)> counts{};

// Answers and entries are told to a write by what they are to it, to the other machines by what they are.
bool concerns(std::size_t machine, std::size_t kind) {
    const auto k = static_cast<Happening>(kind);
    const bool of_writes = k >= Happening::late_answer;
    if (static_cast<Machine>(machine) != Machine::cas_write) return !of_writes;
    return of_writes || k == Happening::done || k == Happening::wrong_revision || k == Happening::no_information ||
           k == Happening::fetched;
}

struct Reason {
    std::array<std::string, 3> what;
    std::string why;
    bool unreachable = false;
    std::size_t line = 0;
    bool used = false;

    bool matches(std::size_t m, std::size_t s, std::size_t k) const {
        const auto is = [](const std::string& pattern, std::string_view name) {
            const std::string all = "," + pattern + ",";
            const std::string word(name);
            if (all.find(",-" + word + ",") != std::string::npos) return false;
            return pattern[0] == '*' || all.find("," + word + ",") != std::string::npos;
        };
        return is(what[0], kMachines[m].name) && is(what[1], kMachines[m].states[s]) && is(what[2], kKinds[k]);
    }
};

bool read(const std::string& path, std::vector<Reason>& out) {
    std::ifstream in(path);
    if (!in) return false;
    std::size_t number = 0;
    for (std::string line; std::getline(in, line);) {
        ++number;
        if (line.empty() || line[0] == '#') continue;
        Reason reason;
        reason.line = number;
        const std::size_t bar = line.find(" | ");
        std::istringstream words(line.substr(0, bar));
        words >> reason.what[0] >> reason.what[1] >> reason.what[2];
        reason.why = bar == std::string::npos ? "" : line.substr(bar + 3);
        reason.unreachable = reason.why.rfind("unreachable: ", 0) == 0;
        if (reason.what[2].empty() || (!reason.unreachable && reason.why.rfind("not drawn: ", 0) != 0)) {
            std::printf("FAILED: %s:%zu: '%s' is not 'machine state event | unreachable: why' or '... | not drawn: why'\n",
                        path.c_str(), number, line.c_str());
            return false;
        }
        out.push_back(std::move(reason));
    }
    return true;
}

void print(std::size_t m) {
    const Shape& shape = kMachines[m];
    std::printf("\n%-20s", std::string(shape.name).c_str());
    for (const std::string_view state : shape.states) std::printf(" %19s", std::string(state).c_str());
    std::printf("\n");
    for (std::size_t k = 0; k < std::size(kKinds); ++k) {
        if (!concerns(m, k)) continue;
        std::printf("%-20s", std::string(kKinds[k]).c_str());
        for (std::size_t s = 0; s < shape.states.size(); ++s) {
            if (counts[m][s][k] == 0) std::printf(" %19s", "-");
            else std::printf(" %19llu", static_cast<unsigned long long>(counts[m][s][k]));
        }
        std::printf("\n");
    }
}

int judge(const std::string& path, std::vector<Reason>& reasons) {
    int failed = 0;
    std::size_t pairs = 0;
    std::size_t seen = 0;
    for (std::size_t m = 0; m < std::size(kMachines); ++m) {
        print(m);
        for (std::size_t s = 0; s < kMachines[m].states.size(); ++s) {
            for (std::size_t k = 0; k < std::size(kKinds); ++k) {
                if (!concerns(m, k)) continue;
                ++pairs;
                const bool was = counts[m][s][k] != 0;
                if (was) ++seen;
                bool listed = false;
                for (Reason& reason : reasons) {
                    if (!reason.matches(m, s, k)) continue;
                    listed = true;
                    reason.used = true;
                    if (!was || !reason.unreachable) continue;
                    std::printf("FAILED: %s:%zu says that %s %s %s is unreachable; seen %llu times\n", path.c_str(), reason.line,
                                std::string(kMachines[m].name).c_str(), std::string(kMachines[m].states[s]).c_str(),
                                std::string(kKinds[k]).c_str(), static_cast<unsigned long long>(counts[m][s][k]));
                    failed = 1;
                }
                if (was || listed) continue;
                std::printf("FAILED: %s %s %s is neither seen nor listed\n", std::string(kMachines[m].name).c_str(),
                            std::string(kMachines[m].states[s]).c_str(), std::string(kKinds[k]).c_str());
                failed = 1;
            }
        }
    }
    for (const Reason& reason : reasons) {
        if (reason.used) continue;
        std::printf("FAILED: %s:%zu names no pair\n", path.c_str(), reason.line);
        failed = 1;
    }
    std::printf("\n%zu pairs, %zu seen, %zu with a reason why not\n", pairs, seen, pairs - seen);
    return failed;
}

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    (void)std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t runs = 100;
    std::uint64_t first = 1;
    for (int i = 2; i + 1 < argc; i += 2) (std::string_view(argv[i]) == "--runs" ? runs : first) = number(argv[i + 1]);
    std::vector<Reason> reasons;
    if (argc < 2 || runs == 0 || !read(argv[1], reasons)) {
        std::fprintf(stderr, "usage: state_matrix FILE [--runs N] [--first S]\n");
        return 2;
    }
    parti::core::stepped = [](Machine machine, unsigned state, Happening kind) {
        ++counts.at(static_cast<std::size_t>(machine)).at(state).at(static_cast<std::size_t>(kind));
    };
    for (std::uint64_t seed = first; seed < first + runs; ++seed) {
        parti::testutil::SimOptions options;
        options.seed = seed;
        const auto report = parti::testutil::SimWorld(options).run();
        if (!report.violation) continue;
        std::printf("FAILED seed %llu: %s\n", static_cast<unsigned long long>(seed), report.violation->text.c_str());
        return 1;
    }
    return judge(argv[1], reasons);
}
