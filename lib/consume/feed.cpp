#include "consume/feed.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <boost/asio/post.hpp>

#include "runtime/boot_clock.h"

namespace parti::consume {

using jetstream::ApiError;
using jetstream::PullStatus;

namespace {

constexpr Duration kPauseMin = std::chrono::milliseconds(50);
constexpr Duration kPauseMax = std::chrono::seconds(2);
constexpr Duration kRequestTimeout = std::chrono::seconds(2);
constexpr Duration kLookOnceTimeout = std::chrono::milliseconds(500);
constexpr Duration kTakeOneExpires = std::chrono::milliseconds(250);
// one durable's moments of creation, as said before and after a restart
constexpr Duration kSameCreated = std::chrono::milliseconds(50);
constexpr Duration kFloorPause = std::chrono::seconds(1);
constexpr Duration kStallMin = std::chrono::seconds(1);
constexpr Duration kLead = std::chrono::milliseconds(20);
constexpr std::uint32_t kLeftMin = 8;         // an eighth of the room
constexpr std::uint32_t kOrderedBatch = 256;  // of a pull when max_ack_pending is what bounds: saves requests

}  // namespace

Feed::Feed(std::shared_ptr<jetstream::Link> link, jetstream::DurableSpec spec, std::string stream_created,
           std::shared_ptr<const Shop> shop, std::shared_ptr<Flow> flow, Handlers handlers)
    : link_(std::move(link)), spec_(std::move(spec)), stream_created_(std::move(stream_created)), shop_(std::move(shop)),
      flow_(std::move(flow)), handlers_(std::move(handlers)), pause_(kPauseMin) {}

void Feed::start(std::shared_ptr<void> slot) {
    slot_ = std::move(slot);
    look();
}

void Feed::ask(const std::string& subject, const std::string& body, Step next) {
    const std::uint64_t generation = ++generation_;
    link_->request({"$JS.API." + subject, body, {}, kRequestTimeout, false, {}},
                   [weak = weak_from_this(), generation, next, subject](Result<jetstream::Message> answer) {
                       const auto self = weak.lock();
                       if (!self || self->generation_ != generation || self->phase_ == Phase::over) return;
                       if (!answer) return self->back_off(answer.error());
                       const std::string_view bytes = jetstream::payload(*answer);
                       ((*self).*next)(bytes, jetstream::api_error(bytes));
                   });
}

void Feed::look() {
    again_.reset();
    phase_ = Phase::looking;
    ask("CONSUMER.INFO." + spec_.stream + "." + spec_.durable, "", &Feed::on_looked);
}

void Feed::on_looked(std::string_view answer, const std::optional<ApiError>& error) {
    if (error) {
        if (error->code != jetstream::kApiConsumerNotFound) return fail_with(*error, "CONSUMER.INFO");
        if (was_there_) return look_at_stream();
        return create(std::nullopt);
    }
    const auto state = jetstream::parse_durable(answer);
    if (!state) return back_off(state.error());
    if (auto wrong = contradiction(*state)) return back_off(*wrong);
    const bool same =
        state->max_ack_pending == spec_.max_ack_pending && state->ack_wait == spec_.ack_wait && state->max_deliver <= 0;
    if (same) return flow_from(*state);
    phase_ = Phase::updating;
    ask("CONSUMER.DURABLE.CREATE." + spec_.stream + "." + spec_.durable, jetstream::durable_update_json(spec_, answer),
        &Feed::on_updated);
}

void Feed::on_updated(std::string_view answer, const std::optional<ApiError>& error) {
    if (error) return fail_with(*error, "CONSUMER.DURABLE.CREATE (update)");
    // Our settings now. Asked anew, because an update's answer may lack the state.
    const auto state = jetstream::parse_durable(answer);
    if (!state) return back_off(state.error());
    flow_from(*state);
}

std::optional<Error> Feed::contradiction(const jetstream::DurableState& state) const {
    const std::string name = "consumer '" + spec_.durable + "' of stream '" + spec_.stream + "' exists ";
    if (!state.pull) return Error{Errc::bucket_mismatch, name + "as a push consumer and must be a pull consumer"};
    if (!state.explicit_ack) return Error{Errc::bucket_mismatch, name + "with another ack policy and must have 'explicit'"};
    auto wanted = spec_.filters;
    auto found = state.filters;
    std::sort(wanted.begin(), wanted.end());
    std::sort(found.begin(), found.end());
    if (wanted == found) return std::nullopt;
    const std::string first = found.empty() ? "none" : "'" + found.front() + "'" + (found.size() > 1 ? " and others" : "");
    return Error{Errc::bucket_mismatch, name + "with filter " + first + " and must have '" + wanted.front() +
                                            "': delete it, or use another prefix or subject"};
}

// A durable that was there has gone: is the stream still the one whose floor is known?
void Feed::look_at_stream() {
    phase_ = Phase::looking;
    ask("STREAM.INFO." + spec_.stream, "", &Feed::on_stream);
}

void Feed::on_stream(std::string_view answer, const std::optional<ApiError>& error) {
    if (error) return fail_with(*error, "STREAM.INFO");
    const auto facts = jetstream::parse_stream_facts(answer);
    if (!facts) return back_off(facts.error());
    shop_->counters->recreations.fetch_add(1, std::memory_order_relaxed);
    if (spec_.work_queue) {
        stream_created_ = facts->created;
        flow_->forget();
        handlers_.on_trouble({Errc::not_found, "consumer '" + spec_.durable + "' of stream '" + spec_.stream +
                                                   "' had vanished; it is made again"});
        return create(std::nullopt);
    }
    const std::uint64_t floor = flow_->floor();
    if (facts->created == stream_created_ && floor <= facts->last_sequence) {
        handlers_.on_trouble({Errc::not_found, "consumer '" + spec_.durable + "' of stream '" + spec_.stream +
                                                   "' had vanished; it is made again from message " + std::to_string(floor + 1)});
        return create(floor + 1);
    }
    const bool replay = shop_->config.unknown_floor == UnknownFloor::replay;
    handlers_.on_trouble({Errc::not_found, "consumer '" + spec_.durable + "' had vanished, and stream '" + spec_.stream +
                                               "' is another one: nobody knows how far it was. unknown_floor says " +
                                               (replay ? "replay: everything that is there comes again"
                                                       : "skip: what is there by now is not consumed")});
    stream_created_ = facts->created;
    flow_->forget();
    create(replay ? std::optional<std::uint64_t>() : std::optional<std::uint64_t>(facts->last_sequence + 1));
}

void Feed::create(std::optional<std::uint64_t> start) {
    phase_ = Phase::creating;
    spec_.start_sequence = start;
    ask(jetstream::durable_create_subject(spec_), jetstream::durable_create_json(spec_), &Feed::on_created);
}

void Feed::on_created(std::string_view answer, const std::optional<ApiError>& error) {
    if (error) {
        if (error->code == jetstream::kApiConsumersMax) {
            return back_off(
                {Errc::overloaded, "stream '" + spec_.stream + "' has as many consumers as it may have, so partition consumer '" +
                                       spec_.durable +
                                       "' cannot be made; recent servers allow 1,000 a stream by default "
                                       "(default_max_consumers): raise it, or hash "
                                       "the keys into a fixed number of partition tokens, so that there are fewer partitions"});
        }
        const bool somebody_elses =
            error->code == jetstream::kApiWorkQueueNotUnique || error->code == jetstream::kApiWorkQueueNotUnfiltered;
        if (somebody_elses && handlers_.on_refused) return handlers_.on_refused(*error);
        // 10013, 10148: somebody else has made it meanwhile; looking tells whether it suits.
        return fail_with(*error, "CONSUMER.CREATE");
    }
    const auto state = jetstream::parse_durable(answer);
    if (!state) return back_off(state.error());
    // Servers before 2.10 ignore a list of filters silently.
    if (auto wrong = contradiction(*state)) return back_off(*wrong);
    flow_from(*state);
}

void Feed::flow_from(const jetstream::DurableState& state) {
    const bool same = created_ns_ != 0 && std::abs(state.created_ns - created_ns_) <= kSameCreated.count();
    flow_->begin(state.ack_floor, state.delivered, state.ack_pending, same);
    created_ns_ = state.created_ns;
    was_there_ = true;
    slot_.reset();
    trouble_.clear();
    pause_ = kPauseMin;
    phase_ = Phase::flowing;
    if (handlers_.on_pending) handlers_.on_pending(state.pending);  // first: deliveries know better
    if (phase_ == Phase::flowing) open_pull();
}

void Feed::open_pull() {
    jetstream::Pull::Handlers handlers;
    handlers.on_message = [weak = weak_from_this()](jetstream::Message message) {
        const auto self = weak.lock();
        if (!self || !self->handlers_.on_message) return;
        self->silent_once_ = false;
        self->handlers_.on_message(std::move(message));
    };
    handlers.on_status = [weak = weak_from_this()](PullStatus status, const std::string& text) {
        if (const auto self = weak.lock()) self->on_status(status, text);
    };
    if (asking_) handlers.take_direct = handlers_.take_direct;
    const auto& config = shop_->config;
    pull_ = std::make_shared<jetstream::Pull>(link_, spec_.stream, spec_.durable,
                                              jetstream::Pull::Timing{config.pull_expires, config.pull_heartbeat},
                                              std::move(handlers));
    if (auto opened = pull_->open(); !opened) return back_off(opened.error());
    refill();
}

void Feed::refill() {
    if (phase_ != Phase::flowing || !pull_ || !asking_) return;
    const Flow::Limits limits = flow_->limits();
    const std::uint64_t settled = flow_->settled_count();
    const std::uint32_t outstanding = pull_->outstanding();
    const Flow::Load load = flow_->load();  // last: what comes meanwhile counts twice rather than not at all
    // One message in flight at most: then the batch only saves requests.
    const bool ordered = spec_.max_ack_pending == 1;
    const std::uint32_t cap = ordered ? kOrderedBatch : limits.messages;
    const std::uint32_t taken = (ordered ? 0 : load.messages) + outstanding;
    const std::uint32_t room = cap > taken ? cap - taken : 0;
    const bool bytes_left = load.bytes < limits.bytes;
    // Never without an open request, whatever the last one may still bring: it may be dropped without a word when it expires.
    const bool fading = bytes_left && (ordered || load.messages < cap) && pull_->fading(jetstream::Clock::now());
    if (!fading &&
        (room == 0 || !bytes_left || (outstanding > 0 && room < std::max(1U, std::max(cap / 2, std::min(worth_, cap)))))) {
        if (pull_->outstanding() == 0) flow_->starve();
        return;
    }
    const std::size_t bytes_max = ordered || unlimited_next_ ? 0 : std::max<std::size_t>(1, limits.bytes - load.bytes);
    const std::uint32_t batch = unlimited_next_ ? 1 : fading && ordered ? cap : std::max(1U, room);
    const auto sent = pull_->request(batch, bytes_max);
    wants_ = !sent;
    if (!sent) return;
    unlimited_next_ = false;
    worth_ = worth_asking_for(cap);
    if (!ordered) flow_->wake_after(worth_, settled);
}

// By how fast messages were settled since the last request.
std::uint32_t Feed::worth_asking_for(std::uint32_t cap) {
    const core::Instant now = runtime::boot_now();
    const std::uint64_t settled = flow_->settled_count();
    const auto since = std::max<std::int64_t>(1, (now - std::exchange(asked_at_, now)).count());
    const auto count = static_cast<double>(settled - std::exchange(settled_at_, settled));
    const double left = std::clamp(count * static_cast<double>(kLead.count()) / static_cast<double>(since),
                                   static_cast<double>(cap / kLeftMin), static_cast<double>(cap) / 2);
    return cap - static_cast<std::uint32_t>(left);
}

void Feed::on_status(PullStatus status, const std::string& text) {
    if (phase_ != Phase::flowing) return;
    silent_once_ = false;
    switch (status) {
        case PullStatus::too_large: unlimited_next_ = true; break;
        case PullStatus::consumer_gone:
        case PullStatus::no_responders:
        case PullStatus::leadership_changed:
            shop_->counters->pulls_lost.fetch_add(1, std::memory_order_relaxed);
            pull_->close();
            pull_.reset();
            if (status == PullStatus::consumer_gone) return look();
            return back_off({Errc::not_ready, "pulling from '" + spec_.durable + "': " + text});
        case PullStatus::refused:
            pull_->close();
            pull_.reset();
            return back_off({Errc::unsupported_server, "the server refuses a pull request: " + text});
        case PullStatus::ended:
        case PullStatus::max_ack_pending: break;
    }
    refill();
}

void Feed::reconnected() {
    if (phase_ == Phase::over && pull_) pull_->reconnected();
    if (phase_ != Phase::flowing) return;
    // Looked at anew: a restarted server may have lost the durable.
    shop_->counters->pulls_lost.fetch_add(1, std::memory_order_relaxed);
    pull_->close();
    pull_.reset();
    look();
}

void Feed::check(core::Instant now) {
    if (phase_ == Phase::over) return;
    if (phase_ == Phase::idle && again_ && now >= *again_) return look();
    if (phase_ != Phase::flowing || !pull_) return;
    if (pull_->collect()) silent_once_ = false;
    if (pull_->silent(jetstream::Clock::now())) {
        shop_->counters->pulls_lost.fetch_add(1, std::memory_order_relaxed);
        // Asked for again first: a busy server's statuses come late. Silent once more: perhaps the durable is not what it was.
        if (!std::exchange(silent_once_, true)) return refill();
        silent_once_ = false;
        pull_->close();
        pull_.reset();
        return look();
    }
    if (wants_ || pull_->outstanding() == 0 || pull_->fading(jetstream::Clock::now())) refill();
    const bool stall = stalls(now);
    const bool held_up = flow_->held_up();
    if (!(held_up || stall) || now - last_look_ < (held_up ? kFloorPause : stall_pause())) return;
    last_look_ = now;
    look_once([weak = weak_from_this(), generation = generation_, held_up](const std::optional<jetstream::DurableState>& state) {
        const auto self = weak.lock();
        if (!self || !state || self->generation_ != generation || self->phase_ != Phase::flowing) return;
        if (held_up) self->flow_->passed(state->ack_floor);
        if (self->handlers_.on_pending && self->flow_->as_new(state->delivered)) self->handlers_.on_pending(state->pending);
    });
}

Duration Feed::stall_pause() const { return std::max<Duration>(kStallMin, spec_.ack_wait / 3); }

// While a handler takes long, what the stream gets is not delivered: only the server knows how much it is.
bool Feed::stalls(core::Instant now) {
    const std::uint64_t settled = flow_->settled_count();
    if (settled != stalls_at_ || flow_->load().messages == 0) {
        stalls_at_ = settled;
        stalls_since_ = now;
    }
    return now - stalls_since_ >= stall_pause();
}

void Feed::fail_with(const ApiError& error, std::string_view subject) { back_off(jetstream::to_error(error, subject)); }

void Feed::back_off(const Error& why) {
    if (phase_ == Phase::over) return;
    phase_ = Phase::idle;
    slot_.reset();
    const bool told = !trouble_.empty();
    trouble_ = why.message();
    // A link that is down is no trouble of this durable's; everybody sees it.
    if (!told && why.code != Errc::link_down && why.code != Errc::not_ready && why.code != Errc::stopping && handlers_.on_trouble)
        handlers_.on_trouble(why);
    again_ = runtime::boot_now() + Duration(link_->rng().between(pause_.count() / 2, pause_.count()));
    pause_ = std::min(pause_ * 2, kPauseMax);
}

void Feed::stop_asking() {
    asking_ = false;
    if (pull_) pull_->take_indirect();
}

void Feed::end(std::function<void()> done) {
    const bool was_over = std::exchange(phase_, Phase::over) == Phase::over;
    slot_.reset();
    if (pull_ && !was_over) {
        // The pull's handlers go on delivering; its statuses are no longer looked at.
        pull_->end(spec_.max_ack_pending, [keep = shared_from_this(), done = std::move(done)] {
            keep->close();
            done();
        });
        return;
    }
    boost::asio::post(link_->io(), std::move(done));
}

void Feed::look_once(std::function<void(std::optional<jetstream::DurableState>)> done) {
    link_->request({"$JS.API.CONSUMER.INFO." + spec_.stream + "." + spec_.durable, "", {}, kLookOnceTimeout, false, {}},
                   [done = std::move(done)](const Result<jetstream::Message>& answer) {
                       if (!answer || jetstream::api_error(jetstream::payload(*answer))) return done(std::nullopt);
                       auto state = jetstream::parse_durable(jetstream::payload(*answer));
                       done(state ? std::optional(std::move(*state)) : std::nullopt);
                   });
}

void Feed::take_one(std::function<void(jetstream::Message)> done) {
    auto once = std::make_shared<std::function<void(jetstream::Message)>>(std::move(done));
    const auto answer = [weak = weak_from_this(), once](jetstream::Message message) {
        const auto self = weak.lock();
        const auto call = std::exchange(*once, nullptr);
        if (!self || !call) return;
        if (self->pull_) self->pull_->close();
        call(std::move(message));
    };
    jetstream::Pull::Handlers handlers{answer, [answer](PullStatus, const std::string&) { answer(nullptr); }};
    pull_ = std::make_shared<jetstream::Pull>(link_, spec_.stream, spec_.durable, jetstream::Pull::Timing{kTakeOneExpires, {}},
                                              std::move(handlers));
    if (pull_->open() && pull_->request(1, 0)) return;
    boost::asio::post(link_->io(), [answer] { answer(nullptr); });
}

void Feed::close() {
    phase_ = Phase::over;
    slot_.reset();
    if (pull_) pull_->close();
    pull_.reset();
    handlers_ = {};
}

}  // namespace parti::consume
