// Election: who stands for leadership, and when.
//
// Model     There is no leader lease: leadership is `head` plus the ordinary lease of the worker it names. A worker may
//           lead when head is missing, resigned, or names an incarnation that is dead, released or replaced. Who suspects the
//           leader writes its death first. Standbys named in head stand first, a few ms apart; when all of them have left,
//           whoever is there, by number; everybody else later, with jitter. Standing is a compare-and-set write of head with an
//           epoch above everything seen. A head that is not readable is never overwritten: it is an error event, and nobody
//           stands.
// Source   .
#pragma once

#include <optional>

#include "core/cas_write.h"
#include "core/env.h"
#include "core/leader.h"
#include "core/membership.h"
#include "core/session.h"

namespace parti::core {

class Election {
public:
    // Wants to see everything: it suspects the leader or is about to stand.
    bool wants_wide() const { return wants_wide_; }
    bool busy() const { return write_.busy(); }
#if defined(PARTI_TEST_BREAKAGE)
    unsigned writing() const { return static_cast<unsigned>(writing_); }
#endif

    void on_answer(Env& env, Leader& leader, const WriteAnswered& answer);
    void on_fetch(Env& env, Leader& leader, const FetchAnswered& answer);
    void on_entry(Env& env, Leader& leader, const Entry& entry);
    void advance(Env& env, Session& session, Leader& leader, Membership& membership, bool knows_partitions);
    // The leader leaves: somebody else may stand while it drains.
    void resign(Env& env, Session& session, Leader& leader);
    void session_ended();

private:
    enum class Writing : std::uint8_t { nothing, standing, resigning };
    bool leader_gone(Env& env, Session& session, Membership& membership);
    Duration rank_delay(Env& env, const Session& session);
    static bool lost_history(const Env& env);
    void stand(Env& env, Session& session);
    void outcome(Env& env, Leader& leader, const CasWrite::Outcome& outcome);

    CasWrite write_;
    Writing writing_ = Writing::nothing;
    HeadRecord pending_;
    bool pending_doubt_ = false;  // the records are older than what workers know
    bool wants_wide_ = false;
    std::optional<Instant> gone_since_;  // nobody leads
    Revision gone_head_ = 0;             // the head that gone_since_ is about
    std::optional<Duration> jitter_;
    std::optional<Instant> missing_since_;  // the leader's lease record was not there when everything asked for was
    Revision reported_ = 0;                 // unreadable head that was reported
};

}  // namespace parti::core
