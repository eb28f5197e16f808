#include "runtime/server_info.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "runtime/boot_clock.h"
#include "runtime/connection.h"

namespace parti::runtime {

namespace {

using core::Instant;
constexpr std::size_t kGreetingBytesMax = 64U << 10U;

class Socket {
public:
    explicit Socket(int fd) : fd_(fd) {}
    ~Socket() {
        if (fd_ >= 0) ::close(fd_);
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    int fd() const { return fd_; }

private:
    int fd_;
};

bool wait_for(int fd, short events, Instant deadline) {
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - boot_now()).count();
        if (left <= 0) return false;
        pollfd p{fd, events, 0};
        const int ready = ::poll(&p, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
    }
}

bool connect_until(int fd, const addrinfo& address, Instant deadline) {
    if (::connect(fd, address.ai_addr, address.ai_addrlen) == 0) return true;
    if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, deadline)) return false;
    int error = 0;
    socklen_t size = sizeof error;
    return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

std::optional<std::string> greeting(int fd, Instant deadline) {
    std::string line;
    char buffer[4096];
    while (line.size() < kGreetingBytesMax && wait_for(fd, POLLIN, deadline)) {
        const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) return std::nullopt;
        line.append(buffer, static_cast<std::size_t>(n));
        if (line.find('\n') != std::string::npos) return line;
    }
    return std::nullopt;
}

std::pair<std::string, std::string> host_and_port(const std::string& url) {
    std::string rest = without_credentials(url);
    if (const auto scheme = rest.find("://"); scheme != std::string::npos) rest.erase(0, scheme + 3);
    rest = rest.substr(0, rest.find('/'));
    const std::size_t colon = rest.rfind(':');
    const bool has_port = colon != std::string::npos && rest.find(']', colon) == std::string::npos;
    std::string host = has_port ? rest.substr(0, colon) : rest;
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    return {host, has_port ? rest.substr(colon + 1) : "4222"};
}

}  // namespace

std::optional<std::string> info_field(const std::string& line, const std::string& name) {
    const std::string key = '"' + name + "\":\"";
    const std::size_t at = line.find(key);
    if (at == std::string::npos) return std::nullopt;
    const std::size_t begin = at + key.size();
    const std::size_t end = line.find('"', begin);
    if (end == std::string::npos) return std::nullopt;
    return line.substr(begin, end - begin);
}

std::optional<std::string> server_version_at(const std::string& url, Duration timeout) {
    const Instant deadline = boot_now() + timeout;
    const auto target = host_and_port(url);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(target.first.c_str(), target.second.c_str(), &hints, &found) != 0) return std::nullopt;
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
    for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
        const Socket socket(::socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol));
        if (socket.fd() < 0 || !connect_until(socket.fd(), *a, deadline)) continue;
        const auto line = greeting(socket.fd(), deadline);
        if (line && line->rfind("INFO ", 0) == 0) return info_field(*line, "version");
    }
    return std::nullopt;
}

}  // namespace parti::runtime
