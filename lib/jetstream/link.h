// Link: requests and deliveries over one nats.c connection.
//
// Role      The lowest part of the client: publishes, a table of pending answers with deadlines, sinks for consumers' deliveries.
//           Knows neither buckets nor watches.
// Model     All answers come to one wildcard inbox "_INBOX.<nuid>.*": a request's token, in base 62, is the rest of its inbox. A
//           sink has a subscription of its own, because nats-server takes a consumer for active only while somebody subscribes to
//           exactly its delivery subject (a wildcard does not count: nothing is delivered, seen with 2.9.10). When a sink closes,
//           that interest ends too, so that the server removes a forgotten consumer by itself.
//           A sink may have a tap, which takes a delivery where nats.c brings it; what it does not take goes to the io thread, in
//           order. A subscription that ended stays allocated until an answer comes to a request that was sent later: before its
//           version 3.6 nats.c's reader locks the subscription of a message without holding it, and aborts when it is destroyed
//           in between (nats.c issue 637; seen with Debian 12's 3.4.1). Once a later message was read, the reader has nothing to
//           do with it any more.
// Errors    Handlers are called exactly once and never from inside request(): link_down, not_ready (no responders), timeout,
//           permission, invalid_argument (payload too large), stopping.
// Threads   The io thread, except nats.c's delivery thread inside Handover and taps.
// Cost      Per pending request one table entry; one Asio timer for all deadlines. Per sink one subscription, which is no thread
//           when the connection uses the shared delivery pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/rng.h"
#include "jetstream/client.h"
#include "jetstream/handover.h"
#include "jetstream/outlet.h"

struct __natsSubscription;
struct __natsStatistics;

namespace parti::jetstream {

using Clock = std::chrono::steady_clock;
using Token = std::uint64_t;

// Payload and headers of a message, as views into it.
std::string_view payload(const Message& message);
std::string_view reply_subject(const Message& message);
std::string_view subject(const Message& message);
std::string_view header(const Message& message, const char* name);  // empty: absent

// The server has nobody who listens on the request's subject.
bool is_no_responders(const Error& error);

class Link : public std::enable_shared_from_this<Link> {
public:
    using AnswerHandler = std::function<void(Result<Message>)>;
    struct Request {
        std::string subject;
        std::string_view body;
        std::optional<std::uint64_t> expected;  // Nats-Expected-Last-Subject-Sequence
        Duration timeout{};
        bool outlives_stop = false;  // not failed by fail_pending()
        std::vector<std::pair<std::string, std::string>> headers{};
    };

    static Result<std::shared_ptr<Link>> open(boost::asio::io_context& io, __natsConnection* connection, ClientOptions options,
                                              std::function<bool(std::string_view)> lose_answer);
    Link(boost::asio::io_context& io, __natsConnection* connection, ClientOptions options,
         std::function<bool(std::string_view)> lose_answer);
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    void request(const Request& request, AnswerHandler handler);
    // Fire and forget; an empty message, as flow control wants it.
    void publish_empty(std::string_view to);
    // Fire and forget, with a reply subject. Errors: link_down, invalid_argument.
    Result<void> publish(const std::string& to, const std::string& reply, std::string_view body);
    // For other threads.
    const std::shared_ptr<Outlet>& outlet() const { return outlet_; }

    // `tap` is asked on nats.c's delivery thread, one delivery of the subscription after the other, and may still be after
    // close_sink(). True: it has taken the message.
    using Tap = std::function<bool(Message&)>;
    Result<Token> open_sink(std::function<void(Message)> sink, Tap tap = nullptr);
    void close_sink(Token token);
    // The subscription ends by itself, here and on the server, after so many deliveries since it began. False: it could not be
    // told.
    bool end_sink_after(Token token, std::uint64_t deliveries);
    std::string sink_subject(Token token) const;
    std::string consumer_name(Token token) const;  // unique in the world

    bool connected() const;
    std::uint64_t reconnects() const;
    std::size_t payload_bytes_max() const;  // of the server, the last that it said
    std::string connected_url() const;

    // Every pending request answers `stopping`; later ones too, unless they outlive the stop.
    void fail_pending();
    // Ends the subscriptions; nothing is delivered afterwards.
    void close();

    void log(LogLevel level, const std::string& line) const;
    boost::asio::io_context& io() { return io_; }
    base::Rng& rng() { return rng_; }
    const ClientOptions& options() const { return options_; }
    ClientStats stats() const;
    void count_watch_message() { ++stats_.watch_messages; }
    void count_recreation() { ++stats_.watch_recreations; }

private:
    struct Pending {
        Clock::time_point deadline;
        AnswerHandler handler;
        std::string subject;
        bool outlives_stop = false;
    };

    struct SubscriptionEnder {
        void operator()(__natsSubscription* subscription) const;
    };
    using Subscription = std::unique_ptr<__natsSubscription, SubscriptionEnder>;
    struct Sink {
        Subscription subscription;
        std::shared_ptr<std::function<void(Message)>> handler;
    };

    Result<void> open_inbox();
    void end(Subscription subscription);
    Result<Subscription> subscribe(const std::string& subject, Token source, Tap tap = nullptr);
    Result<void> send(const Request& request, const std::string& reply);
    void fail_later(AnswerHandler handler, Error error);
    void dispatch(Handover::Item item);
    std::string inbox(Token token) const;
    void answer(Token token, Message message);
    void arm(Clock::time_point deadline);
    void on_timer();
    std::optional<Error> permission_error(const std::string& request_subject) const;

    boost::asio::io_context& io_;
    __natsConnection* connection_;
    std::shared_ptr<Outlet> outlet_;
    Subscription inbox_;
    __natsStatistics* statistics_ = nullptr;
    ClientOptions options_;
    std::function<bool(std::string_view)> lose_answer_;
    std::shared_ptr<Handover> handover_;
    std::string prefix_;  // of inboxes
    Token next_token_ = 1;
    std::unordered_map<Token, Pending> pending_;
    std::set<std::pair<Clock::time_point, Token>> deadlines_;
    std::unordered_map<Token, Sink> sinks_;
    std::deque<std::pair<Token, Subscription>> ended_;  // with the first token whose answer frees them; ascending
    boost::asio::steady_timer timer_;
    std::optional<Clock::time_point> armed_for_;
    ClientStats stats_;
    base::Rng rng_;
    bool stopping_ = false;
    bool closed_ = false;
    mutable std::size_t payload_bytes_max_ = 1U << 20U;  // the default of servers
};

}  // namespace parti::jetstream
