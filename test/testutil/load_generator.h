// LoadGenerator: publishes a plan's messages into a stream, each at its intended time, and knows which of them the server
// confirmed.
//
// Role      The producer of every load scenario; what it returns is half of the ledger's input.
// Model     Open loop: a message is due at start + its offset whatever became of the ones before; a late one is sent at once,
//           never left out, and its latency counts from the intended time. Publishes are pipelined; each carries a reply subject,
//           so that its ack (or the server's refusal) is matched. A message that cannot be handed to the connection, or finds
//           `pending_max` unanswered ones, is dropped: counted, its sequence unused. Nothing is published twice: there are no
//           retries. Payload: "<sequence> <intended ns> " and dots up to message_bytes; parse_load_payload reads it.
// Units     CLOCK_BOOTTIME in ns.
// Errors    Outcome. A server that goes away is none: the client reconnects and what it cannot buffer is dropped.
// Threads   One thread of its own and nats.c's; the functions are called by one thread.
// Lifetime  The destructor stops and waits for its thread. finish() first, to have the acks.
// Cost      One write(2) a message with send_asap, else nats.c's own flusher. 32 bytes a message are kept.
// Source    SUITE.md section 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/ledger.h"
#include "testutil/load_plan.h"

namespace parti::test {

struct LoadOptions {
    std::string url;
    LoadPlan plan;
    std::vector<std::string> partitions;  // names; as many as the plan has
    std::vector<std::string> subjects;    // of the partitions
    std::size_t message_bytes = 128;      // at least 48
    std::uint64_t pending_max = 50'000;
    bool send_asap = true;
    Published published{};  // of an earlier generator, continued
};

struct LoadReport {
    std::int64_t start_ns = 0;
    std::uint64_t due = 0, sent = 0, dropped = 0;
    std::uint64_t confirmed = 0, refused = 0, unanswered = 0;
    std::int64_t late_p50_ns = 0, late_p99_ns = 0, late_max_ns = 0;  // actual minus intended time of sending
    std::string last_refusal;

    // The generator itself kept to its plan; otherwise latencies say nothing about the receiver.
    bool on_time(std::int64_t p99_at_most_ns = kLateAtMost_ns) const { return late_p99_ns <= p99_at_most_ns && dropped == 0; }
    // Why it did not: "the load generator was late: p99 31.2 ms, at most 20 ms is valid". Empty: it was on time.
    std::string why_invalid(std::int64_t p99_at_most_ns = kLateAtMost_ns) const;
    static constexpr std::int64_t kLateAtMost_ns = 20'000'000;
};
std::string describe(const LoadReport& report);

struct LoadPayload {
    std::uint64_t sequence = 0;
    std::int64_t intended_ns = 0;
};
std::optional<LoadPayload> parse_load_payload(std::string_view payload);

class LoadGenerator {
public:
    // Connects, then starts at once.
    static Outcome<LoadGenerator> start(LoadOptions options);
    LoadGenerator(LoadGenerator&&) noexcept;
    LoadGenerator& operator=(LoadGenerator&&) noexcept;
    ~LoadGenerator();

    std::int64_t start_ns() const;
    std::uint64_t sent() const;
    std::uint64_t confirmed() const;
    // False: not within the time.
    bool wait_confirmed(std::uint64_t messages, std::chrono::milliseconds timeout);
    bool wait_done(std::chrono::milliseconds timeout);  // everything that was due was sent, or stop() was called
    void stop();                                        // nothing is sent any more
    // Waits until the plan is through, and for its acks for at most so long.
    LoadReport finish(std::chrono::milliseconds acks_timeout = std::chrono::milliseconds(5000));
    Published take_published();  // after finish()

private:
    struct Impl;
    explicit LoadGenerator(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::test
