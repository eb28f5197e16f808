#include "core/cas_write.h"

#include "base/assert.h"
#include "core/test_switch.h"

namespace parti::core {

std::optional<WriteId> write_id(const RecordValue& value) {
    if (const auto* lease = std::get_if<LeasePtr>(&value)) return (*lease)->id;
    if (const auto* head = std::get_if<HeadPtr>(&value)) return (*head)->id;
    if (const auto* assignment = std::get_if<AssignmentPtr>(&value)) return (*assignment)->id;
    return std::nullopt;
}

void CasWrite::begin(Env& env, Request request) {
    PARTI_ASSERT(state_ == State::idle);
    PARTI_ASSERT(write_id(request.record) == request.id);
    request_ = std::move(request);
    state_ = State::in_flight;
    operation_ = env.next_operation++;
    attempts_ = 0;
    conflict_ = 0;
    last_refusal_.clear();
    first_sent_ = env.now;
    send(env);
}

void CasWrite::send(Env& env) {
    ++attempts_;
    if (PARTI_BROKEN(lease_counted_from_last_attempt) && request_.bucket == Bucket::lease) first_sent_ = env.now;
    next_try_ = env.now + request_.attempt;
    env.wake_at(next_try_);
    env.emit(Put{{operation_, attempts_}, request_.bucket, request_.key, request_.expected, request_.record});
}

void CasWrite::look(Env& env, Instant when) {
    state_ = State::resolving;
    next_try_ = when;
    if (env.now >= when) {
        env.emit(Fetch{{operation_, attempts_}, request_.bucket, request_.key});
        next_try_ = env.now + request_.attempt;
    }
    env.wake_at(next_try_);
}

CasWrite::Outcome CasWrite::finish(Outcome outcome) {
    state_ = State::idle;
    request_.record = Absent{};
    return outcome;
}

std::optional<CasWrite::Outcome> CasWrite::judge(const Entry& entry) {
    if (write_id(entry.value) == request_.id && !PARTI_BROKEN(own_write_not_recognised))
        return finish({Kind::stored, entry.revision, std::nullopt});
    if (state_ != State::resolving) return std::nullopt;
    if (entry.revision != 0 && entry.revision < conflict_) return std::nullopt;
    return finish({Kind::lost, entry.revision, entry});
}

std::optional<CasWrite::Outcome> CasWrite::on_answer(Env& env, const WriteAnswered& answer) {
    if (state_ == State::idle) return std::nullopt;
    const bool this_one = answer.token.operation == operation_;
    if (this_one) {
        PARTI_STEPPED(cas_write, state_,
                      answer.token.attempt != attempts_              ? Happening::late_answer
                      : answer.result == WriteResult::done           ? Happening::done
                      : answer.result == WriteResult::wrong_revision ? Happening::wrong_revision
                                                                     : Happening::no_information);
    }
    if (!this_one && !(PARTI_BROKEN(late_answer_taken_as_this) && answer.token.operation < operation_)) return std::nullopt;
    switch (answer.result) {
        case WriteResult::done: return finish({Kind::stored, answer.revision, std::nullopt});
        case WriteResult::no_information:
            last_refusal_ = answer.detail;
            if (PARTI_BROKEN(rejection_taken_as_lost)) return finish({Kind::lost, 0, std::nullopt});
            return std::nullopt;  // on_time repeats it
        case WriteResult::wrong_revision: break;
    }
    if (answer.revision != 0 && answer.revision < request_.expected) {
        env.emit(Distrust{request_.bucket, "a key's last revision is " + std::to_string(answer.revision) + ", " +
                                               std::to_string(request_.expected) + " was seen before"});
    }
    if (PARTI_BROKEN(wrong_revision_taken_as_stored)) return finish({Kind::stored, answer.revision, std::nullopt});
    if (PARTI_BROKEN(wrong_revision_taken_as_lost)) return finish({Kind::lost, answer.revision, std::nullopt});
    if (state_ == State::resolving) {
        conflict_ = std::max(conflict_, answer.revision);
        return std::nullopt;
    }
    conflict_ = answer.revision;
    if (attempts_ == 1 && request_.on_conflict == OnConflict::just_tell) {
        return finish({Kind::lost, answer.revision, std::nullopt});
    }
    // After one attempt the watch is about to tell; after several an answer was lost and it may be late.
    look(env, attempts_ == 1 ? env.now + request_.attempt / 4 : env.now);
    return std::nullopt;
}

std::optional<CasWrite::Outcome> CasWrite::on_fetch(Env& env, const FetchAnswered& answer) {
    if (state_ != State::resolving || answer.token.operation != operation_ || !answer.entry) return std::nullopt;
    (void)env;
    PARTI_STEPPED(cas_write, state_, Happening::fetched);
    return judge(*answer.entry);
}

std::optional<CasWrite::Outcome> CasWrite::on_entry(Env& env, const Entry& entry) {
    (void)env;
    if (state_ == State::idle || entry.bucket != request_.bucket || entry.key != request_.key) return std::nullopt;
    PARTI_STEPPED(cas_write, state_,
                  write_id(entry.value) == request_.id ? Happening::entry_of_mine : Happening::entry_of_another);
    return judge(entry);
}

void CasWrite::on_time(Env& env) {
    if (state_ == State::idle) return;
    if (env.now < next_try_) {
        env.wake_at(next_try_);
        return;
    }
    PARTI_STEPPED(cas_write, state_, Happening::overdue);
    if (state_ == State::in_flight) {
        send(env);
    } else {
        look(env, env.now);
    }
}

}  // namespace parti::core
