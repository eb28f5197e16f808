// NatsClient: the real client: a Client that also watches the subjects of any stream, with hooks that only tests set.
//
// Role      Client::make without hooks; the contract suite with them, to lose an answer after its request was sent; the runtime's
//           sources for watch_subjects, which the simulation has no need of.
//           link_of: the way below Client for consume, which pulls and acknowledges on its own.
// Threads   As Client; hooks run on the io thread.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "jetstream/client.h"

namespace parti::jetstream {

struct SubjectsSpec {
    std::string stream;
    std::string filter;         // of subjects: "orders.*.>"
    std::string prefix;         // cut from a subject to make RawEntry::key; subjects without it are left out
    bool headers_only = false;  // bytes stay empty; markers are told all the same
    // An attempt to create or re-create the consumer failed; it goes on trying. May be absent. It may end the watch.
    std::function<void(const Error&)> on_attempt_failed;
};

class SubjectsWatch : public Watch {
public:
    // Reads the last message of every subject again: what has vanished without a marker is told as EntryKind::absent, then
    // on_recovered. Never from inside the call.
    virtual void reread() = 0;
};

class NatsClient : public Client {
public:
    // As Client::watch(), over any stream that lets a consumer without acknowledgements exist. Names that break a rule come as
    // on_attempt_failed (invalid_argument), once.
    virtual std::unique_ptr<SubjectsWatch> watch_subjects(SubjectsSpec spec, WatchHandlers handlers) = 0;
};

struct ClientHooks {
    // Asked with the subject of the request for every answer that has arrived; true throws the answer away, as if it had been
    // lost.
    std::function<bool(std::string_view request_subject)> lose_answer;
};

Result<std::shared_ptr<NatsClient>> make_nats_client(boost::asio::io_context& io, __natsConnection* connection,
                                                     ClientOptions options, ClientHooks hooks);

class Link;
// Null for a client that is not the real one.
std::shared_ptr<Link> link_of(Client& client);

}  // namespace parti::jetstream
