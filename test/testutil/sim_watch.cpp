#include "testutil/sim_watch.h"

#include <algorithm>
#include <utility>

namespace parti::testutil::sim_detail {

using jetstream::EntryKind;
using jetstream::RawEntry;

RawEntry raw_entry(const std::string& key, const SimMessage& message) {
    RawEntry entry;
    entry.key = key;
    entry.revision = message.revision;
    entry.kind = message.marker() ? EntryKind::marker : EntryKind::value;
    if (!message.marker()) entry.bytes = *message.bytes;
    return entry;
}

template <class F>
void WatchState::deliver(F then) {
    last_delivery = std::max(last_delivery, network.scheduler.now() + network.latency());
    network.scheduler.at(last_delivery, lane,
                         [self = shared_from_this(), generation = consumer, then = std::move(then)]() mutable {
                             if (self->closed || self->consumer != generation) return;
                             then(*self);
                         });
}

void WatchState::request_consumer() {
    if (closed) return;
    if (!link->up || network.draw(network.rates.request_lost)) {
        retry_later();
        return;
    }
    network.scheduler.after(network.latency(), SimScheduler::kWorld,
                            [self = shared_from_this(), generation = link->generation] { self->create_consumer(generation); });
}

void WatchState::retry_later() {
    const Nanos step = std::min<Nanos>(50 * kMilli << std::min(attempts, 4), 800 * kMilli);
    ++attempts;
    network.scheduler.after(step / 2 + network.rng.between(0, step), lane,
                            [self = shared_from_this()] { self->request_consumer(); });
}

void WatchState::create_consumer(std::uint64_t generation) {
    if (closed) return;
    const SimStore::Stream* stream = network.store.find(bucket);
    if (!link->up || link->generation != generation || !network.server_up() || stream == nullptr) {
        const bool told = link->up && link->generation == generation && network.server_up();
        network.scheduler.after(network.latency(), lane, [self = shared_from_this(), told] {
            if (told && !self->closed && self->handlers.on_missing) self->handlers.on_missing();
            self->retry_later();
        });
        return;
    }
    ++consumer;
    subscription = network.store.subscribe(
        bucket, pattern,
        [weak = weak_from_this()](const std::string& key, const SimMessage& message) {
            if (const auto self = weak.lock()) {
                self->deliver([key, message](WatchState& w) { w.take_in(key, message); });
            }
        },
        [weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->consumer_dies("the stream is gone");
        });
    deliver([id = "simulated-" + std::to_string(stream->identity), last = stream->last_sequence](WatchState& w) {
        w.begin(id, last);
    });
    std::vector<std::string> present;
    for (auto& [key, message] : network.store.matching(bucket, pattern)) {
        present.push_back(key);
        deliver([name = key, m = message](WatchState& w) { w.take_in(name, m); });
    }
    deliver([present = std::move(present)](WatchState& w) { w.end(present); });
}

void WatchState::begin(const std::string& id, std::uint64_t last) {
    const bool other = !identity.empty() && identity != id;
    const bool went_back = identity == id && last < highest;
    identity = id;
    if (other || went_back) history_lost(other ? "the stream was created anew" : "the stream's last sequence went back");
    if (!closed && handlers.on_stream) handlers.on_stream(identity);
}

void WatchState::history_lost(const std::string& why) {
    for (auto& [key, seen] : delivered) seen.revision = 0;  // comes again, or is reported as absent
    highest = 0;
    if (handlers.on_history_lost) handlers.on_history_lost(why);
}

void WatchState::take_in(const std::string& key, const SimMessage& message) {
    ++stats->watch_messages;
    Seen& known = delivered[key];
    const bool rewritten = message.revision == known.revision && message.stored != known.stored;
    if (message.revision < known.revision || rewritten) {
        // Another history than the one known, which its end did not tell: everything is read again.
        history_lost(rewritten ? "a revision holds another message" : "a key went back");
        if (closed) return;
        network.store.unsubscribe(subscription);
        subscription = 0;
        ++consumer;
        lost = true;
        if (handlers.on_lost) handlers.on_lost("its history is another one");
        if (!closed) request_consumer();
        return;
    }
    if (message.revision == known.revision) return;
    known = {message.revision, message.stored};
    highest = std::max(highest, message.revision);
    if (handlers.on_entry) handlers.on_entry(raw_entry(key, message));
}

void WatchState::end(const std::vector<std::string>& present) {
    attempts = 0;
    std::vector<std::string> vanished;
    for (const auto& [key, seen] : delivered) {
        if (std::find(present.begin(), present.end(), key) == present.end()) vanished.push_back(key);
    }
    for (const std::string& key : vanished) {
        delivered.erase(key);
        RawEntry entry;
        entry.key = key;
        if (handlers.on_entry && !closed) handlers.on_entry(std::move(entry));
    }
    if (!told_initial && !closed) {
        told_initial = true;
        if (handlers.on_initial_done) handlers.on_initial_done();
    }
    if (lost && !closed) {
        lost = false;
        ++stats->watch_recreations;
        if (handlers.on_recovered) handlers.on_recovered();
    }
}

void WatchState::consumer_dies(const std::string& why) {
    if (closed || !alive()) return;
    ++network.counts.watches_lost;
    network.store.unsubscribe(subscription);
    subscription = 0;
    const std::uint64_t generation = ++consumer;
    const Nanos silence = 2 * heartbeat + network.rng.between(0, heartbeat);
    network.scheduler.after(silence, lane, [self = shared_from_this(), generation, why] {
        if (self->closed || self->consumer != generation) return;
        self->lost = true;
        if (self->handlers.on_lost) self->handlers.on_lost("three heartbeats missed (" + why + ")");
        self->request_consumer();
    });
}

void WatchState::close() {
    closed = true;
    if (subscription != 0) network.store.unsubscribe(subscription);
    subscription = 0;
    handlers = {};
}

namespace {

class SimWatch final : public jetstream::Watch {
public:
    explicit SimWatch(std::shared_ptr<WatchState> state) : state_(std::move(state)) {}
    ~SimWatch() override {
        // The handlers may be running: they go with the last event of this turn.
        auto handlers = std::make_shared<jetstream::WatchHandlers>(std::move(state_->handlers));
        state_->network.scheduler.after(0, SimScheduler::kWorld, [handlers] {});
        state_->close();
    }
    SimWatch(const SimWatch&) = delete;
    SimWatch& operator=(const SimWatch&) = delete;

private:
    std::shared_ptr<WatchState> state_;
};

}  // namespace

std::unique_ptr<jetstream::Watch> watch_handle(std::shared_ptr<WatchState> state) {
    return std::make_unique<SimWatch>(std::move(state));
}

}  // namespace parti::testutil::sim_detail
