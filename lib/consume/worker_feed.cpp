#include "consume/worker_feed.h"

#include <algorithm>
#include <utility>

#include "consume/naming.h"
#include "wire/codec.h"

namespace parti::consume {

using jetstream::ApiError;

namespace {

constexpr Duration kRequestTimeout = std::chrono::seconds(2);
constexpr Duration kFlushTimeout = std::chrono::milliseconds(500);
constexpr Duration kConflictPause = std::chrono::milliseconds(100);

bool over(const LeaseRecord& lease, Incarnation incarnation) {
    if (lease.incarnation > incarnation) return true;
    return lease.incarnation == incarnation && (lease.state == LeaseState::released || lease.state == LeaseState::dead);
}

}  // namespace

WorkerFeed::WorkerFeed(std::shared_ptr<jetstream::Link> link, jetstream::Client& client, std::shared_ptr<const Shop> shop,
                       std::string group, std::string stream_created, Duration patience, std::shared_ptr<Flow> flow,
                       Handlers handlers)
    : link_(std::move(link)), client_(client), shop_(std::move(shop)), group_(std::move(group)),
      stream_created_(std::move(stream_created)), patience_(patience), flow_(std::move(flow)), handlers_(std::move(handlers)) {
    flow_->remember_acks();
}

void WorkerFeed::ask(const std::string& subject, const std::string& body, Answered then) {
    link_->request(
        {"$JS.API." + subject, body, {}, kRequestTimeout, false, {}},
        [weak = weak_from_this(), generation = ++generation_, then = std::move(then)](const Result<jetstream::Message>& answer) {
            const auto self = weak.lock();
            if (!self || self->generation_ != generation || self->phase_ == Phase::over) return;
            if (!answer) return then(*self, tl::unexpected<Error>(answer.error()));
            then(*self, std::string(jetstream::payload(*answer)));
        });
}

void WorkerFeed::advance() {
    if (phase_ == Phase::over) return;
    if (phase_ == Phase::quiescing) return quiesce();
    if (phase_ != Phase::settled) {  // looked at again when that is through
        // What is lost while there is no durable of ours is let go at once.
        if ((phase_ == Phase::clearing || phase_ == Phase::deleting) && filters_.empty()) handlers_.gone();
        return;
    }
    const auto wanted = handlers_.wanted();
    if (wanted == filters_) {
        handlers_.gone();  // a loss of what the durable does not hold
        return;
    }
    phase_ = Phase::quiescing;
    quiesce_by_ = runtime::boot_now() + patience_;
    handlers_.pause(true);
    if (feed_) feed_->close();
    quiesce();
}

void WorkerFeed::quiesce() {
    if (handlers_.busy() && runtime::boot_now() < quiesce_by_) return;
    phase_ = Phase::flushing;
    feed_.reset();
    flush();
}

void WorkerFeed::flush() {
    const std::string last = flow_->last_ack();
    if (last.empty() || filters_.empty()) return remove_own();
    link_->request({last, "+ACK", {}, kFlushTimeout, false, {}},
                   [weak = weak_from_this(), generation = ++generation_](const Result<jetstream::Message>&) {
                       const auto self = weak.lock();
                       if (self && self->generation_ == generation && self->phase_ == Phase::flushing) self->remove_own();
                   });
}

void WorkerFeed::remove_own() {
    phase_ = Phase::deleting;
    again_.reset();
    const auto session = handlers_.session();
    const bool alive = session && session->valid_at([] { return runtime::boot_now(); });
    if (filters_.empty() || (!alive && handlers_.wanted().empty())) return removed();
    ask("CONSUMER.DELETE." + shop_->config.stream + "." + durable_, "", [](WorkerFeed& self, const Result<std::string>& answer) {
        const auto error = answer ? jetstream::api_error(*answer) : std::nullopt;
        if (answer && (!error || error->code == jetstream::kApiConsumerNotFound)) return self.removed();
        self.again_ = runtime::boot_now() + kConflictPause;
    });
}

void WorkerFeed::removed() {
    filters_.clear();
    flow_->forget();
    handlers_.gone();
    create();
}

void WorkerFeed::create() {
    again_.reset();
    const auto wanted = handlers_.wanted();
    const auto session = handlers_.session();
    if (wanted.empty() || !session) {
        phase_ = Phase::settled;
        trouble_.clear();
        handlers_.pause(false);
        return;
    }
    durable_ = worker_durable(shop_->config.prefix, session->info.number, session->info.incarnation);
    if (cleared_for_ != durable_) {
        phase_ = Phase::clearing;
        leftovers_.clear();
        return clear(0);
    }
    phase_ = Phase::settled;
    filters_ = wanted;
    jetstream::DurableSpec spec;
    spec.stream = shop_->config.stream;
    spec.durable = durable_;
    spec.filters = wanted;
    spec.max_ack_pending = shop_->config.max_ack_pending;
    spec.ack_wait = shop_->config.ack_wait;
    spec.work_queue = true;
    Feed::Handlers handlers;
    handlers.on_message = handlers_.on_message;
    handlers.on_trouble = handlers_.on_trouble;
    handlers.on_pending = handlers_.on_pending;
    handlers.on_refused = [weak = weak_from_this()](const ApiError& error) {
        if (const auto self = weak.lock()) self->refused(error);
    };
    feed_ = std::make_shared<Feed>(link_, std::move(spec), stream_created_, shop_, flow_, std::move(handlers));
    handlers_.pause(false);
    feed_->start();
}

// Another consumer has one of the filters: a leftover, or a worker that has not let go yet.
void WorkerFeed::refused(const std::optional<ApiError>& error) {
    trouble_ = error ? error->description : std::string();
    cleared_for_.clear();
    filters_.clear();
    if (feed_) feed_->close();
    feed_.reset();
    phase_ = Phase::deleting;  // there is none of ours; create() again after a pause
    again_ = runtime::boot_now() + Duration(link_->rng().between(kConflictPause.count() / 2, kConflictPause.count()));
}

void WorkerFeed::clear(std::uint64_t offset) {
    ask("CONSUMER.NAMES." + shop_->config.stream, jetstream::page_json(offset),
        [offset](WorkerFeed& self, const Result<std::string>& answer) {
            const auto page =
                answer ? jetstream::parse_consumer_names(*answer) : Result<jetstream::NamesPage>(fail(Errc::timeout));
            if (!page) {
                self.again_ = runtime::boot_now() + kConflictPause;
                return;
            }
            for (const std::string& name : page->names) {
                if (name != self.durable_ && parse_worker_durable(self.shop_->config.prefix, name))
                    self.leftovers_.push_back(name);
            }
            const std::uint64_t seen = offset + page->names.size();
            if (!page->names.empty() && seen < page->total) return self.clear(seen);
            self.judge();
        });
}

// One leftover after the other: is its incarnation over?
void WorkerFeed::judge() {
    if (leftovers_.empty()) {
        cleared_for_ = durable_;
        return create();
    }
    const std::string name = std::move(leftovers_.back());
    leftovers_.pop_back();
    const auto of = parse_worker_durable(shop_->config.prefix, name);
    const std::string key = wire::to_string(worker_key(of->number));
    client_.get("parti_" + group_ + "_lease", key, kRequestTimeout,
                [weak = weak_from_this(), generation = ++generation_, name, of = *of](const Result<jetstream::RawEntry>& entry) {
                    const auto self = weak.lock();
                    if (!self || self->generation_ != generation || self->phase_ != Phase::clearing) return;
                    bool ended = false;
                    if (entry && entry->kind == jetstream::EntryKind::value) {
                        const RecordValue record = wire::decode(Bucket::lease, worker_key(of.number), entry->bytes);
                        if (const auto* lease = std::get_if<LeasePtr>(&record)) ended = over(**lease, of.incarnation);
                    }
                    if (!ended) return self->judge();
                    self->ask("CONSUMER.DELETE." + self->shop_->config.stream + "." + name, "",
                              [](WorkerFeed& me, const Result<std::string>&) { me.judge(); });
                });
}

void WorkerFeed::check(core::Instant now) {
    if (phase_ == Phase::over) return;
    if (phase_ == Phase::quiescing) return quiesce();
    if (again_ && now >= *again_) {
        if (phase_ == Phase::deleting && !filters_.empty()) return remove_own();
        if (phase_ == Phase::deleting || phase_ == Phase::clearing) {
            handlers_.gone();
            return create();
        }
    }
    if (phase_ != Phase::settled) return;
    if (feed_) feed_->check(now);
    if (phase_ == Phase::settled && handlers_.wanted() != filters_) advance();
}

void WorkerFeed::reconnected() {
    if (feed_) feed_->reconnected();
}

void WorkerFeed::refill() {
    if (feed_) feed_->refill();
}

void WorkerFeed::close() {
    phase_ = Phase::over;
    if (feed_) feed_->close();
    feed_.reset();
    handlers_ = {};
}

}  // namespace parti::consume
