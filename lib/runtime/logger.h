// Logger: a context's LogSink, one call at a time, and silent (at the cost of one test) when there is none.
//
// Errors    What the sink throws is swallowed.
// Threads   Any.
#pragma once

#include <fmt/format.h>

#include <mutex>
#include <string_view>
#include <utility>

#include <parti/log.h>

namespace parti::runtime {

class Logger {
public:
    explicit Logger(LogSink sink) : sink_(std::move(sink)) {}

    bool on() const { return static_cast<bool>(sink_); }
    void write(LogLevel level, std::string_view line) noexcept;

    template <class... Args>
    void print(LogLevel level, fmt::format_string<Args...> format, Args&&... args) noexcept {
        if (!on()) return;
        try {
            write(level, fmt::format(format, std::forward<Args>(args)...));
        } catch (...) {  // out of memory while formatting: the line is lost
        }
    }

private:
    std::mutex mutex_;
    LogSink sink_;
};

}  // namespace parti::runtime
