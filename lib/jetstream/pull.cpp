#include "jetstream/pull.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include <boost/asio/post.hpp>

#include "jetstream/json.h"

namespace parti::jetstream {
namespace {

constexpr std::uint64_t kSlack = 4;  // heartbeats and statuses that may be on their way besides messages
constexpr Duration kExpiryGraceMin = std::chrono::seconds(1);
constexpr int kHeartbeatsMissedMax = 3;

bool says(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

PullStatus meaning(std::string_view code, std::string_view text) {
    if (code == "503") return PullStatus::no_responders;
    if (code == "400") return PullStatus::refused;
    if (code != "409") return PullStatus::ended;
    if (says(text, "Consumer Deleted")) return PullStatus::consumer_gone;
    if (says(text, "Leadership Change") || says(text, "Server Shutdown")) return PullStatus::leadership_changed;
    if (says(text, "MaxAckPending")) return PullStatus::max_ack_pending;
    if (says(text, "Message Size Exceeds MaxBytes")) return PullStatus::too_large;
    if (says(text, "push based") || says(text, "MaxRequestBatch") || says(text, "MaxRequestExpires") ||
        says(text, "MaxRequestMaxBytes"))
        return PullStatus::refused;
    return PullStatus::ended;  // MaxBytes reached, MaxWaiting exceeded, Batch Completed
}

}  // namespace

Pull::Pull(std::shared_ptr<Link> link, std::string stream, std::string durable, Timing timing, Handlers handlers)
    : link_(std::move(link)), next_("$JS.API.CONSUMER.MSG.NEXT." + stream + "." + durable), timing_(timing),
      handlers_(std::move(handlers)) {}

Pull::~Pull() { close(); }

bool Pull::Inlet::offer(Message& message) {
    if (reply_subject(message).empty()) return false;  // a status
    const std::lock_guard lock(mutex);
    if (!take || !take(message)) return false;
    taken += 1;
    return true;
}

Result<void> Pull::open() {
    Link::Tap tap;
    if (handlers_.take_direct) {
        inlet_->take = std::move(handlers_.take_direct);
        tap = [inlet = inlet_](Message& message) { return inlet->offer(message); };
    }
    auto token = link_->open_sink(
        [weak = weak_from_this()](Message message) {
            if (auto self = weak.lock()) self->on_delivery(std::move(message));
        },
        std::move(tap));
    if (!token) return tl::unexpected<Error>(std::move(token.error()));
    token_ = *token;
    reconnects_ = link_->reconnects();
    inbox_ = link_->sink_subject(token_);
    return {};
}

Result<void> Pull::request(std::uint32_t batch, std::size_t bytes_max) {
    if (token_ == 0 || ends_at_ != 0) return fail(Errc::stopping, next_);
    std::array<char, 160> body;
    int length = std::snprintf(body.data(), body.size(), R"({"batch":%u,"expires":%lld)", batch,
                               static_cast<long long>(timing_.expires.count()));
    const auto room = [&] { return body.size() - static_cast<std::size_t>(length); };
    if (timing_.heartbeat > Duration::zero()) {
        length += std::snprintf(body.data() + length, room(), R"(,"idle_heartbeat":%lld)",
                                static_cast<long long>(timing_.heartbeat.count()));
    }
    if (bytes_max > 0) length += std::snprintf(body.data() + length, room(), R"(,"max_bytes":%zu)", bytes_max);
    length += std::snprintf(body.data() + length, room(), "}");
    collect();
    const auto now = Clock::now();
    if (auto sent = link_->publish(next_, inbox_, {body.data(), static_cast<std::size_t>(length)}); !sent) return sent;
    forget_expired(now);
    if (requests_.empty()) heard_ = now;
    outstanding_ += batch;
    requests_.push_back({batch, now + timing_.expires});
    return {};
}

void Pull::on_delivery(Message message) {
    if (token_ == 0) return;
    collect();
    received_ += 1;
    const bool last = ends_at_ != 0 && received_ >= ends_at_;
    const auto keep = shared_from_this();
    heard_ = Clock::now();
    if (!reply_subject(message).empty()) {
        if (outstanding_ > 0) outstanding_ -= 1;
        if (outstanding_ == 0) requests_.clear();
        handlers_.on_message(std::move(message));
    } else if (ends_at_ == 0) {
        on_status_message(message);
    }
    if (last) finish();
}

bool Pull::collect() {
    std::uint32_t taken = 0;
    {
        const std::lock_guard lock(inlet_->mutex);
        taken = std::exchange(inlet_->taken, 0U);
    }
    if (taken == 0) return false;
    received_ += taken;
    heard_ = Clock::now();
    outstanding_ -= std::min(outstanding_, taken);
    if (outstanding_ == 0) requests_.clear();
    return true;
}

std::uint32_t Pull::outstanding() {
    collect();
    return outstanding_;
}

void Pull::take_indirect() {
    std::function<bool(Message&)> gone;  // what it holds goes without the lock
    const std::lock_guard lock(inlet_->mutex);
    gone.swap(inlet_->take);
}

void Pull::on_status_message(const Message& message) {
    const std::string_view code = header(message, "Status");
    if (code.empty() || code == "100") return;
    const std::string_view text = header(message, "Description");
    const PullStatus status = meaning(code, text);
    if (status == PullStatus::consumer_gone || status == PullStatus::no_responders || status == PullStatus::leadership_changed) {
        outstanding_ = 0;
        requests_.clear();
    } else {
        // Servers from 2.9 on say how many messages the request still lacked; without that only the last open request is certain.
        const auto left = parse_number(header(message, "Nats-Pending-Messages"));
        request_over(left.value_or(requests_.size() <= 1 ? outstanding_ : 0));
    }
    if (handlers_.on_status) handlers_.on_status(status, std::string(code) + " " + std::string(text));
}

void Pull::request_over(std::uint64_t left) {
    if (!requests_.empty()) requests_.pop_front();
    outstanding_ = left >= outstanding_ || requests_.empty() ? 0 : outstanding_ - static_cast<std::uint32_t>(left);
    if (outstanding_ == 0) requests_.clear();
}

Duration Pull::grace() const { return std::max(kExpiryGraceMin, timing_.expires / 2); }

// What the requests that may be open can bring at most.
void Pull::forget_expired(Clock::time_point now) {
    std::uint32_t most = 0;
    while (!requests_.empty() && now >= requests_.front().expires_at + grace()) requests_.pop_front();
    for (const Request& request : requests_) most += request.batch;
    outstanding_ = std::min(outstanding_, most);
}

bool Pull::fading(Clock::time_point now) {
    if (token_ == 0 || ends_at_ != 0) return false;
    collect();
    forget_expired(now);
    return requests_.empty() || requests_.back().expires_at - now < timing_.expires / 4;
}

bool Pull::silent(Clock::time_point now) {
    collect();
    if (requests_.empty() || ends_at_ != 0) return false;
    const bool missed = timing_.heartbeat > Duration::zero() && now - heard_ > kHeartbeatsMissedMax * timing_.heartbeat;
    if (!missed && now - heard_ < timing_.expires + grace()) return false;
    outstanding_ = 0;
    requests_.clear();
    return true;
}

void Pull::end(std::uint32_t most, std::function<void()> done) {
    done_ = std::move(done);
    // From here on every delivery is counted where it comes, on the io thread.
    take_indirect();
    collect();
    const std::uint64_t fill = std::min(outstanding_, most) + kSlack;
    // A server that was reconnected to counts the subscription's deliveries from 0, and would keep it.
    const bool counted = link_->connected() && link_->reconnects() == reconnects_;
    if (token_ != 0 && !requests_.empty() && counted && link_->end_sink_after(token_, received_ + fill)) {
        ends_at_ = received_ + fill;
        for (std::uint64_t i = 0; i < fill; ++i) link_->publish_empty(inbox_);
        return;
    }
    boost::asio::post(link_->io(), [self = shared_from_this()] { self->finish(); });
}

void Pull::reconnected() {
    if (ends_at_ != 0) finish();
}

void Pull::finish() {
    close();
    if (auto done = std::exchange(done_, nullptr)) done();
}

void Pull::close() {
    take_indirect();
    if (token_ != 0) link_->close_sink(std::exchange(token_, 0));
    outstanding_ = 0;
    requests_.clear();
}

}  // namespace parti::jetstream
