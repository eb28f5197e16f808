// Use a NATS connection that you already have. The only public header that names a nats.c type (forward-declared).
//
// Lifetime  The connection must outlive the Context and everything made from it; parti does not close it.
// Model     Set it up with: reconnect for ever, reconnect buffer 0 (a buffered renewal would be sent too late), ping interval
//           within ttl / 3, and natsOptions_UseGlobalMessageDelivery(true): without it nats.c starts a thread for every
//           subscription, which is one for every partition consumed. parti cannot check these. Set TCP_USER_TIMEOUT on its socket
//           (as parti does on its own): else a server that stops reading while the socket is full is noticed after 15 minutes.
// Threads   use_connection() from any thread.
#pragma once

#include <parti/context.h>

struct __natsConnection;
typedef struct __natsConnection natsConnection;

namespace parti {

// Of the options only callback_threads and log are used. Errors: invalid_config.
Result<Context> use_connection(natsConnection* connection, ConnectOptions options = {});

}  // namespace parti
