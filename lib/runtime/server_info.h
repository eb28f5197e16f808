// server_version_at: the version a NATS server announces in its greeting.
//
// Role      nats.c 3.4.1 knows the server's version but has no public call for it. The greeting (INFO) is the first thing every server sends,
//           in clear text also where TLS follows; it is read on a connection of its own, which is closed at once.
// Errors    Nothing when the server cannot be reached in time or greets in another way (handshake_first, websockets).
// Threads   Any; blocks for at most `timeout`.
#pragma once

#include <optional>
#include <string>

#include <parti/types.h>

namespace parti::runtime {

// `url` as nats.c names the connected server: "nats://127.0.0.1:4222".
std::optional<std::string> server_version_at(const std::string& url, Duration timeout);

// The value of the text field `name` of an INFO line, or nothing. Total: any bytes are fine.
std::optional<std::string> info_field(const std::string& line, const std::string& name);

}  // namespace parti::runtime
