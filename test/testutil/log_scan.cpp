#include "log_scan.h"

#include <algorithm>
#include <array>
#include <regex>

#include "proc_text.h"

namespace parti::test {
namespace {

constexpr std::array<std::string_view, 9> exact_marks = {"ERROR",         "[ERR]",           "[FTL]",
                                                         "[error]",       "[critical]",      "AddressSanitizer",
                                                         "LeakSanitizer", "ThreadSanitizer", "terminate called"};
constexpr std::array<std::string_view, 4> any_case_marks = {"panic", "fatal", "runtime error", "data race"};  // lower case here

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return result;
}

using Patterns = std::vector<std::regex>;

Patterns compile(const std::vector<Allowance>& allowed, const std::string& name, std::vector<LogFinding>& findings) {
    Patterns patterns;
    for (const Allowance& one : allowed) {
        if (one.reason.empty()) {
            findings.push_back({name, 0, "the allowance '" + one.pattern + "' must have a reason"});
            continue;
        }
        try {
            patterns.emplace_back(one.pattern);
        } catch (const std::regex_error& e) {
            findings.push_back({name, 0, "the allowance '" + one.pattern + "' must be a regular expression: " + e.what()});
        }
    }
    return patterns;
}

bool allowed_by(const Patterns& patterns, const std::string& line) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::regex& one) { return std::regex_search(line, one); });
}

}  // namespace

std::string LogFinding::where() const { return file + ":" + std::to_string(line) + ": " + text; }

bool is_bad_line(std::string_view line) {
    for (const auto mark : exact_marks) {
        if (contains(line, mark)) return true;
    }
    const std::string small = lower(line);
    for (const auto mark : any_case_marks) {
        if (contains(small, mark)) return true;
    }
    const auto assertion = small.find("assertion");
    return assertion != std::string::npos && small.find("failed", assertion) != std::string::npos;
}

std::vector<LogFinding> scan_log_text(const std::string& name, std::string_view text, const std::vector<Allowance>& allowed) {
    std::vector<LogFinding> findings;
    const Patterns patterns = compile(allowed, name, findings);
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = std::min(text.find('\n', begin), text.size());
        const std::string_view line = text.substr(begin, end - begin);
        ++number;
        if (is_bad_line(line) && !allowed_by(patterns, std::string(line))) findings.push_back({name, number, std::string(line)});
        begin = end + 1;
    }
    return findings;
}

std::vector<LogFinding> scan_log_file(const std::string& path, const std::vector<Allowance>& allowed) {
    const auto text = proc::read_text(path);
    if (!text) return {{path, 0, "this log cannot be read"}};
    return scan_log_text(path, *text, allowed);
}

std::string describe(const std::vector<LogFinding>& findings) {
    std::string text;
    for (const LogFinding& finding : findings) text += finding.where() + "\n";
    return text;
}

}  // namespace parti::test
