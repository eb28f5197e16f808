// Control: operators' commands for a group, and a view of it, from any process.
//
// Role      Reads the group's records; writes one key, `control`, which the group's leader and workers follow. Needs no worker
//           here.
// Model     Every call blocks until it is done or `timeout` is over; what may pass (no link, server starting) is tried again
//           until then. A change is a compare-and-set: concurrent operators never lose each other's change. When an answer is
//           lost the record is read back, and what is not there yet is asked again; so a call that ends in a timeout may still
//           take effect later. A command is asked for, not carried out, when its call returns: status() shows how far the group
//           is.
// Errors    not_found (no such group, or no such worker: names what was looked for), timeout (the detail carries the last
//           trouble), malformed_record, future_record (the control record cannot be read: reset), invalid_argument, permission.
// Threads   All functions from any thread but the context's io thread (invalid_argument there: do not call it from a LogSink);
//           fine inside worker callbacks.
// Lifetime  Keeps its context. Cheap to copy.
// Cost      A command: two requests. drain, undrain and status read the whole group through four short-lived watches.
// Source    docs/PROTOCOL.md, "Operators".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <parti/context.h>
#include <parti/types.h>

namespace parti {

struct WorkerStatus {
    WorkerNumber number;
    Incarnation incarnation;
    SessionId session;
    LeaseState lease = LeaseState::live;
    std::string instance{};
    std::string zone{};
    std::uint32_t capacity = 1;
    std::uint32_t speaks = 1;   // the highest record major this worker reads
    std::size_t owned = 0;      // partitions its published record lists
    std::size_t revoking = 0;   // taken away, and not acknowledged yet
    Fence published;            // that record's; {} = no record names this session
    Fence applied;              // what the worker said it has applied
    bool acknowledged = false;  // applied reaches published: it holds exactly what its record lists
    bool leader = false;
    bool standby = false;
    bool drained = false;  // by operators
};

struct UnreadableKey {
    std::string bucket;
    std::string key;
    Error error;  // malformed_record or future_record
};

// What the records said at about one moment; nothing here is asked of the workers.
struct GroupStatus {
    std::string group;
    Epoch epoch;                         // of head; 0: nobody has led yet
    std::optional<WorkerNumber> leader;  // named by head, neither resigned nor ended
    std::uint32_t record_major = 0;      // of head
    // As far as records tell: sealing, emergency, frozen, rebalancing (a plan or an acknowledgement is outstanding), else idle.
    LeaderPhase phase = LeaderPhase::idle;
    Policy policy = Policy::relinquish;
    bool frozen = false;
    std::vector<std::string> drain;     // sessions and instances
    bool rebalance_pending = false;     // asked for, not carried out
    std::uint64_t refreshes = 0;        // grows with every refresh()
    std::uint64_t partition_count = 0;  // as the leader counts them
    // partitions no living session's record lists; nothing: unreadable or unsealed records
    std::optional<std::uint64_t> without_owner;
    std::vector<WorkerStatus> workers;  // every lease there is, ended ones too; ascending by number
    std::vector<UnreadableKey> unreadable;
};

enum class DrainScope : std::uint8_t {
    present,     // the name must be a worker's: its session, instance or number
    in_advance,  // an instance name that nobody has yet is taken as well
};

class Control {
public:
    static constexpr Duration kTimeout = std::chrono::seconds(10);

    // `timeout` (1 ms..24 h) bounds this call and later ones. Errors: as above; invalid_argument for a name no group can have.
    static Result<Control> open(Context context, std::string group, Duration timeout = kTimeout);

    Result<GroupStatus> status() const;

    // Nothing moves while the group is frozen, but for partitions without an owner and for drains.
    Result<void> freeze() const;
    Result<void> unfreeze() const;

    // The worker will own nothing until it is undrained. `name`: a session (32 hex digits: until that session ends), an instance
    // (over its restarts too), or a worker's number (its present session). Sessions that have ended are dropped from the list.
    Result<void> drain(std::string_view name, DrainScope scope = DrainScope::present) const;
    // Whatever drains the worker of this name, by session or instance, and the name itself. not_found: nothing in the list does.
    Result<void> undrain(std::string_view name) const;

    Result<void> rebalance() const;  // a full plan at once, whatever windows and intervals say
    Result<void> refresh() const;    // every worker lists its source again

    // Replaces a control record that cannot be read by an empty one (not frozen, nothing drained). Does nothing when it can be
    // read. Errors: future_record, which only a newer parti may replace.
    Result<void> reset() const;

private:
    Control(Context context, std::string group, Duration timeout);
    Context context_;
    std::string group_;
    Duration timeout_;
};

}  // namespace parti
