// Feed: one durable consumer, kept alive and asked for messages ahead.
//
// Model     idle -> looking -> (creating | updating) -> flowing; any failure backs off with jitter and looks again. Creating
//           never follows from silence: only from the server's word that the durable does not exist. A durable that was there
//           before and is not any more is made again from the ack floor + 1 when the stream is still the same one; else nobody
//           knows how far it was (UnknownFloor). Flowing: requests are open for as much as there is room. The larger a request,
//           the less it costs the server, so it is refilled when what is left lasts for kLead at the rate of late, but not before
//           half of the room has become free.
// Errors    Told through on_trouble with what to do; the feed goes on trying. Settings that contradict ours are never
//           overwritten, except max_ack_pending, ack_wait and max_deliver, which are updated.
// Threads   The io thread, but for take_direct. Handlers may end the feed.
// Lifetime  After end() or close() nothing is delivered. Shared: pending answers hold it weakly.
// Cost      One subscription; a pull request for half of the room or more; a look at the durable every ack_wait / 3 while
//           nothing of what is in flight is settled.
// Source    P-9; PROTOCOL.md, "Consuming".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <parti/consumer.h>

#include "consume/lane.h"
#include "core/io.h"
#include "jetstream/consumer_api.h"
#include "jetstream/link.h"
#include "jetstream/pull.h"

namespace parti::consume {

class Feed : public std::enable_shared_from_this<Feed> {
public:
    struct Handlers {
        std::function<void(jetstream::Message)> on_message;
        std::function<void(Error)> on_trouble;                    // once per trouble
        std::function<void(std::uint64_t pending)> on_pending{};  // messages not yet delivered, by the server's word
        std::function<bool(jetstream::Message&)> take_direct{};   // as jetstream::Pull's; may outlive the feed
        // a filter is somebody else's (10099, 10100); absent: tried again
        std::function<void(const jetstream::ApiError&)> on_refused{};
    };
    Feed(std::shared_ptr<jetstream::Link> link, jetstream::DurableSpec spec, std::string stream_created,
         std::shared_ptr<const Shop> shop, std::shared_ptr<Flow> flow, Handlers handlers);

    // `slot` is let go when the first attempt has ended, one way or the other.
    void start(std::shared_ptr<void> slot = nullptr);
    void refill();
    void stop_asking();  // what was asked for may still come, and comes to on_message
    std::uint32_t outstanding() const { return pull_ ? pull_->outstanding() : 0; }
    void end(std::function<void()> done);  // the pull's end (everything on its way has arrived); done exactly once, later
    // After end(), before a nak and before the release: the durable's state, nothing when there is no answer. Asking makes
    // nats-server drop pulls that nobody listens to any more. One that finds such a pull when it wants to deliver again (2.9.10)
    // loses its place by one: what is acknowledged then comes a second time.
    void look_once(std::function<void(std::optional<jetstream::DurableState>)> done);
    // After end(): the next message, if there is one at once; else a null one, or, when the connection is lost meanwhile, no
    // call.
    void take_one(std::function<void(jetstream::Message)> done);
    void close();                   // at once
    void reconnected();             // what was asked for is forgotten by the server
    void check(core::Instant now);  // from the consumer's timer: back-off over, silence

    bool flowing() const { return phase_ == Phase::flowing; }
    bool hungry() const {
        return phase_ == Phase::idle || (phase_ == Phase::flowing && wants_ && pull_ && pull_->outstanding() == 0);
    }
    const std::string& trouble() const { return trouble_; }
    const std::shared_ptr<Flow>& flow() const { return flow_; }
    const jetstream::DurableSpec& spec() const { return spec_; }

private:
    enum class Phase : std::uint8_t { idle, looking, creating, updating, flowing, over };
    using Step = void (Feed::*)(std::string_view answer, const std::optional<jetstream::ApiError>& error);

    void ask(const std::string& subject, const std::string& body, Step next);
    void look();
    void on_looked(std::string_view answer, const std::optional<jetstream::ApiError>& error);
    void look_at_stream();
    void on_stream(std::string_view answer, const std::optional<jetstream::ApiError>& error);
    void create(std::optional<std::uint64_t> start);
    void on_created(std::string_view answer, const std::optional<jetstream::ApiError>& error);
    void on_updated(std::string_view answer, const std::optional<jetstream::ApiError>& error);
    void flow_from(const jetstream::DurableState& state);
    std::optional<Error> contradiction(const jetstream::DurableState& state) const;
    void on_status(jetstream::PullStatus status, const std::string& text);
    void open_pull();
    bool stalls(core::Instant now);
    Duration stall_pause() const;
    std::uint32_t worth_asking_for(std::uint32_t cap);
    void back_off(const Error& why);
    void fail_with(const jetstream::ApiError& error, std::string_view subject);

    std::shared_ptr<jetstream::Link> link_;
    jetstream::DurableSpec spec_;
    std::string stream_created_;
    const std::shared_ptr<const Shop> shop_;
    const std::shared_ptr<Flow> flow_;
    Handlers handlers_;
    std::shared_ptr<jetstream::Pull> pull_;
    std::shared_ptr<void> slot_;

    Phase phase_ = Phase::idle;
    std::uint64_t generation_ = 0;  // of requests
    bool was_there_ = false;        // seen once: from then on the floor is known
    std::int64_t created_ns_ = 0;   // of the durable that was seen last
    bool asking_ = true;
    bool wants_ = false;  // a refill that could not be sent
    bool silent_once_ = false;
    std::uint32_t worth_ = 0;       // messages; a smaller request waits while another one is open
    std::uint64_t settled_at_ = 0;  // of the flow, at asked_at_
    core::Instant asked_at_;
    core::Instant last_look_{};    // of check(), at the durable
    std::uint64_t stalls_at_ = 0;  // of the flow's settled_count()
    core::Instant stalls_since_{};
    bool unlimited_next_ = false;  // the next message is larger than what was asked for
    std::optional<core::Instant> again_;
    Duration pause_;
    std::string trouble_;
};

}  // namespace parti::consume
