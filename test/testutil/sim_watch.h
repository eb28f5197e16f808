// The watch of a SimClient: a consumer on the simulated server and the client's side of it. Internal to sim_client.cpp.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "testutil/sim_client.h"

namespace parti::testutil::sim_detail {

// Shared with what is under way, which may outlive the client.
struct Link {
    SimClient* client = nullptr;  // nothing: gone
    bool up = true;
    std::uint64_t generation = 0;  // counts the connections
};

jetstream::RawEntry raw_entry(const std::string& key, const SimMessage& message);

struct WatchState : std::enable_shared_from_this<WatchState> {
    WatchState(SimNetwork& net, SimScheduler::Lane in, std::shared_ptr<Link> through, Duration beat)
        : network(net), lane(in), link(std::move(through)), heartbeat(beat.count()) {}

    SimNetwork& network;
    SimScheduler::Lane lane;
    std::shared_ptr<Link> link;
    Nanos heartbeat;
    std::shared_ptr<jetstream::ClientStats> stats;
    std::string bucket;
    std::string pattern;
    jetstream::WatchHandlers handlers;

    // On the server.
    std::uint64_t consumer = 0;  // generation of the consumer; what an older one sent is void
    SimStore::SubscriptionId subscription = 0;
    Nanos last_delivery = 0;

    // In the client.
    bool closed = false;
    bool told_initial = false;
    bool lost = false;
    std::string identity;
    std::uint64_t highest = 0;
    struct Seen {
        std::uint64_t revision = 0;
        std::uint64_t stored = 0;
    };
    std::map<std::string, Seen> delivered;
    int attempts = 0;

    // Everything reaches the client in the order it was sent.
    template <class F>
    void deliver(F then);
    void request_consumer();
    void retry_later();
    // On the server: the last value of every key, then what comes.
    void create_consumer(std::uint64_t generation);
    void begin(const std::string& id, std::uint64_t last);
    void take_in(const std::string& key, const SimMessage& message);
    void history_lost(const std::string& why);
    void end(const std::vector<std::string>& present);
    bool alive() const { return subscription != 0; }
    // On the server: nothing more comes, and nobody says so. The client misses heartbeats.
    void consumer_dies(const std::string& why);
    void close();
};

std::unique_ptr<jetstream::Watch> watch_handle(std::shared_ptr<WatchState> state);

}  // namespace parti::testutil::sim_detail
