#include "jetstream/link.h"

#include <array>
#include <cstring>
#include <limits>

#include <nats/nats.h>
#include <boost/asio/post.hpp>

namespace parti::jetstream {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const char* const kNoResponders = ": no responders";
// nats.c's own list of messages that wait for our callback. When it overflows, nats.c drops and watches see a gap.
constexpr int kPendingMessagesMax = 262'144;
constexpr int kPendingBytesMax = 256 << 20;
constexpr std::size_t kPendingKept = 64;  // buckets; what a burst of requests needed beyond twice as many is given back

std::string to_base62(Token token) {
    std::string text;
    do {
        text.insert(text.begin(), kDigits[token % kDigits.size()]);
        token /= kDigits.size();
    } while (token > 0);
    return text;
}

Token from_base62(std::string_view text) {
    Token token = 0;
    if (text.empty() || text.size() > 11) return 0;
    for (const char c : text) {
        const std::size_t digit = kDigits.find(c);
        if (digit == std::string_view::npos) return 0;
        token = token * kDigits.size() + digit;
    }
    return token;
}

// Of a subscription; ends with its last callback.
struct Closure {
    std::shared_ptr<Handover> handover;
    Token source;
    Link::Tap tap;
};
void on_message(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
    const auto* to = static_cast<Closure*>(closure);
    Message owned(message);
    if (to->tap && to->tap(owned)) return;
    to->handover->push({std::move(owned), to->source});
}
void on_complete(void* closure) { delete static_cast<Closure*>(closure); }

Error nats_error(natsStatus status, const std::string& what) {
    Errc code = Errc::link_down;
    switch (status) {
        case NATS_MAX_PAYLOAD:
        case NATS_INVALID_ARG:
        case NATS_INVALID_SUBJECT: code = Errc::invalid_argument; break;
        case NATS_NO_SERVER_SUPPORT: code = Errc::unsupported_server; break;
        case NATS_NOT_PERMITTED: code = Errc::permission; break;
        default: break;
    }
    return {code, what + ": " + natsStatus_GetText(status)};
}

bool contains_ignoring_case(std::string_view text, std::string_view part) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    for (std::size_t at = 0; at + part.size() <= text.size(); ++at) {
        std::size_t same = 0;
        while (same < part.size() && lower(text[at + same]) == lower(part[same])) ++same;
        if (same == part.size()) return true;
    }
    return false;
}

}  // namespace

bool is_no_responders(const Error& error) {
    const std::string_view ending = kNoResponders;
    return error.code == Errc::not_ready && error.detail.size() >= ending.size() &&
           std::string_view(error.detail).substr(error.detail.size() - ending.size()) == ending;
}

std::string_view payload(const Message& message) {
    const char* data = natsMsg_GetData(message.get());
    return data == nullptr ? std::string_view()
                           : std::string_view(data, static_cast<std::size_t>(natsMsg_GetDataLength(message.get())));
}
std::string_view reply_subject(const Message& message) {
    const char* reply = natsMsg_GetReply(message.get());
    return reply == nullptr ? std::string_view() : std::string_view(reply);
}
std::string_view subject(const Message& message) {
    const char* text = natsMsg_GetSubject(message.get());
    return text == nullptr ? std::string_view() : std::string_view(text);
}
std::string_view header(const Message& message, const char* name) {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message.get(), name, &value) != NATS_OK || value == nullptr) return {};
    return value;
}

Result<std::shared_ptr<Link>> Link::open(boost::asio::io_context& io, natsConnection* connection, ClientOptions options,
                                         std::function<bool(std::string_view)> lose_answer) {
    auto link = std::make_shared<Link>(io, connection, std::move(options), std::move(lose_answer));
    if (auto opened = link->open_inbox(); !opened) return tl::unexpected<Error>(opened.error());
    return link;
}

Link::Link(boost::asio::io_context& io, natsConnection* connection, ClientOptions options,
           std::function<bool(std::string_view)> lose_answer)
    : io_(io), connection_(connection), outlet_(std::make_shared<Outlet>(connection)), options_(std::move(options)),
      lose_answer_(std::move(lose_answer)), timer_(io), rng_(options_.seed) {
    pending_.rehash(kPendingKept);
}

Link::~Link() {
    close();
    natsStatistics_Destroy(statistics_);
}

Result<void> Link::open_inbox() {
    natsInbox* inbox = nullptr;
    natsStatus status = natsStatistics_Create(&statistics_);
    if (status == NATS_OK) status = natsInbox_Create(&inbox);
    if (status != NATS_OK) return tl::unexpected<Error>(nats_error(status, "inbox"));
    prefix_ = std::string(inbox) + ".";
    natsInbox_Destroy(inbox);
    handover_ = std::make_shared<Handover>(io_, options_.handover_messages_max, options_.handover_bytes_max,
                                           [weak = weak_from_this()](Handover::Item item) {
                                               if (auto self = weak.lock()) self->dispatch(std::move(item));
                                           });
    auto subscribed = subscribe(prefix_ + "*", 0);
    if (!subscribed) return tl::unexpected<Error>(std::move(subscribed.error()));
    inbox_ = std::move(*subscribed);
    return {};
}

void Link::SubscriptionEnder::operator()(natsSubscription* subscription) const { natsSubscription_Destroy(subscription); }

Result<Link::Subscription> Link::subscribe(const std::string& subject, Token source, Tap tap) {
    auto closure = std::make_unique<Closure>(Closure{handover_, source, std::move(tap)});
    natsSubscription* raw = nullptr;
    natsStatus status = natsConnection_Subscribe(&raw, connection_, subject.c_str(), on_message, closure.get());
    if (status != NATS_OK) return tl::unexpected<Error>(nats_error(status, "subscription to " + subject));
    Subscription subscription(raw);
    // From here on nats.c calls back, and its completion callback says when it has done so for the last time. Without that
    // callback nobody can tell, so the closure stays for ever.
    Closure* owned_by_nats = closure.release();
    status = natsSubscription_SetOnCompleteCB(raw, on_complete, owned_by_nats);
    if (status == NATS_OK) status = natsSubscription_SetPendingLimits(raw, kPendingMessagesMax, kPendingBytesMax);
    if (status != NATS_OK) return tl::unexpected<Error>(nats_error(status, "subscription to " + subject));
    return subscription;
}

void Link::close() {
    if (std::exchange(closed_, true)) return;
    stopping_ = true;
    timer_.cancel();
    outlet_->close();
    if (handover_) handover_->close();
    end(std::move(inbox_));
    for (auto& entry : sinks_) end(std::move(entry.second.subscription));
    sinks_.clear();
    for (auto& entry : pending_) fail_later(std::move(entry.second.handler), {Errc::stopping, entry.second.subject});
    pending_.clear();
    deadlines_.clear();
}

void Link::fail_pending() {
    stopping_ = true;
    for (auto at = pending_.begin(); at != pending_.end();) {
        if (at->second.outlives_stop) {
            ++at;
            continue;
        }
        fail_later(std::move(at->second.handler), {Errc::stopping, at->second.subject});
        deadlines_.erase({at->second.deadline, at->first});
        at = pending_.erase(at);
    }
}

void Link::fail_later(AnswerHandler handler, Error error) {
    boost::asio::post(io_, [handler = std::move(handler), error = std::move(error)]() mutable {
        handler(tl::unexpected<Error>(std::move(error)));
    });
}

void Link::request(const Request& request, AnswerHandler handler) {
    if (closed_ || (stopping_ && !request.outlives_stop))
        return fail_later(std::move(handler), {Errc::stopping, request.subject});
    const Token token = next_token_++;
    // The deadline counts from before the bytes go to the library, which may block.
    const Clock::time_point deadline = Clock::now() + request.timeout;
    if (auto sent = send(request, inbox(token)); !sent) return fail_later(std::move(handler), std::move(sent.error()));
    ++stats_.requests;
    pending_.emplace(token, Pending{deadline, std::move(handler), request.subject, request.outlives_stop});
    deadlines_.emplace(deadline, token);
    arm(deadline);
}

Result<void> Link::send(const Request& request, const std::string& reply) {
    // Asked before, because nats.c keeps what is published while it reconnects and sends it much later.
    if (!connected()) return fail(Errc::link_down, request.subject + ": not connected");
    natsMsg* raw = nullptr;
    natsStatus status =
        natsMsg_Create(&raw, request.subject.c_str(), reply.c_str(), request.body.data(), static_cast<int>(request.body.size()));
    const Message message(raw);
    if (status == NATS_OK && request.expected) {
        status = natsMsgHeader_Set(raw, "Nats-Expected-Last-Subject-Sequence", std::to_string(*request.expected).c_str());
    }
    for (const auto& entry : request.headers) {
        if (status == NATS_OK) status = natsMsgHeader_Set(raw, entry.first.c_str(), entry.second.c_str());
    }
    if (status == NATS_OK) status = natsConnection_PublishMsg(connection_, raw);
    if (status == NATS_MAX_PAYLOAD) {
        return fail(Errc::invalid_argument, request.subject + ": payload of " + std::to_string(request.body.size()) +
                                                " bytes is above the server's limit of " + std::to_string(payload_bytes_max()));
    }
    if (status != NATS_OK) return tl::unexpected<Error>(nats_error(status, request.subject));
    return {};
}

void Link::publish_empty(std::string_view to) {
    if (connected()) natsConnection_Publish(connection_, std::string(to).c_str(), nullptr, 0);
}

Result<void> Link::publish(const std::string& to, const std::string& reply, std::string_view body) {
    if (!connected()) return fail(Errc::link_down, to + ": not connected");
    const natsStatus status =
        natsConnection_PublishRequest(connection_, to.c_str(), reply.c_str(), body.data(), static_cast<int>(body.size()));
    if (status != NATS_OK) return tl::unexpected<Error>(nats_error(status, to));
    return {};
}

bool Link::end_sink_after(Token token, std::uint64_t deliveries) {
    const auto sink = sinks_.find(token);
    if (sink == sinks_.end() || deliveries > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) return false;
    return natsSubscription_AutoUnsubscribe(sink->second.subscription.get(), static_cast<int>(deliveries)) == NATS_OK;
}

Result<Token> Link::open_sink(std::function<void(Message)> sink, Tap tap) {
    if (closed_) return fail(Errc::stopping, "subscription");
    const Token token = next_token_++;
    auto subscription = subscribe(sink_subject(token), token, std::move(tap));
    if (!subscription) return tl::unexpected<Error>(std::move(subscription.error()));
    sinks_.emplace(token, Sink{std::move(*subscription), std::make_shared<std::function<void(Message)>>(std::move(sink))});
    return token;
}

std::string Link::inbox(Token token) const { return prefix_ + to_base62(token); }

// One level deeper than answers: the wildcard inbox must not get the deliveries too.
std::string Link::sink_subject(Token token) const { return prefix_ + "watch." + to_base62(token); }

std::string Link::consumer_name(Token token) const {
    const std::string_view inbox = std::string_view(prefix_).substr(0, prefix_.size() - 1);
    return "parti_" + std::string(inbox.substr(inbox.rfind('.') + 1)) + "_" + to_base62(token);
}

void Link::close_sink(Token token) {
    const auto sink = sinks_.find(token);
    if (sink == sinks_.end()) return;
    end(std::move(sink->second.subscription));
    sinks_.erase(sink);
}

void Link::end(Subscription subscription) {
    if (!subscription) return;
    natsSubscription_Unsubscribe(subscription.get());  // fails when it has ended by itself, or with the connection
    ended_.emplace_back(next_token_, std::move(subscription));
}

void Link::dispatch(Handover::Item item) {
    if (closed_) return;
    if (item.source != 0) {
        const auto sink = sinks_.find(item.source);
        if (sink == sinks_.end()) return;
        const auto keep = sink->second.handler;
        return (*keep)(std::move(item.message));
    }
    const std::string_view to = subject(item.message);
    const Token token = to.size() > prefix_.size() ? from_base62(to.substr(prefix_.size())) : 0;
    while (!ended_.empty() && ended_.front().first <= token) ended_.pop_front();
    if (pending_.count(token) != 0) return answer(token, std::move(item.message));
    ++stats_.answers_late;
}

void Link::answer(Token token, Message message) {
    const auto found = pending_.find(token);
    if (lose_answer_ && lose_answer_(found->second.subject)) return;
    Pending pending = std::move(found->second);
    pending_.erase(found);
    deadlines_.erase({pending.deadline, token});
    if (pending_.empty() && pending_.bucket_count() > 2 * kPendingKept) pending_.rehash(kPendingKept);
    ++stats_.answers;
    if (payload(message).empty() && header(message, "Status") == "503") {
        pending.handler(fail(Errc::not_ready, pending.subject + kNoResponders));
        return;
    }
    pending.handler(std::move(message));
}

void Link::arm(Clock::time_point deadline) {
    if (closed_ || (armed_for_ && *armed_for_ <= deadline)) return;
    armed_for_ = deadline;
    timer_.expires_at(deadline);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        if (error) return;
        if (auto self = weak.lock()) self->on_timer();
    });
}

void Link::on_timer() {
    armed_for_.reset();
    if (closed_) return;
    // After a pause of the process, answers that are here already count.
    handover_->drain();
    while (!closed_ && !deadlines_.empty() && deadlines_.begin()->first <= Clock::now()) {
        const auto found = pending_.find(deadlines_.begin()->second);
        deadlines_.erase(deadlines_.begin());
        Pending pending = std::move(found->second);
        pending_.erase(found);
        if (auto denied = permission_error(pending.subject)) {
            pending.handler(tl::unexpected<Error>(std::move(*denied)));
        } else {
            pending.handler(fail(Errc::timeout, pending.subject + ": no answer in time"));
        }
    }
    if (!deadlines_.empty()) arm(deadlines_.begin()->first);
}

// A server answers a forbidden publish with a connection error only, so the request times out; the error tells why.
std::optional<Error> Link::permission_error(const std::string& request_subject) const {
    const char* text = nullptr;
    if (natsConnection_GetLastError(connection_, &text) == NATS_OK || text == nullptr) return std::nullopt;
    const std::string last(text, strnlen(text, 256));
    if (!contains_ignoring_case(last, "permissions violation")) return std::nullopt;
    if (!contains_ignoring_case(last, request_subject) && !contains_ignoring_case(last, prefix_)) return std::nullopt;
    return Error{Errc::permission, last};
}

bool Link::connected() const { return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED; }

std::uint64_t Link::reconnects() const {
    std::uint64_t count = 0;
    if (natsConnection_GetStats(connection_, statistics_) != NATS_OK) return 0;
    natsStatistics_GetCounts(statistics_, nullptr, nullptr, nullptr, nullptr, &count);
    return count;
}

std::size_t Link::payload_bytes_max() const {
    const std::int64_t limit = natsConnection_GetMaxPayload(connection_);
    if (limit > 0) payload_bytes_max_ = static_cast<std::size_t>(limit);
    return payload_bytes_max_;
}

std::string Link::connected_url() const {
    std::array<char, 1024> buffer{};
    if (natsConnection_GetConnectedUrl(connection_, buffer.data(), buffer.size()) != NATS_OK) return {};
    return buffer.data();
}

void Link::log(LogLevel level, const std::string& line) const {
    if (!options_.log) return;
    try {
        options_.log(level, line);
    } catch (...) {  // NOLINT: a log sink must not end the process
    }
}

ClientStats Link::stats() const {
    ClientStats stats = stats_;
    stats.pending_requests = pending_.size();
    stats.handover_waits = handover_ ? handover_->waits() : 0;
    return stats;
}

}  // namespace parti::jetstream
