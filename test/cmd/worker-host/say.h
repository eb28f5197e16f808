// say: one JSON object a line on stdout, written at once.
//
// Role      The protocol's only way out. Lines of different threads do not mix. A reader that is gone is ignored: the end of
//           stdin tells.
// Threads   Any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace parti::host {

// Builds {"event":"x",...} without a JSON library, so that reporting costs no memory worth mentioning.
class Line {
public:
    explicit Line(std::string_view event) { text_.append("{\"event\":"), quote(event); }
    Line& add(std::string_view key, std::string_view text);
    Line& add(std::string_view key, const char* text) { return add(key, std::string_view(text)); }
    Line& add(std::string_view key, std::uint64_t number);
    Line& add(std::string_view key, std::int64_t number);
    Line& add(std::string_view key, double number);
    Line& add(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
    Line& raw(std::string_view key, std::string_view json);
    void say();

private:
    void quote(std::string_view text);
    std::string text_;
};

// The line of a program that can be commanded now, as docs/WORKER-CONTRACT.md wants it; more may be added.
Line ready_line(std::string_view label);

std::string json_quoted(std::string_view text);
std::int64_t now_ns();  // CLOCK_BOOTTIME

}  // namespace parti::host
