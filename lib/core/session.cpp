#include "core/session.h"

#include <algorithm>

#include "base/assert.h"
#include "core/test_switch.h"

namespace parti::core {

namespace {

std::string label(WorkerNumber number) { return std::to_string(number.value); }

}  // namespace

void Session::start(Env& env) {
    PARTI_ASSERT(phase_ == Phase::idle);
    phase_ = Phase::claiming;
    open_window(env);
    env.again = true;
}

void Session::leave(Env& env) {
    leave_by_ = env.now + env.config.timing.shutdown_timeout;
    switch (phase_) {
        case Phase::idle: phase_ = Phase::gone; break;
        case Phase::claiming:
            if (!write_.busy()) phase_ = Phase::gone;
            else phase_ = Phase::leaving;
            break;
        case Phase::held:
        case Phase::relinquishing:
        case Phase::over: phase_ = Phase::leaving; break;
        case Phase::leaving:
        case Phase::gone: break;
    }
    env.again = true;
}

void Session::end(Env& env, const std::string& why) {
    if (tokens_) {
        tokens_ = false;
        ++env.stats.sessions_lost;
        env.emit(SessionEnded{why});
    }
    degraded_ = false;
    looking_ = false;
    own_stale_ = id_;
    own_stale_number_ = number_;
    highest_own_ = std::max(highest_own_, incarnation_);
    write_.abandon();
    writing_ = Writing::nothing;
    if (phase_ != Phase::leaving) phase_ = Phase::over;
    env.again = true;
}

void Session::fence(Env& env, const std::string& why) {
    if (!live()) return;
    env.note_error(Errc::lease_lost,
                   "worker " + label(number_) + " incarnation " + std::to_string(incarnation_.value) + ": " + why);
    end(env, why);
}

// The watch tells who wrote; until then nothing of this session may go on.
void Session::renewal_refused(Env& env) {
    const SeenLease* seen = env.view.lease(number_);
    if (seen != nullptr && seen->record && taken_over_by(env, *seen->record)) return;
    fence(env, "its lease record was changed by another");
}

bool Session::taken_over_by(Env& env, const LeaseRecord& record) {
    if (env.config.instance.empty() || instance_refused_ || record.instance != env.config.instance) return false;
    if (record.state != LeaseState::live || record.session == id_ || record.session == own_stale_ || record.session == abandoned_)
        return false;
    replaced_ = true;
    env.note_error(Errc::instance_replaced, "worker " + label(number_) +
                                                " was taken over by another process with instance name '" + env.config.instance +
                                                "'; this worker stops");
    if (live()) end(env, "another process with the same instance name took its number");
    return true;
}

void Session::history_lost(Env& env) {
    if (PARTI_BROKEN(history_loss_ignored)) return;
    if (phase_ == Phase::claiming) {
        if (write_.busy()) abandoned_ = id_;
        write_.abandon();
        writing_ = Writing::nothing;
    }
    if (phase_ == Phase::held || phase_ == Phase::leaving) look_up(env);
    if (phase_ == Phase::over || phase_ == Phase::relinquishing) revision_ = 0;
}

void Session::stalled(Env& env) {
    retry_at_ = std::max(retry_at_, env.now + env.config.timing.heartbeat);
    if (revision_ != 0 && (phase_ == Phase::held || phase_ == Phase::leaving)) look_up(env);
}

// A stale expectation could fit in the new history by chance: nothing is written before the record that is there now has been
// seen.
void Session::look_up(Env& env) {
    write_.abandon();
    writing_ = Writing::nothing;
    looking_ = true;
    look_operation_ = env.next_operation++;
    look_at_ = env.now;
    env.again = true;
}

void Session::found(Env& env, const Entry& entry) {
    looking_ = false;
    env.again = true;
    const auto* lease = std::get_if<LeasePtr>(&entry.value);
    const bool own = lease != nullptr && (*lease)->session == id_;
    if (own && ((*lease)->state == LeaseState::live || (*lease)->state == LeaseState::draining)) {
        if (entry.revision < revision_) {
            env.note_error(Errc::wrong_revision, "the lease record of worker " + label(number_) +
                                                     " went back to an older one (revision " + std::to_string(entry.revision) +
                                                     "); the session goes on from there");
        }
        revision_ = entry.revision;
        renew_now_ = true;
        return;
    }
    const bool overwritten = entry.revision > revision_;  // no loss: somebody wrote over it
    revision_ = 0;
    if (phase_ == Phase::leaving && !tokens_) return;
    if (overwritten && lease == nullptr) {
        fence(env, "its lease record was removed or overwritten by something that is not a lease");
        return;
    }
    if (lease != nullptr && taken_over_by(env, **lease)) return;
    if (lease != nullptr && (own || ((*lease)->state != LeaseState::released && (*lease)->state != LeaseState::dead))) {
        fence(env, "its lease record was lost and says " + std::string(to_string((*lease)->state)) + ", incarnation " +
                       std::to_string((*lease)->incarnation.value) + " now");
    } else {
        give_up(env, "its lease record was lost");
    }
}

// The session cannot be renewed any more: everything is given back while its tokens last.
void Session::give_up(Env& env, const std::string& why) {
    env.note_error(Errc::lease_lost, "worker " + label(number_) + " incarnation " + std::to_string(incarnation_.value) + ": " +
                                         why + "; giving everything back");
    if (phase_ == Phase::held) phase_ = Phase::relinquishing;
}

void Session::expire(Env& env) {
    if (!tokens_ || env.now < deadline_) return;
    if (PARTI_BROKEN(session_lives_again) && phase_ == Phase::held) return;
    if (env.config.policy == Policy::keep && phase_ != Phase::leaving) {
        if (!degraded_) {
            degraded_ = true;
            env.note(LogLevel::warning,
                     "lease of worker " + label(number_) + " could not be renewed in time; policy keep: going on");
        }
        return;
    }
    if (phase_ != Phase::leaving) {
        env.note(LogLevel::warning, "lease of worker " + label(number_) + " ran out; the session has ended");
    }
    end(env, "the lease ran out");
}

void Session::lapsed(Env& env, SessionId session) {
    if (!tokens_ || session != id_) return;
    env.note(LogLevel::warning, "lease of worker " + label(number_) +
                                    " was renewed after its deadline had been seen to pass; the session has ended");
    end(env, "the lease ran out");
}

void Session::on_answer(Env& env, const WriteAnswered& answer) {
    if (const auto done = write_.on_answer(env, answer)) outcome(env, *done);
}

void Session::on_fetch(Env& env, const FetchAnswered& answer) {
    if (looking_ && answer.token.operation == look_operation_) {
        if (answer.entry) found(env, *answer.entry);
        return;
    }
    if (const auto done = write_.on_fetch(env, answer)) outcome(env, *done);
}

void Session::on_entry(Env& env, const Entry& entry) {
    if (const auto done = write_.on_entry(env, entry)) {
        outcome(env, *done);
        return;
    }
    if (!live() || looking_ || entry.bucket != Bucket::lease || entry.key != worker_key(number_)) return;
    if (entry.revision != 0 && entry.revision <= revision_) return;
    const auto* lease = std::get_if<LeasePtr>(&entry.value);
    if (lease != nullptr && (*lease)->id.writer == id_) return;  // our own write; its answer is on the way
    if (PARTI_BROKEN(unconditional_renewal) || PARTI_BROKEN(lost_lease_goes_on)) return;
    if (lease == nullptr) {
        fence(env, "its lease record was removed or overwritten by something that is not a lease");
    } else if (!taken_over_by(env, **lease)) {
        fence(env, "its lease record says " + std::string(to_string((*lease)->state)) + ", incarnation " +
                       std::to_string((*lease)->incarnation.value) + ", written by another");
    }
}

LeaseRecord Session::record(Env& env, LeaseState state) {
    LeaseRecord out;
    out.id = next_write_id();
    out.incarnation = incarnation_;
    out.session = id_;
    out.state = state;
    out.instance = instance_refused_ ? std::string() : env.config.instance;
    out.process = env.process;
    out.applied = applied_;
    out.floor = PARTI_BROKEN(floor_not_carried) ? Epoch{} : env.floor;
    out.capacity = env.config.capacity;
    out.zone = env.config.zone;
    out.speaks = env.speaks;
    const Duration silence = env.config.timing.ttl + env.config.timing.margin;
    out.silence_ms = static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(silence).count());
    return out;
}

void Session::begin_write(Env& env, Writing what, LeaseRecord record, Revision expected) {
    writing_ = what;
    told_state_ = record.state;
    told_applied_ = record.applied;
    told_floor_ = record.floor;
    renew_now_ = false;
    CasWrite::Request request;
    request.key = worker_key(number_);
    request.bucket = Bucket::lease;
    request.expected = expected;
    request.id = record.id;
    request.record = std::make_shared<const LeaseRecord>(std::move(record));
    request.attempt = env.lease_attempt();
    request.on_conflict = CasWrite::OnConflict::just_tell;
#if defined(PARTI_TEST_BREAKAGE)
    if (PARTI_BROKEN(unconditional_renewal) && what == Writing::renewal) request.expected = kAnyRevision;
    if (PARTI_BROKEN(claim_unconditional) && what == Writing::claim) request.expected = kAnyRevision;
#endif
    write_.begin(env, std::move(request));
}

// ---- after a write ----------------------------------------------------------------------------------------------------------

void Session::outcome(Env& env, const CasWrite::Outcome& outcome) {
    const Writing what = writing_;
    writing_ = Writing::nothing;
    env.again = true;
    if (write_.attempts() > 1) env.stats.renewal_retries += write_.attempts() - 1;
    if (outcome.kind == CasWrite::Kind::lost) {
        if (outcome.entry) env.view.learn(*outcome.entry, env.now);
        env.view.outdated(Bucket::lease, worker_key(number_), outcome.revision);
        switch (what) {
            case Writing::claim:
                claim_lost(env, outcome.revision);
                if (phase_ == Phase::leaving) phase_ = Phase::gone;
                break;
            case Writing::renewal:
                // A revision below one that was confirmed: the store went back (or does not say which it is).
                if (live() && outcome.revision < revision_) look_up(env);
                else renewal_refused(env);
                break;
            case Writing::release: phase_ = Phase::gone; break;
            case Writing::nothing: break;
        }
        return;
    }
    switch (what) {
        case Writing::claim: claimed(env, outcome.revision); break;
        case Writing::renewal: {
            revision_ = outcome.revision;
            ++env.stats.renewals;
            env.stats.renewal_time += env.now - write_.first_sent();
            env.stats.renewal_time_max = std::max(env.stats.renewal_time_max, env.now - write_.first_sent());
            if (phase_ != Phase::held && phase_ != Phase::leaving) break;
            const Instant next = (PARTI_BROKEN(lease_counted_from_answer) ? env.now : write_.first_sent()) + env.lease_span();
            if (!tokens_ || next <= deadline_) break;
            deadline_ = next;
            if (env.config.policy == Policy::keep) {
                if (env.now < deadline_) degraded_ = false;
            } else {
                env.emit(LeaseExtended{deadline_});
            }
            break;
        }
        case Writing::release: phase_ = Phase::gone; break;
        case Writing::nothing: break;
    }
}

// ---- time -------------------------------------------------------------------------------------------------------------------

void Session::renew(Env& env) {
    if (write_.busy() || looking_) return;
    const LeaseState state = phase_ == Phase::leaving ? LeaseState::draining : LeaseState::live;
    const bool floor_rose = env.lost_epoch.value != 0 && told_floor_ < env.floor;
    const bool news = told_state_ != state || told_applied_ != applied_ || floor_rose || renew_now_;
    if (!news && !env.due(last_renewal_ + env.config.timing.heartbeat)) return;
    last_renewal_ = env.now;
    begin_write(env, Writing::renewal, record(env, state), revision_);
}

void Session::write_release(Env& env) {
    if (revision_ == 0) {
        phase_ = Phase::gone;
        env.again = true;
        return;
    }
    last_renewal_ = env.now;
    begin_write(env, Writing::release, record(env, LeaseState::released), revision_);
}

void Session::advance(Env& env, bool holding) {
    write_.on_time(env);
    if (looking_ && env.due(look_at_)) {
        env.emit(Fetch{{look_operation_, 1}, Bucket::lease, worker_key(number_)});
        look_at_ = env.now + env.lease_attempt();
        env.wake_at(look_at_);
    }
    switch (phase_) {
        case Phase::idle:
        case Phase::gone: break;
        case Phase::claiming: try_claim(env); break;
        case Phase::held:
            renew(env);
            if (env.config.policy == Policy::keep) {
                if (!degraded_) env.wake_at(deadline_);
                break;
            }
            env.wake_at(deadline_);
            if (PARTI_BROKEN(session_lives_again)) break;
            if (env.due(deadline_ - env.config.timing.stop_budget) && PARTI_BROKEN(lost_lease_goes_on)) {
                deadline_ = env.now + env.lease_span();
                env.emit(LeaseExtended{deadline_});
            } else if (env.due(deadline_ - env.config.timing.stop_budget)) {
                env.note(LogLevel::warning,
                         "lease of worker " + label(number_) + " could not be renewed; giving everything back in time");
                write_.abandon();
                writing_ = Writing::nothing;
                phase_ = Phase::relinquishing;
                env.again = true;
            }
            break;
        case Phase::relinquishing:
            env.wake_at(deadline_);
            if (!holding) end(env, "everything was given back because the lease could not be renewed");
            break;
        case Phase::over:
            if (!holding && replaced_) {
                phase_ = Phase::gone;
                env.again = true;
            } else if (!holding || PARTI_BROKEN(new_incarnation_while_draining)) {
                phase_ = Phase::claiming;
                env.again = true;
            }
            break;
        case Phase::leaving:
            if (tokens_) env.wake_at(deadline_);
            if (env.due(leave_by_)) {
                if (tokens_) end(env, "left");
                phase_ = Phase::gone;
                env.again = true;
            } else if (holding && !PARTI_BROKEN(released_while_draining)) {
                if (tokens_) renew(env);
            } else if (!write_.busy() && !looking_) {
                if (tokens_) {
                    tokens_ = false;
                    env.emit(SessionEnded{"left"});
                }
                write_release(env);
            }
            break;
    }
}

}  // namespace parti::core
