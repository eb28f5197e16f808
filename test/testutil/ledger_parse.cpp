#include <array>
#include <charconv>

#include "testutil/ledger.h"

namespace parti::test {
namespace {

// Words of one line, separated by single blanks; false: not exactly as many.
template <std::size_t N>
bool split(std::string_view line, std::array<std::string_view, N>& words) {
    for (std::size_t i = 0; i < N; ++i) {
        const auto blank = line.find(' ');
        if ((blank == std::string_view::npos) != (i + 1 == N)) return false;
        words[i] = line.substr(0, blank);
        if (words[i].empty()) return false;
        if (i + 1 < N) line.remove_prefix(blank + 1);
    }
    return true;
}

template <class T>
bool number(std::string_view word, T& into) {
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), into);
    return parsed.ec == std::errc() && parsed.ptr == word.data() + word.size();
}

// Empty: fine.
std::string read_line(std::string_view line, Handling& h) {
    std::array<std::string_view, 10> words;
    if (!split(line, words) || words[0] != "H") return "is not an H with nine values";
    if (!number(words[1], h.begin_ns) || !number(words[2], h.end_ns)) return "has no times";
    if (h.end_ns < h.begin_ns) return "ends before it begins";
    h.partition = words[3];
    if (!number(words[4], h.sequence) || !number(words[5], h.stream_sequence) || !number(words[6], h.delivered) ||
        !number(words[7], h.fence.epoch) || !number(words[8], h.fence.version)) {
        return "has a number that is none";
    }
    if (words[9] == "s") {
        h.result = HandlingResult::success;
    } else if (words[9] == "f") {
        h.result = HandlingResult::failure;
    } else if (words[9] == "x") {
        h.result = HandlingResult::stale;
    } else {
        return "ends neither in s, f nor x";
    }
    return {};
}

}  // namespace

Outcome<std::vector<Handling>> parse_handlings(const std::string& name, std::string_view text, bool cut_off) {
    std::vector<Handling> handlings;
    std::size_t line_number = 0;
    while (!text.empty()) {
        ++line_number;
        const auto end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        if (end == std::string_view::npos && cut_off) break;
        Handling handling;
        std::string wrong = end == std::string_view::npos ? "has no end" : read_line(line, handling);
        if (!wrong.empty())
            return failure(name + ":" + std::to_string(line_number) + ": '" + std::string(line.substr(0, 200)) + "' " + wrong);
        handlings.push_back(std::move(handling));
        text.remove_prefix(end + 1);
    }
    return handlings;
}

std::string to_line(const Handling& h) {
    const char* result = h.result == HandlingResult::success ? "s" : h.result == HandlingResult::failure ? "f" : "x";
    return "H " + std::to_string(h.begin_ns) + ' ' + std::to_string(h.end_ns) + ' ' + h.partition + ' ' +
           std::to_string(h.sequence) + ' ' + std::to_string(h.stream_sequence) + ' ' + std::to_string(h.delivered) + ' ' +
           std::to_string(h.fence.epoch) + ' ' + std::to_string(h.fence.version) + ' ' + result + '\n';
}

}  // namespace parti::test
