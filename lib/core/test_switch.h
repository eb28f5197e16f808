// PARTI_BROKEN and PARTI_STEPPED: where the tests of the checker reach into the core. Nothing of it is in the library.
//
// Role      The core's sources are built twice: as the library, where PARTI_BROKEN(x) is `false` and PARTI_STEPPED(...) is
//           nothing, so that neither leaves a symbol, a string or a read behind; and with PARTI_TEST_BREAKAGE for
//           test/simulation, where one of the breakages below can be switched on. Each leaves out one rule of docs/PROTOCOL.md;
//           the simulation's invariants must notice.
// Model     A breakage is the rule's absence and nothing else: a guard that is not asked, a wait that is not waited, an
//           expectation that is not checked. An assertion that would fire before an invariant can see it names the breakage too.
// Threads   The switch is one value of the process; set it before the first step.
// Cost      None in the library.
#pragma once

#if defined(PARTI_TEST_BREAKAGE)

#include <cstdint>

// Name, and what it leaves out or does instead. test/simulation/breakages.txt says who must notice.
#define PARTI_BREAKAGES(X)                                                                                \
    X(lease_counted_from_last_attempt, "R-3: the deadline is counted from the last attempt")              \
    X(lease_counted_from_answer, "R-3: the deadline is counted from the answer")                          \
    X(deadline_without_margin, "R-3: holder and suspecter both count ttl, without a margin")              \
    X(death_before_ttl, "R-3: a session is declared dead before its ttl is over")                         \
    X(silence_by_own_timing, "R-3: a session is suspected by the suspecter's timing, not its own")        \
    X(silence_is_death, "R-3: silence counts as death, nothing is written")                               \
    X(death_before_confirmation, "R-3: dead as soon as the write is on its way")                          \
    X(death_unconditional, "R-1: death is written whatever the lease says by then")                       \
    X(evicted_is_gone_at_once, "R-3: an evicted session counts as gone without ttl + margin")             \
    X(vanished_lease_is_gone, "R-3: a lease record that is not there counts as dead at once")             \
    X(unconditional_renewal, "R-1: renewals expect nothing, and a foreign record is renewed over (W10)")  \
    X(claim_unconditional, "R-1: a claim expects nothing (W10)")                                          \
    X(claim_without_waiting, "R-4: a lease is claimed although it has not been silent")                   \
    X(claim_marker_at_once, "R-4: a number whose lease was removed is claimed without waiting")           \
    X(incarnation_not_raised, "R-4: a claim takes the incarnation it found")                              \
    X(incarnation_from_lease_only, "R-4: a claim does not look at the assignment record's incarnation")   \
    X(behind_taken_as_gone, "R-4a: a lease view that is behind the record frees what the record lists")   \
    X(record_for_another_applied, "R-4a: a record for another incarnation is applied")                    \
    X(epoch_not_raised, "R-5: a new leader goes on in the old epoch, versions restart at 0 (W12)")        \
    X(epochs_ignored, "R-5: a worker compares versions and ignores epochs (W12)")                         \
    X(head_unconditional, "R-5: head is written whatever it says by then (W9)")                           \
    X(no_sealing, "R-5: a new leader takes the records as it sees them")                                  \
    X(sealing_blind, "R-5: sealing writes again over what the old leader wrote in between")               \
    X(slots_before_head, "R-5: a record is created before the head that covers it is confirmed")          \
    X(deposed_leader_goes_on, "R-5: neither head nor a higher epoch ends a leadership (W8, W9)")          \
    X(older_update_wins, "R-5: an update that was overtaken is applied all the same (W13)")               \
    X(wrong_revision_taken_as_lost, "R-2: a conflict after several attempts counts as lost")              \
    X(wrong_revision_taken_as_stored, "R-2: a conflict counts as stored")                                 \
    X(rejection_taken_as_lost, "R-2: a rejection counts as not stored, whatever earlier attempts did")    \
    X(own_write_not_recognised, "R-2: a conflict with the own earlier attempt counts as lost")            \
    X(late_answer_taken_as_this, "R-2: an answer to an earlier write counts for the present one")         \
    X(grant_without_waiting, "R-6: partitions are granted while their holder has them (W6)")              \
    X(acknowledgement_not_awaited, "R-6: what is revoked counts as free at once (W6)")                    \
    X(revoking_dropped_early, "R-6: revoking entries go with the next write, acknowledged or not")        \
    X(grant_while_unanswered, "R-6: a write that may add the partition does not hold it back")            \
    X(own_worker_shortcut, "R-6: the leader's own worker counts as having acknowledged")                  \
    X(acknowledged_before_release, "R-6: a loss is acknowledged before it is released")                   \
    X(regained_without_release, "R-6: a partition given back while it drains is owned at once")           \
    X(session_lives_again, "R-7: an answer after the deadline extends the session")                       \
    X(lost_lease_goes_on, "R-7: a worker that cannot renew goes on working (W11)")                        \
    X(gains_while_giving_back, "R-7: a worker that gives everything back takes new work")                 \
    X(new_incarnation_while_draining, "R-7: a new incarnation is written before everything is released")  \
    X(released_while_draining, "R-7: a worker that leaves says released before it is")                    \
    X(suspected_on_first_sight, "R-10: a new leader does not observe the leases it did not watch before") \
    X(membership_by_count, "R-10: membership is compared by count (W14)")                                 \
    X(failed_plan_not_retried, "R-10: a plan that failed is not tried again (W7)")                        \
    X(lost_write_not_retried, "R-10: a record that was not written is taken as written")                  \
    X(plans_for_the_dead, "R-10: sessions that ended are planned for (W15)")                              \
    X(new_leader_starts_anew, "R-10: a new leader does not inherit, it cold-starts (W15)")                \
    X(unreadable_taken_as_empty, "R-5: what an unreadable record may have held is granted at once")       \
    X(history_loss_ignored, "R-11: a session goes on over a stream that was lost")                        \
    X(floor_not_carried, "R-11: the highest epoch ever seen is not told")

namespace parti::core {

enum class Breakage : std::uint8_t {
    none,
#define PARTI_BREAKAGE_NAME(name, text) name,
    PARTI_BREAKAGES(PARTI_BREAKAGE_NAME)
#undef PARTI_BREAKAGE_NAME
};

inline Breakage active_breakage = Breakage::none;

// An expectation that the simulated store takes as "whatever is there".
inline constexpr std::uint64_t kAnyRevision = ~std::uint64_t{0};

// What the machines were in when an event came; test/simulation/state_matrix prints it and judges it. What an event is to a
// machine: its type, and what matters of its content.
enum class Machine : std::uint8_t { worker, session, assignee, election, leader, cas_write };
enum class Happening : std::uint8_t {
    start,
    stop,
    tick,
    own_lease,
    other_lease,
    head,
    own_record,
    other_record,
    control,
    marker,
    unreadable,
    snapshot_done,
    history_lost,
    done,
    wrong_revision,
    no_information,
    fetched,
    fetched_nothing,
    partitions_changed,
    release_done,
    link_up,
    link_down,
    session_lapsed,
    // of a CasWrite only
    late_answer,
    entry_of_mine,
    entry_of_another,
    overdue,
};
inline void (*stepped)(Machine machine, unsigned state, Happening kind) = nullptr;

}  // namespace parti::core

#define PARTI_ANY_BROKEN() (::parti::core::active_breakage != ::parti::core::Breakage::none)
#define PARTI_BROKEN(name) (::parti::core::active_breakage == ::parti::core::Breakage::name)
#define PARTI_STEPPED(machine, state, kind)                                                              \
    do {                                                                                                 \
        if (::parti::core::stepped != nullptr) {                                                         \
            ::parti::core::stepped(::parti::core::Machine::machine, static_cast<unsigned>(state), kind); \
        }                                                                                                \
    } while (false)

#else

#define PARTI_ANY_BROKEN() false
#define PARTI_BROKEN(name) false
#define PARTI_STEPPED(machine, state, kind) static_cast<void>(0)

#endif
