// ledger: what was published against what was handled: nothing lost, order kept, duplicates only as promised.
//
// Role      The oracle behind P-9 and P-10. Judges any worker program: it needs the publisher's record, the files in which the
//           workers' handlers note what they handled, and when whom was disturbed.
// Model     A partition's messages carry 1, 2, 3 ... A handling is one call of a handler; "handled" means that it returned
//           success. What was confirmed by the server must be handled; what was not may be. Handlings are ordered by their begin.
// Classes   lost           confirmed and never handled: violation
//           unacked        handled again, and a disturbance of the process or the server explains that the ack did not arrive:
//                          contract (several in flight, 2.9.10: also what a killed owner had acknowledged out of order within
//                          ack_window); or the handler was still running when its owner's lease ended
//           replayed       handled again after a server crash that came within `replay_window` of the first handling: contract
//                          (P-9)
//           forgotten      handled again, older than that, and after the crash the partition began anew with its first message:
//                          the server lost the durable's whole state. nats-server 2.9.10 does so by itself (durable-check: 12 of
//                          6,000 durables killed, 2026-11-28), 2.15.1 does not. It is beyond P-9, hence a violation unless
//                          `allow_forgotten`; and in any case when the same grant had handled it before: its owner remembers what
//                          it acknowledged
//           misplaced      handled again, because nats-server 2.9.10 had lost its place at the message (consume_place_test shows
//                          it with plain nats.c): violation unless `allow_misplaced`, and then only what that explains: the
//                          message had been delivered at least three times when it was handled (the second time is the one that
//                          goes astray), by an owner whose lease ended, without a handover, within ack_window of it (an owner
//                          that stays, or hands over, sets it right)
//           late_start     by a process that was stopped between the check of its token and the call: contract, one per thread
//                          and stop
//           duplicate      handled again without any of that: violation
//           reordered      (in order only) a message begun after a later one of its partition, or an old one again: violation. A
//                          server crash may set a partition back, from where it must go on in order
//           overlap        two processes in the handlers of one partition at once, none of them disturbed: violation
//           not_owned      begun by a process that did not own the partition then: violation (when owners are given)
//           foreign        never published: violation
//           published_twice  one message stored twice, by the publisher's connection: counted, nobody's fault here
//           stale          the handler itself saw an invalid token at its begin, and did nothing: counted
// Format    One line a handling, written by the handler before anything is acknowledged, so that a SIGKILL leaves it behind:
//           H <begin> <end> <partition> <sequence> <stream sequence> <delivered> <epoch> <version> <s|f|x>
//           s success, f failure, x stale. Times: CLOCK_BOOTTIME in ns, one axis for all processes of a machine.
// Errors    A line that is malformed: an error that names it. `cut_off`: the last line may be incomplete, as a killed process
//           leaves it.
// Threads   Pure functions and values.
// Cost      O(n log n) in handlings; about 120 bytes each.
// Source    PROTOCOL.md P-9, P-10; the server's amnesia after a crash was measured on 2.9.10 and 2.15.1 (P-9).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/history.h"
#include "testutil/outcome.h"
#include "testutil/violation.h"

namespace parti::test {

struct PublishedMessage {
    std::int64_t intended_ns = 0;
    std::int64_t sent_ns = 0;       // 0: never sent
    std::int64_t confirmed_ns = 0;  // 0: not confirmed
    std::uint64_t stream_sequence = 0;
};
// By partition; the message with sequence n is at n - 1.
using Published = std::map<std::string, std::vector<PublishedMessage>>;

enum class HandlingResult : std::uint8_t { success, failure, stale };

struct Handling {
    std::string partition;
    std::uint64_t sequence = 0, stream_sequence = 0;
    std::uint64_t delivered = 0;
    std::int64_t begin_ns = 0, end_ns = 0;
    FenceValue fence;
    HandlingResult result = HandlingResult::success;
};

Outcome<std::vector<Handling>> parse_handlings(const std::string& name, std::string_view text, bool cut_off);
std::string to_line(const Handling& handling);  // with its line end

struct ProcessHandlings {
    std::string label;
    std::vector<Handling> handlings;
};

// Something that can keep an ack from arriving.
struct Disturbance {
    enum class Kind : std::uint8_t {
        process_killed,   // from = to = the kill
        process_stopped,  // SIGSTOP to SIGCONT
        server_away,      // stopped in an orderly way, or paused, until it answered again
        server_crashed,   // killed, until it answered again
    };
    Kind kind = Kind::process_killed;
    std::string label;  // of the process; unused for the server
    std::int64_t from_ns = 0, to_ns = 0;
};

struct OwnedSpan {
    std::string label;
    std::int64_t begin_ns = 0, end_ns = 0;
    bool lapsed = false;  // ended with its lease, not by a handover
};
using Owners = std::map<std::string, std::vector<OwnedSpan>>;  // by partition
Owners owners_of(const Timeline& timeline);

struct LedgerOptions {
    bool in_order = true;                           // one message in flight a partition
    std::int64_t ack_window_ns = 1'000'000'000;     // so long an ack may be on its way when the disturbance begins
    std::int64_t replay_window_ns = 2'000'000'000;  // P-9
    // false: the run ended before everything was delivered: what was not handled is `undelivered`, not lost
    bool complete = true;
    bool allow_forgotten = false;  // by another owner: counted, not blamed
    bool allow_misplaced = false;  // by another grant than the one before: counted, not blamed
    bool check_owners = false;     // `owners` is complete
    Owners owners{};
};

struct LedgerCounts {
    std::uint64_t published = 0, confirmed = 0, unconfirmed_handled = 0;
    std::uint64_t handlings = 0, handled = 0, failures = 0;  // handled: messages, each counted once
    std::uint64_t lost = 0, undelivered = 0, unacked = 0, replayed = 0, forgotten = 0, misplaced = 0, late_starts = 0,
                  duplicates = 0;
    std::uint64_t reordered = 0, overlaps = 0, not_owned = 0, foreign = 0, published_twice = 0, stale = 0;
};
// "confirmed 4300, handled 4300, lost 0, ..." every class, zero or not.
std::string describe(const LedgerCounts& counts);

struct LedgerReport {
    LedgerCounts counts;
    std::vector<Violation> violations;
    // Begin of the first handling of each handled message, per partition, ascending.
    std::map<std::string, std::vector<std::int64_t>> first_ns;
    struct Latency {
        std::int64_t intended_ns = 0, taken_ns = 0;  // from the intended publication to the begin of the first handling
    };
    std::vector<Latency> latencies;                                   // by intended time
    std::map<std::string, std::vector<Latency>> partition_latencies;  // in the order handled

    // Longest time between two first handlings of a partition within [from, to]; the ends count as handlings. 0: unknown
    // partition.
    std::int64_t longest_gap_ns(const std::string& partition, std::int64_t from_ns, std::int64_t to_ns) const;
    // The longest that a message of the partition waited, of those intended within [from, to). 0: there are none.
    std::int64_t longest_wait_ns(const std::string& partition, std::int64_t from_ns, std::int64_t to_ns) const;
    // By how much a pause between two handlings of the partition exceeded the one between their intended times, at most; of
    // handlings after the first one intended within [from, to). 0: there are not two.
    std::int64_t longest_excess_gap_ns(const std::string& partition, std::int64_t from_ns, std::int64_t to_ns) const;
    // Of messages intended within [from, to); q in 0..1. -1: there are fewer than `least`.
    std::int64_t latency_ns(double q, std::int64_t from_ns, std::int64_t to_ns, std::size_t least = 1) const;
};

LedgerReport check_ledger(const Published& published, const std::vector<ProcessHandlings>& processes,
                          const std::vector<Disturbance>& disturbances, const LedgerOptions& options = {});

}  // namespace parti::test
