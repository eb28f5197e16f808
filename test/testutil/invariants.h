// Invariants: judges what a fleet does against the promises of docs/PROTOCOL.md, in true time.
//
// Role      Is told every session, record, grant, revocation and release as it happens, by a world that knows the true time;
//           keeps the first promise that was broken. Also used by tests with real processes, which have one clock.
// Model     A holding counts from its grant until its worker no longer reports it, while true time is before the deadline of the
//           session that was granted it. Checked (incrementally, when something changes):
//             P-1  no two living sessions hold one number
//             P-2  records of one worker's key carry strictly ascending fences in the order of the store; what is granted is in a
//                  record that the store held, addressed to this very session
//             P-1  leases of one number, in the order of the store: incarnations never go back, each has one session, and a
//                  session that ended is not renewed
//             P-2  heads, in the order of the store: epochs never go back, each has one leader, who writes ascending versions
//             P-3  no partition is held by two workers at one instant; what is revoked counts as held until its user released it
//                  or the drain timed out
//             P-5  a grant is revoked only when its session ends, its worker leaves, or a later record no longer lists the
//                  partition; a holding does not vanish without being revoked
//             P-7  fences of one session's grants and acknowledgements never go back
//             tokens of successive owners of a partition strictly ascend; no grant outside a living session
//             P-1  a number begins an incarnation that no record the store has long held names for another session
//             P-2  once an epoch is sealed no record of a lower one is stored
//             P-2  what the newest record for a session no longer lists is not owned by it a second after it heard of that; not
//                  judged once assignments were lost, since workers then wait for a new epoch
//           P-4 (coverage) is owners(), for the world's liveness phase. P-6, P-12 and work (nothing grows, and nothing is tried
//           again, without bound) are reported by the world; kept() is what P-6 is judged by.
//           P-1 and P-3 hold on condition that the store keeps what it acknowledged. After lost() of the leases, doubles are
//           allowed until `notice` later, and beyond that only while one of the two lives on a lease from before the loss; they
//           must be reported. A loss of the assignments alone excuses neither. P-2's order is judged within what the store still
//           has, and writes on their way at the loss may break it until `notice`. P-7 has no condition: it spans sessions and
//           losses. With instance_takeover trust, a double is allowed with a worker whose number its own instance name took while
//           it lived. Under policy keep P-3 and the order of tokens are not promised, and a number is held until its lease's
//           deadline.
// Threads   One.
// Cost      O(what changed); full_check() O(all holdings).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/records.h"
#include "testutil/sim_scheduler.h"

namespace parti::testutil {

enum class Promise : std::uint8_t {
    p1_numbers,
    p2_order,
    p3_owners,
    p4_coverage,
    p5_untouched,
    p6_movement,
    p7_versions,
    p12_visible,
    tokens,
    work,
    other
};
std::string_view to_string(Promise promise);
std::string text_of(Fence fence);

struct Violation {
    Promise promise = Promise::other;
    Nanos at = 0;
    std::string text;
};

struct HoldingSeen {
    std::uint64_t grant = 0;
    std::string_view partition;
    Fence fence;
    bool draining = false;
};

class Invariants {
public:
    using WorkerId = std::uint32_t;  // one life of one worker object; never used again

    // A worker object came to life, or is no more (its process crashed, or it stopped).
    WorkerId worker_made(std::string name);
    void worker_gone(Nanos now, WorkerId worker);
    void leaving(WorkerId worker);  // it was asked to leave: from here on it may revoke everything
    // It gives everything back because it could not renew: allowed from `budget` before the deadline on.
    void relinquishing(Nanos now, WorkerId worker, Nanos budget);

    void session_started(Nanos now, WorkerId worker, WorkerNumber number, Incarnation incarnation, SessionId session,
                         Nanos deadline);
    void session_extended(Nanos now, WorkerId worker, Nanos deadline);
    void session_ended(Nanos now, WorkerId worker);
    // By then everybody who may claim has seen a record that was stored: for the rule about incarnations. 0: it is not judged.
    void records_seen_within(Nanos span) { records_seen_within_ = span; }

    // The store lost what it had acknowledged: of this bucket everything above `kept` (0: all). Doubles may last for `notice`, or
    // until the end of leases that were last renewed before it; those end within `lease`.
    void lost(Nanos now, Bucket bucket, Revision kept, Nanos notice, Nanos lease);
    // The server was down when it was lost, or went down then: nobody can have noticed before now.
    void loss_shows(Nanos now, Bucket bucket, Nanos notice);
    // A worker told an error event.
    void error_told(Nanos now) { last_error_ = now; }
    void policy_keep(bool on) { keep_ = on; }
    void trust_instances(bool on) { trust_ = on; }

    // Records were stored; in the order of the store.
    void lease_stored(Nanos now, WorkerNumber number, Revision revision, const LeaseRecord& record);
    void head_stored(Nanos now, Revision revision, const HeadRecord& record);
    // An operator removed or overwrote a lease: the number's incarnations may start anew.
    void lease_void(WorkerNumber number) { leases_.erase(number.value); }
    void stored(Nanos now, WorkerNumber number, Revision revision, const AssignmentRecord& record);
    // An operator removed or overwrote an assignment record.
    void record_void(WorkerNumber number);
    // A record was stored in chunks that the store has lost: nobody but its writer knows what it says, until the next one.
    void record_torn(WorkerNumber number) { torn_.insert(number.value); }
    // Its leader has sealed this epoch, and plans from here on.
    void sealed(Nanos now, Epoch epoch);
    // The epoch that this session leads by the newest head; nothing when it does not.
    std::optional<Epoch> leads(SessionId session) const;
    // What the newest records give to sessions whose leases are live in the store, and to nobody else.
    struct Kept {
        WorkerNumber number;
        std::string_view partition;
    };
    std::vector<Kept> kept() const;

    void granted(Nanos now, WorkerId worker, std::uint64_t grant, std::string_view partition, Fence fence);
    void revoked(Nanos now, WorkerId worker, std::span<const std::uint64_t> grants);
    // The user is done with these grants, or the drain timeout took them from him.
    void released(WorkerId worker, std::span<const std::uint64_t> grants);
    // What the worker reports now: everything else it had is released.
    void holdings(Nanos now, WorkerId worker, std::span<const HoldingSeen> seen);
    void applied(Nanos now, WorkerId worker, Fence fence);
    // The worker heard of this record, whatever it makes of it.
    void told(Nanos now, WorkerId worker, const AssignmentRecord& record);

    // Within the time in which a loss of the store's memory may show.
    bool after_a_loss(Nanos now) const { return lost_at_.has_value() && now <= notice_until_; }
    void full_check(Nanos now);
    void report(Nanos now, Promise promise, std::string text);  // a violation found elsewhere
    const std::optional<Violation>& violation() const { return violation_; }

    // How many workers own the partition now (living session, not draining), and who the last one is.
    std::size_t owners(Nanos now, std::string_view partition) const;
    std::uint64_t grants() const { return grants_; }
    std::uint64_t handoffs() const { return handoffs_; }    // grants to another worker than the last one
    std::uint64_t doubles() const { return doubles_; }      // seen after a loss, within what is allowed
    std::uint64_t takeovers() const { return takeovers_; }  // of living sessions, by trust

    // A judge that forgets about deadlines: for the test that shows that P-1 and P-3 can fail.
    void ignore_deadlines(bool on) { ignore_deadlines_ = on; }

private:
    struct Held {
        std::uint64_t grant = 0;
        std::uint32_t partition = 0;  // index into partitions_
        Fence fence;
        Nanos deadline = 0;   // of the session it was granted in, while that lives on: see Worker
        bool current = true;  // the session is still the worker's
        bool revoked = false;
        bool released = false;
        bool draining = false;
    };
    struct Told {
        Fence fence;
        Nanos at = 0;
        std::vector<std::uint32_t> partitions;  // ascending
    };
    struct Worker {
        std::string name;
        bool gone = false;
        bool leaving = false;
        bool relinquishing = false;  // of the present session
        bool taken_over = false;     // by its own instance name, while it lived
        bool session = false;
        WorkerNumber number;
        SessionId id;
        Nanos deadline = 0;
        Fence granted;
        Fence applied;
        std::optional<Told> told;  // of the present session
        std::vector<Held> held;
    };
    struct PartitionState {
        std::string name;
        Fence last;
        std::optional<WorkerId> last_owner;
        std::vector<WorkerId> holders;  // may hold a worker twice: draining and owned again
    };
    struct LastLease {
        Incarnation incarnation;
        SessionId session;
        bool ended = false;  // by a record that said so
        std::string instance;
        LeaseState state = LeaseState::live;
    };
    struct LastHead {
        Epoch epoch;
        std::uint64_t version = 0;
        SessionId leader;
    };
    struct Written {
        WriteId id;
        Fence fence;
        Revision revision = 0;
        bool lost = false;  // the store has forgotten it; somebody may have read it
        SessionId session;
        Nanos at = 0;
        Incarnation incarnation;
        bool removed = false;                   // by an operator
        std::vector<std::uint32_t> partitions;  // ascending
    };

    std::uint32_t index(std::string_view partition);
    bool counts(Nanos now, const Worker& worker, const Held& held) const;
    Nanos deadline_of(const Worker& worker, const Held& held) const { return held.current ? worker.deadline : held.deadline; }
    void check_number(Nanos now, WorkerId worker);
    void check_told(Nanos now, const Worker& worker);
    std::vector<std::uint32_t> indices(const std::vector<Partition>& partitions);
    void check_incarnation(Nanos now, const Worker& worker, Incarnation incarnation);
    const Written* newest(std::uint32_t number) const;
    void check_partition(Nanos now, std::uint32_t partition);
    void drop(const Held& held, WorkerId worker);
    bool alive(Nanos now, const Worker& worker) const { return ignore_deadlines_ || now < worker.deadline; }
    struct Claim {
        const Worker* worker = nullptr;
        Nanos until = 0;
    };
    bool excused(Nanos now, Claim one, Claim other);
    // The record of this fence that fits best: in other histories the same fence may have been used again.
    const Written* find(WorkerNumber number, Fence fence, const SessionId* session, std::optional<std::uint32_t> partition) const;

    std::vector<Worker> workers_;
    std::vector<PartitionState> partitions_;
    std::map<std::string, std::uint32_t, std::less<>> indices_;
    std::map<std::uint32_t, std::vector<WorkerId>> numbers_;  // with a session that has not ended
    std::map<std::uint32_t, std::vector<Written>> history_;   // by number, in the order of the store
    std::map<std::uint32_t, LastLease> leases_;
    std::optional<LastHead> head_;
    std::optional<Epoch> sealed_;
    Nanos records_seen_within_ = 0;
    Nanos records_lost_at_ = 0;
    std::uint64_t grants_ = 0;
    std::uint64_t handoffs_ = 0;
    std::uint32_t contested_ = 0;  // partitions with more than one holder, living or not
    std::uint64_t doubles_ = 0;
    bool ignore_deadlines_ = false;
    bool keep_ = false;
    bool trust_ = false;
    std::uint64_t takeovers_ = 0;
    std::optional<SessionId> taken_before_start_;  // stored and taken over before its worker said that it had begun
    std::set<std::uint32_t> torn_;                 // numbers whose newest record is torn
    std::optional<Nanos> lost_at_;                 // the last loss, of either bucket
    Nanos notice_until_ = 0;
    std::optional<Nanos> leases_lost_at_;  // likewise, of the leases
    Nanos leases_notice_until_ = 0;
    Nanos lease_until_ = 0;
    Nanos last_error_ = -1;
    struct Unreported {  // a double, and no error since the loss at `since`: of these workers
        std::size_t first = 0;
        std::size_t second = 0;
        Nanos since = 0;
    };
    std::optional<Unreported> unreported_;
    std::optional<Violation> violation_;
};

}  // namespace parti::testutil
