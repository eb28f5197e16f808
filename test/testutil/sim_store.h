// SimStore: the buckets of one simulated nats-server, as data.
//
// Role      Per bucket one stream {identity, last sequence, last message of every key} with history 1. Knows no time, network or
//           faults: sim_client.h adds them. The contract suite (kv_contract.h) shows that it answers as a real server does.
// Model     put() is JetStream's publish with an expected last subject sequence; 0 expects no message at all, and a marker is a
//           message. wipe() deletes and recreates the stream: revisions start at 1 again under another identity, all
//           subscriptions are gone. restore() goes back to an older copy: same identity, lower last sequence (a lost tail), all
//           subscriptions are gone.
// Threads   One.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <parti/config.h>

namespace parti::testutil {

struct SimMessage {
    std::uint64_t revision = 0;
    std::shared_ptr<const std::string> bytes;  // nothing: a marker
    std::uint64_t stored = 0;                  // as the time a server gives it: no two messages have the same
    bool marker() const { return bytes == nullptr; }
};

class SimStore {
public:
    // An expectation that every revision meets: what the breakages of core/test_switch.h write that check nothing.
    static constexpr std::uint64_t kAnyRevision = ~std::uint64_t{0};

    using OnMessage = std::function<void(const std::string& key, const SimMessage&)>;
    using OnGone = std::function<void()>;  // the stream this was subscribed to is no more
    using SubscriptionId = std::uint64_t;

    struct Stream {
        std::string bucket;
        std::uint64_t identity = 0;
        std::uint64_t last_sequence = 0;
        Storage storage = Storage::file;
        std::uint32_t replicas = 1;
        std::map<std::string, SimMessage, std::less<>> messages;
    };
    struct PutOutcome {
        bool stored = false;
        std::uint64_t revision = 0;  // of this write, or the key's last one (0: no message)
    };

    // False when it exists already.
    bool create(const std::string& bucket, Storage storage = Storage::file, std::uint32_t replicas = 1);
    const Stream* find(const std::string& bucket) const;
    std::vector<std::string> buckets() const;

    // Requires: the bucket exists.
    PutOutcome put(const std::string& bucket, const std::string& key, std::shared_ptr<const std::string> bytes,
                   std::uint64_t expected);
    const SimMessage* last(const std::string& bucket, const std::string& key) const;
    // Last messages of the keys that match, ascending by revision.
    std::vector<std::pair<std::string, SimMessage>> matching(const std::string& bucket, const std::string& pattern) const;

    // What an operator does.
    void overwrite(const std::string& bucket, const std::string& key, std::shared_ptr<const std::string> bytes);
    void mark(const std::string& bucket, const std::string& key);   // kv del and kv purge: the key's last message is a marker
    void erase(const std::string& bucket, const std::string& key);  // stream purge: the key's messages vanish without a trace
    void remove(const std::string& bucket);
    void wipe(const std::string& bucket);
    Stream snapshot(const std::string& bucket) const;
    void restore(const Stream& copy);

    // `pattern` is a key, "worker.*" or ">". on_gone is called at most once, after which the id is void.
    SubscriptionId subscribe(const std::string& bucket, const std::string& pattern, OnMessage on_message, OnGone on_gone);
    void unsubscribe(SubscriptionId id);
    // Ends all of a bucket's subscriptions behind their owners' backs (on_gone is called); how many.
    std::size_t end_subscriptions(const std::string& bucket);
    std::size_t subscriptions(const std::string& bucket) const;

    // Sees every message of every bucket as it is stored.
    void observe(std::function<void(const Stream&, const std::string& key, const SimMessage&)> observer) {
        observer_ = std::move(observer);
    }
    // A server that does not check expectations: for tests that show that an invariant can fail.
    void ignore_expectations(bool on) { ignore_expectations_ = on; }

private:
    struct Subscription {
        SubscriptionId id = 0;
        OnMessage on_message;
        OnGone on_gone;
    };
    using ByPattern = std::unordered_map<std::string, std::vector<Subscription>>;

    std::uint64_t store(Stream& stream, const std::string& key, std::shared_ptr<const std::string> bytes);
    void tell(const ByPattern& by_pattern, const std::string& pattern, const std::string& key, const SimMessage& message) const;

    std::map<std::string, Stream> streams_;
    std::unordered_map<std::string, ByPattern> subscriptions_;  // by bucket
    std::map<SubscriptionId, std::pair<std::string, std::string>> where_;
    SubscriptionId last_subscription_ = 0;
    std::uint64_t last_identity_ = 0;
    std::uint64_t last_stored_ = 0;
    std::function<void(const Stream&, const std::string&, const SimMessage&)> observer_;
    bool ignore_expectations_ = false;
};

// "worker.*" and ">" as NATS does, for the patterns a watch may have.
bool sim_matches(std::string_view pattern, std::string_view key);

}  // namespace parti::testutil
