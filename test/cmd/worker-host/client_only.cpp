#include "client_only.h"

#include <nats/nats.h>

#include <memory>
#include <string>

#include "commands.h"
#include "memory.h"
#include "say.h"

namespace parti::host {

int run_client_only(const Options& options) {
    natsConnection* raw = nullptr;
    const natsStatus status = natsConnection_ConnectTo(&raw, options.connect.urls.front().c_str());
    const std::unique_ptr<natsConnection, void (*)(natsConnection*)> connection(raw, natsConnection_Destroy);
    if (status != NATS_OK) {
        Line("error").add("error", std::string("cannot connect: ") + natsStatus_GetText(status)).say();
        return 100;
    }
    ready_line(options.label).say();  // as a worker program says it: the suite starts both in the same way
    std::string line;
    Commands commands;
    while (commands.next(line)) {
        if (line == "quit") return 0;
        if (line == "memory") {
            say_memory();
        } else {
            Line("error").add("error", "a client only takes memory and quit, not '" + line + "'").say();
        }
    }
    return 102;
}

}  // namespace parti::host
