// Pull: one durable pull consumer's deliveries, asked for ahead, on a shared connection.
//
// Role      Sends pull requests, counts what they still may bring, tells messages from statuses. Knows no partition and
//           acknowledges nothing.
// Model     One subscription, so that its end is something the server sees: nats-server drops a waiting pull request when nobody
//           subscribes to its reply any more, and there is no other way to take one back. end() therefore ends the subscription
//           after a number of deliveries that both sides count (AutoUnsubscribe): as many as may still come, the rest filled up
//           with empty messages to itself. So everything that was on its way arrives, nothing comes afterwards, and the server
//           forgets the pull (seen with 2.9.10). Requests are open until their messages came, a status ended them, or their
//           expiry (plus a grace) has passed. nats-server 2.9.10 drops a request that has expired without a word when it finds it
//           while it has a message to deliver, and that message waits for the next request: so fading() asks for one before the
//           last one expires (seen as waits of a second, 2026-11-28).
// Units     Bytes as the server counts them (subject, reply, headers and payload). bytes_max 0: no limit.
//           Messages may go straight on, on nats.c's thread (take_direct), which saves two changes of thread a message; statuses,
//           and all messages that it does not take, come on the io thread, in order. The count of what went straight on is
//           collected when somebody asks.
// Errors    Statuses become on_status; what to do about them is the caller's.
// Threads   The io thread. Handlers may call end() and close(); take_direct may not, and takes no lock under which this class is
//           called.
// Cost      One subscription and no thread; about 1 kB.
// Source    ADR-13 (pull requests), ADR-37; PROTOCOL.md, "Consuming".
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "jetstream/link.h"

namespace parti::jetstream {

enum class PullStatus : std::uint8_t {
    ended,            // a request is over without all its messages (404, 408, 409 and its batch): ask again
    too_large,        // the next message is larger than bytes_max: ask again without a limit
    max_ack_pending,  // too many messages wait for their acknowledgement; the request is over
    consumer_gone,    // deleted
    no_responders,    // nobody serves this consumer: it is gone, or JetStream is not there (yet)
    leadership_changed,
    refused,  // the server does not understand the request
};

class Pull : public std::enable_shared_from_this<Pull> {
public:
    struct Handlers {
        std::function<void(Message)> on_message;
        std::function<void(PullStatus, const std::string& text)> on_status;
        // On nats.c's thread; never once take_indirect(), end() or close() has returned. True: it has taken the message.
        std::function<bool(Message&)> take_direct{};
    };
    struct Timing {
        Duration expires{};    // of a request; the server ends it then with a status
        Duration heartbeat{};  // idle heartbeat, at most half of expires; 0: none
    };

    Pull(std::shared_ptr<Link> link, std::string stream, std::string durable, Timing timing, Handlers handlers);
    ~Pull();
    Result<void> open();
    Result<void> request(std::uint32_t batch, std::size_t bytes_max);
    // Ends the subscription once everything that was on its way (at most `most` messages) has arrived; `done` is called exactly
    // once, never from inside end().
    void end(std::uint32_t most, std::function<void()> done);
    void take_indirect();  // from here on messages come to on_message
    void reconnected();    // what an end waits for was lost with the connection
    void close();          // at once; what is on its way is dropped by the client
    // Messages that requests may still bring.
    std::uint32_t outstanding();
    bool collect();  // what went straight on is counted; true: something did, since the last time
    // The last request will expire soon: ask again, even if much is outstanding. To be asked at least every fifth of `expires`.
    bool fading(Clock::time_point now);
    // For the caller's timer. True: requests are open, but neither message nor heartbeat came for three heartbeats, or nothing at
    // all for longer than a request lives: what was asked for is forgotten here, ask again.
    bool silent(Clock::time_point now);

private:
    // Between the two threads; the subscription holds it until its last delivery.
    struct Inlet {
        std::mutex mutex;
        std::function<bool(Message&)> take;
        std::uint32_t taken = 0;
        bool offer(Message& message);
    };
    void on_delivery(Message message);
    void on_status_message(const Message& message);
    void request_over(std::uint64_t left);
    void forget_expired(Clock::time_point now);
    Duration grace() const;
    void finish();

    std::shared_ptr<Link> link_;
    const std::string next_;  // $JS.API.CONSUMER.MSG.NEXT.<stream>.<durable>
    const Timing timing_;
    Handlers handlers_;
    const std::shared_ptr<Inlet> inlet_ = std::make_shared<Inlet>();
    Token token_ = 0;
    std::string inbox_;
    std::uint64_t reconnects_ = 0;  // of the link when it was opened
    std::uint32_t outstanding_ = 0;
    struct Request {
        std::uint32_t batch = 0;
        Clock::time_point expires_at;
    };
    std::deque<Request> requests_;  // open, the oldest first
    std::uint64_t received_ = 0;    // deliveries of the subscription, statuses included
    std::uint64_t ends_at_ = 0;     // 0: not ending
    Clock::time_point heard_;
    std::function<void()> done_;
};

}  // namespace parti::jetstream
