// Session, the claiming half: which number is free, which one to take, and with which incarnation.
#include <algorithm>
#include <vector>

#include "core/session.h"
#include "core/test_switch.h"

namespace parti::core {

namespace {

constexpr std::uint32_t kClaimWindowFirst = 8;   // numbers to choose among at the first attempt
constexpr std::uint32_t kClaimWindowGrowth = 4;  // after each conflict: total attempts stay linear in the number of workers

}  // namespace

void Session::open_window(const Env& env) { window_ = std::max(kClaimWindowFirst, env.config.expected_workers); }

void Session::claim_lost(const Env& env, Revision revision) {
    window_ = std::min(window_ * kClaimWindowGrowth, kWorkerNumberMax);
    // Below what was expected: the view is of a lost history, and the watch has yet to find that out.
    if (revision < claim_.expected) retry_at_ = env.now + env.lease_attempt();
}

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
        return env.due(lease->first_seen + env.silence(&record));
    }
    const bool lease_trace = lease != nullptr && lease->revision != 0;  // a marker
    if (!lease_trace && assignment == nullptr) return lease == nullptr || env.due(lease->first_seen + env.silence(nullptr));
    if (!lease_trace && assignment->record && assignment->record->incarnation.value == 0) return true;  // sealed for nobody
    at_once = false;
    if (PARTI_BROKEN(claim_marker_at_once)) return true;
    const Instant since = lease != nullptr ? lease->first_seen : std::max(env.view.complete_since(), assignment->first_seen);
    return env.due(since + env.silence(nullptr));
}

// instance_takeover trust: whoever holds the number that carries this instance's name is taken for gone.
bool Session::trusts(const Env& env, const LeaseRecord& record) const {
    return env.config.instance_takeover == InstanceTakeover::trust && !instance_refused_ &&
           record.instance == env.config.instance;
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
            env.note_error(Errc::invalid_config,
                           "instance '" + env.config.instance + "' is in use by worker " + std::to_string(number.value) +
                               ", whose lease is being renewed; two processes must not share an instance name; "
                               "going on without it");
            instance_refused_ = true;
            return false;
        }
        instance_revision_ = seen.revision;
        if (!env.due(seen.first_seen + env.silence(&record)) && !PARTI_BROKEN(claim_without_waiting)) return true;
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
        return;  // still claiming: the record is ours and free
    }
    own_stale_ = {};
    open_window(env);
    phase_ = Phase::held;
    tokens_ = true;
    degraded_ = false;
    instance_revision_ = 0;
    const Instant told = env.config.policy == Policy::keep ? Instant::max() : deadline_;
    env.emit(SessionStarted{id_, number_, incarnation_, told});
    env.again = true;
}

}  // namespace parti::core
