// ConsumerImpl, from a partition's loss to its release: the pull's end, what is in flight, and that the server has taken our acks
// in.
#include <algorithm>

#include "consume/consumer_impl.h"

namespace parti::consume {
namespace {

constexpr Duration kQuietMax = std::chrono::milliseconds(50);
constexpr std::uint32_t kLooksMax = 8;  // a round trip each
constexpr Duration kTakeMax = std::chrono::milliseconds(500);
// a durable whose server was killed may stay behind for longer; a drain must end
constexpr Duration kSettleMax = std::chrono::seconds(1);

}  // namespace

std::shared_ptr<void> ConsumerImpl::both(std::shared_ptr<void> a, std::shared_ptr<void> b) {
    if (!a) return b;
    return std::make_shared<std::pair<std::shared_ptr<void>, std::shared_ptr<void>>>(std::move(a), std::move(b));
}

void ConsumerImpl::lost(std::span<const std::uint64_t> grants, std::function<void()> done) {
    const std::shared_ptr<void> barrier(nullptr, [done = std::move(done)](void*) { done(); });
    for (const std::uint64_t grant : grants) {
        const auto at = units_.find(grant);
        if (at == units_.end()) continue;
        at->second.done = both(at->second.done, barrier);
        drain(grant, at->second);
    }
    if (worker_feed_) worker_feed_->advance();
}

void ConsumerImpl::drain(std::uint64_t grant, Unit& unit) {
    if (std::exchange(unit.draining, true)) return;
    if (!unit.lane) {
        units_.erase(grant);
        return;
    }
    if (worker_feed_) {
        unit.lane->close();
        by_subject_.erase(unit.subject);
        return;
    }
    unit.feed->stop_asking();
    unit.end_by = worker_->context->now() + kQuietMax;
    {
        const std::lock_guard gate(unit.lane->gate());
        unit.lane->close();
        end_when_quiet(grant, unit);
    }
    if (!unit.ending) arm();
}

// A message that nats-server has sent to a subscription that ends meanwhile is nobody's until its ack_wait is over. So the pull
// is ended when nothing can be on its way: the one message that may be out is in hand, what was asked for has come, or the stream
// has no more.
void ConsumerImpl::end_when_quiet(std::uint64_t grant, Unit& unit) {
    if (unit.ending) return;
    const bool here = config_.max_ack_pending == 1 ? unit.lane->in_hand() : unit.feed->outstanding() == 0;
    if (unit.feed->flowing() && !here && unit.lane->pending() > 0 && worker_->context->now() < unit.end_by) return;
    unit.ending = true;
    unit.feed->end([weak = weak_from_this(), grant] {
        if (const auto self = weak.lock()) self->pull_ended(grant);
    });
}

void ConsumerImpl::pull_ended(std::uint64_t grant) {
    const auto at = units_.find(grant);
    if (at == units_.end()) return;
    at->second.pull_over = true;
    look_again(grant, at->second);
}

// At the durable: drops the pulls that nobody listens to any more, and tells whether the acks are in.
void ConsumerImpl::look_again(std::uint64_t grant, Unit& unit) {
    unit.looks += 1;
    unit.looking = true;
    const bool quiet = !unit.lane->busy();  // no ack is sent after this
    unit.feed->look_once([weak = weak_from_this(), grant, quiet](const std::optional<jetstream::DurableState>& state) {
        if (const auto self = weak.lock()) self->looked(grant, quiet, state);
    });
}

void ConsumerImpl::looked(std::uint64_t grant, bool quiet, const std::optional<jetstream::DurableState>& state) {
    const auto at = units_.find(grant);
    if (at == units_.end()) return;
    Unit& unit = at->second;
    unit.looking = false;
    const auto now = worker_->context->now();
    if (!unit.settle_by) unit.settle_by = now + kSettleMax;
    const std::uint64_t settled_to = unit.lane->flow().settled_to();
    const bool behind = state && state->delivered < settled_to;
    const bool more = state && unit.looks < kLooksMax && now < *unit.settle_by && unit.lane->exclusive();
    unit.settled = quiet && (!more || (!behind && state->ack_floor >= settled_to));
    if (!quiet || !more || !behind || unit.lane->waiting()) return try_finish(grant);
    // nats-server 2.9.10 has lost its place: it would send the next owner what we have acknowledged. So it is taken, and
    // acknowledged, here.
    unit.looking = true;
    unit.take_by = worker_->context->now() + kTakeMax;
    unit.feed->take_one([weak = weak_from_this(), grant](jetstream::Message message) {
        if (const auto self = weak.lock()) self->took(grant, std::move(message));
    });
}

void ConsumerImpl::took(std::uint64_t grant, jetstream::Message message) {
    const auto at = units_.find(grant);
    if (at == units_.end() || !at->second.take_by) return;
    at->second.take_by.reset();
    at->second.looking = false;
    if (message) deliver(grant, std::move(message));
    else at->second.feed->close();  // one that comes later would be nobody's
    try_finish(grant);
}

void ConsumerImpl::try_finish(std::uint64_t grant) {
    if (worker_feed_) return worker_feed_->advance();
    const auto at = units_.find(grant);
    if (at == units_.end()) return;
    Unit& unit = at->second;
    if (!unit.draining || !unit.pull_over || unit.looking || unit.lane->busy()) return;
    if (!unit.settled) return look_again(grant, unit);
    unit.lane->give_back();
    // Before the release: what is sent now goes out before the lease record that acknowledges it, on the same connection.
    const auto keep = std::move(unit.done);
    units_.erase(at);
}

ConsumerImpl::Units::iterator ConsumerImpl::drop(Units::iterator at) {
    Unit& unit = at->second;
    if (unit.lane) {
        unit.lane->close();
        unit.lane->set_released();
    }
    if (unit.feed) unit.feed->close();
    if (unit.lane) unit.lane->give_back();  // released: dropped, not sent
    const auto routed = by_subject_.find(unit.subject);
    if (routed != by_subject_.end() && routed->second == at->first) by_subject_.erase(routed);
    return units_.erase(at);
}

void ConsumerImpl::released(std::span<const std::uint64_t> grants) {
    for (const std::uint64_t grant : grants) {
        if (const auto at = units_.find(grant); at != units_.end()) drop(at);
    }
    if (worker_feed_) worker_feed_->advance();
}

void ConsumerImpl::worker_finished() {
    for (auto at = units_.begin(); at != units_.end();) at = drop(at);
}

}  // namespace parti::consume
