// CasWrite: one compare-and-set write of one key, from its first attempt to its certain outcome.
//
// Model     idle -> in_flight -> (resolving ->) idle. An attempt without an answer is repeated, byte-identical and with the same
//           expectation. "Wrong revision" decides at once when there was only one attempt; after several it may be this very
//           write that moved the revision, so the key's present value is looked at (from the watch, or fetched): if it carries
//           this write's id, it happened. Any other rejection says nothing.
// Errors    None: the outcome is stored (at a revision) or lost (somebody else's write is there now, or was there in between).
// Cost      One record pointer.
#pragma once

#include <optional>
#include <string>

#include "core/env.h"

namespace parti::core {

class CasWrite {
public:
    enum class Kind : std::uint8_t { stored, lost };
    struct Outcome {
        Kind kind = Kind::lost;
        Revision revision = 0;       // stored: of this write. lost: the key's last one that is known (0 = not known)
        std::optional<Entry> entry;  // lost: the key's present value when it was looked at
    };
    enum class OnConflict : std::uint8_t {
        just_tell,  // the caller does not need the present value
        look,       // the outcome carries it
    };
    struct Request {
        Bucket bucket = Bucket::lease;
        Key key;
        Revision expected = 0;
        RecordValue record;
        WriteId id;
        Duration attempt{};  // an attempt without an answer is repeated after this long
        OnConflict on_conflict = OnConflict::look;
    };

    // Requires: idle.
    void begin(Env& env, Request request);
    bool busy() const { return state_ != State::idle; }
    // Forget it: it may still happen.
    void abandon() {
        state_ = State::idle;
        request_ = {};
    }

    std::optional<Outcome> on_answer(Env& env, const WriteAnswered& answer);
    std::optional<Outcome> on_fetch(Env& env, const FetchAnswered& answer);
    std::optional<Outcome> on_entry(Env& env, const Entry& entry);
    // Repeats what is overdue.
    void on_time(Env& env);

    Instant first_sent() const { return first_sent_; }
    const Request& request() const { return request_; }
    std::uint32_t attempts() const { return attempts_; }
    // What the last attempt that told nothing was told: "", or for example that the record is too long.
    const std::string& last_refusal() const { return last_refusal_; }

private:
    enum class State : std::uint8_t { idle, in_flight, resolving };
    void send(Env& env);
    void look(Env& env, Instant when);
    std::optional<Outcome> judge(const Entry& entry);
    Outcome finish(Outcome outcome);

    State state_ = State::idle;
    Request request_;
    std::uint64_t operation_ = 0;
    std::uint32_t attempts_ = 0;
    Revision conflict_ = 0;
    Instant first_sent_{};
    Instant next_try_{};
    std::string last_refusal_;
};

// The id of the write that left this value; nothing for values without one.
std::optional<WriteId> write_id(const RecordValue& value);

}  // namespace parti::core
