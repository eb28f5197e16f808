// Membership: which sessions are there, and which are certainly gone.
//
// Model     Silence is a suspicion; death is a write: a lease that has not changed for ttl + margin gets `dead` written
//           into it, and only when that is confirmed is its session gone. Used by the leader for everybody and by a candidate for
//           the leader.
// Cost      One write object per suspected session.
// Source    R-3, R-4a, R-6.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/cas_write.h"
#include "core/env.h"
#include "core/session.h"

namespace parti::core {

enum class Fate : std::uint8_t {
    alive,   // or not known to be gone
    behind,  // my view of the lease is older than the record that names the session: wait for the watch
    gone,    // dead, released or replaced: holds nothing
};

class Membership {
public:
    // The session that an assignment record or head names.
    static Fate fate(Env& env, WorkerNumber number, Incarnation incarnation, SessionId session);
    // Its lease, when it is the present holder's and was not ended.
    static const LeaseRecord* living(const Env& env, WorkerNumber number);

    // Writes `dead` for the named session when its lease has been silent for long enough (or asks to be woken then). `patience`
    // is added. Also for a lease that vanished or, after a history loss, is of an older session. True when a write is in the air.
    bool suspect(Env& env, Session& session, WorkerNumber number, Incarnation incarnation, SessionId id, Duration patience);
    // Writes `evicted` into a living lease, and says why; not into one that has changed since it was last seen.
    void evict(Env& env, Session& session, WorkerNumber number, const std::string& why);

    void on_answer(Env& env, const WriteAnswered& answer);
    void on_fetch(Env& env, const FetchAnswered& answer);
    void on_entry(Env& env, const Entry& entry);
    void advance(Env& env);
    void clear() {
        writes_.clear();
        retry_at_ = {};
    }
    bool busy() const { return !writes_.empty(); }
    std::size_t open_writes() const { return writes_.size(); }

private:
    void begin(Env& env, WorkerNumber number, LeaseRecord record, Revision expected);
    void finish(Env& env, WorkerNumber number, const CasWrite::Outcome& outcome);

    std::map<WorkerNumber, CasWrite> writes_;
    // a write was refused by an older revision: the view is of a lost history, and the watch is about to tell
    Instant retry_at_{};
};

}  // namespace parti::core
