#include "say.h"

#include <nats/nats.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace parti::host {
namespace {

constexpr std::uint64_t kContractVersion = 1;  // of docs/WORKER-CONTRACT.md

}  // namespace

std::string json_quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (u < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", u);
            out += escape;
        } else {
            out += c;
        }
    }
    return out += '"';
}

std::int64_t now_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_BOOTTIME, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

void Line::quote(std::string_view text) { text_ += json_quoted(text); }

Line& Line::raw(std::string_view key, std::string_view json) {
    text_ += ',';
    quote(key);
    text_ += ':';
    text_ += json;
    return *this;
}

Line& Line::add(std::string_view key, std::string_view text) { return raw(key, json_quoted(text)); }
Line& Line::add(std::string_view key, std::uint64_t number) { return raw(key, std::to_string(number)); }
Line& Line::add(std::string_view key, std::int64_t number) { return raw(key, std::to_string(number)); }

Line& Line::add(std::string_view key, double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", number);
    return raw(key, text);
}

Line ready_line(std::string_view label) {
    Line line("ready");
    line.add("contract", kContractVersion)
        .add("program", "worker-host")
        .add("pid", static_cast<std::int64_t>(::getpid()))
        .add("label", label)
        .add("nats_c", nats_GetVersion());
    return line;
}

void Line::say() {
    static std::mutex mutex;
    text_ += "}\n";
    const std::lock_guard lock(mutex);
    std::size_t done = 0;
    while (done < text_.size()) {
        const ssize_t n = ::write(STDOUT_FILENO, text_.data() + done, text_.size() - done);
        if (n >= 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            return;
        }
    }
}

}  // namespace parti::host
