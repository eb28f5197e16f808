#include "testutil/limits.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "testutil/folder_reaper.h"
#include "testutil/proc_text.h"

namespace parti::test {
namespace {

constexpr std::uint64_t kPeriodUs = 100'000;
constexpr std::chrono::milliseconds kEmptyTimeout{3000};  // a killed process leaves its group when it is reaped

std::string reason() { return std::strerror(errno); }

Outcome<void> write_value(const std::string& path, const std::string& value) {
    std::ofstream file(path);
    file << value << std::flush;
    if (!file) return failure(path + " = " + value + ": " + reason());
    return {};
}

std::string read_value(const std::string& path) { return proc::read_text(path).value_or(""); }

std::optional<std::uint64_t> read_number(const std::string& path) {
    const std::string text = read_value(path);
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(text.c_str(), &end, 10);
    return end == text.c_str() ? std::nullopt : std::optional(value);
}

// The number behind a word at a line's begin: "oom_kill 1".
std::optional<std::uint64_t> number_behind(const std::string& path, const std::string& word) {
    std::istringstream lines(read_value(path));
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(word + " ", 0) == 0) return std::strtoull(line.c_str() + word.size() + 1, nullptr, 10);
    }
    return std::nullopt;
}

bool has_word(const std::string& text, const std::string& word, char separator) {
    std::istringstream words(text);
    for (std::string one; std::getline(words, one, separator);) {
        if (one == word || one == word + "\n") return true;
    }
    return false;
}

struct Mount {
    std::string folder, type, options;
};
std::vector<Mount> mounts() {
    std::vector<Mount> all;
    std::ifstream file("/proc/self/mounts");
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string device;
        Mount mount;
        words >> device >> mount.folder >> mount.type >> mount.options;
        if (mount.type == "cgroup" || mount.type == "cgroup2") all.push_back(mount);
    }
    return all;
}
std::optional<std::string> v1_root(const std::string& controller) {
    for (const Mount& mount : mounts()) {
        if (mount.type == "cgroup" && has_word(mount.options, controller, ',')) return mount.folder;
    }
    return std::nullopt;
}

Outcome<void> make_folder(const std::string& path, std::vector<std::string>& made) {
    if (auto ok = remove_at_end(path); !ok) return ok;
    if (::mkdir(path.c_str(), 0755) != 0) return failure(path + " cannot be made: " + reason());
    made.push_back(path);
    return {};
}

// A group's folder vanishes as soon as its last process is reaped.
Outcome<void> remove_folder(const std::string& path, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (::rmdir(path.c_str()) != 0) {
        if (errno == ENOENT) return {};
        if (errno != EBUSY || std::chrono::steady_clock::now() > deadline) {
            std::string pids = read_value(path + "/cgroup.procs");
            std::replace(pids.begin(), pids.end(), '\n', ' ');
            return failure(path + " cannot be removed: " + reason() + (pids.empty() ? "" : "; processes in it: " + pids));
        }
        // The pause between two tries; the deadline bounds them.
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return {};
}

std::vector<LimitMethod> methods_wanted(std::optional<LimitMethod> only) {
    if (only) return {*only};
    const char* given = std::getenv("PARTI_LIMIT_METHOD");
    const std::string text = given == nullptr ? "" : given;
    if (text == "v2") return {LimitMethod::cgroup_v2};
    if (text == "v1") return {LimitMethod::cgroup_v1};
    if (text == "soft") return {LimitMethod::soft};
    return {LimitMethod::cgroup_v2, LimitMethod::cgroup_v1, LimitMethod::soft};
}

}  // namespace

std::string name(LimitMethod method) {
    switch (method) {
        case LimitMethod::cgroup_v2: return "cgroup v2";
        case LimitMethod::cgroup_v1: return "cgroup v1";
        case LimitMethod::soft: return "soft";
    }
    return "?";
}

Outcome<LimitedGroup> LimitedGroup::make(Limits limits, std::optional<LimitMethod> only) {
    const std::string group_name = temp_folder_name("", "limit").substr(1);  // the same one below each controller
    std::string why;
    for (const LimitMethod method : methods_wanted(only)) {
        auto scripts = TempFolder::make("limit");
        if (!scripts) return failure(scripts.error());
        LimitedGroup group(limits, method, std::move(*scripts));
        const auto made = group.set_up(group_name);
        if (made) {
            group.why_ = why;
            return group;
        }
        why += (why.empty() ? "" : "; ") + name(method) + ": " + made.error();
    }
    return failure("no way to limit processes works here: " + why);
}

Outcome<void> LimitedGroup::set_up(const std::string& group_name) {
    switch (method_) {
        case LimitMethod::cgroup_v2: return set_up_v2(group_name);
        case LimitMethod::cgroup_v1: return set_up_v1(group_name);
        case LimitMethod::soft: return set_up_soft();
    }
    return failure("no such method");
}

Outcome<void> LimitedGroup::set_up_v2(const std::string& group_name) {
    std::string root;
    for (const Mount& mount : mounts()) {
        if (mount.type == "cgroup2") root = mount.folder;
    }
    if (root.empty()) return failure("not mounted");
    const std::string offered = read_value(root + "/cgroup.controllers");
    for (const char* controller : {"memory", "cpu"}) {
        if (!has_word(offered, controller, ' ')) return failure(root + " does not offer the controller " + controller);
        if (has_word(read_value(root + "/cgroup.subtree_control"), controller, ' ')) continue;
        if (auto on = write_value(root + "/cgroup.subtree_control", std::string("+") + controller); !on) return on;
    }
    memory_ = cpu_ = root + "/" + group_name;
    if (auto made = make_folder(memory_, folders_); !made) return made;
    if (auto set = write_value(memory_ + "/memory.max", std::to_string(limits_.memory_bytes)); !set) return set;
    static_cast<void>(write_value(memory_ + "/memory.swap.max", "0"));  // not there without swap accounting
    const auto quota = static_cast<std::uint64_t>(std::llround(limits_.cpus * static_cast<double>(kPeriodUs)));
    return write_value(cpu_ + "/cpu.max", std::to_string(quota) + " " + std::to_string(kPeriodUs));
}

Outcome<void> LimitedGroup::set_up_v1(const std::string& group_name) {
    const auto memory = v1_root("memory");
    const auto cpu = v1_root("cpu");
    if (!memory || !cpu) return failure(std::string("no controller ") + (memory ? "cpu" : "memory") + " is mounted");
    memory_ = *memory + "/" + group_name;
    cpu_ = *cpu + "/" + group_name;
    if (auto made = make_folder(memory_, folders_); !made) return made;
    if (cpu_ != memory_) {
        if (auto made = make_folder(cpu_, folders_); !made) return made;
    }
    const std::string bytes = std::to_string(limits_.memory_bytes);
    if (auto set = write_value(memory_ + "/memory.limit_in_bytes", bytes); !set) return set;
    static_cast<void>(write_value(memory_ + "/memory.memsw.limit_in_bytes", bytes));  // not there without swap accounting
    if (read_number(memory_ + "/memory.limit_in_bytes").value_or(0) > limits_.memory_bytes)
        return failure(memory_ + " does not keep its limit");
    if (auto set = write_value(cpu_ + "/cpu.cfs_period_us", std::to_string(kPeriodUs)); !set) return set;
    return write_value(cpu_ + "/cpu.cfs_quota_us", std::to_string(std::llround(limits_.cpus * static_cast<double>(kPeriodUs))));
}

Outcome<void> LimitedGroup::set_up_soft() {
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return failure("sched_getaffinity: " + reason());
    const int wanted = std::max(1, static_cast<int>(std::ceil(limits_.cpus)));
    int taken = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && taken < wanted; ++cpu) {
        if (!CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) continue;
        processors_ += (taken++ == 0 ? "" : ",") + std::to_string(cpu);
    }
    return {};
}

LimitedGroup::LimitedGroup(LimitedGroup&& other) noexcept
    : limits_(other.limits_), method_(other.method_), scripts_(std::move(other.scripts_)), why_(std::move(other.why_)),
      memory_(std::move(other.memory_)), cpu_(std::move(other.cpu_)), folders_(std::move(other.folders_)),
      processors_(std::move(other.processors_)), wrapped_(other.wrapped_) {
    other.folders_.clear();
}

LimitedGroup::~LimitedGroup() { static_cast<void>(end()); }

Outcome<std::string> LimitedGroup::wrap(const std::string& program) {
    const std::string path = scripts_.path() + "/enter-" + std::to_string(wrapped_++) + ".sh";
    std::ofstream file(path);
    file << "#!/bin/sh\nset -e\n";
    if (method_ == LimitMethod::soft) {
        file << "ulimit -d " << limits_.memory_bytes / 1024 << "\nexec taskset -c " << processors_ << " '" << program
             << "' \"$@\"\n";
    } else {
        for (const std::string& folder : folders_) file << "echo $$ >'" << folder << "/cgroup.procs'\n";
        file << "exec '" << program << "' \"$@\"\n";
    }
    file.close();
    if (!file || ::chmod(path.c_str(), 0755) != 0) return failure(path + " cannot be written: " + reason());
    return path;
}

bool LimitedGroup::holds(pid_t pid) const {
    if (folders_.empty()) return method_ == LimitMethod::soft;
    const std::string groups = read_value(proc::path_of(pid, "cgroup"));
    std::size_t found = 0;
    const std::string group = folders_.front().substr(folders_.front().rfind('/') + 1) + "\n";
    for (auto at = groups.find(group); at != std::string::npos; at = groups.find(group, at + 1)) ++found;
    return found == folders_.size();  // a line for each hierarchy
}

Outcome<LimitUse> LimitedGroup::use() const {
    LimitUse use;
    if (method_ == LimitMethod::soft) return use;
    const bool v2 = method_ == LimitMethod::cgroup_v2;
    use.peak_bytes = read_number(memory_ + (v2 ? "/memory.peak" : "/memory.max_usage_in_bytes"));  // v2: since Linux 5.19
    use.oom_kills = number_behind(memory_ + (v2 ? "/memory.events" : "/memory.oom_control"), "oom_kill");
    use.throttled_periods = number_behind(cpu_ + "/cpu.stat", "nr_throttled");
    const auto time = number_behind(cpu_ + "/cpu.stat", v2 ? "throttled_usec" : "throttled_time");
    if (time) use.throttled_seconds = static_cast<double>(*time) / (v2 ? 1e6 : 1e9);
    if (!use.oom_kills) return failure(memory_ + " does not say how many processes were killed");
    return use;
}

Outcome<void> LimitedGroup::end() {
    std::string problems;
    std::vector<std::string> left;  // to be tried again
    for (const std::string& folder : folders_) {
        const auto removed = remove_folder(folder, kEmptyTimeout);
        if (removed) continue;
        problems += (problems.empty() ? "" : "; ") + removed.error();
        left.push_back(folder);
    }
    folders_ = std::move(left);
    if (!problems.empty()) return failure(problems);
    return {};
}

}  // namespace parti::test
