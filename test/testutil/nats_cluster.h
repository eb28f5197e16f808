// NatsCluster: three nats-servers that are one JetStream, each started and guarded by its own nats-server-launcher.
//
// Role      For replicated streams: a server can be killed and started again under load.
// Model     Client ports are dynamic as ever. Route ports must be known beforehand: they are bound, noted and let go, and the
//           whole start is tried again when somebody else took one meanwhile. Ready: every server answers JetStream requests, so
//           there is a meta leader.
// Errors    Outcome; that of the server that did not come up.
// Threads   One thread at a time per object.
// Cost      Six processes; two to five seconds to start.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "testutil/nats_server.h"

namespace parti::test {

class NatsCluster {
public:
    static constexpr std::size_t kServers = 3;
    static Outcome<NatsCluster> start(const NatsServerOptions& options);

    NatsServer& server(std::size_t index) { return *servers_[index]; }
    std::vector<std::string> urls() const;

private:
    std::array<std::unique_ptr<NatsServer>, kServers> servers_;
};

}  // namespace parti::test
