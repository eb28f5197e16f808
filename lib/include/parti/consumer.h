// Consumer: gives a worker's messages to a handler: those of the partitions it owns, and only while it owns them.
//
// Model     Bound to one Worker, one stream and a subject per partition ("orders.{0}.{2}": keys 0 and 2 of the partition). Two
//           modes:
//           per_partition  one durable pull consumer a partition, "<prefix>-<partition>": the cursor belongs to the partition, so
//                          a handoff neither loses nor replays what was acknowledged. Any retention, nats-server >= 2.9.
//           per_worker     one durable a worker's incarnation, "<prefix>-<number>-<incarnation>", with one filter a partition.
//                          Work-queue streams only, nats-server >= 2.10. Every gain or loss makes it anew, for which all its
//                          partitions pause.
//           A revoke ends the pull, lets running handlers finish, gives back what was fetched and not begun, and only then is the
//           user's on_revoked called and the partition released. A gained partition is consumed after the user's on_assigned has
//           returned.
// Order     Within a partition the handler is called for one message at a time, in the order of delivery. max_ack_pending 1 keeps
//           the stream's order over retries and handoffs (P-10); with more, a message that comes again comes after later ones.
// Promise   P-9: at least once; only messages delivered and not yet acknowledged come again. The handler is not called when the
//           token is invalid, and then nothing is sent but the ack of a handler that returned success.
// Errors    start() says what is missing and what to do; it asks the source, on a callback thread. Later ones: on_error.
// Threads   All functions from any thread. The handler runs on the Context's callback threads (ConnectOptions::callback_threads),
//           in parallel for different partitions up to `concurrency`; a slow one holds up the worker's own callbacks when there
//           is only one.
// Lifetime  Keeps the worker. The destructor stops (as stop()); it must not run inside a callback or a handler.
// Cost      docs/CONSUMING.md.
// Source    PROTOCOL.md, "Consuming": P-9, P-10.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <parti/worker.h>

namespace parti {

namespace consume {
class ConsumerHandle;
struct Delivery;
}  // namespace consume

enum class ConsumerMode : std::uint8_t { per_partition, per_worker };
enum class AckMode : std::uint8_t {
    automatic,  // the handler returned: ack; it threw or returned an error: tried again later
    confirmed,  // as automatic, and the next message waits (at most 5 s) until the server has confirmed the ack
    // The handler, or whoever keeps a copy of the message, says what becomes of it; an error or exception is a failure here, too.
    // A kept copy holds up a revoke until the drain timeout; when the last one goes without an answer, it comes after ack_wait.
    manual,
};
// What to do with a partition whose durable has vanished when nobody knows how far it was (the stream is another one).
enum class UnknownFloor : std::uint8_t { replay, skip };

// Durations are at most 24 h.
struct ConsumerConfig {
    std::string stream{};
    std::string subject{};  // template: tokens joined by '.', "{0}" stands for the partition's first key; no wildcards
    std::string prefix{};   // of the durables; 1..64 of [A-Za-z0-9_-]; empty: the worker's group
    ConsumerMode mode = ConsumerMode::per_partition;
    AckMode ack = AckMode::automatic;
    std::uint32_t max_ack_pending = 1;  // of one durable; 1 = strict order; 1..65'536
    Duration ack_wait{};                // a message without answer comes again after so long; 0: the worker's TTL; >= 100 ms.
                                        // Renewed while a handler runs or the message waits for it
    std::uint32_t concurrency = 0;      // handlers that run at once; at most the context's callback threads; 0: as many as those
    // A handler that runs for longer is reported, its message not renewed, its thread replaced (at most 16 a context). Its
    // partition stays blocked until it returns or the lease ends: nobody else gets it. >= 10 ms.
    Duration handler_timeout = std::chrono::minutes(5);
    // Poison: a message whose handler fails at its n-th delivery goes to dead_letter_subject; 0 = never.
    std::uint32_t deliveries_max = 5;
    std::string dead_letter_subject{};  // of a stream; "{0}" as above; empty: failing messages are tried for ever, and reported
    // A message delivered more often than this kills its workers: with a dead_letter_subject it goes there without being handled,
    // whatever deliveries_max says; 0 = never; else >= deliveries_max.
    std::uint32_t deliveries_unhandled_max = 100;
    Duration retry_first = std::chrono::milliseconds(100);  // pause after the first failure, doubled each time; 1 ms..retry_max
    Duration retry_max = std::chrono::seconds(30);
    // Consumers that a stream of this server may have (1,000 by default on recent servers); 1..1,000,000.
    std::uint32_t consumers_max = 1000;
    UnknownFloor unknown_floor = UnknownFloor::replay;
    // Fetched ahead and not settled: bounds. Each partition gets its share of the totals. 1..65,536 <= messages_max <= 2^24;
    // 4 KiB..4 GiB <= bytes_max <= 1 TiB.
    std::uint32_t partition_messages_max = 512;
    std::uint32_t messages_max = 32'768;
    std::size_t partition_bytes_max = 4U << 20U;  // plus one message
    std::size_t bytes_max = 64U << 20U;
    // A pull request that outlives its worker's lease takes the next owner's messages, for ack_wait each: a process that is
    // stopped or cut off keeps its requests open at the server. So 0: ttl + margin - heartbeat, after which nobody else can own
    // the partition yet. Else >= 100 ms, as is pull_heartbeat.
    Duration pull_expires{};
    // Idle heartbeat; three missed ones: the pull is made again. At most half of pull_expires. 0: 5 s, and none for requests that
    // expire within 10 s, whose end tells as much.
    Duration pull_heartbeat{};

    // Errors: invalid_config naming every broken rule.
    Result<void> validate() const;
};

// One delivery of one message. Cheap to copy; with AckMode::manual a copy may outlive the handler's call. What subject(),
// payload() and header() show is valid while any copy lives.
class Message {
public:
    std::string_view subject() const;
    std::string_view payload() const;
    std::string_view header(const char* name) const;  // the first value; empty: absent
    std::vector<std::pair<std::string, std::string>> headers() const;
    std::uint64_t sequence() const;                           // in the stream
    std::uint64_t delivered() const;                          // how often, this time included
    std::chrono::system_clock::time_point timestamp() const;  // when the stream stored it
    const Ownership& ownership() const;

    // With AckMode::manual; the first of ack, nak and term counts, later ones are an error (invalid_argument). link_down: nothing
    // was sent, it comes again. lease_lost (of nak and term): the partition is no longer this worker's, nothing was sent.
    Result<void> ack();
    // Waits for the server, at most 24 h; not on a context's io thread. Errors: also timeout: it is settled here, and may come
    // again.
    Result<void> ack_confirmed(Duration timeout);
    Result<void> nak(Duration delay = {});
    Result<void> term();
    // In every mode: it is still being worked on. Sent by itself while the handler runs. Errors: invalid_argument (settled),
    // lease_lost, link_down.
    Result<void> in_progress();

    explicit Message(std::shared_ptr<consume::Delivery> delivery) : delivery_(std::move(delivery)) {}

private:
    std::shared_ptr<consume::Delivery> delivery_;
};

// An error, or an exception, is a failure: tried again after retry_first, doubled up to retry_max.
using Handler = std::function<Result<void>(Message&)>;

struct ConsumerStats {
    std::uint64_t pulled = 0;   // messages that came
    std::uint64_t handled = 0;  // handlers that returned success
    std::uint64_t failed = 0;   // handlers that threw or returned an error
    std::uint64_t acked = 0;
    std::uint64_t redelivered = 0;  // of pulled: not for the first time
    std::uint64_t repeated = 0;     // delivered again by the server although acknowledged: acknowledged again, not handled
    std::uint64_t given_back = 0;   // fetched, not begun, given back at a revoke
    // dropped without an answer: the token was invalid, or the durable is made anew (per_worker)
    std::uint64_t left = 0;
    std::uint64_t dead_lettered = 0;
    std::uint64_t recreations = 0;  // durables that had vanished, and were made again
    std::uint64_t pulls_lost = 0;   // pulls made again: missed heartbeats, leadership, reconnects
    std::uint64_t acks_lost = 0;    // could not be sent: those messages come again
    std::uint64_t lag = 0;          // not yet delivered: the last delivery's word, in a stall the server's every ack_wait / 3
    std::uint32_t in_flight = 0;    // delivered and not settled
    Duration oldest_in_flight{};
    std::uint32_t partitions = 0;  // owned
    std::uint32_t consuming = 0;   // of these: their durable is there
};

class Consumer {
public:
    // Errors: invalid_config.
    static Result<Consumer> make(Worker& worker, ConsumerConfig config, Handler handler);

    Consumer(Consumer&&) noexcept;
    Consumer& operator=(Consumer&&) noexcept;
    ~Consumer();

    // Checks stream, server and subjects, then consumes what the worker owns, now and later. Before or after Worker::start.
    // Blocks for the checks, about 15 s and the worker's startup_timeout at most. Errors: not_found (no such stream),
    // invalid_config (retention, subjects, too many partitions for the server, two partitions with one subject), invalid_argument
    // (a durable's name above 200 bytes), what the source says, unsupported_server, timeout, link_down, permission; stopping when
    // called inside a callback, after stop() or after the worker's end. After an error it may be called again; started already:
    // does nothing.
    Result<void> start();
    // Drains as a revoke does; the worker goes on. Errors: timeout (a handler has not returned within the drain timeout),
    // stopping (inside a callback or a handler).
    Result<void> stop();

    ConsumerStats stats() const;
    std::string group() const;   // of its worker
    std::string stream() const;  // as configured
    // Partitions that are owned and not consumed at the moment, with the reason; empty: healthy.
    std::vector<std::pair<std::string, std::string>> troubles() const;

private:
    explicit Consumer(std::shared_ptr<consume::ConsumerHandle> handle);
    std::shared_ptr<consume::ConsumerHandle> handle_;
};

}  // namespace parti
