// set_tcp_user_timeout: how long the kernel waits for the other side of a nats.c connection.
//
// Role      nats.c 3.4.1 writes to a full socket without a deadline and with its lock held, so that its pings stop as well: a
//           server that is stopped, or a host that is gone, would be noticed when TCP gives up, a quarter of an hour later. (Its
//           own write deadline does not help: it gives up half a message and goes on, for which the server closes the connection
//           for good.)
// Model     nats.c does not tell its socket: it is the one of this process with the connection's local address and
//           port, and its server's port.
// Errors    not_found (no such socket: the connection is down again), internal.
// Threads   Any; takes the connection's lock, so not while a write may hang: right after a connect or reconnect.
// Cost      One look at each of the process's file descriptors.
// Source    tcp(7), TCP_USER_TIMEOUT: also while the other side's window is closed; RFC 5482.
#pragma once

#include <parti/types.h>

struct __natsConnection;

namespace parti::runtime {

Result<void> set_tcp_user_timeout(__natsConnection* connection, Duration limit);

}  // namespace parti::runtime
