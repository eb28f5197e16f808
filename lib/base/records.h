// The records that live in the two buckets, as values. Their bytes: wire/codec.h. Their meaning: docs/PROTOCOL.md, "State in
// NATS".
//
// Model     Every record names its writer and that writer's sequence number, so that a write whose answer was lost can be
//           recognised in the store: (writer, sequence) is unique per write.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <parti/types.h>

namespace parti {

using Revision = std::uint64_t;  // 0 = no such key

struct WriteId {
    SessionId writer;
    std::uint64_t sequence = 0;
    friend auto operator<=>(const WriteId&, const WriteId&) = default;
};

// Record format. Leases are always written in the oldest one, so that every version can read who is there, and announce the
// newest one their worker reads; the leader writes everything else in the newest one that every living worker reads.
inline constexpr std::uint32_t kRecordMajorOldest = 1;
inline constexpr std::uint32_t kRecordMajor = 1;

inline constexpr std::uint64_t kSilenceMsMax = 2ULL * 24 * 3600 * 1000;  // ttl and margin are at most 24 h each

struct LeaseRecord {
    WriteId id;
    Incarnation incarnation;
    SessionId session;  // the holder; differs from id.writer when somebody else ended the session
    LeaseState state = LeaseState::live;
    std::string instance;       // configured name, or empty
    std::uint64_t process = 0;  // random per process: lets the leader spread its standbys
    Fence applied;              // highest record version all of whose losses are released
    Epoch floor;                // highest epoch this worker ever saw, kept across incarnations
    std::uint32_t capacity = 1;
    std::string zone;
    std::uint32_t speaks = kRecordMajor;  // the highest record major this worker reads and writes
    std::uint64_t silence_ms = 0;         // the holder's ttl + margin: silent for so long, it is suspected; 0: not said
    friend bool operator==(const LeaseRecord&, const LeaseRecord&) = default;
};

struct LeaderName {
    WorkerNumber number;
    Incarnation incarnation;
    SessionId session;
    friend bool operator==(const LeaderName&, const LeaderName&) = default;
};

struct HeadRecord {
    std::uint32_t major = kRecordMajor;
    WriteId id;
    Epoch epoch;
    std::uint64_t version = 0;  // counts the leader's writes of head within the epoch
    bool resigned = false;      // the named leader gave leadership up: anybody may stand
    LeaderName leader;
    std::uint32_t slots = 0;             // assignment records exist, or may exist, for numbers below this one only
    std::vector<WorkerNumber> standbys;  // who watches everything and stands first
    Policy policy = Policy::relinquish;
    std::uint64_t partition_count = 0;
    std::uint64_t rebalanced = 0;  // the operators' last request for a full plan that was carried out
    friend bool operator==(const HeadRecord&, const HeadRecord&) = default;
};

struct AssignmentRecord {
    std::uint32_t major = kRecordMajor;
    WriteId id;                         // writer = the leader's session
    Fence fence;                        // (epoch, version)
    Incarnation incarnation;            // of the worker it is for; 0 = for nobody
    SessionId session;                  // likewise
    std::vector<Partition> partitions;  // ascending by id
    std::vector<Partition> revoking;    // taken away, release not acknowledged when this was written; ascending by id
    bool keep_only = false;             // after a history loss: what is listed may be kept, not gained
    friend bool operator==(const AssignmentRecord&, const AssignmentRecord&) = default;
};

inline constexpr std::size_t kDrainMax = 10'000;  // names in a control record

struct ControlRecord {
    bool frozen = false;
    std::vector<std::string> drain{};  // sessions or instances
    std::uint64_t rebalance = 0;       // requests a full plan when it changes; 0 = none
    std::uint64_t refresh = 0;         // asks every worker to list its source again when it changes
    friend bool operator==(const ControlRecord&, const ControlRecord&) = default;
};

enum class Bucket : std::uint8_t { lease, assignment };

struct Key {
    enum class Kind : std::uint8_t { worker, head, control };
    Kind kind = Kind::worker;
    WorkerNumber number;  // of a worker key; else 0
    friend auto operator<=>(const Key&, const Key&) = default;
};
inline Key worker_key(WorkerNumber number) { return {Key::Kind::worker, number}; }
inline Key head_key() { return {Key::Kind::head, {}}; }
inline Key control_key() { return {Key::Kind::control, {}}; }

// No value: the key never existed, or its last message is a delete or purge marker, or it vanished.
struct Absent {
    friend bool operator==(Absent, Absent) = default;
};
// Bytes that are not a record of ours.
struct Unreadable {
    Error error;          // malformed_record or future_record
    bool future = false;  // written by a newer major version: not ours to replace
};

using LeasePtr = std::shared_ptr<const LeaseRecord>;
using HeadPtr = std::shared_ptr<const HeadRecord>;
using AssignmentPtr = std::shared_ptr<const AssignmentRecord>;
using ControlPtr = std::shared_ptr<const ControlRecord>;
using UnreadablePtr = std::shared_ptr<const Unreadable>;

using RecordValue = std::variant<Absent, LeasePtr, HeadPtr, AssignmentPtr, ControlPtr, UnreadablePtr>;

// One key's last message. An Absent value with a revision > 0 is a marker: a creating write must expect that revision.
struct Entry {
    Bucket bucket = Bucket::lease;
    Key key;
    Revision revision = 0;
    RecordValue value;
};

}  // namespace parti
