#include "memory_probe.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "proc_text.h"

namespace parti::test {
namespace {

using proc::field;

tl::unexpected<std::string> gone(pid_t pid, const char* what) {
    return failure("process " + std::to_string(pid) + ": no " + what + " (it does not exist, has ended, or is not ours)");
}

std::optional<std::uint64_t> count_field(std::string_view text, std::string_view key) {
    const auto words = field(text, key);
    if (words.empty()) return std::nullopt;
    return proc::number<std::uint64_t>(words[0]);
}

std::optional<std::uint64_t> bytes_field(std::string_view text, std::string_view key) {
    const auto words = field(text, key);
    if (words.size() != 2 || words[1] != "kB") return std::nullopt;
    const auto kilobytes = proc::number<std::uint64_t>(words[0]);
    if (!kilobytes) return std::nullopt;
    return *kilobytes * 1024;
}

double ticks_per_second() {
    static const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    return ticks;
}

std::optional<double> pressure_number(std::string_view word, std::string_view key) {
    if (word.size() <= key.size() + 1 || word.substr(0, key.size()) != key || word[key.size()] != '=') return std::nullopt;
    return proc::number<double>(word.substr(key.size() + 1));
}

}  // namespace

Outcome<MemorySample> parse_status(std::string_view text) {
    MemorySample sample;
    sample.time = std::chrono::steady_clock::now();
    const auto state = field(text, "State");
    if (!state.empty() && state[0] == "Z") return failure("the process has ended (zombie)");
    const auto anon = bytes_field(text, "RssAnon");
    const auto rss = bytes_field(text, "VmRSS");
    const auto hwm = bytes_field(text, "VmHWM");
    const auto threads = count_field(text, "Threads");
    if (!anon || !rss || !hwm || !threads) return failure("status without RssAnon, VmRSS, VmHWM or Threads");
    sample.rss_anon = *anon;
    sample.rss = *rss;
    sample.hwm = *hwm;
    sample.threads = *threads;
    sample.voluntary_switches = count_field(text, "voluntary_ctxt_switches").value_or(0);
    sample.involuntary_switches = count_field(text, "nonvoluntary_ctxt_switches").value_or(0);
    return sample;
}

Outcome<void> parse_rollup(std::string_view text, MemorySample& sample) {
    sample.pss = bytes_field(text, "Pss");
    sample.pss_anon = bytes_field(text, "Pss_Anon");
    sample.private_clean = bytes_field(text, "Private_Clean");
    sample.private_dirty = bytes_field(text, "Private_Dirty");
    if (!sample.pss) return failure("smaps_rollup without Pss");
    return {};
}

Outcome<MemorySample> read_memory(pid_t pid, Detail detail) {
    const auto status = proc::read_text(proc::path_of(pid, "status"));
    if (!status) return gone(pid, "status");
    auto sample = parse_status(*status);
    if (!sample) return failure("process " + std::to_string(pid) + ": " + sample.error());
    if (detail == Detail::rollup) {
        const auto rollup = proc::read_text(proc::path_of(pid, "smaps_rollup"));
        if (!rollup) return gone(pid, "smaps_rollup");
        if (auto ok = parse_rollup(*rollup, *sample); !ok) return failure("process " + std::to_string(pid) + ": " + ok.error());
    }
    return sample;
}

Outcome<void> reset_hwm(pid_t pid) {
    const int fd = ::open(proc::path_of(pid, "clear_refs").c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return gone(pid, "clear_refs");
    const ssize_t n = ::write(fd, "5", 1);
    const int error = errno;
    ::close(fd);
    if (n != 1) return failure("process " + std::to_string(pid) + ": clear_refs: " + std::strerror(error));
    return {};
}

Outcome<ThreadNames> read_threads(pid_t pid) {
    ThreadNames names;
    for (const std::string& task : proc::list_folder(proc::path_of(pid, "task"))) {
        auto comm = proc::read_text(proc::path_of(pid, "task/") + task + "/comm");
        if (!comm) continue;  // the thread ended meanwhile
        while (!comm->empty() && comm->back() == '\n') comm->pop_back();
        ++names[*comm];
    }
    if (names.empty()) return gone(pid, "threads");
    return names;
}

Outcome<std::uint64_t> count_fds(pid_t pid) {
    const auto names = proc::list_folder(proc::path_of(pid, "fd"));
    if (names.empty() && ::access(proc::path_of(pid, "fd/0").c_str(), F_OK) != 0) {
        if (::access(proc::path_of(pid, "fd").c_str(), R_OK) != 0) return gone(pid, "fd folder");
        if (!proc::read_text(proc::path_of(pid, "status"))) return gone(pid, "fd folder");
    }
    return names.size();
}

Outcome<double> parse_stat_cpu(std::string_view text) {
    const auto close = text.rfind(')');  // the name may contain anything, blanks and brackets too
    if (close == std::string_view::npos) return failure("stat without a name in brackets");
    const auto words = proc::split(text.substr(close + 1), " \n");
    if (words.size() < 13) return failure("stat with too few fields");
    const auto user = proc::number<std::uint64_t>(words[11]);
    const auto system = proc::number<std::uint64_t>(words[12]);
    if (!user || !system) return failure("stat with malformed times");
    return static_cast<double>(*user + *system) / ticks_per_second();
}

Outcome<double> parse_schedstat(std::string_view text) {
    const auto words = proc::split(text, " \n");
    const auto ns = words.size() >= 2 ? proc::number<std::uint64_t>(words[0]) : std::nullopt;
    if (!ns) return failure("schedstat '" + std::string(text) + "' must begin with a time in ns");
    return static_cast<double>(*ns) / 1e9;
}

Outcome<double> read_thread_cpu(pid_t pid, pid_t tid) {
    const auto text = proc::read_text(proc::path_of(pid, "task/") + std::to_string(tid) + "/schedstat");
    if (!text) return gone(pid, "schedstat");
    return parse_schedstat(*text);
}

Outcome<ProcessTimes> read_times(pid_t pid) {
    const auto stat = proc::read_text(proc::path_of(pid, "stat"));
    if (!stat) return gone(pid, "stat");
    const auto cpu = parse_stat_cpu(*stat);
    if (!cpu) return failure("process " + std::to_string(pid) + ": " + cpu.error());
    ProcessTimes times;
    times.cpu_seconds = *cpu;
    for (const std::string& task : proc::list_folder(proc::path_of(pid, "task"))) {
        const auto status = proc::read_text(proc::path_of(pid, "task/") + task + "/status");
        if (!status) continue;
        times.voluntary_switches += count_field(*status, "voluntary_ctxt_switches").value_or(0);
        times.involuntary_switches += count_field(*status, "nonvoluntary_ctxt_switches").value_or(0);
    }
    return times;
}

Outcome<Pressure> parse_pressure(std::string_view text) {
    Pressure pressure;
    bool some_seen = false;
    for (const std::string_view line : proc::split(text, "\n")) {
        const auto words = proc::split(line, " ");
        if (words.size() != 5) return failure("pressure line '" + std::string(line) + "' must have five words");
        const auto avg10 = pressure_number(words[1], "avg10");
        const auto avg60 = pressure_number(words[2], "avg60");
        const auto avg300 = pressure_number(words[3], "avg300");
        const auto total = pressure_number(words[4], "total");
        if (!avg10 || !avg60 || !avg300 || !total) return failure("malformed pressure line '" + std::string(line) + "'");
        const PressureLine parsed{*avg10, *avg60, *avg300, static_cast<std::uint64_t>(*total)};
        if (words[0] == "some") {
            pressure.some = parsed;
            some_seen = true;
        } else if (words[0] == "full") {
            pressure.full = parsed;
        }
    }
    if (!some_seen) return failure("pressure without a line 'some'");
    return pressure;
}

Outcome<Pressure> read_pressure(const std::string& resource) {
    const auto text = proc::read_text("/proc/pressure/" + resource);
    if (!text) return failure("this kernel has no /proc/pressure/" + resource);
    return parse_pressure(*text);
}

Outcome<MachineTimes> parse_machine_times(std::string_view text) {
    // cpu user nice system idle iowait irq softirq steal guest guest_nice; guest times are part of user and nice
    const auto words = proc::split(text.substr(0, text.find('\n')), " ");
    if (words.size() < 9 || words[0] != "cpu") return failure("/proc/stat must begin with 'cpu' and eight times");
    MachineTimes times;
    for (std::size_t i = 1; i <= 8; ++i) {
        const auto ticks = proc::number<std::uint64_t>(words[i]);
        if (!ticks) return failure("malformed time '" + std::string(words[i]) + "' in /proc/stat");
        const double seconds = static_cast<double>(*ticks) / ticks_per_second();
        times.total_seconds += seconds;
        if (i == 4 || i == 5) times.idle_seconds += seconds;
        if (i == 8) times.steal_seconds = seconds;
    }
    return times;
}

Outcome<MachineTimes> read_machine_times() {
    const auto text = proc::read_text("/proc/stat");
    if (!text) return failure("no /proc/stat");
    return parse_machine_times(*text);
}

}  // namespace parti::test
