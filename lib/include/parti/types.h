// The nouns of parti: partitions, numbers, incarnations, epochs, versions, states.
//
// Units     Durations are std::chrono; raw counts say what they count. Revisions are JetStream stream sequences (0 = "no such
//           key").
// Threads   Plain values: distinct objects from any thread.
// Source    docs/PROTOCOL.md, "Words".
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <parti/result.h>

namespace parti {

using Duration = std::chrono::nanoseconds;

// Highest number a worker may hold; configuration refuses more.
inline constexpr std::uint32_t kWorkerNumberMax = 99'999;

// A worker's stable small id: worker.7 in the buckets, "<prefix>-7" for users.
struct WorkerNumber {
    std::uint32_t value = 0;
    friend auto operator<=>(WorkerNumber, WorkerNumber) = default;
};

// Counts the holders of one number, from 1. 0 = "nobody yet".
struct Incarnation {
    std::uint64_t value = 0;
    friend auto operator<=>(Incarnation, Incarnation) = default;
};

// Counts leaderships of the group, from 1.
struct Epoch {
    std::uint64_t value = 0;
    friend auto operator<=>(Epoch, Epoch) = default;
};

// The fencing token: (epoch, version) of the record that granted a partition. Totally ordered; later grants compare greater.
// Give it to your store with every write, and let the store refuse a smaller one.
struct Fence {
    Epoch epoch;
    std::uint64_t version = 0;
    friend auto operator<=>(const Fence&, const Fence&) = default;
};

// Identity of one incarnation's writes: 128 random bits, written as 32 hex digits.
struct SessionId {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    bool empty() const { return high == 0 && low == 0; }
    friend auto operator<=>(const SessionId&, const SessionId&) = default;
};
std::string to_string(const SessionId& id);
Result<SessionId> parse_session(std::string_view hex);  // 32 lower-case hex digits. Errors: malformed_record

// A partition: ordered keys (["orders","eu","42"]) and a weight.
//
// The keys are kept joined with '.', which is also the partition's id: a key is a NATS subject token, so it is not empty and
// holds no '.', '*', '>', blank or control character. Weight: 1..1'000'000'000, 1 by default. Cost: one string.
class Partition {
public:
    // Errors: invalid_argument naming the key and the rule.
    static Result<Partition> make(const std::vector<std::string>& keys, std::int64_t weight = 1);
    static Result<Partition> from_id(std::string_view id, std::int64_t weight = 1);

    const std::string& id() const { return id_; }
    std::int64_t weight() const { return weight_; }
    std::vector<std::string> keys() const;

    // Partitions are equal, and ordered, by id; the weight is an attribute.
    friend bool operator==(const Partition& a, const Partition& b) { return a.id_ == b.id_; }
    friend std::strong_ordering operator<=>(const Partition& a, const Partition& b) { return a.id_ <=> b.id_; }

private:
    Partition(std::string id, std::int64_t weight) : id_(std::move(id)), weight_(weight) {}
    std::string id_;
    std::int64_t weight_ = 1;
};

// A worker's state. Allowed edges: docs/PROTOCOL.md, "States".
enum class State : std::uint8_t {
    init,                // made, not started
    claiming_id,         // looking for a free number
    waiting_assignment,  // holds a number, has not applied an assignment record of the current leader
    stable,              // holds a number and has applied an assignment record (which may be empty)
    degraded,            // goes on with a cached assignment although the lease cannot be renewed (policy keep)
    draining,            // leaving: releasing what it owns
    fenced,              // the session ended; releasing what it held, then claims again
    stopped,             // final
};
std::string_view to_string(State state);

// What a lease record says of its session.
enum class LeaseState : std::uint8_t {
    live,      // renewed by its session
    draining,  // renewed by its session, which wants nothing more
    released,  // ended by its session: nothing is held
    dead,      // ended by somebody else who had seen silence
    evicted,   // to be treated as dead ttl + margin after this write was confirmed
};
std::string_view to_string(LeaseState state);

// The leader's phase; idle on every worker that does not lead.
enum class LeaderPhase : std::uint8_t { idle, sealing, settling, rebalancing, emergency, frozen };
std::string_view to_string(LeaderPhase phase);

// What a worker does when it cannot renew its lease. The policy belongs to the group.
enum class Policy : std::uint8_t {
    relinquish,  // stop in time: at most one owner (P-3)
    keep,        // go on with the cached assignment: available, not exclusive
};
std::string_view to_string(Policy policy);

// For how long a worker has not held a lease it can rely on: degraded, fenced, or still looking for a number. Thresholds:
// Timing::alert_*.
enum class AlertLevel : std::uint8_t { none, info, warning, error, critical };
std::string_view to_string(AlertLevel level);

}  // namespace parti
