// Leader: seals the assignment records, then keeps desired, published and acknowledged in agreement.
//
// Model     off -> sealing -> acting -> off. Sealing rewrites records 0..slots-1 with the new epoch and unchanged content; only a
//           sealed leader plans. Acting is level-triggered: each change of what is known leads to a look at every record; a
//           record that should differ is written, one write in the air per record. A partition is granted only when nobody can
//           still hold it. A failed write means that another wrote: a higher epoch ends the leadership, anything else is
//           written over again.
// Errors    Resigns when its oldest unanswered write is older than leader_publish_timeout.
// Cost      Every record once, two indices per partition.
// Source    R-4a, R-5, R-6, R-10.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/cas_write.h"
#include "core/env.h"
#include "core/leader_metrics.h"
#include "core/mass_failure.h"
#include "core/membership.h"
#include "core/planner.h"
#include "core/session.h"

namespace parti::core {

class Leader {
public:
    enum class Phase : std::uint8_t { off, sealing, acting };

    Phase phase() const { return phase_; }
    bool on() const { return phase_ != Phase::off; }
    Epoch epoch() const { return head_.epoch; }
    const HeadRecord& head() const { return head_; }
    Revision head_revision() const { return head_revision_; }
    LeaderPhase reported_phase() const;
    bool settled() const;  // nothing to do: target, records and acknowledgements agree

    void set_partitions(std::shared_ptr<const PartitionSet> partitions);
    // The head write was confirmed.
    void begin(Env& env, HeadRecord head, Revision revision);
    void end(Env& env, const std::string& why);

    void on_answer(Env& env, Session& session, const WriteAnswered& answer);
    void on_fetch(Env& env, Session& session, const FetchAnswered& answer);
    void on_entry(Env& env, Session& session, const Entry& entry);
    void look_again() { dirty_ = true; }
    void advance(Env& env, Session& session, Membership& membership);
    // Set when the leader gave up by itself: it does not stand before then.
    Instant stand_again_at() const { return stand_again_at_; }
    void check(const Env& env) const;

private:
    struct Revoking {
        std::uint32_t partition = 0;  // index into the partition set
        Fence since;                  // the record version that revoked it
    };
    struct Slot {
        AssignmentPtr record;  // as confirmed in this epoch; null: nothing written yet
        Revision revision = 0;
        CasWrite write;
        AssignmentPtr pending;
        bool sealed = false;
        bool unknown = false;  // a deleted or unreadable record was replaced: what it held is not known
        Instant unknown_since{};
        bool overwritten = false;  // somebody put something else there: write again
        Instant confirmed_at{};
        std::vector<std::uint32_t> owned;  // indices of record->partitions that are in the partition set
        std::vector<Revoking> revoking;    // of record->revoking, likewise
        std::size_t strangers = 0;         // listed partitions that are not in the set any more
    };

    void seal(Env& env, Session& session);
    void seal_slot(Env& env, Session& session, WorkerNumber number, Slot& slot);
    void sealed(Env& env);
    void stored(Env& env, WorkerNumber number, Slot& slot, Revision revision);
    void lost(Env& env, WorkerNumber number, Slot& slot, const CasWrite::Outcome& outcome);
    void outcome(Env& env, WorkerNumber number, Slot& slot, const CasWrite::Outcome& outcome);
    void head_outcome(Env& env, const CasWrite::Outcome& outcome);
    void index(Slot& slot, const std::vector<Revoking>& keep_since);
    bool acknowledged(const Env& env, WorkerNumber number, const AssignmentRecord& record, Fence since) const;

    std::vector<Member> members(Env& env, const Session& session);
    void suspects(Env& env, Session& session, Membership& membership);
    void reconcile(Env& env, Session& session);
    std::vector<bool> blocked(Env& env);
    void find_doubly_listed(Env& env);
    bool everyone_heard(Env& env) const;
    bool overtaken(Env& env);
    // `gains`: what the record lists is now gained by its session, which may not have had all of it.
    bool keep_and_revoke(const Env& env, WorkerNumber number, const Slot& slot, bool gains, AssignmentRecord& next) const;
    void publish(Env& env, Session& session, WorkerNumber number, Slot& slot, const std::vector<std::uint32_t>& gains);
    void write_slot(Env& env, WorkerNumber number, Slot& slot, AssignmentRecord record, Revision expected);
    void write_head(Env& env, Session& session, const std::vector<Member>& members);
    void time_limits(Env& env, Session& session, Membership& membership);
    std::vector<WorkerNumber> choose_standbys(Env& env, const Session& session, const std::vector<Member>& members) const;

    Phase phase_ = Phase::off;
    HeadRecord head_;  // as confirmed
    Revision head_revision_ = 0;
    CasWrite head_write_;
    std::optional<HeadRecord> head_pending_;
    std::uint64_t version_ = 0;
    std::vector<Slot> slots_;
    Planner planner_;
    bool cautious_ = false;     // after a history loss: nothing is granted before every session has been heard of
    std::vector<bool> doubly_;  // by partition: several records list it, and nobody can say who holds it
    MassFailure mass_failure_;
    LeaderMetrics metrics_;
    std::uint32_t major_ = kRecordMajor;  // that every living worker reads
    bool said_all_drained_ = false;
    bool frozen_ = false;
    bool dirty_ = false;
    Instant next_look_{};
    Instant last_look_{};
    bool busy_ = false;  // something unpublished or unacknowledged
    bool emergency_ = false;
    std::uint64_t highest_slot_wanted_ = 0;
    Instant stand_again_at_{};
};

}  // namespace parti::core
