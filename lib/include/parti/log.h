// LogSink: where a context and its workers send log lines. Absent = silent; there is no global logger.
//
// Model     error = a human must act; warning = degraded, parti handles it; info = state transitions (bounded by transitions,
//           never per message); debug = per event. Lines carry facts and numbers with units, never payloads or credentials.
// Threads   Called from the io thread, callback threads, nats.c's and the caller's own, one call at a time per
//           context. Must not block for long and must not call back into parti. An exception from it is swallowed.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace parti {

enum class LogLevel : std::uint8_t { debug, info, warning, error };
std::string_view to_string(LogLevel level);

using LogSink = std::function<void(LogLevel, std::string_view line)>;

}  // namespace parti
