#include "runtime/tcp_timeout.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nats/nats.h>

namespace parti::runtime {

namespace {

struct Address {
    std::string ip;
    int port = 0;
    friend bool operator==(const Address&, const Address&) = default;
};

// getsockname or getpeername. Nothing: no socket, not connected, or not one of the internet's.
template <class Ask>
std::optional<Address> address_of(Ask ask, int fd) {
    sockaddr_storage raw{};
    socklen_t size = sizeof raw;
    if (ask(fd, reinterpret_cast<sockaddr*>(&raw), &size) != 0) return std::nullopt;
    char text[INET6_ADDRSTRLEN] = {};
    if (raw.ss_family == AF_INET) {
        const auto& at = reinterpret_cast<const sockaddr_in&>(raw);
        if (::inet_ntop(AF_INET, &at.sin_addr, text, sizeof text) == nullptr) return std::nullopt;
        return Address{text, ntohs(at.sin_port)};
    }
    if (raw.ss_family == AF_INET6) {
        const auto& at = reinterpret_cast<const sockaddr_in6&>(raw);
        if (::inet_ntop(AF_INET6, &at.sin6_addr, text, sizeof text) == nullptr) return std::nullopt;
        return Address{text, ntohs(at.sin6_port)};
    }
    return std::nullopt;
}

// The server's port, by the URL that nats.c is connected to; 0: not known.
int connected_port(natsConnection* connection) {
    std::array<char, 1024> url{};
    if (natsConnection_GetConnectedUrl(connection, url.data(), url.size()) != NATS_OK) return 0;
    const std::string_view text = url.data();
    const std::size_t colon = text.rfind(':');
    int port = 0;
    if (colon != std::string_view::npos) std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
    return port;
}

// Connections to different servers may share a local address and port.
std::optional<int> socket_of(const Address& local, int peer_port) {
    std::error_code error;
    for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename();
        int fd = -1;
        if (std::from_chars(name.data(), name.data() + name.size(), fd).ec != std::errc()) continue;
        if (address_of(::getsockname, fd) != local) continue;
        const auto peer = address_of(::getpeername, fd);
        if (peer && (peer_port == 0 || peer->port == peer_port)) return fd;
    }
    return std::nullopt;
}

}  // namespace

Result<void> set_tcp_user_timeout(natsConnection* connection, Duration limit) {
    char* ip = nullptr;
    Address address;
    const natsStatus status = natsConnection_GetLocalIPAndPort(connection, &ip, &address.port);
    const std::unique_ptr<char, decltype(&std::free)> owned(ip, &std::free);
    if (status != NATS_OK) return fail(Errc::not_found, fmt::format("its address: {}", natsStatus_GetText(status)));
    address.ip = ip;
    const std::optional<int> fd = socket_of(address, connected_port(connection));
    if (!fd) return fail(Errc::not_found, fmt::format("no socket is at {} port {}", address.ip, address.port));
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
    const auto value = static_cast<unsigned>(std::clamp<std::int64_t>(ms, 1, std::numeric_limits<int>::max()));
    if (::setsockopt(*fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value) != 0)
        return fail(Errc::internal, fmt::format("TCP_USER_TIMEOUT of {} ms: {}", value, std::strerror(errno)));
    return {};
}

}  // namespace parti::runtime
