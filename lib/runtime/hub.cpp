#include "runtime/hub.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "runtime/hub_queue.h"
#include "runtime/hub_view.h"
#include "runtime/large_records.h"
#include "wire/codec.h"

namespace parti::runtime {
namespace {

using core::Instant;
using core::Interest;

struct Member {
    std::shared_ptr<const Hub::Deliver> deliver;
    std::optional<Interest> interest;
    bool snapshot_due = false;
    std::uint32_t snapshots_queued = 0;
};

core::WriteResult to_core(jetstream::PutResult result) {
    switch (result) {
        case jetstream::PutResult::done: return core::WriteResult::done;
        case jetstream::PutResult::wrong_revision: return core::WriteResult::wrong_revision;
        case jetstream::PutResult::no_information: break;
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
        if (large_) large_->leave(id);
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
        client_.ensure_bucket(
            spec, shell_.put_timeout, [weak = weak_from_this(), bucket](const Result<jetstream::BucketInfo>& made) {
                const auto self = weak.lock();
                if (!self) return;
                BucketView& made_view = self->view(bucket);
                made_view.creating = false;
                if (!made) {
                    self->log(LogLevel::error,
                              "bucket " + made_view.name + " could not be created again: " + made.error().message());
                } else if (made->was_created) {
                    self->log(LogLevel::warning, "created bucket " + made_view.name + " again");
                }
            });
    }

    void put(Hub::MemberId id, const core::Put& put) {
        const std::map<Key, Known>& known = view(put.bucket).known;
        const auto present = known.find(put.key);
        const bool damaged = present != known.end() && present->second.entry.revision == put.expected &&
                             std::holds_alternative<UnreadablePtr>(present->second.entry.value);
        const auto bytes = large().bytes_of(id, put, damaged);
        if (!bytes) return;
        client_.put(view(put.bucket).name, wire::to_string(put.key), *bytes, put.expected, shell_.put_timeout,
                    [weak = weak_from_this(), id, token = put.token](jetstream::PutAnswer answer) {
                        const auto self = weak.lock();
                        if (!self) return;
                        std::string detail;
                        if (answer.result == jetstream::PutResult::no_information) detail = answer.error.message();
                        self->enqueue(id, core::WriteAnswered{token, to_core(answer.result), answer.revision, std::move(detail)});
                    });
    }

    void fetch(Hub::MemberId id, const core::Fetch& fetch) {
        if (large().fetch_under_way(id, fetch)) return;
        client_.get(view(fetch.bucket).name, wire::to_string(fetch.key), shell_.put_timeout,
                    [weak = weak_from_this(), id, fetch](Result<jetstream::RawEntry> answer) {
                        const auto self = weak.lock();
                        if (!self) return;
                        core::FetchAnswered event{fetch.token, std::nullopt};
                        if (answer) {
                            if (self->large().answers_fetch(id, fetch, *answer)) return;
                            event.entry = self->decode(fetch.bucket, fetch.key, *answer);
                        }
                        self->enqueue(id, std::move(event));
                    });
    }

    void tick() {
        const auto self = shared_from_this();
        if (large_) large_->tick();
    }

    std::size_t queued() const { return queue_.size(); }
    std::size_t watches() const { return views_[0].channels.size() + views_[1].channels.size(); }

private:
    BucketView& view(Bucket bucket) { return views_[bucket == Bucket::lease ? 0 : 1]; }

    // What knows of packed and chunked records; made at the first need, since it looks back at this object.
    LargeRecords& large() {
        if (large_) return *large_;
        LargeRecords::Listener listener;
        listener.tell = [weak = weak_from_this()](Hub::MemberId id, core::Event event) {
            if (const auto self = weak.lock()) self->enqueue(id, std::move(event));
        };
        listener.whole = [weak = weak_from_this()](const Key& key, Revision revision, RecordValue value, Instant first_seen) {
            const auto self = weak.lock();
            if (!self) return;
            self->now_known(self->view(Bucket::assignment), key, Entry{Bucket::assignment, key, revision, std::move(value)},
                            first_seen);
            self->completed();
        };
        large_ = std::make_shared<LargeRecords>(client_, view(Bucket::assignment).name, shell_, std::move(listener));
        return *large_;
    }

    // A record of this bucket that is still being read has not been delivered.
    bool told(const BucketView& v, const Key& key) const {
        return v.told(key) && !(v.bucket == Bucket::assignment && large_ && large_->reading(key));
    }
    bool told_all_workers(const BucketView& v) const {
        return v.told_all_workers() && !(v.bucket == Bucket::assignment && large_ && large_->reading_any());
    }

    // ---- delivery -----------------------------------------------------------------------------------------------------------

    void enqueue(Hub::MemberId id, core::Event event) {
        queue_.push(id, std::move(event));
        schedule_drain();
    }

    void schedule_drain() {
        if (draining_ || queue_.empty() || std::exchange(drain_scheduled_, true)) return;
        shell_.defer([weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->drain();
        });
    }

    // A part of what was there at the start: timers, answers that have arrived and whatever the members' own calls add come
    // between two turns, so that nobody starves the io thread.
    void drain() {
        const auto self = shared_from_this();  // a member may end the hub
        drain_scheduled_ = false;
        draining_ = true;
        std::size_t cost = 0;
        while (cost < shell_.turn_events_max * kPassedOverPerEvent) {
            auto item = queue_.pop([this](Hub::MemberId id, const core::Event& event) {
                const auto it = members_.find(id);
                if (it != members_.end() && std::holds_alternative<core::SnapshotDone>(event)) --it->second.snapshots_queued;
                return void_now(id, event);
            });
            cost += item.passed_over + kPassedOverPerEvent;
            if (!item.event) break;
            const auto deliver = members_.at(item.member).deliver;  // it may leave from inside
            (*deliver)(std::move(*item.event));
        }
        draining_ = false;
        schedule_drain();
    }

    // What a member need not hear any more: it left, asked for something else meanwhile, or something newer follows.
    bool void_now(Hub::MemberId id, const core::Event& event) const {
        const auto it = members_.find(id);
        if (it == members_.end()) return true;
        const auto& interest = it->second.interest;
        if (const auto* done = std::get_if<core::SnapshotDone>(&event)) return !interest || interest->id != done->interest;
        const auto* seen = std::get_if<core::EntrySeen>(&event);
        if (seen == nullptr) return false;
        const Entry& entry = seen->entry;
        if (!interest || !wants(*interest, entry.bucket, entry.key)) return true;
        const auto& known = views_[entry.bucket == Bucket::lease ? 0 : 1].known;
        const auto present = known.find(entry.key);
        // While a SnapshotDone waits the newer value may come after it, and everything must have been told before.
        return (present == known.end() || present->second.entry.revision != entry.revision) && it->second.snapshots_queued == 0;
    }

    void announce_snapshot(Hub::MemberId id, Member& member) {
        if (!member.snapshot_due || !member.interest) return;
        for (const BucketView& v : views_) {
            if (wants_all(*member.interest, v.bucket)) {
                if (!told_all_workers(v)) return;
            } else if (const auto key = wanted_worker(*member.interest, v.bucket); key && !told(v, *key)) {
                return;
            }
        }
        if (!view(Bucket::assignment).told(head_key()) || !view(Bucket::assignment).told(control_key())) return;
        member.snapshot_due = false;
        ++member.snapshots_queued;
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
            if (v.bucket == Bucket::assignment && large_)
                large_->forget_uncovered([&v](const Key& key) { return v.covered(key); });
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
        if (v.bucket == Bucket::assignment) large().history_lost();  // also when nothing large was seen yet
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
        const auto pending = v.bucket == Bucket::assignment ? large().reading(*key) : std::nullopt;
        const auto it = v.known.find(*key);
        if (pending) {
            if (!vanished && raw.revision <= *pending) return;
            large().stop_reading(*key);
        } else if (it == v.known.end()) {
            if (vanished) return;  // nobody here ever knew it
        } else if (vanished ? it->second.entry.revision == 0 : raw.revision <= it->second.floor) {
            return;
        }
        v.highest = std::max(v.highest, raw.revision);
        const auto manifest = large().manifest_of(v.bucket, *key, raw);
        auto own = manifest ? large().own_record(*key, manifest->id) : std::nullopt;
        if (manifest && !own) return large().begin_reading(*key, raw, *manifest);
        if (own) {
            now_known(v, *key, Entry{v.bucket, *key, raw.revision, std::move(*own)}, shell_.now());
            large().heard_of(*key);
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
        std::vector<Hub::MemberId> members;
        for (const auto& [id, member] : members_) {
            if (member.interest && wants(*member.interest, v.bucket, key)) members.push_back(id);
        }
        queue_.push(std::move(members), core::EntrySeen{known.entry, known.first_seen});
        schedule_drain();
    }

    void log(LogLevel level, const std::string& line) const {
        if (shell_.log) shell_.log(level, line);
    }

    static constexpr std::uint64_t kForeignKeysLogged = 16;
    static constexpr std::size_t kPassedOverPerEvent = 16;  // passing over as many costs no more than delivering one

    jetstream::Client& client_;
    HubShell shell_;
    BucketView views_[2];
    std::map<Hub::MemberId, Member> members_;
    Hub::MemberId last_member_ = 0;
    HubQueue queue_;
    bool drain_scheduled_ = false;
    bool draining_ = false;
    std::uint64_t foreign_keys_ = 0;
    std::shared_ptr<LargeRecords> large_;
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
