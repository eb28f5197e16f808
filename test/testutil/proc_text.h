// proc_text: reading /proc for the probes and the sweep; private to testutil.
//
// Role      Whole files as text, lines, numbers; listing the processes there are.
// Model     A process may end between any two reads, so every function answers "gone" instead of failing.
// Errors    nullopt: the file cannot be read.
// Threads   Free functions, any thread.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parti::test::proc {

// One open file description from start to end: /proc files have no size.
inline std::optional<std::string> read_text(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    std::string text;
    char bytes[8192];
    ssize_t n = 0;
    while ((n = ::read(fd, bytes, sizeof bytes)) != 0) {
        if (n > 0) {
            text.append(bytes, static_cast<std::size_t>(n));
        } else if (errno != EINTR) {
            break;
        }
    }
    ::close(fd);
    if (n < 0) return std::nullopt;
    return text;
}

inline std::vector<std::string> list_folder(const std::string& path) {
    std::vector<std::string> names;
    DIR* folder = ::opendir(path.c_str());
    if (folder == nullptr) return names;
    while (const dirent* entry = ::readdir(folder)) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(folder);
    return names;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
    Number value{};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

inline std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
    std::vector<std::string_view> parts;
    std::size_t begin = 0;
    while ((begin = text.find_first_not_of(separators, begin)) != std::string_view::npos) {
        const auto end = std::min(text.find_first_of(separators, begin), text.size());
        parts.push_back(text.substr(begin, end - begin));
        begin = end;
    }
    return parts;
}

// The words behind "Key:" of a file with one key a line; empty: no such key.
inline std::vector<std::string_view> field(std::string_view text, std::string_view key) {
    std::size_t begin = 0;
    while (begin < text.size()) {
        const auto end = std::min(text.find('\n', begin), text.size());
        const std::string_view line = text.substr(begin, end - begin);
        if (line.size() > key.size() && line.substr(0, key.size()) == key && line[key.size()] == ':') {
            return split(line.substr(key.size() + 1), " \t");
        }
        begin = end + 1;
    }
    return {};
}

inline std::vector<pid_t> all_pids() {
    std::vector<pid_t> pids;
    for (const std::string& name : list_folder("/proc")) {
        if (const auto pid = number<pid_t>(name)) pids.push_back(*pid);
    }
    return pids;
}

inline std::string path_of(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

}  // namespace parti::test::proc
