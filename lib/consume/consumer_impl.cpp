#include "consume/consumer_impl.h"

#include <algorithm>
#include <future>

#include "jetstream/json.h"
#include "runtime/boot_clock.h"

namespace parti::consume {
namespace {

constexpr Duration kTickMin = std::chrono::milliseconds(20);
constexpr Duration kTickMax = std::chrono::seconds(1);
constexpr Duration kTickHungry = std::chrono::milliseconds(50);
constexpr std::uint32_t kStartingMax = 64;

enum Phase : int { kMade, kStarted, kStopped };

}  // namespace

ConsumerImpl::ConsumerImpl(std::shared_ptr<runtime::WorkerImpl> worker, ConsumerConfig config, Handler handler,
                           SubjectTemplate subject, std::optional<SubjectTemplate> dead_letter)
    : worker_(std::move(worker)), poster_(worker_->context->poster()), subject_(std::move(subject)),
      dead_letter_(std::move(dead_letter)), config_(std::move(config)), handler_(std::move(handler)) {}

ConsumerImpl::~ConsumerImpl() = default;

void ConsumerImpl::post_to(const std::shared_ptr<runtime::Poster>& poster, std::weak_ptr<const ConsumerImpl> weak,
                           std::function<void(ConsumerImpl&)> function) {
    poster->post([weak = std::move(weak), call = std::move(function)] {
        if (const auto self = std::const_pointer_cast<ConsumerImpl>(weak.lock())) call(*self);
    });
}

void ConsumerImpl::post(std::function<void(ConsumerImpl&)> function) const {
    post_to(poster_, weak_from_this(), std::move(function));
}

// ---- the worker's partitions

void ConsumerImpl::gained(std::span<const runtime::HookGrant> grants) {
    if (closed_) return;
    bool any = false;
    for (const runtime::HookGrant& grant : grants) {
        if (units_.count(grant.grant) != 0 || grant.state->over.load(std::memory_order_acquire)) continue;
        add(grant);
        any = true;
    }
    if (!any) return;
    set_limits();
    for (const runtime::HookGrant& grant : grants) {
        const auto at = units_.find(grant.grant);
        if (at != units_.end() && at->second.feed) waiting_.push_back(grant.grant);
    }
    start_waiting();
    if (worker_feed_) worker_feed_->advance();
    arm();
}

// So many durables are looked for, or made, at once: a thousand requests in one go would time out at a busy server, and come
// again.
void ConsumerImpl::start_waiting() {
    while (starting_ < kStartingMax && !waiting_.empty()) {
        const auto at = units_.find(waiting_.front());
        waiting_.pop_front();
        if (at == units_.end() || !at->second.feed || at->second.draining) continue;
        starting_ += 1;
        // Posted: the slot may be let go inside the feed.
        at->second.feed->start(std::shared_ptr<void>(nullptr, [poster = poster_, weak = weak_from_this()](void*) {
            post_to(poster, weak, [](ConsumerImpl& self) {
                self.starting_ -= 1;
                self.start_waiting();
            });
        }));
    }
}

void ConsumerImpl::add(const runtime::HookGrant& grant) {
    Unit& unit = units_[grant.grant];
    unit.state = grant.state;
    auto subject = subject_.render(grant.state->partition);
    if (!subject) {
        unit.trouble = subject.error().message();
        worker_->shell->report(subject.error());
        return;
    }
    unit.subject = std::move(*subject);
    if (worker_feed_) {
        unit.lane = std::make_shared<Lane>(grant.grant, unit.state, worker_flow_, shop_);
        by_subject_[unit.subject] = grant.grant;
        return;
    }
    open_feed(grant.grant, unit);
}

void ConsumerImpl::open_feed(std::uint64_t grant, Unit& unit) {
    auto durable = partition_durable(config_.prefix, unit.state->partition);
    if (!durable) {
        unit.trouble = durable.error().message();
        worker_->shell->report(durable.error());
        return;
    }
    auto flow = std::make_shared<Flow>([poster = poster_, weak = weak_from_this(), grant] {
        post_to(poster, weak, [grant](ConsumerImpl& self) {
            const auto at = self.units_.find(grant);
            if (at != self.units_.end() && at->second.feed) at->second.feed->refill();
        });
    });
    if (config_.max_ack_pending == 1) flow->one_at_a_time();
    unit.lane = std::make_shared<Lane>(grant, unit.state, flow, shop_);
    jetstream::DurableSpec spec;
    spec.stream = config_.stream;
    spec.durable = std::move(*durable);
    spec.filters = {unit.subject};
    spec.max_ack_pending = config_.max_ack_pending;
    spec.ack_wait = config_.ack_wait;
    spec.work_queue = work_queue_;
    Feed::Handlers handlers;
    handlers.on_message = [weak = weak_from_this(), grant](jetstream::Message message) {
        if (const auto self = weak.lock()) self->deliver(grant, std::move(message));
    };
    handlers.on_trouble = [weak = weak_from_this()](Error error) {
        if (const auto self = weak.lock()) self->worker_->shell->report(std::move(error));
    };
    handlers.on_pending = [weak = weak_from_this(), grant](std::uint64_t pending) {
        const auto self = weak.lock();
        if (!self) return;
        if (const auto at = self->units_.find(grant); at != self->units_.end()) at->second.lane->set_pending(pending);
    };
    handlers.take_direct = [lane = unit.lane](jetstream::Message& message) { return lane->take(message); };
    unit.feed = std::make_shared<Feed>(link_, std::move(spec), stream_created_, shop_, std::move(flow), std::move(handlers));
}

// Each partition has its share of what may be fetched ahead.
void ConsumerImpl::set_limits() {
    const std::size_t count = std::max<std::size_t>(units_.size(), 1);
    Flow::Limits limits;
    if (worker_feed_) {
        limits.messages = std::min(config_.messages_max, config_.max_ack_pending);
        limits.bytes = config_.bytes_max;
        return worker_flow_->set_limits(limits);
    }
    const auto share =
        static_cast<std::uint32_t>(std::clamp<std::size_t>(config_.messages_max / count, 1, config_.partition_messages_max));
    limits.messages = std::min(share, config_.max_ack_pending);
    limits.bytes = std::clamp<std::size_t>(config_.bytes_max / count, 4096, config_.partition_bytes_max);
    for (auto& [grant, unit] : units_) {
        if (unit.feed) unit.feed->flow()->set_limits(limits);
    }
}

void ConsumerImpl::deliver(std::uint64_t grant, jetstream::Message message) {
    const auto at = units_.find(grant);
    if (at == units_.end()) return;
    Unit& unit = at->second;
    std::shared_ptr<Delivery> delivery = unit.lane->admit(std::move(message));
    if (!delivery) return;
    worker_pending_ = unit.lane->pending();
    // Not queued: a lane that is closed or has lost its token would leave it, or give it back, and the next owner would handle it
    // again.
    if (!unit.lane->settle_again(*delivery)) unit.lane->push(std::move(delivery));
    if (unit.draining && unit.feed) end_when_quiet(grant, unit);
}

// ---- time

void ConsumerImpl::tick() {
    const core::Instant now = worker_->context->now();
    const std::uint64_t reconnects = link_->reconnects();
    const bool anew = std::exchange(reconnects_, reconnects) != reconnects;
    std::vector<std::shared_ptr<Feed>> feeds;
    std::vector<std::uint64_t> unanswered;
    for (auto& [grant, unit] : units_) {
        if (unit.lane) unit.lane->renew(now);
        if (unit.feed && unit.draining) end_when_quiet(grant, unit);
        if (unit.take_by && now >= *unit.take_by) unanswered.push_back(grant);
        if (unit.feed && (anew || !unit.draining)) feeds.push_back(unit.feed);
    }
    if (worker_feed_) {
        if (anew) worker_feed_->reconnected();
        if (link_->connected()) worker_feed_->check(now);
    }
    for (const auto& feed : feeds) {
        if (anew) feed->reconnected();
        if (link_->connected()) feed->check(now);
    }
    for (const std::uint64_t grant : unanswered) took(grant, nullptr);
    if (runner_->running()) worker_->context->callbacks_waiting(config_.handler_timeout);
    arm();
}

void ConsumerImpl::arm() {
    if (!timer_) return;
    const bool unsettled = worker_feed_ && worker_feed_->unsettled();
    if (units_.empty() && !unsettled) return timer_->set(std::nullopt);
    Duration pause = std::clamp<Duration>(std::min(config_.ack_wait / 6, config_.pull_expires / 5), kTickMin, kTickMax);
    const bool hungry = unsettled || std::any_of(units_.begin(), units_.end(), [](const auto& entry) {
                            return entry.second.feed && entry.second.feed->hungry();
                        });
    if (hungry) pause = std::min(pause, kTickHungry);
    core::Instant at = worker_->context->now() + pause;
    for (const auto& [grant, unit] : units_) {
        if (unit.draining && !unit.ending) at = std::min(at, std::max(unit.end_by, worker_->context->now()));
    }
    timer_->set(at);
}

// ---- views

ConsumerStats ConsumerImpl::stats() {
    ConsumerStats out;
    std::shared_ptr<const Shop> shop;
    worker_->context->run_on_io([&] { shop = shop_; });
    if (!shop) return out;
    const Counters& c = *shop->counters;
    out.pulled = c.pulled.load();
    out.handled = c.handled.load();
    out.failed = c.failed.load();
    out.acked = c.acked.load();
    out.redelivered = c.redelivered.load();
    out.repeated = c.repeated.load();
    out.given_back = c.given_back.load();
    out.left = c.left.load();
    out.dead_lettered = c.dead_lettered.load();
    out.recreations = c.recreations.load();
    out.pulls_lost = c.pulls_lost.load();
    out.acks_lost = c.acks_lost.load();
    worker_->context->run_on_io([&] {
        const core::Instant now = runtime::boot_now();
        for (const auto& [grant, unit] : units_) {
            out.partitions += 1;
            if (worker_feed_ ? worker_feed_->flowing() : unit.feed && unit.feed->flowing()) out.consuming += 1;
            if (!unit.lane) continue;
            out.lag += unit.lane->pending();
            if (!worker_feed_) out.in_flight += unit.lane->flow().load().messages;
            out.oldest_in_flight = std::max<Duration>(out.oldest_in_flight, now - unit.lane->oldest(now));
        }
        if (!worker_feed_) return;
        out.in_flight = worker_flow_->load().messages;
        out.lag = worker_pending_;
    });
    return out;
}

std::vector<std::pair<std::string, std::string>> ConsumerImpl::troubles() {
    std::vector<std::pair<std::string, std::string>> out;
    worker_->context->run_on_io([&] {
        for (const auto& [grant, unit] : units_) {
            const std::string why = worker_feed_ ? worker_feed_->trouble() : unit.feed ? unit.feed->trouble() : unit.trouble;
            if (!why.empty()) out.emplace_back(unit.state->partition.id(), why);
        }
    });
    return out;
}

// ---- the end

Result<void> ConsumerImpl::stop() {
    if (worker_->context->on_own_thread())
        return fail(Errc::stopping, "Consumer::stop() was called inside a callback or a handler, where it would wait for itself");
    if (phase_.exchange(kStopped) != kStarted) return {};
    auto drained = std::make_shared<std::promise<void>>();
    auto done = drained->get_future();
    worker_->context->run_on_io([&] {
        closed_ = true;  // gains are ignored; losses are still drained for the worker
        const std::shared_ptr<void> barrier(nullptr, [drained](void*) { drained->set_value(); });
        std::vector<std::uint64_t> grants;
        for (auto& [grant, unit] : units_) {
            grants.push_back(grant);
            unit.done = both(unit.done, barrier);
        }
        for (const std::uint64_t grant : grants) {
            if (const auto at = units_.find(grant); at != units_.end()) drain(grant, at->second);
        }
        if (worker_feed_) worker_feed_->advance();
    });
    const auto limit = worker_->shell->config().timing.drain_timeout;
    const bool in_time = done.wait_for(limit) == std::future_status::ready;
    worker_->context->run_on_io([&] { close_on_io(); });
    if (in_time) return {};
    return fail(Errc::timeout, "a handler has not returned within drain_timeout; its message may come again");
}

void ConsumerImpl::close_on_io() {
    closed_ = true;
    worker_->shell->remove_hook(this);
    worker_finished();
    if (worker_feed_) worker_feed_->close();
    timer_.reset();
    reader_.reset();
    if (runner_) runner_->stop();
}

void ConsumerImpl::shutdown() {
    if (!worker_->context->on_own_thread()) {
        static_cast<void>(stop());
        worker_->context->run_on_io([&] { close_on_io(); });
        return;
    }
    // Nobody may wait here: what is running is left to itself.
    phase_.store(kStopped);
    poster_->post([self = shared_from_this()] { self->close_on_io(); });
}

}  // namespace parti::consume
