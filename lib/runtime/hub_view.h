// BucketView: what a hub knows of one bucket, which watches tell it, and what of it an interest asks for.
//
// Role      The hub's (hub.cpp) state of a bucket, with the questions that it answers by itself. Opens, closes and tells nothing.
// Model     A key is covered when a watch is open that will tell of it, and told when such a watch has delivered what was there.
// Threads   The hub's.
// Cost      A bucket has at most as many watches as workers of this process want different keys, and two; they are searched one
//           by one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/io.h"
#include "jetstream/client.h"
#include "wire/codec.h"

namespace parti::runtime {

// What this process knows of one key. `floor` is the highest revision ever taken in: what comes at or below it is a repetition,
// also when the key has vanished meanwhile.
struct Known {
    Entry entry;
    core::Instant first_seen;
    Revision floor = 0;
};

// What one watch covers: one key, or every worker's key.
struct Pattern {
    bool all_workers = false;
    Key key;  // when not all_workers

    bool covers(const Key& k) const { return all_workers ? k.kind == Key::Kind::worker : key == k; }
    std::string text() const { return all_workers ? std::string("worker.*") : wire::to_string(key); }
    friend bool operator==(const Pattern&, const Pattern&) = default;
};
inline const Pattern kAllWorkers{true, {}};

// One open watch.
struct Channel {
    Pattern pattern;
    bool initial = false;  // every value present at creation has been delivered
    bool lost = false;     // dead; re-creation under way
    bool retired = false;  // closed by us: whatever it still says is void
    std::unique_ptr<jetstream::Watch> watch;

    bool complete() const { return initial && !lost; }
};
using ChannelPtr = std::shared_ptr<Channel>;

struct BucketView {
    Bucket bucket = Bucket::lease;
    std::string name;
    std::map<Key, Known> known;
    bool missing = false;     // the stream does not exist
    bool creating = false;    // create() is under way
    bool distrusted = false;  // everything is being read again
    std::string identity;     // of the stream, as the watches said last
    Revision highest = 0;     // ever taken in, of this history
    std::vector<ChannelPtr> channels;

    Channel* find(const Pattern& pattern) const {
        for (const auto& c : channels) {
            if (c->pattern == pattern) return c.get();
        }
        return nullptr;
    }
    bool covered(const Key& key) const {
        for (const auto& c : channels) {
            if (c->pattern.covers(key)) return true;
        }
        return false;
    }
    bool told(const Key& key) const {  // its present value has come, if there is one
        for (const auto& c : channels) {
            if (c->pattern.covers(key) && c->complete()) return true;
        }
        return false;
    }
    bool told_all_workers() const {
        const Channel* all = find(kAllWorkers);
        return all != nullptr && all->complete();
    }
};

inline bool wants(const core::Interest& interest, Bucket bucket, const Key& key) {
    if (key.kind != Key::Kind::worker) return bucket == Bucket::assignment;
    if (bucket == Bucket::lease) return interest.all_leases || interest.leader_lease == key.number;
    return interest.all_assignments || interest.own_assignment == key.number;
}
inline bool wants_all(const core::Interest& interest, Bucket bucket) {
    return bucket == Bucket::lease ? interest.all_leases : interest.all_assignments;
}
inline std::optional<Key> wanted_worker(const core::Interest& interest, Bucket bucket) {
    const auto& number = bucket == Bucket::lease ? interest.leader_lease : interest.own_assignment;
    if (!number) return std::nullopt;
    return worker_key(*number);
}

}  // namespace parti::runtime
