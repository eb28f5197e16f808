// Outlet: publishes on a connection from any thread, and never after the connection has gone.
//
// Role      For what handlers send on their own threads: acknowledgements, which must not wait for the io thread.
// Model     nats.c's flusher waits a millisecond before it writes, to write more at once (seen with 3.4.1). Who cannot wait owes
//           a flush, and pays it when it has nothing else to do. nats.c has no call that writes and returns: the one there is
//           also asks the server for a sign (PING) and waits for it, here for a millisecond at most.
// Errors    False: not connected, closed, or refused by nats.c; nothing was sent.
// Threads   Any. close() waits for publishes that are under way.
// Lifetime  Shared; whoever opened the link closes it before the connection goes.
// Cost      One shared lock and nats.c's buffer write; flush() a system call and a round trip.
#pragma once

#include <atomic>
#include <shared_mutex>
#include <string_view>

struct __natsConnection;

namespace parti::jetstream {

class Outlet {
public:
    explicit Outlet(__natsConnection* connection) : connection_(connection) {}
    bool publish(const char* subject, std::string_view body);
    void owe_flush() { owed_.store(true, std::memory_order_relaxed); }
    bool owes_flush() const { return owed_.load(std::memory_order_relaxed); }
    void flush();  // what was published so far is on its way
    void close();

private:
    std::shared_mutex mutex_;
    __natsConnection* connection_;
    std::atomic<bool> owed_{false};
};

}  // namespace parti::jetstream
