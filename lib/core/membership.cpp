#include "core/membership.h"

#include <vector>

#include "core/test_switch.h"

namespace parti::core {

namespace {

bool ended(const LeaseRecord& lease) {
    if (PARTI_BROKEN(evicted_is_gone_at_once) && lease.state == LeaseState::evicted) return true;
    return lease.state == LeaseState::dead || lease.state == LeaseState::released;
}

bool behind(const LeaseRecord& lease, Incarnation incarnation, SessionId session) {
    return lease.incarnation < incarnation || (lease.incarnation == incarnation && lease.session != session);
}

}  // namespace

Fate Membership::fate(Env& env, WorkerNumber number, Incarnation incarnation, SessionId session) {
    if (session.empty()) return Fate::gone;
    const SeenLease* lease = env.view.lease(number);
    if (lease == nullptr) return PARTI_BROKEN(vanished_lease_is_gone) ? Fate::gone : Fate::alive;
    if (PARTI_BROKEN(vanished_lease_is_gone) && !lease->record && !lease->unreadable) return Fate::gone;
    if (!lease->record) {
        // Junk on top of a lease: its holder cannot renew over it, so its deadline passes.
        if (lease->unreadable && env.due(lease->first_seen + env.silence(nullptr))) return Fate::gone;
        return Fate::alive;
    }
    if (behind(*lease->record, incarnation, session)) return PARTI_BROKEN(behind_taken_as_gone) ? Fate::gone : Fate::behind;
    if (lease->record->incarnation > incarnation) return Fate::gone;
    if (PARTI_BROKEN(silence_is_death) && env.now >= lease->first_seen + env.silence()) return Fate::gone;
    return ended(*lease->record) ? Fate::gone : Fate::alive;
}

const LeaseRecord* Membership::living(const Env& env, WorkerNumber number) {
    const SeenLease* lease = env.view.lease(number);
    if (lease == nullptr || !lease->record || ended(*lease->record)) return nullptr;
    return lease->record.get();
}

bool Membership::suspect(Env& env, Session& session, WorkerNumber number, Incarnation incarnation, SessionId id,
                         Duration patience) {
    if (writes_.contains(number)) return true;
    if (session.live() && session.number() == number) return false;
    const SeenLease* lease = env.view.lease(number);
    if (lease != nullptr && lease->unreadable) return false;
    const Instant since = lease != nullptr ? lease->first_seen : env.view.complete_since();
    const bool its_own = lease != nullptr && lease->record && !behind(*lease->record, incarnation, id);
    if (!env.due(since + env.silence(its_own ? lease->record.get() : nullptr) + patience) || !env.due(retry_at_)) return false;
    if (!env.view.current(Bucket::lease, worker_key(number))) return false;
    LeaseRecord record;
    if (its_own) {
        if (ended(*lease->record)) return false;
        record = *lease->record;
    } else {  // none, or one of before a history loss: nobody renews what the named session holds
        // A second session of the same incarnation (a late claim after a loss) is silent too: the next incarnation ends both.
        const bool second = lease != nullptr && lease->record && lease->record->incarnation == incarnation;
        record.incarnation = {incarnation.value + (second ? 1 : 0)};
        record.session = id;
    }
    record.state = LeaseState::dead;
    record.id = session.next_write_id();
    env.note(LogLevel::warning, "worker " + std::to_string(number.value) + " incarnation " +
                                    std::to_string(record.incarnation.value) +
                                    " has been silent for ttl + margin; declaring it dead");
    begin(env, number, std::move(record), lease != nullptr ? lease->revision : 0);
    return true;
}

void Membership::evict(Env& env, Session& session, WorkerNumber number, const std::string& why) {
    const SeenLease* lease = env.view.lease(number);
    if (writes_.contains(number) || lease == nullptr || !lease->record || env.now < retry_at_) return;
    if (ended(*lease->record) || lease->record->state == LeaseState::evicted) return;
    if (!env.view.current(Bucket::lease, worker_key(number))) return;  // what it said since then is on its way
    env.note_error(Errc::timeout, why);
    LeaseRecord record = *lease->record;
    record.state = LeaseState::evicted;
    record.id = session.next_write_id();
    begin(env, number, std::move(record), lease->revision);
}

void Membership::begin(Env& env, WorkerNumber number, LeaseRecord record, Revision expected) {
    CasWrite::Request request;
    request.bucket = Bucket::lease;
    request.key = worker_key(number);
    request.expected = expected;
    request.id = record.id;
    request.record = std::make_shared<const LeaseRecord>(std::move(record));
    request.attempt = env.write_attempt();
    request.on_conflict = CasWrite::OnConflict::just_tell;
#if defined(PARTI_TEST_BREAKAGE)
    const auto* death = std::get_if<LeasePtr>(&request.record);
    if (PARTI_BROKEN(death_unconditional) && (*death)->state == LeaseState::dead) request.expected = kAnyRevision;
    if (PARTI_BROKEN(death_before_confirmation) && (*death)->state == LeaseState::dead) {
        env.view.learn({Bucket::lease, worker_key(number), expected + 1, request.record}, env.now);
    }
#endif
    writes_[number].begin(env, std::move(request));
}

void Membership::finish(Env& env, WorkerNumber number, const CasWrite::Outcome& outcome) {
    const auto it = writes_.find(number);
    if (outcome.kind == CasWrite::Kind::lost && outcome.revision < it->second.request().expected) {
        retry_at_ = env.now + env.lease_attempt();
    }
    // The record is still in the request only while the write is open; the watch brings it too, this is only sooner.
    writes_.erase(it);
    if (outcome.kind == CasWrite::Kind::lost) {
        // It lives, or somebody else declared it dead: the watch tells.
        if (outcome.entry) env.view.learn(*outcome.entry, env.now);
        env.view.outdated(Bucket::lease, worker_key(number), outcome.revision);
    } else {
        env.view.outdated(Bucket::lease, worker_key(number), outcome.revision);
        const SeenLease* seen = env.view.lease(number);
        if (seen != nullptr && seen->record && seen->revision == outcome.revision) {
            ++(seen->record->state == LeaseState::dead ? env.stats.deaths_declared : env.stats.evictions);
        }
    }
    env.again = true;
}

void Membership::on_answer(Env& env, const WriteAnswered& answer) {
    for (auto& [number, write] : writes_) {
        const RecordValue record = write.request().record;
        const auto done = write.on_answer(env, answer);
        if (!done) continue;
        if (done->kind == CasWrite::Kind::stored) {
            env.view.learn({Bucket::lease, worker_key(number), done->revision, record}, env.now);
        }
        finish(env, WorkerNumber{number}, *done);
        return;
    }
}

void Membership::on_fetch(Env& env, const FetchAnswered& answer) {
    for (auto& [number, write] : writes_) {
        if (const auto done = write.on_fetch(env, answer)) {
            finish(env, WorkerNumber{number}, *done);
            return;
        }
    }
}

void Membership::on_entry(Env& env, const Entry& entry) {
    if (entry.bucket != Bucket::lease || entry.key.kind != Key::Kind::worker) return;
    const auto it = writes_.find(entry.key.number);
    if (it == writes_.end()) return;
    if (const auto done = it->second.on_entry(env, entry)) finish(env, entry.key.number, *done);
}

void Membership::advance(Env& env) {
    for (auto& [number, write] : writes_) write.on_time(env);
}

}  // namespace parti::core
