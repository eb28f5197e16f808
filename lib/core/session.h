// Session: one worker's number - claiming it, renewing it, stopping in time, giving it back.
//
// Model     idle -> claiming -> held -> (relinquishing ->) over -> claiming ...; or -> leaving -> gone.
//           claiming       looks for a free number and writes `live` into its lease record
//           held           renews; tokens are valid until the deadline (first attempt of the last confirmed write + ttl - margin,
//
//           relinquishing  stop_budget before the deadline: everything is revoked; the session is not renewed any more
//           over           the session has ended for ever; what it held is still being released; then claims again, preferring
//                          its own number with the next incarnation, which tells the leader at once that nothing is held
//           leaving        graceful: the lease says draining, then released
//           gone           final
// Rules    , R-4a, R-7, R-11. Under policy keep the deadline does not end the session (Degraded).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/cas_write.h"
#include "core/env.h"

namespace parti::core {

class Session {
public:
    enum class Phase : std::uint8_t { idle, claiming, held, relinquishing, over, leaving, gone };

    Phase phase() const { return phase_; }
    // A number is held and its tokens may be valid.
    bool live() const { return phase_ == Phase::held || phase_ == Phase::relinquishing || (phase_ == Phase::leaving && tokens_); }
    // May take new work, and lead.
    bool steady() const { return phase_ == Phase::held && !degraded_; }
    bool degraded() const { return degraded_; }
    bool wants_wide() const { return phase_ == Phase::claiming; }
    WorkerNumber number() const { return number_; }
    Incarnation incarnation() const { return incarnation_; }
    SessionId id() const { return id_; }
    Instant deadline() const { return deadline_; }
    bool writing() const { return write_.busy(); }
    WriteId next_write_id() { return {id_, ++sequence_}; }

    void start(Env& env);
    void leave(Env& env);
    // The records of the lease bucket are void: whether the session can go on depends on what is there now.
    void history_lost(Env& env);

    // The process was stopped for a while: what it knows is old.
    void stalled(Env& env);
    // The user was told that this session is over.
    void lapsed(Env& env, SessionId session);

    // First thing in every step: whatever comes in late finds the session ended.
    void expire(Env& env);
    void on_answer(Env& env, const WriteAnswered& answer);
    void on_fetch(Env& env, const FetchAnswered& answer);
    void on_entry(Env& env, const Entry& entry);
    void set_applied(Fence applied) { applied_ = applied; }
    // holding: the assignee still holds something, owned or draining.
    void advance(Env& env, bool holding);
    // Ends the session at once.
    void fence(Env& env, const std::string& why);

private:
    struct Candidate {
        WorkerNumber number;
        Revision expected = 0;
        Incarnation incarnation;
    };
    enum class Writing : std::uint8_t { nothing, claim, renewal, release };

    void outcome(Env& env, const CasWrite::Outcome& outcome);
    void claimed(Env& env, Revision revision);
    void try_claim(Env& env);
    void open_window(const Env& env);
    void claim_lost(const Env& env, Revision revision);
    void look_up(Env& env);
    void found(Env& env, const Entry& entry);
    void give_up(Env& env, const std::string& why);
    std::optional<Candidate> choose(Env& env);
    bool claimable(Env& env, WorkerNumber number, Candidate& out, bool& at_once);
    bool wait_for_instance(Env& env);
    bool trusts(const Env& env, const LeaseRecord& record) const;
    void renewal_refused(Env& env);
    bool taken_over_by(Env& env, const LeaseRecord& record);
    void renew(Env& env);
    void write_release(Env& env);
    void end(Env& env, const std::string& why);
    LeaseRecord record(Env& env, LeaseState state);
    void begin_write(Env& env, Writing what, LeaseRecord record, Revision expected);

    Phase phase_ = Phase::idle;
    bool tokens_ = false;  // SessionStarted was said and SessionEnded was not
    bool degraded_ = false;
    WorkerNumber number_;
    Incarnation incarnation_;
    SessionId id_;
    std::uint64_t sequence_ = 0;
    Revision revision_ = 0;  // of the own record, as last confirmed
    Instant deadline_{};
    Instant last_renewal_{};
    Fence applied_;
    LeaseState told_state_ = LeaseState::live;  // in the last write begun
    Fence told_applied_;
    Epoch told_floor_;
    // After a history loss: the own record is fetched, and nothing is written before it has come.
    bool looking_ = false;
    std::uint64_t look_operation_ = 0;
    Instant look_at_{};
    bool renew_now_ = false;
    CasWrite write_;
    Writing writing_ = Writing::nothing;
    Candidate claim_;
    // A record that carries this session is our own and holds nothing: free at once.
    SessionId own_stale_;
    WorkerNumber own_stale_number_;
    Incarnation highest_own_;
    std::uint32_t window_ = 0;
    Instant retry_at_{};
    Instant leave_by_{};
    bool said_full_ = false;
    // The configured instance name, while somebody else's record carries it.
    Revision instance_revision_ = 0;
    Instant instance_seen_at_{};
    bool instance_refused_ = false;
    SessionId abandoned_;    // of a claim that was given up and may still be stored
    bool replaced_ = false;  // by another process with the same instance name: this worker does not claim again
};

}  // namespace parti::core
