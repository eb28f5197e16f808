#include "jetstream/watch.h"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

namespace parti::jetstream {
namespace {

constexpr Duration kPauseMin = std::chrono::milliseconds(50);
constexpr Duration kPauseMax = std::chrono::seconds(2);
constexpr Duration kRequestTimeout = std::chrono::seconds(2);
constexpr unsigned kMissedMax = 3;
// The server removes the consumer of a vanished client after so long.
constexpr Duration kInactiveThreshold = std::chrono::seconds(5);

}  // namespace

WatchState::WatchState(std::shared_ptr<Link> link, std::shared_ptr<Reaper> reaper, SubjectsSpec spec, WatchHandlers handlers)
    : link_(std::move(link)), reaper_(std::move(reaper)), spec_(std::move(spec)), handlers_(std::move(handlers)),
      timer_(link_->io()), highest_(handlers_.known_revision), identity_(handlers_.known_identity), pause_(kPauseMin) {}

void WatchState::start() { arm(Duration::zero()); }

void WatchState::close() {
    if (phase_ == Phase::closed) return;
    abandon();
    phase_ = Phase::closed;
    timer_.cancel();
}

// Ends this attempt: its consumer goes, its deliveries are no longer ours.
void WatchState::abandon() {
    link_->close_sink(std::exchange(token_, 0));
    if (std::exchange(created_, false)) reaper_->retire(spec_.stream, consumer_);
    early_.clear();
    phase_ = Phase::waiting;
    ++generation_;
}

void WatchState::arm(Duration after) {
    timer_.expires_after(after);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        auto self = weak.lock();
        if (!error && self) self->on_timer();
    });
}

// While waiting: the next attempt. While active: one look per heartbeat interval; counting intervals, not time, so that a pause
// of this process counts once.
void WatchState::on_timer() {
    if (phase_ == Phase::closed) return;
    if (phase_ == Phase::waiting) {
        if (link_->connected()) return attempt();
        // Asking costs nothing: be there soon after the link is back.
        pause_ = kPauseMin;
        return arm(Duration(link_->rng().between(kPauseMin.count(), 2 * kPauseMin.count())));
    }
    if (!link_->connected()) return lost("disconnected");
    if (link_->reconnects() != reconnects_) return lost("reconnected");
    if (phase_ == Phase::reading || phase_ == Phase::live) {
        missed_ = std::exchange(heard_, false) ? 0 : missed_ + 1;
        if (missed_ >= kMissedMax) return lost(std::to_string(missed_) + " heartbeats missed");
    }
    arm(link_->options().watch_heartbeat);
}

void WatchState::attempt() {
    ++generation_;
    reconnects_ = link_->reconnects();
    missed_ = 0;
    heard_ = false;
    delivered_ = 0;
    phase_ = Phase::looking;
    arm(link_->options().watch_heartbeat);
    look(&WatchState::on_looked);
}

void WatchState::look(void (WatchState::*next)(const StreamState&)) {
    link_->request({"$JS.API.STREAM.INFO." + spec_.stream, {}, {}, kRequestTimeout, false},
                   [weak = weak_from_this(), generation = generation_, next](Result<Message> answer) {
                       auto self = weak.lock();
                       if (!self || self->generation_ != generation || !self->active()) return;
                       if (!answer) return self->back_off(answer.error());
                       const auto error = api_error(payload(*answer));
                       if (error && error->code == kApiStreamNotFound && self->handlers_.on_missing) {
                           self->handlers_.on_missing();
                           if (self->generation_ != generation || !self->active()) return;
                       }
                       const auto state = parse_stream_info(payload(*answer));
                       if (!state) return self->back_off(state.error());
                       ((*self).*next)(*state);
                   });
}

void WatchState::on_looked(const StreamState& state) {
    looked_identity_ = state.created;
    create();
}

void WatchState::create() {
    phase_ = Phase::creating;
    auto sink = link_->open_sink([weak = weak_from_this(), generation = generation_](Message message) {
        auto self = weak.lock();
        if (self && self->generation_ == generation && self->active()) self->on_message(std::move(message));
    });
    if (!sink) return back_off(sink.error());
    token_ = *sink;
    consumer_ = link_->consumer_name(token_);
    created_ = true;
    const std::string body = consumer_create_json({spec_.stream, consumer_, link_->sink_subject(token_), spec_.filter,
                                                   link_->options().watch_heartbeat, kInactiveThreshold, spec_.headers_only});
    const std::string subject = "$JS.API.CONSUMER.CREATE." + spec_.stream + "." + consumer_ + "." + spec_.filter;
    link_->request({subject, body, {}, kRequestTimeout, false},
                   [weak = weak_from_this(), generation = generation_](Result<Message> answer) {
                       auto self = weak.lock();
                       if (self && self->generation_ == generation && self->active()) self->on_created(std::move(answer));
                   });
}

void WatchState::on_created(Result<Message> answer) {
    if (!answer) return back_off(answer.error());
    const auto consumer = parse_consumer_created(payload(*answer));
    if (!consumer) return back_off(consumer.error());
    initial_ = consumer->initial;
    phase_ = Phase::confirming;
    look(&WatchState::on_confirmed);
}

bool WatchState::history_differs(const StreamState& state, std::string& why) const {
    if (identity_.empty()) return false;
    if (state.created != identity_) {
        why = spec_.stream + " was created at " + state.created + ", the one known before at " + identity_;
        return true;
    }
    if (state.last_sequence < highest_) {
        why = spec_.stream + " ends at sequence " + std::to_string(state.last_sequence) + ", revision " +
              std::to_string(highest_) + " was seen before";
        return true;
    }
    return false;
}

// The keys stay, so that those missing from the re-read are told; what was delivered before counts no more.
void WatchState::history_lost(const std::string& why) {
    for (auto& entry : keys_) entry.second.revision = 0;
    highest_ = 0;
    link_->log(LogLevel::warning, "watch of " + spec_.filter + ": history lost: " + why);
    if (handlers_.on_history_lost) handlers_.on_history_lost(why);
}

void WatchState::on_confirmed(const StreamState& state) {
    if (state.created != looked_identity_) return back_off({Errc::not_ready, "the stream was created anew meanwhile"});
    const std::uint64_t generation = generation_;
    std::string why;
    const bool differs = history_differs(state, why);
    identity_ = state.created;
    if (differs) history_lost(why);
    if (generation_ != generation || !active()) return;
    if (handlers_.on_stream) handlers_.on_stream(identity_);
    if (generation_ != generation || !active()) return;
    initial_last_sequence_ = state.last_sequence;
    phase_ = Phase::reading;
    heard_ = true;
    std::vector<Message> early = std::exchange(early_, {});
    for (Message& message : early) {
        on_message(std::move(message));
        if (generation_ != generation || !active()) return;
    }
    if (phase_ == Phase::reading && initial_ == 0) initial_complete();
}

void WatchState::on_message(Message message) {
    if (phase_ == Phase::creating || phase_ == Phase::confirming) {
        early_.push_back(std::move(message));
        return;
    }
    heard_ = true;
    const auto delivery = parse_delivery(reply_subject(message));
    if (!delivery) return on_status(message);
    link_->count_watch_message();
    if (delivery->consumer_sequence != delivered_ + 1) {
        return lost("a gap: message " + std::to_string(delivery->consumer_sequence) + " of the consumer after " +
                    std::to_string(delivered_));
    }
    delivered_ = delivery->consumer_sequence;
    on_entry(message, *delivery);
}

// Idle heartbeats and flow control.
void WatchState::on_status(const Message& message) {
    const std::string_view status = header(message, "Status");
    if (status != "100") {
        if (!status.empty()) lost("status " + std::string(status) + " " + std::string(header(message, "Description")));
        return;
    }
    const std::string_view stalled = header(message, "Nats-Consumer-Stalled");
    if (!stalled.empty()) link_->publish_empty(stalled);
    const std::string_view reply = reply_subject(message);
    if (!reply.empty()) return link_->publish_empty(reply);
    const auto last = parse_number(header(message, "Nats-Last-Consumer"));
    if (!last) return;
    if (*last != delivered_)
        return lost("a gap: the consumer delivered " + std::to_string(*last) + " messages, " + std::to_string(delivered_) +
                    " came");
    // It is idle: nothing is pending.
    if (phase_ == Phase::reading && stalled.empty()) initial_complete();
}

void WatchState::on_entry(const Message& message, const Delivery& delivery) {
    const std::string_view to = subject(message);
    if (to.size() <= spec_.prefix.size() || to.substr(0, spec_.prefix.size()) != spec_.prefix) return;
    RawEntry entry;
    entry.key = std::string(to.substr(spec_.prefix.size()));
    entry.revision = delivery.stream_sequence;
    Seen& seen = keys_[entry.key];
    const bool rewritten = entry.revision == seen.revision && delivery.time != seen.time;
    if (entry.revision < seen.revision || rewritten) {
        const std::string why =
            entry.key + " is at revision " + std::to_string(entry.revision) + ", " +
            (rewritten ? "another message than the one seen before" : std::to_string(seen.revision) + " was seen before");
        const std::uint64_t generation = generation_;
        history_lost(why);
        if (generation_ == generation && active()) lost(why);  // values that were filtered out must come again
        return;
    }
    const bool is_new = entry.revision > seen.revision;
    seen = {entry.revision, delivery.time, generation_};
    highest_ = std::max(highest_, entry.revision);
    const std::uint64_t generation = generation_;
    if (is_new && handlers_.on_entry) {
        if (!header(message, "KV-Operation").empty() || !header(message, "Nats-Marker-Reason").empty()) {
            entry.kind = EntryKind::marker;
        } else {
            entry.kind = EntryKind::value;
            entry.bytes = std::string(payload(message));
        }
        handlers_.on_entry(std::move(entry));
        if (generation_ != generation || !active()) return;
    }
    // Deliveries come in stream order, and `initial_` counts one that was overwritten meanwhile too: whatever says first that it
    // is all.
    const bool all = delivery.pending == 0 || delivered_ >= initial_ || delivery.stream_sequence >= initial_last_sequence_;
    if (phase_ == Phase::reading && all) initial_complete();
}

void WatchState::initial_complete() {
    const std::uint64_t generation = generation_;
    const auto still_ours = [this, generation] { return generation_ == generation && active(); };
    phase_ = Phase::live;
    pause_ = kPauseMin;
    warned_ = false;
    report_missing();
    if (!still_ours()) return;
    if (!std::exchange(initial_done_, true) && handlers_.on_initial_done) handlers_.on_initial_done();
    if (!still_ours()) return;
    if (std::exchange(lost_, false) && handlers_.on_recovered) handlers_.on_recovered();
}

void WatchState::report_missing() {
    std::vector<std::string> missing;
    for (const auto& entry : keys_) {
        if (entry.second.generation != generation_) missing.push_back(entry.first);
    }
    std::sort(missing.begin(), missing.end());
    const std::uint64_t generation = generation_;
    for (std::string& key : missing) {
        keys_.erase(key);
        if (!handlers_.on_entry) continue;
        handlers_.on_entry(RawEntry{EntryKind::absent, std::move(key), {}, 0});
        if (generation_ != generation || !active()) return;
    }
}

void WatchState::reread() {
    if (phase_ == Phase::reading || phase_ == Phase::live) return lost("to be read anew");
    if (phase_ == Phase::waiting) arm(Duration::zero());
}

// An attempt that came to nothing.
void WatchState::back_off(const Error& why) {
    if (!std::exchange(warned_, true))
        link_->log(LogLevel::warning, "watch of " + spec_.filter + ": " + why.message() + "; trying again");
    abandon();
    if (spec_.on_attempt_failed) {
        const std::uint64_t generation = generation_;
        spec_.on_attempt_failed(why);
        if (generation_ != generation || phase_ == Phase::closed) return;
    }
    const auto jittered = link_->rng().between(pause_.count() / 2, pause_.count());
    pause_ = std::min(pause_ * 2, kPauseMax);
    arm(Duration(jittered));
}

void WatchState::lost(const std::string& why) {
    const bool was_reading = phase_ == Phase::reading || phase_ == Phase::live;
    if (!was_reading) return back_off({Errc::link_down, why});
    abandon();
    link_->count_recreation();
    arm(Duration(link_->rng().between(0, kPauseMin.count())));
    if (std::exchange(lost_, true)) return;
    link_->log(LogLevel::info, "watch of " + spec_.filter + " lost: " + why);
    if (handlers_.on_lost) handlers_.on_lost(why);
}

}  // namespace parti::jetstream
