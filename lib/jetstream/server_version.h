// The version of the nats-server a connection talks to: nats.c does not tell, the server's greeting does.
//
// Role      Needed only where a rule depends on it (replicas > 1 on servers before 2.11). Opens a short TCP connection of its own
//           to the server's address, reads the INFO line it greets with, closes.
// Errors    link_down, timeout; unsupported_server when the greeting is no INFO line (a server that wants TLS first).
// Threads   The io thread; a host name (not an address) costs Asio's resolver thread.
#pragma once

#include <functional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "jetstream/client.h"

namespace parti::jetstream {

struct Version {
    int major = 0;
    int minor = 0;
    int patch = 0;
    friend auto operator<=>(const Version&, const Version&) = default;
};
// "2.9.10", "2.11.0-preview.2". Errors: invalid_argument.
Result<Version> parse_version(const std::string& text);
std::string to_string(const Version& version);

// `url` as natsConnection_GetConnectedUrl gives it: "nats://user@host:4222".
void read_server_version(boost::asio::io_context& io, const std::string& url, Duration timeout,
                         std::function<void(Result<Version>)> handler);

// May a bucket with so many replicas be kept by such a server? Ok with an empty text, ok with a warning, or unsupported_server.
// Source: PROTOCOL.md, "Replicas".
Result<std::string> replicas_supported(std::uint32_t replicas, const Version& version);

}  // namespace parti::jetstream
