#include "preflight.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "memory_probe.h"
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
        out.push_back({true, std::string(what) + " is " + megabytes(*bytes) + ", must be at least " + megabytes(least) + ": " + remedy});
    }
}

}  // namespace

std::vector<PreflightFinding> judge_preflight(const PreflightFacts& facts) {
    std::vector<PreflightFinding> out;
    if (!facts.nats_server) {
        out.push_back({true, "nats-server is missing: make setup, or apt-get install nats-server, or let PARTI_NATS_SERVER name one"});
    } else if (!facts.nats_server_version || !at_least_2_9(*facts.nats_server_version)) {
        out.push_back({true, *facts.nats_server + " is version '" + facts.nats_server_version.value_or("unknown") +
                                 "', must be 2.9 or newer: let PARTI_NATS_SERVER name another"});
    }
    for (const std::string& program : facts.missing_programs) out.push_back({true, program + " is missing: build it (make stress does)"});
    judge_space("free memory", facts.free_memory, kPreflightMemory, "end other programs", out);
    judge_space("free space for results", facts.free_disk, kPreflightDisk, "remove old runs from stress-results", out);
    judge_space("free space for temporary files", facts.free_temp, kPreflightDisk, "clean it, or let TMPDIR name another folder", out);
    for (const LeftoverProcess& process : facts.stale) {
        out.push_back({true, "process " + std::to_string(process.pid) + " (" + process.command +
                                 ") is left of an earlier test run: kill " + std::to_string(process.pid)});
    }
    if (facts.busy > kQuiet) {
        std::array<char, 200> text{};
        std::snprintf(text.data(), text.size(), "the machine is busy: other programs use %.0f %% of its processors; times will be doubtful%s",
                      facts.busy * 100, facts.quiet_required ? ": end them (PARTI_STRESS_REQUIRE_QUIET is set)" : "");
        out.push_back({facts.quiet_required, text.data()});
    }
    return out;
}

PreflightFacts look_before_run(const std::string& folder, std::chrono::milliseconds patience) {
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
    facts.busy = quiet_within(patience) ? 0 : busy_share();
    return facts;
}

double busy_share() {
    const auto before = read_machine_times();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // what is measured is a span of time
    const auto after = read_machine_times();
    if (!before || !after || after->total_seconds <= before->total_seconds) return 0;
    // Clamped: of a machine that is wholly idle rounding leaves a little less than nothing, and the kernel's iowait may go back (proc(5)).
    return std::clamp(1 - (after->idle_seconds - before->idle_seconds) / (after->total_seconds - before->total_seconds), 0.0, 1.0);
}

std::optional<std::chrono::milliseconds> quiet_within(std::chrono::milliseconds limit) {
    const auto begin = Clock::now();
    while (true) {
        const double busy = busy_share();
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
        if (busy <= kQuiet) return took;
        if (took >= limit) return std::nullopt;
    }
}

}  // namespace parti::test
