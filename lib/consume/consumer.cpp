#include <parti/consumer.h>

#include <algorithm>
#include <cstdlib>

#include <nats/nats.h>

#include "base/durations.h"
#include "base/rule_list.h"
#include "consume/consumer_impl.h"

namespace parti {
namespace {

using base::RuleList;
using base::to_text;

constexpr Duration kAckWaitMin = std::chrono::milliseconds(100);

void check_name(RuleList& rules, std::string_view key, std::string_view value, bool may_be_empty) {
    const bool fits =
        value.size() <= 64 && (may_be_empty || !value.empty()) && std::all_of(value.begin(), value.end(), [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
        });
    rules.require(fits, {key, " ('", value, "') must be 1..64 of [A-Za-z0-9_-]"});
}

void check_counts(RuleList& rules, const ConsumerConfig& c) {
    const auto within = [&rules](std::string_view key, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
        rules.require(value >= low && value <= high,
                      {key, " (", std::to_string(value), ") must be in ", std::to_string(low), "..", std::to_string(high)});
    };
    within("max_ack_pending", c.max_ack_pending, 1, 65'536);
    within("concurrency", c.concurrency, 0, 64);
    within("consumers_max", c.consumers_max, 1, 1'000'000);
    within("partition_messages_max", c.partition_messages_max, 1, 65'536);
    within("messages_max", c.messages_max, 1, 16'777'216);
    within("partition_bytes_max", c.partition_bytes_max, 4096, std::uint64_t{1} << 32U);
    within("bytes_max", c.bytes_max, 4096, std::uint64_t{1} << 40U);
    rules.require(c.messages_max >= c.partition_messages_max,
                  {"messages_max (", std::to_string(c.messages_max), ") must be at least partition_messages_max (",
                   std::to_string(c.partition_messages_max), ")"});
    rules.require(c.bytes_max >= c.partition_bytes_max,
                  {"bytes_max (", std::to_string(c.bytes_max), ") must be at least partition_bytes_max (",
                   std::to_string(c.partition_bytes_max), ")"});
    rules.require(c.deliveries_unhandled_max == 0 || c.deliveries_unhandled_max >= c.deliveries_max,
                  {"deliveries_unhandled_max (", std::to_string(c.deliveries_unhandled_max),
                   ") must be at least deliveries_max (", std::to_string(c.deliveries_max), ")"});
}

void check_durations(RuleList& rules, const ConsumerConfig& c) {
    const Duration day = std::chrono::hours(24);
    const auto within = [&rules, day](std::string_view key, Duration value, Duration low) {
        rules.require(value >= low && value <= day,
                      {key, " (", to_text(value), ") must be ", to_text(low), " to ", to_text(day)});
    };
    if (c.ack_wait != Duration::zero()) within("ack_wait", c.ack_wait, kAckWaitMin);
    within("handler_timeout", c.handler_timeout, std::chrono::milliseconds(10));
    within("retry_first", c.retry_first, std::chrono::milliseconds(1));
    within("retry_max", c.retry_max, c.retry_first > day ? day : std::max<Duration>(c.retry_first, std::chrono::milliseconds(1)));
    if (c.pull_heartbeat != Duration::zero()) within("pull_heartbeat", c.pull_heartbeat, kAckWaitMin);
    if (c.pull_expires != Duration::zero()) within("pull_expires", c.pull_expires, kAckWaitMin);
    rules.require(
        c.pull_heartbeat == Duration::zero() || c.pull_expires == Duration::zero() || c.pull_heartbeat <= c.pull_expires / 2,
        {"pull_heartbeat (", to_text(c.pull_heartbeat), ") must be at most half of pull_expires (", to_text(c.pull_expires),
         ")"});
}

}  // namespace

Result<void> ConsumerConfig::validate() const {
    RuleList rules;
    const bool name_fits = !stream.empty() && stream.size() <= 200 && std::all_of(stream.begin(), stream.end(), [](char c) {
        return static_cast<unsigned char>(c) > ' ' && c != '.' && c != '*' && c != '>' && c != '/' && c != '\\' && c != 0x7f;
    });
    rules.require(name_fits, {"stream ('", stream, "') must be 1..200 bytes without blanks and . * > / \\"});
    check_name(rules, "prefix", prefix, true);
    if (const auto parsed = consume::SubjectTemplate::parse(subject); !parsed) rules.broken({parsed.error().detail});
    if (!dead_letter_subject.empty()) {
        const auto parsed = consume::SubjectTemplate::parse(dead_letter_subject, "dead_letter_subject", true);
        if (!parsed) rules.broken({parsed.error().detail});
    }
    check_counts(rules, *this);
    check_durations(rules, *this);
    return rules.result(Errc::invalid_config);
}

Result<Consumer> Consumer::make(Worker& worker, ConsumerConfig config, Handler handler) {
    if (auto ok = config.validate(); !ok) return tl::unexpected<Error>(ok.error());
    if (!handler) return fail(Errc::invalid_config, "the handler is empty; a consumer needs one");
    const std::size_t threads = worker.impl()->context->executor().threads();
    if (config.concurrency > threads) {
        return fail(Errc::invalid_config, "concurrency (" + std::to_string(config.concurrency) +
                                              ") must be at most the context's callback_threads (" + std::to_string(threads) +
                                              "): raise ConnectOptions::callback_threads");
    }
    const Config& of_worker = worker.impl()->shell->config();
    if (config.ack_wait > of_worker.timing.ttl && config.ack_wait != Duration::zero()) {
        worker.impl()->context->log()->print(
            LogLevel::warning,
            "consumer of {}: ack_wait ({}) is above the worker's ttl ({}): the partitions of a crashed worker "
            "are granted anew before its last messages come again",
            config.stream, base::to_text(config.ack_wait), base::to_text(of_worker.timing.ttl));
    }
    const Duration lease_left = of_worker.timing.ttl + of_worker.timing.margin - of_worker.timing.heartbeat;
    if (config.pull_expires > lease_left) {
        worker.impl()->context->log()->print(LogLevel::warning,
                                             "consumer of {}: pull_expires ({}) is above the worker's ttl + margin - heartbeat "
                                             "({}): the requests of a worker that "
                                             "is stopped or cut off take the next owner's messages, for ack_wait each",
                                             config.stream, base::to_text(config.pull_expires), base::to_text(lease_left));
    }
    auto subject = consume::SubjectTemplate::parse(config.subject);
    std::optional<consume::SubjectTemplate> dead_letter;
    if (!config.dead_letter_subject.empty())
        dead_letter = *consume::SubjectTemplate::parse(config.dead_letter_subject, "dead_letter_subject", true);
    return Consumer(std::make_shared<consume::ConsumerHandle>(std::make_shared<consume::ConsumerImpl>(
        worker.impl(), std::move(config), std::move(handler), std::move(*subject), std::move(dead_letter))));
}

Consumer::Consumer(std::shared_ptr<consume::ConsumerHandle> handle) : handle_(std::move(handle)) {}
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&&) noexcept = default;
Consumer::~Consumer() = default;

Result<void> Consumer::start() { return (*handle_)->start(); }
Result<void> Consumer::stop() { return (*handle_)->stop(); }
ConsumerStats Consumer::stats() const { return (*handle_)->stats(); }
std::string Consumer::group() const { return (*handle_)->group(); }
std::string Consumer::stream() const { return (*handle_)->stream(); }
std::vector<std::pair<std::string, std::string>> Consumer::troubles() const { return (*handle_)->troubles(); }

// ---- Message

std::string_view Message::subject() const { return jetstream::subject(delivery_->raw); }
std::string_view Message::payload() const { return jetstream::payload(delivery_->raw); }
std::string_view Message::header(const char* name) const { return jetstream::header(delivery_->raw, name); }
std::vector<std::pair<std::string, std::string>> Message::headers() const {
    std::vector<std::pair<std::string, std::string>> out;
    const char** keys = nullptr;
    int count = 0;
    if (natsMsgHeader_Keys(delivery_->raw.get(), &keys, &count) != NATS_OK) return out;
    for (int i = 0; i < count; ++i) {
        const char* value = nullptr;
        if (natsMsgHeader_Get(delivery_->raw.get(), keys[i], &value) == NATS_OK && value != nullptr)
            out.emplace_back(keys[i], value);
    }
    std::free(keys);
    return out;
}
std::uint64_t Message::sequence() const { return delivery_->sequence; }
std::uint64_t Message::delivered() const { return delivery_->delivered; }
std::chrono::system_clock::time_point Message::timestamp() const {
    return std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(delivery_->time_ns)));
}
const Ownership& Message::ownership() const { return delivery_->lane->ownership(); }
Result<void> Message::ack() { return delivery_->ack(std::nullopt); }
Result<void> Message::ack_confirmed(Duration timeout) { return delivery_->ack(timeout); }
Result<void> Message::nak(Duration delay) { return delivery_->nak(delay); }
Result<void> Message::term() { return delivery_->term(); }
Result<void> Message::in_progress() { return delivery_->in_progress(); }

}  // namespace parti
