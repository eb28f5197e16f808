// Connection: a nats.c connection that reconnects for ever and never buffers.
//
// Model     Made from ConnectOptions, or borrowed from the user. Reconnect buffer 0: measured with nats.c 3.4.1, 0 (and not 1,
//           whatever its documentation says) makes every publish fail at once while disconnected, so that a renewal is not sent a
//           minute late.
//           A write to a socket that is full ends after three ping intervals, too (tcp_timeout.h); not of a borrowed one.
// Errors    open: invalid_config (a file that cannot be read, named), permission (refused by the server, thrice where a nonce is
//           signed; or TLS), link_down.
// Threads   open and the destructor from any thread but nats.c's; `on_link` comes on a thread of nats.c.
// Lifetime  The destructor closes a connection of our own and waits for nats.c's last callback.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <parti/context.h>

#include "runtime/logger.h"

struct __natsConnection;

namespace parti::runtime {

class Connection {
public:
    struct Link {
        bool up = false;
        bool for_good = false;  // nats.c gave up: refused twice by one server, or by an error that it does not know
        std::string detail;
    };
    using OnLink = std::function<void(Link)>;

    static Result<std::unique_ptr<Connection>> open(const ConnectOptions& options, std::shared_ptr<Logger> log, OnLink on_link);
    static Result<std::unique_ptr<Connection>> borrow(__natsConnection* connection);
    ~Connection();

    __natsConnection* get() const;
    bool borrowed() const;
    bool connected() const;
    bool closed() const;      // for good
    void close();             // of a connection of our own: no callback runs any more when it returns
    std::string url() const;  // of the server it talks to, credentials included; empty: none

private:
    struct Impl;
    explicit Connection(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// "nats://user:secret@host:1" -> "nats://host:1", for log lines and errors.
std::string without_credentials(const std::string& url);

}  // namespace parti::runtime
