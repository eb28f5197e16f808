#include "testutil/nats_cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

namespace parti::test {
namespace {

constexpr int kTries = 3;

// All sockets are open at once, so that the ports differ.
Outcome<std::vector<std::uint16_t>> free_ports(std::size_t count) {
    std::vector<std::uint16_t> ports;
    std::vector<int> sockets;
    for (std::size_t i = 0; i < count; ++i) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        if (fd < 0) break;
        sockets.push_back(fd);
        if (::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
            break;
        ports.push_back(ntohs(address.sin_port));
    }
    for (const int fd : sockets) ::close(fd);
    if (ports.size() != count) return failure("no free port on the loopback");
    return ports;
}

std::string cluster_config(const std::vector<std::uint16_t>& ports, std::size_t index) {
    std::string routes;
    for (const std::uint16_t port : ports)
        routes += (routes.empty() ? "" : ", ") + ("\"nats://127.0.0.1:" + std::to_string(port) + "\"");
    return "cluster {\n  name: parti\n  listen: \"127.0.0.1:" + std::to_string(ports[index]) + "\"\n  routes: [" + routes +
           "]\n}\n";
}

}  // namespace

Outcome<NatsCluster> NatsCluster::start(const NatsServerOptions& options) {
    std::string why;
    for (int i = 0; i < kTries; ++i) {
        const auto ports = free_ports(kServers);
        if (!ports) return failure(ports.error());
        NatsCluster cluster;
        std::array<std::string, kServers> errors;
        std::vector<std::thread> starters;  // none is ready before the others are there
        for (std::size_t s = 0; s < kServers; ++s) {
            starters.emplace_back([&, s] {
                NatsServerOptions own = options;
                own.extra_config += cluster_config(*ports, s);
                auto started = NatsServer::start(std::move(own));
                if (started) {
                    cluster.servers_[s] = std::make_unique<NatsServer>(std::move(*started));
                } else {
                    errors[s] = started.error();
                }
            });
        }
        for (std::thread& starter : starters) starter.join();
        why.clear();
        for (const std::string& error : errors) why += error;
        if (why.empty()) return cluster;
    }
    return failure("no cluster: " + why);
}

std::vector<std::string> NatsCluster::urls() const {
    std::vector<std::string> out;
    for (const auto& server : servers_) out.push_back(server->url());
    return out;
}

}  // namespace parti::test
