// JSON text in pieces: a quoted and escaped string, a number.
//
// Requires  valid UTF-8 (partition ids and configuration are checked before).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace parti::wire {

void append_json(std::string& out, std::string_view text);
void append_json(std::string& out, std::uint64_t number);

}  // namespace parti::wire
