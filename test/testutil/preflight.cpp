#include "preflight.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "memory_probe.h"
#include "proc_text.h"
#include "process.h"

namespace parti::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes >> 20U) + " MB"; }

std::optional<std::uint64_t> free_bytes(fs::path folder) {
    std::error_code error;
    folder = fs::absolute(folder, error);
    while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
    const auto space = fs::space(folder, error);
    return error ? std::nullopt : std::optional<std::uint64_t>(space.available);
}

std::optional<std::uint64_t> available_memory() {
    std::ifstream file("/proc/meminfo");
    std::string key;
    for (std::uint64_t kilobytes = 0; file >> key >> kilobytes;) {
        if (key == "MemAvailable:") return kilobytes * 1024;
        file.ignore(64, '\n');
    }
    return std::nullopt;
}

// "nats-server: v2.9.10" -> "2.9.10"
std::optional<std::string> version_of(const std::string& program) {
    ProcessOptions options;
    options.path = program;
    options.args = {"--version"};
    auto child = ChildProcess::start(options);
    if (!child) return std::nullopt;
    const auto line = child->read_line(Milliseconds(10000));
    child->wait(Milliseconds(5000));
    const auto at = line.text.rfind('v');
    if (line.state != ReadState::line || at == std::string::npos) return std::nullopt;
    return line.text.substr(at + 1);
}

bool at_least_2_9(const std::string& version) {
    int major = 0, minor = 0;
    if (std::sscanf(version.c_str(), "%d.%d", &major, &minor) != 2) return false;
    return major > 2 || (major == 2 && minor >= 9);
}

void judge_space(const char* what, const std::optional<std::uint64_t>& bytes, std::uint64_t least, const char* remedy,
                 std::vector<PreflightFinding>& out) {
    if (!bytes) {
        out.push_back({true, std::string(what) + " cannot be found out"});
    } else if (*bytes < least) {
        out.push_back(
            {true, std::string(what) + " is " + megabytes(*bytes) + ", must be at least " + megabytes(least) + ": " + remedy});
    }
}

// A process may call itself anything; a terminal and a report get what can be printed.
std::string printable(std::string name) {
    for (char& c : name) {
        if (c < ' ' || c > '~') c = '?';
    }
    return name;
}

}  // namespace

std::vector<PreflightFinding> judge_preflight(const PreflightFacts& facts) {
    std::vector<PreflightFinding> out;
    if (!facts.nats_server) {
        out.push_back(
            {true, "nats-server is missing: make setup, or apt-get install nats-server, or let PARTI_NATS_SERVER name one"});
    } else if (!facts.nats_server_version || !at_least_2_9(*facts.nats_server_version)) {
        out.push_back({true, *facts.nats_server + " is version '" + facts.nats_server_version.value_or("unknown") +
                                 "', must be 2.9 or newer: let PARTI_NATS_SERVER name another"});
    }
    for (const std::string& program : facts.missing_programs)
        out.push_back({true, program + " is missing: build it (make stress does)"});
    judge_space("free memory", facts.free_memory, kPreflightMemory, "end other programs", out);
    judge_space("free space for results", facts.free_disk, kPreflightDisk, "remove old runs from stress-results", out);
    judge_space("free space for temporary files", facts.free_temp, kPreflightDisk, "clean it, or let TMPDIR name another folder",
                out);
    for (const LeftoverProcess& process : facts.stale) {
        out.push_back({true, "process " + std::to_string(process.pid) + " (" + process.command +
                                 ") is left of an earlier test run: kill " + std::to_string(process.pid)});
    }
    if (facts.busy.share > kQuiet) {
        out.push_back({facts.quiet_required, "the machine is busy: " + text_of(facts.busy) + "; times will be doubtful" +
                                                 (facts.quiet_required ? ": end them (PARTI_STRESS_REQUIRE_QUIET is set)" : "")});
    }
    return out;
}

PreflightFacts look_before_run(const std::string& folder, std::chrono::milliseconds patience, const OnBusy& on_busy) {
    PreflightFacts facts;
    const char* const named = std::getenv("PARTI_NATS_SERVER");
    if (const auto program = find_program(named != nullptr && *named != '\0' ? named : "nats-server")) {
        facts.nats_server = *program;
        facts.nats_server_version = version_of(*program);
    }
    for (const char* program : {PARTI_LAUNCHER_PATH, PARTI_WORKER_HOST_PATH}) {
        std::error_code error;
        if (!fs::exists(program, error)) facts.missing_programs.emplace_back(program);
    }
    facts.free_memory = available_memory();
    facts.free_disk = free_bytes(folder);
    facts.free_temp = free_bytes(temp_root());
    facts.stale = orphans();
    const char* const required = std::getenv("PARTI_STRESS_REQUIRE_QUIET");
    facts.quiet_required = required != nullptr && std::string(required) == "1";
    Quiet quiet = quiet_within(patience, on_busy);
    facts.waited = quiet.took;
    if (!quiet.reached) facts.busy = std::move(quiet.last);
    return facts;
}

std::string text_of(const Busy& busy) {
    std::array<char, 80> text{};
    std::snprintf(text.data(), text.size(), "other programs use %.0f %% of its processors", busy.share * 100);
    std::string out = text.data();
    for (const auto& [name, share] : busy.programs) {
        std::snprintf(text.data(), text.size(), "%.15s %.0f %%", name.c_str(), share * 100);
        out += (&name == &busy.programs.front().first ? " (" : ", ") + std::string(text.data());
    }
    return busy.programs.empty() ? out : out + ")";
}

std::optional<MachineUse> read_machine_use() {
    const auto times = read_machine_times();
    if (!times) return std::nullopt;
    MachineUse use{times->total_seconds, times->idle_seconds, {}};
    for (const pid_t pid : proc::all_pids()) {
        const auto stat = proc::read_text(proc::path_of(pid, "stat"));
        const auto cpu = stat ? parse_stat_cpu(*stat) : failure("gone");
        if (!cpu) continue;
        const auto open = stat->find('('), close = stat->rfind(')');
        use.programs[std::to_string(pid)] = {printable(stat->substr(open + 1, close - open - 1)), *cpu};
    }
    return use;
}

Busy busy_between(const MachineUse& before, const MachineUse& after) {
    constexpr double kNamed = 0.01;
    constexpr std::size_t kMostNamed = 3;
    Busy busy;
    const double total = after.total_seconds - before.total_seconds;
    if (total <= 0) return busy;
    busy.share = std::clamp(1 - (after.idle_seconds - before.idle_seconds) / total, 0.0, 1.0);
    std::map<std::string, double> shares;
    for (const auto& [pid, program] : after.programs) {
        const auto earlier = before.programs.find(pid);
        const double used = program.seconds - (earlier == before.programs.end() ? 0 : earlier->second.seconds);
        if (used > 0) shares[program.name] += used / total;  // less than before: the number of one that ended, given again
    }
    for (const auto& [name, share] : shares) {
        if (share >= kNamed) busy.programs.emplace_back(name, std::min(share, 1.0));
    }
    std::stable_sort(busy.programs.begin(), busy.programs.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    if (busy.programs.size() > kMostNamed) busy.programs.resize(kMostNamed);
    return busy;
}

Busy busy_now() {
    const auto before = read_machine_use();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // what is measured is a span of time
    const auto after = read_machine_use();
    return before && after ? busy_between(*before, *after) : Busy();
}

Quiet quiet_within(std::chrono::milliseconds limit, const OnBusy& on_busy, const std::function<Busy()>& look) {
    const auto begin = Clock::now();
    bool said = false;
    while (true) {
        Quiet quiet;
        quiet.last = look();
        quiet.took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
        quiet.reached = quiet.last.share <= kQuiet;
        if (quiet.reached || quiet.took >= limit) return quiet;
        if (on_busy && !said) on_busy(quiet.last);
        said = true;
    }
}

}  // namespace parti::test
