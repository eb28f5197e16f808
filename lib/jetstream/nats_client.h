// make_nats_client: the real client, with hooks that only tests set.
//
// Role      Client::make without hooks; the contract suite with them, to lose an answer after its request was sent.
//           link_of: the way below Client for consume, which pulls and acknowledges on its own.
// Threads   Hooks run on the io thread.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "jetstream/client.h"

namespace parti::jetstream {

struct ClientHooks {
    // Asked with the subject of the request for every answer that has arrived; true throws the answer away, as if it had been lost.
    std::function<bool(std::string_view request_subject)> lose_answer;
};

Result<std::shared_ptr<Client>> make_nats_client(boost::asio::io_context& io, __natsConnection* connection, ClientOptions options,
                                                 ClientHooks hooks);

class Link;
// Null for a client that is not the real one.
std::shared_ptr<Link> link_of(Client& client);

}  // namespace parti::jetstream
