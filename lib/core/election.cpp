#include "core/election.h"

#include <algorithm>

#include "core/test_switch.h"

namespace parti::core {

namespace {

constexpr Duration kRankStep = std::chrono::milliseconds(5);      // between candidates that know their rank
constexpr Duration kOthersAfter = std::chrono::milliseconds(50);  // everybody else leaves those with a rank this head start
constexpr std::uint64_t kOthersJitterMs = 50;
constexpr std::int64_t kRanks = 10;

bool may_stand(const Env& env, WorkerNumber number) {
    const LeaseRecord* lease = Membership::living(env, number);
    return lease != nullptr && lease->state == LeaseState::live;
}

// Known to: a lease that is not there may be one that the store has lost.
bool has_left(const Env& env, WorkerNumber number) {
    const SeenLease* lease = env.view.lease(number);
    return lease != nullptr && lease->record && lease->record->state != LeaseState::live;
}

}  // namespace

// The standbys of the last leader have the first ranks; when all of them have left, as in a new group, those present, the lowest
// number first.
Duration Election::rank_delay(Env& env, const Session& session) {
    const HeadRecord* head = env.view.head_record();
    const std::vector<WorkerNumber> none;
    const std::vector<WorkerNumber>& standbys = head != nullptr ? head->standbys : none;
    const auto own = std::find(standbys.begin(), standbys.end(), session.number());
    std::int64_t rank = own - standbys.begin();
    if (own == standbys.end()) {
        const bool all_left =
            !standbys.empty() && std::all_of(standbys.begin(), standbys.end(), [&](WorkerNumber n) { return has_left(env, n); });
        rank = head == nullptr || (all_left && env.view.wide()) ? 0 : kRanks;
        for (const auto& [number, seen] : env.view.leases()) {
            if (rank == kRanks || number >= session.number()) break;
            if (may_stand(env, number)) ++rank;
        }
    }
    if (rank < kRanks) return kRankStep * rank;
    if (!jitter_) jitter_ = kOthersAfter + std::chrono::milliseconds(env.rng.below(kOthersJitterMs));
    return *jitter_;
}

bool Election::leader_gone(Env& env, Session& session, Membership& membership) {
    const SeenHead& seen = env.view.head();
    if (!env.view.current(Bucket::assignment, head_key())) return false;
    if (seen.unreadable) {
        if (reported_ != seen.revision) {
            reported_ = seen.revision;
            env.note_error(seen.unreadable->error.code,
                           "head is unreadable and nobody can lead until it is removed: " + seen.unreadable->error.detail);
        }
        return false;
    }
    if (!seen.record) {
        wants_wide_ = true;
        return env.view.complete();
    }
    const HeadRecord& head = *seen.record;
    if (head.resigned) {
        wants_wide_ = true;
        return true;
    }
    const LeaderName& leader = head.leader;
    if (leader.session == session.id()) {
        wants_wide_ = true;
        return true;  // our own name from a leadership we gave up: stand anew, with a new epoch
    }
    switch (Membership::fate(env, leader.number, leader.incarnation, leader.session)) {
        case Fate::gone: wants_wide_ = true; return true;
        case Fate::behind:
        case Fate::alive: break;
    }
    const SeenLease* lease = env.view.lease(leader.number);
    if (lease != nullptr) {
        missing_since_.reset();
    } else if (!missing_since_) {
        if (!env.view.complete()) {
            wants_wide_ = env.view.interest().all_leases;  // do not turn back half way
            return false;
        }
        missing_since_ = env.now;
    }
    const Duration patience = rank_delay(env, session);
    const bool its_own = lease != nullptr && lease->record && lease->record->session == leader.session;
    const Duration silence = env.silence(its_own ? lease->record.get() : nullptr);
    if (env.due((lease != nullptr ? lease->first_seen : *missing_since_) + silence + patience)) {
        wants_wide_ = true;
        if (env.view.wide()) (void)membership.suspect(env, session, leader.number, leader.incarnation, leader.session, patience);
    }
    return false;
}

// A worker knows more than the records say: they are of an older history, or one that begins anew.
bool Election::lost_history(const Env& env) {
    const HeadRecord* head = env.view.head_record();
    const Epoch known = head != nullptr ? head->epoch : Epoch{};
    // The last leader was in doubt, and nobody has resolved that.
    for (const auto& [number, seen] : env.view.assignments()) {
        if (seen.record && seen.record->keep_only) return true;
    }
    for (const auto& [number, seen] : env.view.leases()) {
        const LeaseRecord* lease = Membership::living(env, number);
        if (lease == nullptr) continue;
        if (lease->floor > known || lease->applied.epoch > known) return true;
        // What a living session has applied is its number's record, or an older one.
        const SeenAssignment* assignment = env.view.assignment(number);
        if (lease->applied == Fence{} || (assignment != nullptr && !assignment->record)) continue;
        if (assignment == nullptr || assignment->record->session != lease->session || lease->applied > assignment->record->fence)
            return true;
    }
    return false;
}

void Election::stand(Env& env, Session& session) {
    const SeenHead& seen = env.view.head();
    HeadRecord head;
    head.epoch = {std::max(env.view.highest_epoch().value, env.floor.value) + 1};
    head.version = 1;
    if (PARTI_BROKEN(epoch_not_raised) && head.epoch.value > 1) --head.epoch.value;
    head.leader = {session.number(), session.incarnation(), session.id()};
    if (seen.record) {
        head.slots = seen.record->slots;
        head.partition_count = seen.record->partition_count;
        head.rebalanced = seen.record->rebalanced;
    }
    // Records without a head: somebody removed it. They are sealed all the same.
    for (const auto& [number, assignment] : env.view.assignments()) {
        if (assignment.revision != 0) head.slots = std::max(head.slots, number.value + 1);
    }
    head.policy = env.config.policy;
    head.major = env.view.common_major(env.speaks);
    head.id = session.next_write_id();
    pending_ = head;
    pending_doubt_ = lost_history(env);
    CasWrite::Request request;
    request.bucket = Bucket::assignment;
    request.key = head_key();
    request.expected = seen.revision;
    request.id = head.id;
    request.record = std::make_shared<const HeadRecord>(std::move(head));
    request.attempt = env.write_attempt();
#if defined(PARTI_TEST_BREAKAGE)
    if (PARTI_BROKEN(head_unconditional)) request.expected = kAnyRevision;
#endif
    writing_ = Writing::standing;
    write_.begin(env, std::move(request));
}

void Election::resign(Env& env, Session& session, Leader& leader) {
    if (!leader.on()) return;
    HeadRecord head = leader.head();
    const Revision revision = leader.head_revision();
    leader.end(env, "it leaves");
    write_.abandon();
    head.resigned = true;
    ++head.version;
    head.id = session.next_write_id();
    pending_ = head;
    CasWrite::Request request;
    request.bucket = Bucket::assignment;
    request.key = head_key();
    request.expected = revision;
    request.id = head.id;
    request.record = std::make_shared<const HeadRecord>(std::move(head));
    request.attempt = env.write_attempt();
    writing_ = Writing::resigning;
    write_.begin(env, std::move(request));
}

void Election::session_ended() {
    write_.abandon();
    writing_ = Writing::nothing;
    gone_since_.reset();
    jitter_.reset();
    missing_since_.reset();
    wants_wide_ = false;
}

void Election::outcome(Env& env, Leader& leader, const CasWrite::Outcome& outcome) {
    const Writing what = writing_;
    writing_ = Writing::nothing;
    gone_since_.reset();
    jitter_.reset();
    env.again = true;
    if (outcome.kind == CasWrite::Kind::lost) {
        if (outcome.entry) env.view.learn(*outcome.entry, env.now);
        return;
    }
    env.view.learn({Bucket::assignment, head_key(), outcome.revision, std::make_shared<const HeadRecord>(pending_)}, env.now);
    if (what != Writing::standing) return;
    env.doubtful = env.doubtful || pending_doubt_;
    leader.begin(env, pending_, outcome.revision);
}

void Election::on_answer(Env& env, Leader& leader, const WriteAnswered& answer) {
    if (const auto done = write_.on_answer(env, answer)) outcome(env, leader, *done);
}

void Election::on_fetch(Env& env, Leader& leader, const FetchAnswered& answer) {
    if (const auto done = write_.on_fetch(env, answer)) outcome(env, leader, *done);
}

void Election::on_entry(Env& env, Leader& leader, const Entry& entry) {
    if (const auto done = write_.on_entry(env, entry)) outcome(env, leader, *done);
}

void Election::advance(Env& env, Session& session, Leader& leader, Membership& membership, bool knows_partitions) {
    write_.on_time(env);
    wants_wide_ = false;
    if (write_.busy()) {
        wants_wide_ = true;
        return;
    }
    if (leader.on() || !session.steady() || !knows_partitions || !env.due(leader.stand_again_at())) return;
    if (!leader_gone(env, session, membership)) {
        gone_since_.reset();
        return;
    }
    if (!env.view.wide()) return;  // wants_wide_ is set: the rest of the picture is on its way
    const Revision head = env.view.head().revision;
    if (!gone_since_ || gone_head_ != head) {
        gone_since_ = env.now;
        gone_head_ = head;
    }
    if (env.due(*gone_since_ + rank_delay(env, session))) stand(env, session);
}

}  // namespace parti::core
