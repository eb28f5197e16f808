// Outlet: publishes on a connection from any thread, and never after the connection has gone.
//
// Role      For what handlers send on their own threads: acknowledgements, which must not wait for the io thread.
// Errors    False: not connected, closed, or refused by nats.c; nothing was sent.
// Threads   Any. close() waits for publishes that are under way.
// Lifetime  Shared; whoever opened the link closes it before the connection goes.
// Cost      One shared lock and nats.c's buffer write; no flush (nats.c's flusher does that).
#pragma once

#include <shared_mutex>
#include <string_view>

struct __natsConnection;

namespace parti::jetstream {

class Outlet {
public:
    explicit Outlet(__natsConnection* connection) : connection_(connection) {}
    bool publish(const char* subject, std::string_view body);
    void close();

private:
    std::shared_mutex mutex_;
    __natsConnection* connection_;
};

}  // namespace parti::jetstream
