#include "consume/lane.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <exception>
#include <utility>

#include <nats/nats.h>

#include "jetstream/link.h"

namespace parti::consume {
namespace {

constexpr const char* kAck = "+ACK";
constexpr const char* kNak = "-NAK";
constexpr const char* kTerm = "+TERM";
constexpr const char* kInProgress = "+WPI";
constexpr std::uint32_t kAwaitedMax = 8;  // max_ack_pending up to which the next message usually waits for this one's ack
constexpr Duration kConfirmTimeout = std::chrono::seconds(5);

}  // namespace

// ---- one delivery

Delivery::~Delivery() { abandon(); }

const char* Delivery::reply() const { return natsMsg_GetReply(raw.get()); }

bool Delivery::take() { return state.exchange(State::settled, std::memory_order_acq_rel) == State::open; }

void Delivery::settle(bool done) { lane->settled(*this, done); }

Result<void> Delivery::send(const char* body, bool needs_exclusive) {
    if (needs_exclusive && !lane->exclusive()) {
        return fail(Errc::lease_lost, "partition '" + lane->ownership().partition().id() + "' is no longer this worker's");
    }
    if (!lane->shop()->outlet->publish(reply(), body)) return fail(Errc::link_down, "not connected: the message comes again");
    return {};
}

Result<void> Delivery::ack(std::optional<Duration> confirmed) {
    if (!take()) return fail(Errc::invalid_argument, "the message was acknowledged, given back or terminated before");
    Counters& counters = *lane->shop()->counters;
    Result<void> sent;
    std::unique_lock gate(lane->gate(), std::defer_lock);
    if (confirmed) {
        sent = lane->shop()->confirm(reply(), *confirmed);
    } else {
        gate.lock();
        sent = send(kAck, false);
    }
    if (sent) lane->flow().acked(reply());
    if (sent && !confirmed && lane->shop()->config.max_ack_pending <= kAwaitedMax) lane->shop()->outlet->owe_flush();
    (sent ? counters.acked : counters.acks_lost).fetch_add(1, std::memory_order_relaxed);
    settle(sent.has_value());
    return sent;
}

Result<void> Delivery::nak(Duration delay) {
    if (!take()) return fail(Errc::invalid_argument, "the message was acknowledged, given back or terminated before");
    std::array<char, 64> body{};
    if (delay > Duration::zero()) {
        std::snprintf(body.data(), body.size(), "%s {\"delay\":%lld}", kNak, static_cast<long long>(delay.count()));
    }
    Result<void> sent = send(delay > Duration::zero() ? body.data() : kNak, true);
    settle(false);
    return sent;
}

Result<void> Delivery::term() {
    if (!take()) return fail(Errc::invalid_argument, "the message was acknowledged, given back or terminated before");
    Result<void> sent = send(kTerm, true);
    settle(sent.has_value());
    return sent;
}

Result<void> Delivery::in_progress() {
    if (state.load(std::memory_order_acquire) != State::open)
        return fail(Errc::invalid_argument, "the message was acknowledged, given back or terminated before");
    return send(kInProgress, true);
}

void Delivery::abandon() {
    if (!take()) return;
    lane->shop()->counters->left.fetch_add(1, std::memory_order_relaxed);
    settle(false);
}

// ---- the lane

Lane::Lane(std::uint64_t grant, std::shared_ptr<runtime::OwnershipState> state, std::shared_ptr<Flow> flow,
           std::shared_ptr<Shop> shop)
    : grant_(grant), state_(std::move(state)), ownership_(state_), flow_(std::move(flow)), shop_(std::move(shop)) {}

bool Lane::exclusive() const {
    return !released_.load(std::memory_order_acquire) && state_->session->valid_at([] { return runtime::boot_now(); });
}

bool Lane::take(jetstream::Message& message) {
    const auto info = jetstream::parse_delivery(jetstream::reply_subject(message));
    if (!info || flow_->done(info->stream_sequence, info->time)) return false;
    push(admit(std::move(message), *info));
    return true;
}

std::shared_ptr<Delivery> Lane::admit(jetstream::Message message) {
    const auto info = jetstream::parse_delivery(jetstream::reply_subject(message));
    return info ? admit(std::move(message), *info) : nullptr;
}

std::shared_ptr<Delivery> Lane::admit(jetstream::Message message, const jetstream::Delivery& info) {
    auto delivery = std::make_shared<Delivery>();
    delivery->sequence = info.stream_sequence;
    delivery->delivered = info.delivered;
    delivery->time_ns = info.time;
    delivery->bytes = jetstream::payload(message).size() + jetstream::subject(message).size();
    delivery->arrived = delivery->renewed = runtime::boot_now();
    set_pending(info.pending);
    delivery->raw = std::move(message);
    delivery->lane = shared_from_this();
    Counters& counters = *shop_->counters;
    counters.pulled.fetch_add(1, std::memory_order_relaxed);
    if (delivery->delivered > 1) counters.redelivered.fetch_add(1, std::memory_order_relaxed);
    flow_->arrived(delivery->sequence, delivery->bytes, delivery->time_ns);
    return delivery;
}

void Lane::push(std::shared_ptr<Delivery> delivery) {
    bool ready = false;
    {
        const std::lock_guard lock(mutex_);
        Delivery* added = delivery.get();
        if (last_ == nullptr) {
            first_ = std::move(delivery);
        } else {
            last_->next = std::move(delivery);
        }
        last_ = added;
        ready = !closed_ && !paused_ && !std::exchange(scheduled_, true);
    }
    if (ready) shop_->ready(shared_from_this());
}

void Lane::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
}

bool Lane::busy() const {
    const std::lock_guard lock(mutex_);
    return held_ > 0;
}

bool Lane::in_hand() const {
    const std::lock_guard lock(mutex_);
    return held_ > 0 || first_ != nullptr;
}

bool Lane::waiting() const {
    const std::lock_guard lock(mutex_);
    return first_ != nullptr;
}

std::shared_ptr<Delivery> Lane::take_waiting() {
    const std::lock_guard lock(mutex_);
    if (first_ == nullptr) return nullptr;
    std::shared_ptr<Delivery> delivery = std::move(first_);
    first_ = std::move(delivery->next);
    if (first_ == nullptr) last_ = nullptr;
    return delivery;
}

void Lane::pause() {
    {
        const std::lock_guard lock(mutex_);
        paused_ = true;
    }
    while (const auto delivery = take_waiting()) delivery->abandon();
}

void Lane::resume() {
    bool ready = false;
    {
        const std::lock_guard lock(mutex_);
        paused_ = false;
        ready = !closed_ && first_ != nullptr && !std::exchange(scheduled_, true);
    }
    if (ready) shop_->ready(shared_from_this());
}

bool Lane::settle_again(Delivery& delivery) {
    if (!flow_->done(delivery.sequence, delivery.time_ns)) return false;
    shop_->counters->repeated.fetch_add(1, std::memory_order_relaxed);
    static_cast<void>(delivery.ack(std::nullopt));
    return true;
}

void Lane::give_back() {
    while (const auto delivery = take_waiting()) {
        if (settle_again(*delivery)) continue;
        if (delivery->nak({})) {
            shop_->counters->given_back.fetch_add(1, std::memory_order_relaxed);
        } else {
            shop_->counters->left.fetch_add(1, std::memory_order_relaxed);
        }
    }
}

// A message that waits behind a slow handler runs out of its ack_wait as the handled one does.
void Lane::renew(core::Instant now) {
    const Duration after = shop_->config.ack_wait / 3;
    const std::lock_guard lock(mutex_);
    const auto renew_one = [&](Delivery& delivery) {
        if (now - delivery.renewed < after) return;
        delivery.renewed = now;
        static_cast<void>(delivery.in_progress());
    };
    if (running_ && now - running_since_ < shop_->config.handler_timeout) renew_one(*running_);
    for (Delivery* d = first_.get(); d != nullptr; d = d->next.get()) renew_one(*d);
}

core::Instant Lane::oldest(core::Instant otherwise) const {
    const std::lock_guard lock(mutex_);
    core::Instant at = otherwise;
    if (running_) at = std::min(at, running_->arrived);
    if (first_) at = std::min(at, first_->arrived);
    if (!kept_.empty()) at = std::min(at, *kept_.begin());
    return at;
}

bool Lane::running_since(core::Instant before) const {
    const std::lock_guard lock(mutex_);
    return running_ != nullptr && running_since_ <= before;
}

std::shared_ptr<Delivery> Lane::begin_next(const std::shared_ptr<Delivery>& before) {
    // Asked inside the lock, with the clock read after it: what close() saw as not begun does not begin.
    const std::lock_guard lock(mutex_);
    if (before) returned(*before);
    if (closed_ || paused_ || first_ == nullptr || !state_->valid()) {
        scheduled_ = false;
        return nullptr;
    }
    std::shared_ptr<Delivery> delivery = std::move(first_);
    first_ = std::move(delivery->next);
    if (first_ == nullptr) last_ = nullptr;
    delivery->begun = true;
    held_ += 1;
    running_ = delivery;
    running_since_ = runtime::boot_now();
    return delivery;
}

// Its handler has; with the lock held.
void Lane::returned(Delivery& delivery) {
    running_.reset();
    delivery.kept = delivery.begun;
    if (delivery.kept) kept_.insert(delivery.arrived);
}

namespace {

// Somebody must get it instead: without a dead-letter subject it is handled for ever.
bool kills_workers(const ConsumerConfig& config, const Delivery& delivery) {
    return !config.dead_letter_subject.empty() && config.deliveries_unhandled_max > 0 &&
           delivery.delivered > config.deliveries_unhandled_max;
}

}  // namespace

bool Lane::run(std::uint32_t most) {
    std::shared_ptr<Delivery> delivery;
    for (std::uint32_t i = 0; i < most; ++i) {
        delivery = begin_next(delivery);
        if (delivery == nullptr) return false;
        call(delivery);
    }
    const std::lock_guard lock(mutex_);
    if (delivery) returned(*delivery);
    scheduled_ = !closed_ && !paused_ && first_ != nullptr;
    return scheduled_;
}

void Lane::call(const std::shared_ptr<Delivery>& delivery) {
    Counters& counters = *shop_->counters;
    const ConsumerConfig& config = shop_->config;
    if (settle_again(*delivery)) return;
    if (kills_workers(config, *delivery)) {
        failed(delivery, "delivered " + std::to_string(delivery->delivered) + " times and never acknowledged");
        return;
    }
    std::string why;
    bool ok = false;
    try {
        Message message(delivery);
        const Result<void> result = shop_->handler(message);
        ok = result.has_value();
        if (!ok) why = result.error().message();
    } catch (const std::exception& error) {
        why = std::string("the handler threw: ") + error.what();
    } catch (...) {
        why = "the handler threw something that is not a std::exception";
    }
    (ok ? counters.handled : counters.failed).fetch_add(1, std::memory_order_relaxed);
    if (!ok) {
        failed(delivery, why);
    } else if (config.ack != AckMode::manual) {
        const auto acked =
            delivery->ack(config.ack == AckMode::confirmed ? std::optional<Duration>(kConfirmTimeout) : std::nullopt);
        if (!acked && acked.error().code != Errc::invalid_argument) shop_->report(acked.error());
    }
}

void Lane::failed(const std::shared_ptr<Delivery>& delivery, const std::string& why) {
    if (delivery->state.load(std::memory_order_acquire) != Delivery::State::open) return;  // the handler has settled it itself
    const ConsumerConfig& config = shop_->config;
    const std::string what = "partition '" + ownership_.partition().id() + "', message " + std::to_string(delivery->sequence) +
                             ", delivery " + std::to_string(delivery->delivered) + ": " + why;
    const bool often = config.deliveries_max > 0 && delivery->delivered >= config.deliveries_max;
    const bool poison = (often && !config.dead_letter_subject.empty()) || kills_workers(config, *delivery);
    if (poison && exclusive()) {
        shop_->dead_letter(delivery, why);
        return;
    }
    // Told at the first failure, when the count makes it poison, and then ever more rarely.
    const std::uint64_t n = delivery->delivered;
    if (n == 1 || n == config.deliveries_max ||
        (n > std::max<std::uint64_t>(config.deliveries_max, 8) && std::has_single_bit(n))) {
        const bool for_ever = n > 1 && config.dead_letter_subject.empty();
        shop_->report(
            {Errc::callback_failed, what + (for_ever ? "; there is no dead_letter_subject: it is tried for ever" : "")});
    }
    Duration pause = config.retry_first;
    for (std::uint64_t i = 1; i < delivery->delivered && pause < config.retry_max; ++i) pause *= 2;
    if (const auto given = delivery->nak(std::min(pause, config.retry_max)); !given)
        shop_->counters->left.fetch_add(1, std::memory_order_relaxed);
}

void Lane::settled(Delivery& delivery, bool done) {
    bool idle = false;
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(delivery.begun, false)) {
            held_ -= 1;
            if (delivery.kept) kept_.erase(kept_.find(delivery.arrived));
            idle = (closed_ || paused_) && held_ == 0;
        }
    }
    flow_->settled(delivery.sequence, delivery.bytes, done);
    if (idle) shop_->idle(grant_);
}

}  // namespace parti::consume
