// The whole boundary of the core on one page: events in, effects out.
//
// Model     WorkerCore::step(now, event, effects) is the only way in. The runtime (or the simulated world) executes the effects
//           *in order* and feeds their answers back as events. It decides nothing.
// Order     Inside one Effects: SessionEnded before anything that frees what the session held; Revoked before the Put that
//           reports the release; LeaseExtended before Granted.
// Answers   May be lost, late, doubled or for a write that is long over. The core times every write itself and repeats it; the
//           shell never retries. An answer carries back the WriteToken of its attempt.
// Time      Instant is CLOCK_BOOTTIME (runs through suspend). `now` never goes back. A Put is timed by the core from the `now` of
//           the step that emitted it, so the shell must hand it to the transport without delay.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <parti/log.h>
#include <parti/source.h>
#include <parti/types.h>

#include "base/records.h"

namespace parti::core {

struct BootClock {  // only a type: nothing below the runtime can ask what time it is
    using duration = Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<BootClock, duration>;
    static constexpr bool is_steady = true;
};
using Instant = BootClock::time_point;

// Identifies one attempt of one write (or fetch); echoed in the answer.
struct WriteToken {
    std::uint64_t operation = 0;
    std::uint32_t attempt = 0;
    friend auto operator<=>(const WriteToken&, const WriteToken&) = default;
};

// Which keys this core wants to hear of. head and control always; the rest as said. Each SetInterest carries a higher id.
struct Interest {
    std::uint64_t id = 0;
    bool all_leases = false;
    bool all_assignments = false;
    std::optional<WorkerNumber> own_assignment;
    std::optional<WorkerNumber> leader_lease;
    friend bool operator==(const Interest&, const Interest&) = default;
};

// ---- events -----------------------------------------------------------------------------------------------------------------

struct Start {};
struct Stop {};  // leave gracefully
struct Tick {};  // a deadline has come (or nothing at all: a Tick is always allowed)

// A key's present value, from a watch. Per key, revisions never go back, except after HistoryLost. `first_seen` is when this
// *process* first saw this revision (<= now): workers of one process share a watch, and a core that becomes interested later is
// told the truth.
struct EntrySeen {
    Entry entry;
    Instant first_seen;
};
// Every present value that the interest with this id asks for has been delivered. Sent once per SetInterest, and only for the
// newest.
struct SnapshotDone {
    std::uint64_t interest = 0;
};
// The stream behind a bucket was lost, recreated or rolled back: revisions start anew. Known entries of the bucket are void; the
// present ones follow as EntrySeen, then SnapshotDone for the newest interest.
struct HistoryLost {
    Bucket bucket = Bucket::lease;
    std::string detail;
};

// The stream behind a bucket does not exist (or does again).
struct BucketMissing {
    Bucket bucket = Bucket::lease;
    bool missing = true;
};

enum class WriteResult : std::uint8_t {
    done,            // stored at `revision`
    wrong_revision,  // not stored by *this* attempt; the key's last revision was `revision`
    no_information,  // rejected, link down, no responders, timeout: says nothing about earlier attempts
};
struct WriteAnswered {
    WriteToken token;
    WriteResult result = WriteResult::no_information;
    Revision revision = 0;
    std::string detail;  // for no_information: what happened
};
struct FetchAnswered {
    WriteToken token;
    std::optional<Entry> entry;  // nothing: no answer; ask again. Read through the stream leader.
};

struct PartitionsChanged {
    std::shared_ptr<const PartitionSet> partitions;
};
// The user's revoke callback has returned and its `done` was called, for these grants.
struct ReleaseDone {
    std::vector<std::uint64_t> grants;
};
struct LinkChanged {
    bool up = false;
};
// A token of this session was asked after its deadline, before the LeaseExtended that would have moved it on: the session is
// over.
struct SessionLapsed {
    SessionId session;
};

using Event = std::variant<Start, Stop, Tick, EntrySeen, SnapshotDone, HistoryLost, BucketMissing, WriteAnswered, FetchAnswered,
                           PartitionsChanged, ReleaseDone, LinkChanged, SessionLapsed>;

// ---- effects ----------------------------------------------------------------------------------------------------------------

struct Put {
    WriteToken token;
    Bucket bucket = Bucket::lease;
    Key key;
    Revision expected = 0;
    RecordValue record;  // the same pointer in every attempt of one write: the bytes must be identical
};
struct Fetch {
    WriteToken token;
    Bucket bucket = Bucket::lease;
    Key key;
};
struct SetInterest {
    Interest interest;
};
// The server named a revision below one that was seen: what is known of the bucket is of a lost history. HistoryLost follows.
struct Distrust {
    Bucket bucket = Bucket::lease;
    std::string detail;
};
// The bucket was deleted; make it again. No answer: BucketMissing tells.
struct CreateBucket {
    Bucket bucket = Bucket::lease;
};

// A session begins; its tokens are valid until `deadline`, which LeaseExtended moves on.
struct SessionStarted {
    SessionId session;
    WorkerNumber number;
    Incarnation incarnation;
    Instant deadline;
};
// The shell answers SessionLapsed when somebody has already seen the old deadline pass.
struct LeaseExtended {
    Instant deadline;
};
// Every token of the session is invalid from now on, for ever.
struct SessionEnded {
    std::string reason;
};

struct Grant {
    std::uint64_t grant = 0;  // unique in the life of the core: the identity of one ownership
    Partition partition;
    Fence fence;
};
// Tokens for these partitions exist from now on.
struct Granted {
    std::vector<Grant> grants;
};
// Tokens of these grants are invalid from now on; call the user, answer with ReleaseDone. The core bounds the wait itself.
struct Revoked {
    std::vector<std::uint64_t> grants;
};
// The wait for these grants is over although ReleaseDone did not come (reported by a Note as well).
struct DrainTimedOut {
    std::vector<std::uint64_t> grants;
};

struct StateChanged {
    State from = State::init;
    State to = State::init;
};
struct LeadershipChanged {
    bool leader = false;
    Epoch epoch;
};
struct PhaseChanged {
    LeaderPhase phase = LeaderPhase::idle;
};
// Operators ask for it: list the source again.
struct RefreshPartitions {};
// How long this worker has been without a lease that is known to hold. Told when the level changes.
struct AlertChanged {
    AlertLevel level = AlertLevel::none;
    Duration since{};  // trouble began so long ago; zero with none
};
// A log line in the making; `error` is set when the user's on_error must hear of it.
struct Note {
    LogLevel level = LogLevel::info;
    std::string text;
    std::optional<Error> error;
};
// The core is done: nothing more will come of it.
struct Stopped {};

using Effect =
    std::variant<Put, Fetch, SetInterest, Distrust, CreateBucket, SessionStarted, LeaseExtended, SessionEnded, Granted, Revoked,
                 DrainTimedOut, StateChanged, LeadershipChanged, PhaseChanged, RefreshPartitions, AlertChanged, Note, Stopped>;
using Effects = std::vector<Effect>;

}  // namespace parti::core
