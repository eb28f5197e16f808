#include "sweep.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>
#include <thread>

#include "folder_reaper.h"
#include "proc_text.h"
#include "process.h"

namespace parti::test {
namespace {

bool has_tag(const std::string& environ, const std::string& entry) {
    for (std::size_t begin = 0; begin < environ.size();) {
        const auto end = std::min(environ.find('\0', begin), environ.size());
        if (environ.compare(begin, end - begin, entry) == 0) return true;
        begin = end + 1;
    }
    return false;
}

std::string command_of(pid_t pid) {
    auto line = proc::read_text(proc::path_of(pid, "cmdline")).value_or("");
    std::replace(line.begin(), line.end(), '\0', ' ');
    if (line.empty()) line = proc::read_text(proc::path_of(pid, "comm")).value_or("?");
    while (!line.empty() && (line.back() == ' ' || line.back() == '\n')) line.pop_back();
    return line;
}

// While a process is inside execve its environment reads as empty. `patience` bounds all second looks of one sweep.
std::string environ_of(pid_t pid, int& patience) {
    auto text = proc::read_text(proc::path_of(pid, "environ"));
    char target[8];
    const std::string exe = proc::path_of(pid, "exe");  // kernel threads have none
    while (text && text->empty() && patience > 0 && ::readlink(exe.c_str(), target, sizeof target) > 0) {
        --patience;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // between two looks
        text = proc::read_text(proc::path_of(pid, "environ"));
    }
    return text.value_or("");
}

// State letter and parent of a process; false: gone.
bool state_of(pid_t pid, char& state, pid_t& parent) {
    const auto stat = proc::read_text(proc::path_of(pid, "stat"));
    if (!stat) return false;
    const auto close = stat->rfind(')');
    if (close == std::string::npos) return false;
    const auto words = proc::split(std::string_view(*stat).substr(close + 1), " ");
    if (words.size() < 2) return false;
    state = words[0][0];
    parent = proc::number<pid_t>(words[1]).value_or(0);
    return true;
}

// Inodes of the sockets in state LISTEN, with their ports. Sockets of other network namespaces are not seen.
void add_listeners(const char* path, std::vector<std::pair<std::string, std::uint16_t>>& found) {
    const auto text = proc::read_text(path);
    if (!text) return;
    for (const std::string_view line : proc::split(*text, "\n")) {
        const auto words = proc::split(line, " ");
        if (words.size() < 10 || words[3] != "0A") continue;
        const auto colon = words[1].rfind(':');
        if (colon == std::string_view::npos) continue;
        const std::string hex(words[1].substr(colon + 1));
        found.emplace_back(std::string(words[9]), static_cast<std::uint16_t>(std::strtoul(hex.c_str(), nullptr, 16)));
    }
}

std::vector<std::string> tagged_folders() {
    std::vector<std::string> found;
    const std::string mark = "-" + test_tag() + "-";
    std::set<std::string> roots = {temp_root(), "/tmp", "/dev/shm"};
    for (const std::string& root : roots) {
        for (const std::string& name : proc::list_folder(root)) {
            if (name.rfind("parti-", 0) == 0 && name.find(mark) != std::string::npos) found.push_back(root + "/" + name);
        }
    }
    return found;
}

}  // namespace

std::vector<std::uint16_t> listening_ports(pid_t pid) {
    std::vector<std::pair<std::string, std::uint16_t>> listeners;
    add_listeners("/proc/net/tcp", listeners);
    add_listeners("/proc/net/tcp6", listeners);
    std::vector<std::uint16_t> ports;
    if (listeners.empty()) return ports;
    const std::string folder = proc::path_of(pid, "fd");
    for (const std::string& fd : proc::list_folder(folder)) {
        char target[128];
        const ssize_t n = ::readlink((folder + "/" + fd).c_str(), target, sizeof target);
        if (n <= 0) continue;
        const std::string_view link(target, static_cast<std::size_t>(n));
        for (const auto& listener : listeners) {
            if (link == "socket:[" + listener.first + "]") ports.push_back(listener.second);
        }
    }
    std::sort(ports.begin(), ports.end());
    ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
    return ports;
}

std::vector<LeftoverProcess> orphans() {
    std::vector<LeftoverProcess> found;
    int patience = 50;
    for (const pid_t pid : proc::all_pids()) {
        char state = 0;
        pid_t parent = 0;
        if (pid == ::getpid() || !state_of(pid, state, parent) || state == 'Z' || parent != 1) continue;
        const std::string environ = '\0' + environ_of(pid, patience);
        const std::string entry = std::string(1, '\0') + test_tag_variable + "=";
        if (environ.find(entry) == std::string::npos) continue;
        // nobody's child on purpose; ends by itself
        if (proc::read_text(proc::path_of(pid, "comm")).value_or("") == "nats-watcher\n") continue;
        found.push_back({pid, command_of(pid), false});
    }
    return found;
}

Leftovers leftovers() {
    Leftovers found;
    const std::string entry = std::string(test_tag_variable) + "=" + test_tag();
    const pid_t self = ::getpid();
    int patience = 50;
    for (const pid_t pid : proc::all_pids()) {
        if (pid == self) continue;
        char state = 0;
        pid_t parent = 0;
        if (!state_of(pid, state, parent)) continue;
        if (state == 'Z') {  // has no environment any more; only an own child is certainly ours
            if (parent == self) found.processes.push_back({pid, command_of(pid), true});
            continue;
        }
        if (parent == self || has_tag(environ_of(pid, patience), entry)) found.processes.push_back({pid, command_of(pid), false});
    }
    std::vector<pid_t> owners = {self};
    for (const LeftoverProcess& process : found.processes) owners.push_back(process.pid);
    for (const pid_t pid : owners) {
        for (const std::uint16_t port : listening_ports(pid)) found.ports.push_back({pid, port});
    }
    found.folders = tagged_folders();
    return found;
}

Leftovers leftovers_after(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        Leftovers found = leftovers();
        if (found.empty() || std::chrono::steady_clock::now() >= deadline) return found;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // between two looks
    }
}

std::string Leftovers::describe() const {
    std::string text;
    for (const LeftoverProcess& one : processes) {
        text += "process " + std::to_string(one.pid) + (one.zombie ? " (zombie)" : "") + ": " + one.command + "\n";
    }
    for (const ListeningPort& one : ports) {
        text += "port " + std::to_string(one.port) + " of process " + std::to_string(one.pid) + "\n";
    }
    for (const std::string& one : folders) text += "folder " + one + "\n";
    return text;
}

std::string temp_root() {
    const char* given = std::getenv("TMPDIR");
    std::string root = given != nullptr && *given == '/' ? given : "/tmp";
    while (root.size() > 1 && root.back() == '/') root.pop_back();
    return root;
}

std::string temp_folder_name(const std::string& root, const std::string& what) {
    std::random_device random;
    char text[32];
    std::snprintf(text, sizeof text, "%08x%08x", static_cast<unsigned>(random()), static_cast<unsigned>(random()));
    return root + "/parti-" + what + "-" + test_tag() + "-" + text;
}

Outcome<TempFolder> TempFolder::make(const std::string& what) {
    std::string path = temp_folder_name(temp_root(), what);
    if (auto ok = remove_at_end(path); !ok) return failure(ok.error());
    if (::mkdir(path.c_str(), 0700) != 0) return failure("cannot make the folder '" + path + "': " + std::strerror(errno));
    return TempFolder(std::move(path));
}

TempFolder::TempFolder(TempFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
TempFolder& TempFolder::operator=(TempFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
}
TempFolder::~TempFolder() {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace parti::test
