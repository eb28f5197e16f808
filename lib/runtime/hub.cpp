#include "runtime/hub.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "runtime/chunk_read.h"
#include "runtime/chunk_write.h"
#include "wire/codec.h"

namespace parti::runtime {
namespace {

using core::Instant;
using core::Interest;

// What this process knows of one key. `floor` is the highest revision ever taken in: what comes at or below it is a repetition,
// also when the key has vanished meanwhile.
struct Known {
    Entry entry;
    Instant first_seen;
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
const Pattern kAllWorkers{true, {}};

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

// A record that names chunks, which are being read.
struct Reading {
    std::shared_ptr<ChunkRead> read;
    Instant first_seen;
};

struct BucketView {
    Bucket bucket = Bucket::lease;
    std::string name;
    std::map<Key, Known> known;
    std::map<Key, Reading> reading;
    bool missing = false;   // the stream does not exist
    bool creating = false;  // create() is under way
    bool distrusted = false;   // everything is being read again
    std::string identity;      // of the stream, as the watches said last
    Revision highest = 0;      // ever taken in, of this history
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
    bool told(const Key& key) const {  // its present value has been delivered, if there is one
        if (reading.contains(key)) return false;
        for (const auto& c : channels) {
            if (c->pattern.covers(key) && c->complete()) return true;
        }
        return false;
    }
    bool told_all_workers() const {
        const Channel* all = find(kAllWorkers);
        return all != nullptr && all->complete() && reading.empty();
    }
};

struct Member {
    std::shared_ptr<const Hub::Deliver> deliver;
    std::optional<Interest> interest;
    bool snapshot_due = false;
};

bool wants(const Interest& interest, Bucket bucket, const Key& key) {
    if (key.kind != Key::Kind::worker) return bucket == Bucket::assignment;
    if (bucket == Bucket::lease) return interest.all_leases || interest.leader_lease == key.number;
    return interest.all_assignments || interest.own_assignment == key.number;
}
bool wants_all(const Interest& interest, Bucket bucket) {
    return bucket == Bucket::lease ? interest.all_leases : interest.all_assignments;
}
std::optional<Key> wanted_worker(const Interest& interest, Bucket bucket) {
    const auto& number = bucket == Bucket::lease ? interest.leader_lease : interest.own_assignment;
    if (!number) return std::nullopt;
    return worker_key(*number);
}

core::WriteResult to_core(jetstream::PutResult result) {
    switch (result) {
        case jetstream::PutResult::done:
            return core::WriteResult::done;
        case jetstream::PutResult::wrong_revision:
            return core::WriteResult::wrong_revision;
        case jetstream::PutResult::no_information:
            break;
    }
    return core::WriteResult::no_information;
}

// Everything lives here, owned by shared_ptr, so that an answer that comes after the hub is gone finds nothing.
class HubState : public std::enable_shared_from_this<HubState> {
public:
    HubState(jetstream::Client& client, std::string lease_bucket, std::string assignment_bucket, HubShell shell)
        : client_(client), shell_(std::move(shell)) {
        view(Bucket::lease).bucket = Bucket::lease;
        view(Bucket::lease).name = std::move(lease_bucket);
        view(Bucket::assignment).bucket = Bucket::assignment;
        view(Bucket::assignment).name = std::move(assignment_bucket);
    }

    Hub::MemberId join(Hub::Deliver deliver) {
        const Hub::MemberId id = ++last_member_;
        members_.emplace(id, Member{std::make_shared<const Hub::Deliver>(std::move(deliver)), std::nullopt, false});
        arrange();
        return id;
    }

    void leave(Hub::MemberId id) {
        members_.erase(id);
        std::erase_if(writes_, [id](const auto& item) { return item.second.member == id; });
        std::erase_if(fetches_, [id](const auto& item) { return item.first.first == id; });
        arrange();
    }

    void set_interest(Hub::MemberId id, const Interest& interest) {
        const auto it = members_.find(id);
        if (it == members_.end()) return;
        Member& member = it->second;
        const std::optional<Interest> before = std::exchange(member.interest, interest);
        member.snapshot_due = true;
        arrange();  // before the cache is read: what is no longer watched is no longer known
        for (const BucketView& v : views_) {
            for (const auto& [key, known] : v.known) {
                if (!wants(interest, v.bucket, key)) continue;
                if (before && wants(*before, v.bucket, key)) continue;  // it had this one as it came
                enqueue(id, core::EntrySeen{known.entry, known.first_seen});
            }
        }
        for (const BucketView& v : views_) {
            if (v.missing && !before) enqueue(id, core::BucketMissing{v.bucket, true});
        }
        announce_snapshot(id, member);
    }

    void distrust(Bucket bucket, const std::string& why) {
        BucketView& v = view(bucket);
        if (v.distrusted) return;
        v.distrusted = true;
        shell_.defer([weak = weak_from_this(), bucket, why] {
            if (const auto self = weak.lock()) self->history_lost(self->view(bucket), nullptr, why);
        });
    }

    void create(Bucket bucket) {
        BucketView& v = view(bucket);
        if (std::exchange(v.creating, true)) return;
        jetstream::BucketSpec spec = shell_.spec;
        spec.name = v.name;
        spec.create = true;
        client_.ensure_bucket(spec, shell_.put_timeout, [weak = weak_from_this(), bucket](const Result<jetstream::BucketInfo>& made) {
            const auto self = weak.lock();
            if (!self) return;
            BucketView& made_view = self->view(bucket);
            made_view.creating = false;
            if (!made) {
                self->log(LogLevel::error, "bucket " + made_view.name + " could not be created again: " + made.error().message());
            } else if (made->was_created) {
                self->log(LogLevel::warning, "created bucket " + made_view.name + " again");
            }
        });
    }

    void put(Hub::MemberId id, const core::Put& put) {
        if (const auto it = writes_.find(put.key); it != writes_.end() && put.bucket == Bucket::assignment && it->second.member == id) {
            const bool same = it->second.write->operation() == put.token.operation && it->second.chunk_bytes == chunk_bytes();
            if (same) return it->second.write->attempt(put.token);
            writes_.erase(it);
        }
        std::string bytes = shell_.encode(put.record);
        const auto* record = std::get_if<AssignmentPtr>(&put.record);
        if (record != nullptr && bytes.size() > std::min(shell_.limits.plain_bytes_max, message_bytes())) {
            auto packed = wire::pack_lists(**record);
            if (!packed) return refuse(id, put, packed.error());
            bytes = wire::encode_head(**record, packed->packing);
            if (bytes.size() + packed->blob.size() > message_bytes()) return put_chunked(id, put, *record, std::move(*packed));
            bytes += packed->blob;
        }
        if (bytes.size() > client_.value_bytes_max()) {
            return refuse(id, put,
                          {Errc::invalid_argument, "record '" + wire::to_string(put.key) + "' of " + view(put.bucket).name + " has " +
                                                       std::to_string(bytes.size()) + " bytes; this server takes at most " +
                                                       std::to_string(client_.value_bytes_max())});
        }
        client_.put(view(put.bucket).name, wire::to_string(put.key), bytes, put.expected, shell_.put_timeout,
                    [weak = weak_from_this(), id, token = put.token](jetstream::PutAnswer answer) {
                        const auto self = weak.lock();
                        if (!self) return;
                        std::string detail;
                        if (answer.result == jetstream::PutResult::no_information) detail = answer.error.message();
                        self->enqueue(id, core::WriteAnswered{token, to_core(answer.result), answer.revision, std::move(detail)});
                    });
    }

    void fetch(Hub::MemberId id, const core::Fetch& fetch) {
        const auto reading = fetches_.find({id, fetch.token.operation});
        if (reading != fetches_.end()) {
            if (!reading->second->stuck()) return;  // its answer will do
            fetches_.erase(reading);
        }
        client_.get(view(fetch.bucket).name, wire::to_string(fetch.key), shell_.put_timeout,
                    [weak = weak_from_this(), id, fetch](Result<jetstream::RawEntry> answer) {
                        const auto self = weak.lock();
                        if (!self) return;
                        core::FetchAnswered event{fetch.token, std::nullopt};
                        if (answer) {
                            if (self->fetch_chunks(id, fetch, *answer)) return;
                            event.entry = self->decode(fetch.bucket, fetch.key, *answer);
                        }
                        self->enqueue(id, std::move(event));
                    });
    }

    // Reads that got no answer ask again; writes whose core has lost interest go.
    void tick() {
        const auto self = shared_from_this();
        for (auto& [key, reading] : view(Bucket::assignment).reading) reading.read->again();
        const Instant now = shell_.now();
        std::erase_if(writes_, [&](const auto& item) { return now >= item.second.write->last_attempt() + shell_.put_timeout; });
        std::erase_if(fetches_, [](const auto& item) { return item.second->stuck(); });  // the core asks again
        watch_over();
    }

    std::size_t queued() const { return queue_.size() + turn_.size(); }
    std::size_t watches() const { return views_[0].channels.size() + views_[1].channels.size(); }

private:
    BucketView& view(Bucket bucket) { return views_[bucket == Bucket::lease ? 0 : 1]; }

    // ---- large records ------------------------------------------------------------------------------------------------------

    struct Write {
        Hub::MemberId member = 0;
        std::size_t chunk_bytes = 0;
        std::shared_ptr<ChunkWrite> write;
    };
    struct OwnRecord {
        WriteId id;
        RecordValue value;
    };

    std::size_t message_bytes() const { return std::min(shell_.limits.message_bytes_max, client_.value_bytes_max()); }
    std::size_t chunk_bytes() const {
        return std::max(kChunkBytesMin, std::min(shell_.limits.chunk_bytes_max, client_.value_bytes_max()));
    }

    void refuse(Hub::MemberId id, const core::Put& put, const Error& error) {
        log(LogLevel::error, error.message());
        enqueue(id, core::WriteAnswered{put.token, core::WriteResult::no_information, 0, error.message()});
    }

    void put_chunked(Hub::MemberId id, const core::Put& put, const AssignmentPtr& record, wire::Packed packed) {
        auto answer = [weak = weak_from_this(), id, key = put.key](core::WriteAnswered answered) {
            const auto self = weak.lock();
            if (!self) return;
            const auto it = self->writes_.find(key);
            if (it != self->writes_.end() && it->second.member == id && it->second.write->over()) {
                const std::shared_ptr<ChunkWrite> write = it->second.write;
                if (write->committed()) self->own_[key] = {write->record()->id, write->record()};
                self->writes_.erase(it);
            }
            self->enqueue(id, std::move(answered));
        };
        const std::size_t bytes = chunk_bytes();
        const std::map<Key, Known>& all_known = view(Bucket::assignment).known;
        const auto known = all_known.find(put.key);
        const bool damaged = known != all_known.end() && known->second.entry.revision == put.expected &&
                             std::holds_alternative<UnreadablePtr>(known->second.entry.value);
        auto write = std::make_shared<ChunkWrite>(ChunkWrite::Shell{client_, notes_, view(Bucket::assignment).name, shell_.now,
                                                                    std::move(answer), shell_.put_timeout, bytes, damaged},
                                                  put, record, std::move(packed));
        writes_.insert_or_assign(put.key, Write{id, bytes, write});
        write->attempt(put.token);
        watch_over();
    }

    // What this process itself wrote needs no reading.
    std::optional<RecordValue> own_record(const Key& key, const WriteId& id) const {
        const auto write = writes_.find(key);
        if (write != writes_.end() && write->second.write->record()->id == id) return write->second.write->record();
        const auto own = own_.find(key);
        if (own != own_.end() && own->second.id == id) return own->second.value;
        return std::nullopt;
    }

    std::optional<wire::Manifest> manifest_of(Bucket bucket, const Key& key, const jetstream::RawEntry& raw) const {
        if (bucket != Bucket::assignment || key.kind != Key::Kind::worker || raw.kind != jetstream::EntryKind::value) return std::nullopt;
        auto manifest = wire::read_manifest(raw.bytes);
        if (!manifest) return std::nullopt;
        const RecordValue head = shell_.decode(bucket, key, raw.bytes);  // unreadable without its chunks: but is it for us?
        const auto* bad = std::get_if<UnreadablePtr>(&head);
        if (bad != nullptr && (*bad)->future) return std::nullopt;
        return manifest;
    }

    // True when the answer to this fetch comes later, or never (then the core asks again).
    bool fetch_chunks(Hub::MemberId id, const core::Fetch& fetch, const jetstream::RawEntry& raw) {
        const auto manifest = manifest_of(fetch.bucket, fetch.key, raw);
        if (!manifest) return false;
        const auto tell = [this, id, fetch](Revision revision, RecordValue value) {
            enqueue(id, core::FetchAnswered{fetch.token, Entry{fetch.bucket, fetch.key, revision, std::move(value)}});
        };
        if (auto own = own_record(fetch.key, manifest->id)) {
            tell(raw.revision, std::move(*own));
            return true;
        }
        const std::pair<Hub::MemberId, std::uint64_t> slot{id, fetch.token.operation};
        auto done = [weak = weak_from_this(), tell, slot, revision = raw.revision](std::optional<RecordValue> value) {
            const auto self = weak.lock();
            if (!self) return;
            self->fetches_.erase(slot);
            if (value) tell(revision, std::move(*value));
        };
        auto read = std::make_shared<ChunkRead>(client_, view(fetch.bucket).name, fetch.key, raw, *manifest, shell_.put_timeout,
                                                std::move(done));
        fetches_[slot] = read;
        read->start();
        watch_over();
        return true;
    }

    void read_chunks(BucketView& v, const Key& key, const jetstream::RawEntry& raw, const wire::Manifest& manifest) {
        auto done = [weak = weak_from_this(), key, revision = raw.revision](std::optional<RecordValue> value) {
            const auto self = weak.lock();
            if (!self || !value) return;  // superseded: what takes its place is on its way through the watch
            BucketView& assignments = self->view(Bucket::assignment);
            const auto it = assignments.reading.find(key);
            if (it == assignments.reading.end() || it->second.read->revision() != revision) return;
            const Instant first_seen = it->second.first_seen;
            const std::shared_ptr<ChunkRead> keep = it->second.read;
            assignments.reading.erase(it);
            self->now_known(assignments, key, Entry{Bucket::assignment, key, revision, std::move(*value)}, first_seen);
            self->completed();
        };
        auto read = std::make_shared<ChunkRead>(client_, v.name, key, raw, manifest, shell_.put_timeout, std::move(done));
        v.reading[key] = {read, shell_.now()};
        read->start();
        watch_over();
    }

    // While anything large is under way.
    void watch_over() {
        if (writes_.empty() && fetches_.empty() && view(Bucket::assignment).reading.empty()) return;
        shell_.wake(shell_.now() + kLookInterval);
    }

    // ---- delivery -----------------------------------------------------------------------------------------------------------

    void enqueue(Hub::MemberId id, core::Event event) {
        queue_.emplace_back(id, std::move(event));
        if (queue_.size() == 1 && !draining_) schedule_drain();
    }

    void schedule_drain() {
        shell_.defer([weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->drain();
        });
    }

    // Only what was there at the start: what the members' own calls add comes in another turn, so that nobody starves the io
    // thread.
    void drain() {
        const auto self = shared_from_this();  // a member may end the hub
        turn_.swap(queue_);
        draining_ = true;
        for (auto& [id, event] : turn_) {
            const auto it = members_.find(id);
            if (it == members_.end()) continue;
            if (const auto* done = std::get_if<core::SnapshotDone>(&event)) {
                if (!it->second.interest || it->second.interest->id != done->interest) continue;  // a newer one follows
            }
            const auto deliver = it->second.deliver;  // it may leave from inside
            (*deliver)(std::move(event));
        }
        turn_.clear();
        if (turn_.capacity() > kEventsKept) turn_ = {};
        draining_ = false;
        if (!queue_.empty()) schedule_drain();
    }

    void announce_snapshot(Hub::MemberId id, Member& member) {
        if (!member.snapshot_due || !member.interest) return;
        for (const BucketView& v : views_) {
            if (wants_all(*member.interest, v.bucket)) {
                if (!v.told_all_workers()) return;
            } else if (const auto key = wanted_worker(*member.interest, v.bucket); key && !v.told(*key)) {
                return;
            }
        }
        if (!view(Bucket::assignment).told(head_key()) || !view(Bucket::assignment).told(control_key())) return;
        member.snapshot_due = false;
        enqueue(id, core::SnapshotDone{member.interest->id});
    }

    // ---- watches ------------------------------------------------------------------------------------------------------------

    // What the members want together.
    std::vector<Pattern> desired(const BucketView& v) const {
        std::vector<Pattern> out;
        if (members_.empty()) return out;
        if (v.bucket == Bucket::assignment) out = {{false, head_key()}, {false, control_key()}};
        bool all = false;
        std::vector<Key> workers;
        for (const auto& [id, member] : members_) {
            if (!member.interest) continue;
            all = all || wants_all(*member.interest, v.bucket);
            if (const auto key = wanted_worker(*member.interest, v.bucket)) workers.push_back(*key);
        }
        if (all) {
            out.push_back(kAllWorkers);
            return out;
        }
        std::sort(workers.begin(), workers.end());
        workers.erase(std::unique(workers.begin(), workers.end()), workers.end());
        for (const Key& key : workers) out.push_back({false, key});
        return out;
    }

    // Opens what is wanted and not there, closes what is there and not wanted once everything wanted is complete.
    void arrange() {
        for (BucketView& v : views_) {
            const auto want = desired(v);
            for (const Pattern& pattern : want) {
                if (v.find(pattern) == nullptr) open(v, pattern);
            }
            bool complete = true;
            for (const Pattern& pattern : want) {
                const Channel* c = v.find(pattern);
                complete = complete && c != nullptr && c->complete();
            }
            if (!complete) continue;
            std::vector<ChannelPtr> keep;
            for (ChannelPtr& c : v.channels) {
                if (std::find(want.begin(), want.end(), c->pattern) != want.end()) {
                    keep.push_back(std::move(c));
                } else {
                    retire(std::move(c));
                }
            }
            const bool closed = keep.size() != v.channels.size();
            v.channels = std::move(keep);
            if (!closed) continue;
            std::erase_if(v.known, [&v](const auto& item) { return !v.covered(item.first); });
            std::erase_if(v.reading, [&v](const auto& item) { return !v.covered(item.first); });
            if (v.bucket == Bucket::assignment) std::erase_if(own_, [&v](const auto& item) { return !v.covered(item.first); });
        }
    }

    // Not at once: we may be inside one of its handlers.
    void retire(ChannelPtr channel) {
        channel->retired = true;
        shell_.defer([channel = std::move(channel)]() mutable { channel->watch.reset(); });
    }

    void open(BucketView& v, const Pattern& pattern) {
        auto channel = std::make_shared<Channel>();
        channel->pattern = pattern;
        v.channels.push_back(channel);
        const Bucket bucket = v.bucket;
        const auto guarded = [weak = weak_from_this(), weak_channel = std::weak_ptr<Channel>(channel)](auto then) {
            const auto self = weak.lock();
            const auto c = weak_channel.lock();
            if (self && c && !c->retired) then(*self, *c);
        };
        jetstream::WatchHandlers handlers;
        handlers.on_entry = [guarded, bucket](jetstream::RawEntry raw) {
            guarded([&](HubState& self, Channel&) { self.take_in(self.view(bucket), raw); });
        };
        handlers.on_initial_done = [guarded, bucket] {
            guarded([&](HubState& self, Channel& c) {
                c.initial = true;
                c.lost = false;
                self.set_missing(self.view(bucket), false);
                self.completed();
            });
        };
        handlers.on_lost = [guarded, bucket](const std::string& why) {
            guarded([&](HubState& self, Channel& c) {
                c.lost = true;
                self.log(LogLevel::warning, "watch of " + c.pattern.text() + " in " + self.view(bucket).name + " lost: " + why);
            });
        };
        handlers.on_recovered = [guarded, bucket] {
            guarded([&](HubState& self, Channel& c) {
                c.initial = true;
                c.lost = false;
                self.log(LogLevel::info, "watch of " + c.pattern.text() + " in " + self.view(bucket).name + " recovered");
                self.set_missing(self.view(bucket), false);
                self.completed();
            });
        };
        handlers.on_history_lost = [guarded, bucket](const std::string& why) {
            guarded([&](HubState& self, Channel& c) { self.history_lost(self.view(bucket), &c, why); });
        };
        handlers.known_identity = v.identity;
        handlers.known_revision = v.highest;
        handlers.on_stream = [guarded, bucket](const std::string& identity) {
            guarded([&](HubState& self, Channel&) { self.view(bucket).identity = identity; });
        };
        handlers.on_missing = [guarded, bucket] {
            guarded([&](HubState& self, Channel&) { self.set_missing(self.view(bucket), true); });
        };
        auto watch = client_.watch(v.name, pattern.text(), std::move(handlers));
        channel->watch = std::move(watch);
    }

    void set_missing(BucketView& v, bool missing) {
        if (std::exchange(v.missing, missing) == missing) return;
        if (missing) log(LogLevel::error, "bucket " + v.name + " does not exist any more");
        for (auto& [id, member] : members_) {
            if (member.interest) enqueue(id, core::BucketMissing{v.bucket, missing});
        }
    }

    void completed() {
        arrange();
        for (BucketView& v : views_) {
            const auto done = [](const ChannelPtr& c) { return c->complete(); };
            if (std::all_of(v.channels.begin(), v.channels.end(), done)) v.distrusted = false;
        }
        for (auto& [id, member] : members_) announce_snapshot(id, member);
    }

    // The first watch that notices speaks for the bucket: the others are made anew instead of each telling its own story.
    void history_lost(BucketView& v, Channel* reporter, const std::string& why) {
        log(LogLevel::error, "history of " + v.name + " lost: " + why);
        v.known.clear();
        v.reading.clear();
        if (v.bucket == Bucket::assignment) {
            writes_.clear();
            fetches_.clear();
            own_.clear();
            notes_ = {};
        }
        v.highest = 0;
        v.identity.clear();  // the reporter is about to tell the new one
        if (reporter != nullptr) reporter->lost = true;
        std::vector<ChannelPtr> before;
        before.swap(v.channels);
        for (ChannelPtr& c : before) {
            if (c.get() == reporter) {
                v.channels.push_back(std::move(c));
            } else {
                retire(std::move(c));
            }
        }
        for (auto& [id, member] : members_) {
            if (!member.interest) continue;
            member.snapshot_due = true;
            enqueue(id, core::HistoryLost{v.bucket, why});
        }
        arrange();
    }

    // ---- entries ------------------------------------------------------------------------------------------------------------

    Entry decode(Bucket bucket, const Key& key, const jetstream::RawEntry& raw) const {
        Entry entry{bucket, key, raw.revision, Absent{}};
        if (raw.kind == jetstream::EntryKind::value) entry.value = shell_.decode(bucket, key, raw.bytes);
        if (raw.kind == jetstream::EntryKind::absent) entry.revision = 0;
        return entry;
    }

    void take_in(BucketView& v, const jetstream::RawEntry& raw) {
        const std::optional<Key> key = wire::parse_key(v.bucket, raw.key);
        if (!key) {
            if (++foreign_keys_ <= kForeignKeysLogged) {
                log(LogLevel::warning, "key '" + raw.key + "' in bucket " + v.name + " is not one of parti's; it is ignored");
            }
            return;
        }
        const bool vanished = raw.kind == jetstream::EntryKind::absent;
        const auto reading = v.reading.find(*key);
        const bool pending = reading != v.reading.end();
        const auto it = v.known.find(*key);
        if (pending) {
            if (!vanished && raw.revision <= reading->second.read->revision()) return;
            v.reading.erase(reading);
        } else if (it == v.known.end()) {
            if (vanished) return;  // nobody here ever knew it
        } else if (vanished ? it->second.entry.revision == 0 : raw.revision <= it->second.floor) {
            return;
        }
        v.highest = std::max(v.highest, raw.revision);
        const auto manifest = manifest_of(v.bucket, *key, raw);
        auto own = manifest ? own_record(*key, manifest->id) : std::nullopt;
        if (manifest && !own) return read_chunks(v, *key, raw, *manifest);
        if (own) {
            now_known(v, *key, Entry{v.bucket, *key, raw.revision, std::move(*own)}, shell_.now());
            own_.erase(*key);
        } else {
            now_known(v, *key, decode(v.bucket, *key, raw), shell_.now());
        }
        if (pending) completed();
    }

    void now_known(BucketView& v, const Key& key, Entry entry, Instant first_seen) {
        Known& known = v.known[key];
        if (entry.revision != 0) known.floor = entry.revision;
        known.entry = std::move(entry);
        known.first_seen = first_seen;
        for (const auto& [id, member] : members_) {
            if (member.interest && wants(*member.interest, v.bucket, key)) {
                enqueue(id, core::EntrySeen{known.entry, known.first_seen});
            }
        }
    }

    void log(LogLevel level, const std::string& line) const {
        if (shell_.log) shell_.log(level, line);
    }

    static constexpr std::uint64_t kForeignKeysLogged = 16;
    static constexpr std::size_t kEventsKept = 256;  // room for so many events outlives a turn
    static constexpr std::size_t kChunkBytesMin = wire::kChunkHeadBytesMax + 16;
    static constexpr Duration kLookInterval = std::chrono::milliseconds(250);

    jetstream::Client& client_;
    HubShell shell_;
    BucketView views_[2];
    std::map<Hub::MemberId, Member> members_;
    Hub::MemberId last_member_ = 0;
    std::vector<std::pair<Hub::MemberId, core::Event>> queue_;
    std::vector<std::pair<Hub::MemberId, core::Event>> turn_;  // being delivered; lasts for its memory
    bool draining_ = false;
    std::uint64_t foreign_keys_ = 0;
    ChunkNotes notes_;
    std::map<Key, Write> writes_;  // of the assignment bucket
    std::map<Key, OwnRecord> own_;  // committed, and not heard of from the watch yet
    std::map<std::pair<Hub::MemberId, std::uint64_t>, std::shared_ptr<ChunkRead>> fetches_;  // by member and operation
};

class HubImpl final : public Hub {
public:
    explicit HubImpl(std::shared_ptr<HubState> state) : state_(std::move(state)) {}
    MemberId join(Deliver deliver) override { return state_->join(std::move(deliver)); }
    void leave(MemberId member) override { state_->leave(member); }
    void set_interest(MemberId member, const core::Interest& interest) override { state_->set_interest(member, interest); }
    void put(MemberId member, const core::Put& put) override { state_->put(member, put); }
    void fetch(MemberId member, const core::Fetch& fetch) override { state_->fetch(member, fetch); }
    void tick() override { state_->tick(); }
    void distrust(Bucket bucket, const std::string& why) override { state_->distrust(bucket, why); }
    void create(Bucket bucket) override { state_->create(bucket); }
    std::size_t queued() const override { return state_->queued(); }
    std::size_t watches() const override { return state_->watches(); }

private:
    std::shared_ptr<HubState> state_;
};

}  // namespace

std::unique_ptr<Hub> Hub::make(jetstream::Client& client, std::string lease_bucket, std::string assignment_bucket,
                               HubShell shell) {
    PARTI_ASSERT(shell.now && shell.defer && shell.decode && shell.encode && shell.wake);
    return std::make_unique<HubImpl>(
        std::make_shared<HubState>(client, std::move(lease_bucket), std::move(assignment_bucket), std::move(shell)));
}

}  // namespace parti::runtime
