#include "core/session.h"

#include <vector>

#include "base/assert.h"
#include "core/test_switch.h"

namespace parti::core {

namespace {

constexpr std::uint32_t kClaimWindowFirst = 8;   // numbers to choose among at the first attempt
constexpr std::uint32_t kClaimWindowGrowth = 4;  // after each conflict: total attempts stay linear in the number of workers

std::string label(WorkerNumber number) { return std::to_string(number.value); }

}  // namespace

void Session::start(Env& env) {
    PARTI_ASSERT(phase_ == Phase::idle);
    phase_ = Phase::claiming;
    window_ = std::max(kClaimWindowFirst, env.config.expected_workers);
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
    env.note_error(Errc::lease_lost, "worker " + label(number_) + " incarnation " + std::to_string(incarnation_.value) + ": " + why);
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
    if (record.state != LeaseState::live || record.session == id_ || record.session == own_stale_ || record.session == abandoned_) return false;
    replaced_ = true;
    env.note_error(Errc::instance_replaced, "worker " + label(number_) + " was taken over by another process with instance name '" +
                                                env.config.instance + "'; this worker stops");
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

// A stale expectation could fit in the new history by chance: nothing is written before the record that is there now has been seen.
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
            env.note_error(Errc::wrong_revision, "the lease record of worker " + label(number_) + " went back to an older one (revision " +
                                                     std::to_string(entry.revision) + "); the session goes on from there");
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
    env.note_error(Errc::lease_lost, "worker " + label(number_) + " incarnation " + std::to_string(incarnation_.value) + ": " + why +
                                         "; giving everything back");
    if (phase_ == Phase::held) phase_ = Phase::relinquishing;
}

void Session::expire(Env& env) {
    if (!tokens_ || env.now < deadline_) return;
    if (PARTI_BROKEN(session_lives_again) && phase_ == Phase::held) return;
    if (env.config.policy == Policy::keep && phase_ != Phase::leaving) {
        if (!degraded_) {
            degraded_ = true;
            env.note(LogLevel::warning, "lease of worker " + label(number_) + " could not be renewed in time; policy keep: going on");
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
    env.note(LogLevel::warning, "lease of worker " + label(number_) + " was renewed after its deadline had been seen to pass; the session has ended");
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

// ---- claiming -------------------------------------------------------------------------------------------------------------------

bool Session::claimable(Env& env, WorkerNumber number, Candidate& out, bool& at_once) {
    const SeenLease* lease = env.view.lease(number);
    const SeenAssignment* assignment = env.view.assignment(number);
    if (!env.view.current(Bucket::lease, worker_key(number))) return false;
    out = {number, lease != nullptr ? lease->revision : 0, {}};
    const bool look_at_record = !PARTI_BROKEN(incarnation_from_lease_only);
    if (look_at_record && assignment != nullptr && assignment->record) out.incarnation = assignment->record->incarnation;
    const HeadRecord* head = env.view.head_record();
    if (look_at_record && head != nullptr && head->leader.number == number) {
        out.incarnation = std::max(out.incarnation, head->leader.incarnation);
    }
    if (lease != nullptr && lease->unreadable) return false;  // not ours to overwrite
    at_once = true;
    if (lease != nullptr && lease->record) {
        const LeaseRecord& record = *lease->record;
        out.incarnation = std::max(out.incarnation, record.incarnation);
        const bool ended = record.state == LeaseState::released || record.state == LeaseState::dead;
        if (ended || (!own_stale_.empty() && record.session == own_stale_)) return true;
        if (PARTI_BROKEN(claim_without_waiting)) return true;
        if (trusts(env, record)) return true;
        at_once = false;
        return env.due(lease->first_seen + env.silence());
    }
    const bool lease_trace = lease != nullptr && lease->revision != 0;  // a marker
    if (!lease_trace && assignment == nullptr) return lease == nullptr || env.due(lease->first_seen + env.silence());
    if (!lease_trace && assignment->record && assignment->record->incarnation.value == 0) return true;  // sealed for nobody
    at_once = false;
    if (PARTI_BROKEN(claim_marker_at_once)) return true;
    const Instant since = lease != nullptr ? lease->first_seen : std::max(env.view.complete_since(), assignment->first_seen);
    return env.due(since + env.silence());
}

// instance_takeover trust: whoever holds the number that carries this instance's name is taken for gone.
bool Session::trusts(const Env& env, const LeaseRecord& record) const {
    return env.config.instance_takeover == InstanceTakeover::trust && !instance_refused_ && record.instance == env.config.instance;
}

// With an instance name: true while the number that carries it must be waited for.
bool Session::wait_for_instance(Env& env) {
    if (env.config.instance.empty() || instance_refused_) return false;
    if (env.config.instance_takeover == InstanceTakeover::trust) return false;
    for (const auto& [number, seen] : env.view.leases()) {
        if (!seen.record || seen.record->instance != env.config.instance) continue;
        const LeaseRecord& record = *seen.record;
        if (record.state == LeaseState::released || record.state == LeaseState::dead || record.session == own_stale_) continue;
        // One renewal may have been on its way when its process ended; a living one renews every heartbeat.
        if (instance_revision_ == 0) instance_seen_at_ = env.now;
        if (instance_revision_ != 0 && seen.revision != instance_revision_ &&
            env.now >= instance_seen_at_ + env.config.timing.heartbeat / 2 &&
            (record.state == LeaseState::live || record.state == LeaseState::draining)) {
            env.note_error(Errc::invalid_config, "instance '" + env.config.instance + "' is in use by worker " + label(number) +
                                                     ", whose lease is being renewed; two processes must not share an instance name; "
                                                     "going on without it");
            instance_refused_ = true;
            return false;
        }
        instance_revision_ = seen.revision;
        if (!env.due(seen.first_seen + env.silence()) && !PARTI_BROKEN(claim_without_waiting)) return true;
    }
    return false;
}

std::optional<Session::Candidate> Session::choose(Env& env) {
    Candidate candidate;
    bool at_once = false;
    // The own number of the session that just ended, or the number that carries the instance name, comes first.
    if (!own_stale_.empty() && claimable(env, own_stale_number_, candidate, at_once) && at_once) return candidate;
    if (!env.config.instance.empty() && !instance_refused_) {
        for (const auto& [number, seen] : env.view.leases()) {
            if (seen.record && seen.record->instance == env.config.instance && number.value >= env.config.number_min &&
                number.value <= env.config.number_max && claimable(env, number, candidate, at_once)) {
                return candidate;
            }
        }
    }
    std::vector<Candidate> free;
    std::vector<Candidate> silent;
    for (std::uint32_t n = env.config.number_min; n <= env.config.number_max && free.size() < window_; ++n) {
        if (!claimable(env, WorkerNumber{n}, candidate, at_once)) continue;
        (at_once ? free : silent).push_back(candidate);
    }
    const std::vector<Candidate>& among = free.empty() ? silent : free;
    if (among.empty()) return std::nullopt;
    return among[env.rng.below(std::min<std::uint64_t>(among.size(), window_))];
}

void Session::try_claim(Env& env) {
    if (!env.view.wide() || write_.busy() || !env.due(retry_at_)) return;
    // The refusal of a renewal may have come before the record that says who wrote.
    const SeenLease* own = own_stale_.empty() ? nullptr : env.view.lease(own_stale_number_);
    if (own != nullptr && own->record && taken_over_by(env, *own->record)) {
        phase_ = Phase::gone;
        env.again = true;
        return;
    }
    if (wait_for_instance(env)) return;
    const auto candidate = choose(env);
    if (!candidate) {
        if (!said_full_) {
            env.note_error(Errc::not_ready, "no free number in " + std::to_string(env.config.number_min) + ".." +
                                                std::to_string(env.config.number_max) + "; waiting for one to be released");
            said_full_ = true;
        }
        return;
    }
    said_full_ = false;
    claim_ = *candidate;
    number_ = claim_.number;
    incarnation_ = {std::max(claim_.incarnation.value, highest_own_.value) + 1};
    if (PARTI_BROKEN(incarnation_not_raised) && incarnation_.value > 1) --incarnation_.value;
    id_ = {env.rng.next(), env.rng.next()};
    sequence_ = 0;
    applied_ = {};
    ++env.stats.claims_attempted;
    begin_write(env, Writing::claim, record(env, LeaseState::live), claim_.expected);
}

void Session::claimed(Env& env, Revision revision) {
    revision_ = revision;
    deadline_ = (PARTI_BROKEN(lease_counted_from_answer) ? env.now : write_.first_sent()) + env.lease_span();
    last_renewal_ = write_.first_sent();
    own_stale_ = id_;
    own_stale_number_ = number_;
    if (phase_ == Phase::leaving) return;  // advance() releases it
    if (env.now >= deadline_) {            // confirmed too late to be of use
        highest_own_ = std::max(highest_own_, incarnation_);
        return;                            // still claiming: the record is ours and free
    }
    own_stale_ = {};
    window_ = std::max(kClaimWindowFirst, env.config.expected_workers);
    phase_ = Phase::held;
    tokens_ = true;
    degraded_ = false;
    instance_revision_ = 0;
    const Instant told = env.config.policy == Policy::keep ? Instant::max() : deadline_;
    env.emit(SessionStarted{id_, number_, incarnation_, told});
    env.again = true;
}

// ---- after a write --------------------------------------------------------------------------------------------------------------

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
                window_ = std::min(window_ * kClaimWindowGrowth, kWorkerNumberMax);
                // Below what was expected: the view is of a lost history, and the watch has yet to find that out.
                if (outcome.revision < claim_.expected) retry_at_ = env.now + env.lease_attempt();
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

// ---- time -----------------------------------------------------------------------------------------------------------------------

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
                env.note(LogLevel::warning, "lease of worker " + label(number_) + " could not be renewed; giving everything back in time");
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
