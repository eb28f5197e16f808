#include "core/worker_core.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "core/alert.h"
#include "core/assignee.h"
#include "core/election.h"
#include "core/env.h"
#include "core/leader.h"
#include "core/membership.h"
#include "core/session.h"
#include "core/test_switch.h"
#if defined(PARTI_TEST_BREAKAGE)
#include "core/test_happenings.h"
#endif

namespace parti::core {
namespace {

constexpr int kPassesMax = 64;  // of the machines within one step; more is a livelock

bool edge_allowed(State from, State to) {
    switch (from) {
        case State::init: return to == State::claiming_id || to == State::stopped;
        case State::claiming_id: return to == State::waiting_assignment || to == State::draining || to == State::stopped;
        case State::waiting_assignment:
        case State::stable:
        case State::degraded: return to == State::stable || to == State::degraded || to == State::fenced || to == State::draining;
        case State::fenced: return to == State::claiming_id || to == State::draining || to == State::stopped;
        case State::draining: return to == State::stopped;
        case State::stopped: return false;
    }
    return false;
}

}  // namespace

struct WorkerCore::Impl {
    Impl(const Config& config, std::shared_ptr<const Strategy> strategy, std::uint64_t seed, std::uint64_t process,
         std::uint32_t speaks)
        : env(config, std::move(strategy), seed, process, speaks) {}

    Env env;
    Session session;
    Assignee assignee;
    Membership membership;
    Election election;
    Leader leader;
    Alert alert;
    std::uint64_t refreshed = 0;  // the operators' last request to list the source again that was passed on
    bool control_known = false;
    bool drained = false;  // operators drain this worker
    std::shared_ptr<const PartitionSet> partitions;
    State state = State::init;
    LeaderPhase phase = LeaderPhase::idle;
    SessionId session_begun;  // the session the assignee works for; empty between sessions
    bool revoked_all = false;
    bool stable_reached = false;  // in this session
    std::uint64_t next_interest = 1;
    Instant create_again_at{};
    Duration create_jitter{};
    std::map<std::pair<Bucket, Key>, Revision> reported;  // entries that were reported, unreadable or of another policy
#if defined(PARTI_TEST_BREAKAGE)
    AssignmentPtr overtaken;
    AssignmentPtr last_update;
#endif

    void dispatch(const Event& event);
#if defined(PARTI_TEST_BREAKAGE)
    void count(const Event& event) const;
#endif
    void on_entry(const EntrySeen& seen);
    bool first_report(const Entry& entry) {  // of this revision
        return std::exchange(reported[{entry.bucket, entry.key}], entry.revision) != entry.revision;
    }
    void on_control(const ControlRecord& control);
    void on_history_lost(const HistoryLost& lost);
    void on_missing(const BucketMissing& event);
    void pass();
    void see_epoch(Epoch epoch, SessionId led_by);
    void recreate_buckets();
    void follow_session();
    void follow_record();
    void update_interest();
    void update_state();
    void go(State to);
};

void WorkerCore::Impl::on_entry(const EntrySeen& seen) {
    const Entry& entry = seen.entry;
    const SeenLease* before = entry.bucket == Bucket::lease ? env.view.lease(entry.key.number) : nullptr;
    const LeasePtr old = before != nullptr ? before->record : nullptr;
    if (env.view.learn(entry, seen.first_seen)) {
        const auto* lease = std::get_if<LeasePtr>(&entry.value);
        // A mere renewal changes nothing for a leader.
        const bool renewal = lease != nullptr && old && (*lease)->session == old->session && (*lease)->state == old->state &&
                             (*lease)->applied == old->applied && (*lease)->capacity == old->capacity &&
                             (*lease)->zone == old->zone && (*lease)->speaks == old->speaks;
        if (!renewal) leader.look_again();
    }
    if (const auto* unreadable = std::get_if<UnreadablePtr>(&entry.value)) {
        if (first_report(entry)) {
            ++env.stats.malformed_records;
            env.note_error((*unreadable)->error.code, (*unreadable)->error.detail);
        }
    }
    if (const auto* head = std::get_if<HeadPtr>(&entry.value)) {
        see_epoch((*head)->epoch, (*head)->leader.session);
        if ((*head)->policy != env.config.policy && first_report(entry)) {
            env.note_error(Errc::invalid_config,
                           "policy is '" + std::string(to_string(env.config.policy)) + "' here and '" +
                               std::string(to_string((*head)->policy)) +
                               "' in the group; the policy belongs to the group and must be the same everywhere");
        }
    }
    if (entry.bucket == Bucket::assignment && entry.key.kind == Key::Kind::control) on_control(env.view.control());
    if (const auto* record = std::get_if<AssignmentPtr>(&entry.value)) see_epoch((*record)->fence.epoch, (*record)->id.writer);
    session.on_entry(env, entry);
    membership.on_entry(env, entry);
    election.on_entry(env, leader, entry);
    leader.on_entry(env, session, entry);
}

// Two leaders of one epoch exist in two histories only.
void WorkerCore::Impl::see_epoch(Epoch epoch, SessionId led_by) {
    if (epoch > env.floor) {
        env.floor = epoch;
        env.floor_leader = led_by;
    } else if (epoch == env.floor && !env.floor_leader.empty() && env.floor_leader != led_by) {
        env.note_error(Errc::wrong_revision, "epoch " + std::to_string(epoch.value) + " is led by session " + to_string(led_by) +
                                                 ", and " + to_string(env.floor_leader) +
                                                 " was seen leading it: the store lost its history");
        env.doubt();
    }
}

void WorkerCore::Impl::on_control(const ControlRecord& control) {
    // What was asked before this worker came is in the list it started with.
    if (control_known && control.refresh != 0 && control.refresh != refreshed) env.emit(RefreshPartitions{});
    refreshed = control.refresh;
    control_known = true;
}

void WorkerCore::Impl::on_history_lost(const HistoryLost& lost) {
    const bool leases = lost.bucket == Bucket::lease;
    env.note_error(Errc::wrong_revision,
                   std::string(leases ? "the lease" : "the assignment") + " bucket lost its history: " + lost.detail +
                       (leases ? "; looking whether the session can go on" : "; no gains before a new epoch"));
    env.view.forget(lost.bucket);
    std::erase_if(reported, [&](const auto& item) { return item.first.first == lost.bucket; });
    leader.look_again();
    if (leases) {
        session.history_lost(env);
        membership.clear();
        return;
    }
    env.doubt();
    leader.end(env, "the store lost its history");
    election.session_ended();
}

void WorkerCore::Impl::on_missing(const BucketMissing& event) {
    auto& since = env.missing(event.bucket);
    if (!event.missing) {
        since.reset();
    } else if (!since) {
        since = env.now;
        create_jitter = std::chrono::milliseconds(env.rng.below(1000));
        env.note_error(Errc::not_found,
                       std::string(event.bucket == Bucket::lease ? "the lease" : "the assignment") +
                           " bucket does not exist any more" +
                           (env.config.create_buckets == CreateBuckets::always ? "; the leader makes it again"
                                                                               : "; somebody must make it again"));
    }
}

// A bucket was deleted: the leader makes it again; when nobody leads for long, whoever finds that out.
void WorkerCore::Impl::recreate_buckets() {
    for (const Bucket bucket : {Bucket::lease, Bucket::assignment}) {
        const auto& since = env.missing(bucket);
        if (!since || env.config.create_buckets != CreateBuckets::always || !env.due(create_again_at)) continue;
        if (!leader.on() && !env.due(*since + env.silence() + create_jitter)) continue;
        env.emit(CreateBucket{bucket});
        create_again_at = env.now + std::chrono::seconds(1);
        env.wake_at(create_again_at);
    }
}

#if defined(PARTI_TEST_BREAKAGE)
void WorkerCore::Impl::count(const Event& event) const {
    if (stepped == nullptr) return;
    const Happening kind = happening(event, session.number());
    PARTI_STEPPED(worker, state, kind);
    PARTI_STEPPED(session, session.phase(), kind);
    const bool owns = assignee.owned_count() > 0;
    const bool drains = assignee.draining_count() > 0;
    PARTI_STEPPED(assignee, (owns ? 1U : 0U) + (drains ? 2U : 0U), kind);
    PARTI_STEPPED(election, election.writing(), kind);
    PARTI_STEPPED(leader, leader.on() ? 1U + static_cast<unsigned>(leader.reported_phase()) : 0U, kind);
}
#endif

void WorkerCore::Impl::dispatch(const Event& event) {
    if (std::holds_alternative<Start>(event)) {
        if (state == State::init && session.phase() == Session::Phase::idle) session.start(env);
    } else if (std::holds_alternative<Stop>(event)) {
        election.resign(env, session, leader);
        session.leave(env);
    } else if (const auto* seen = std::get_if<EntrySeen>(&event)) {
        on_entry(*seen);
    } else if (const auto* done = std::get_if<SnapshotDone>(&event)) {
        env.view.snapshot_done(done->interest, env.now);
        if (env.view.complete()) control_known = true;
        leader.look_again();
    } else if (const auto* lost = std::get_if<HistoryLost>(&event)) {
        on_history_lost(*lost);
    } else if (const auto* missing = std::get_if<BucketMissing>(&event)) {
        on_missing(*missing);
    } else if (const auto* answer = std::get_if<WriteAnswered>(&event)) {
        session.on_answer(env, *answer);
        membership.on_answer(env, *answer);
        election.on_answer(env, leader, *answer);
        leader.on_answer(env, session, *answer);
    } else if (const auto* fetched = std::get_if<FetchAnswered>(&event)) {
        session.on_fetch(env, *fetched);
        membership.on_fetch(env, *fetched);
        election.on_fetch(env, leader, *fetched);
        leader.on_fetch(env, session, *fetched);
    } else if (const auto* changed = std::get_if<PartitionsChanged>(&event)) {
        partitions = changed->partitions;
        leader.set_partitions(partitions);
    } else if (const auto* released = std::get_if<ReleaseDone>(&event)) {
        assignee.on_release_done(env, released->grants);
    } else if (const auto* lapsed = std::get_if<SessionLapsed>(&event)) {
        session.lapsed(env, lapsed->session);
    } else if (const auto* link = std::get_if<LinkChanged>(&event)) {
        // Nobody could renew while the store was away, and policy keep does not end sessions for it: silence counts anew.
        if (link->up && env.config.policy == Policy::keep) env.view.count_silence_anew(env.now);
    }
    // Tick: looking is all there is to do.
}

// A session has begun, is ending or has ended: everything that rests on it follows.
void WorkerCore::Impl::follow_session() {
    const bool live = session.live();
    const bool ending = !live || session.phase() == Session::Phase::relinquishing || session.phase() == Session::Phase::leaving;
    if (!session_begun.empty() && ending) {
        if (session.phase() == Session::Phase::leaving && live) election.resign(env, session, leader);
        leader.end(env, "its session has ended or is ending");
        if (!revoked_all) {
            revoked_all = true;
            assignee.revoke_all(env);
            env.again = true;
        }
        if (!live) {
            election.session_ended();
            membership.clear();
            session_begun = {};
            stable_reached = false;
        }
    }
    if (live && !ending && session_begun != session.id()) {
        PARTI_ASSERT(session_begun.empty());
        session_begun = session.id();
        revoked_all = false;
        assignee.begin_session();
    }
}

void WorkerCore::Impl::follow_record() {
    if (!session.live()) return;
    const HeadRecord* head = env.view.head_record();
    if (head != nullptr && head->leader.number == session.number() && head->leader.session != session.id() &&
        head->leader.incarnation >= session.incarnation()) {
        session.fence(
            env, "head names another session of its number with incarnation " + std::to_string(head->leader.incarnation.value));
        return;
    }
    const SeenAssignment* seen = env.view.assignment(session.number());
    if (seen == nullptr || !seen->record) return;
    const AssignmentRecord& record = *seen->record;
#if defined(PARTI_TEST_BREAKAGE)
    if (PARTI_BROKEN(older_update_wins)) {  // every third update is slow, and lands after the next one
        if (record.session != session.id() || last_update == seen->record) return;
        last_update = seen->record;
        const AssignmentPtr slow = std::exchange(overtaken, nullptr);
        if (slow == nullptr && record.fence.version % 3 == 0) {
            overtaken = seen->record;
            return;
        }
        (void)assignee.apply(env, record);
        if (slow != nullptr && slow->session == session.id()) (void)assignee.apply(env, *slow);
        return;
    }
    if (PARTI_BROKEN(record_for_another_applied)) {
        (void)assignee.apply(env, record);
        return;
    }
#endif
    if (record.incarnation > session.incarnation()) {
        session.fence(env, "an assignment record names incarnation " + std::to_string(record.incarnation.value) + " of it");
        return;
    }
    if (record.incarnation != session.incarnation()) return;
    if (record.session != session.id()) {
        session.fence(env, "an assignment record names another session of incarnation " +
                               std::to_string(record.incarnation.value) + ": one of the two is of a lost history");
        return;
    }
    if (record.fence.epoch <= env.lost_epoch) return;  // no gains, and nothing to acknowledge, before a new epoch
    if (assignee.apply(env, record) && !record.keep_only && !leader.on()) env.doubtful = false;
}

void WorkerCore::Impl::update_interest() {
    // A worker that leaves keeps what it hears.
    if (session.phase() == Session::Phase::idle || session.phase() == Session::Phase::gone) return;
    if (session.phase() == Session::Phase::leaving) return;
    Interest next;
    next.id = env.view.interest().id;
    const HeadRecord* head = env.view.head_record();
    const bool held = session.live();
    const bool standby = held && head != nullptr &&
                         std::find(head->standbys.begin(), head->standbys.end(), session.number()) != head->standbys.end();
    const bool wide = !held || head == nullptr || standby || leader.on() || election.wants_wide();
    if (wide) {
        next.all_leases = true;
        next.all_assignments = true;
    } else {
        next.own_assignment = session.number();
        next.leader_lease = head->leader.number;
    }
    if (next == env.view.interest()) return;
    next.id = next_interest++;
    env.view.set_interest(next);
    env.emit(SetInterest{next});
}

void WorkerCore::Impl::go(State to) {
    if (state == to) return;
    const bool working = state == State::waiting_assignment || state == State::stable || state == State::degraded;
    // What happened within one step is told edge by edge.
    if (working && (to == State::claiming_id || to == State::waiting_assignment)) go(State::fenced);
    if (state == State::fenced && (to == State::waiting_assignment || to == State::stable)) go(State::claiming_id);
    if (state == State::claiming_id && (to == State::stable || to == State::degraded || to == State::fenced))
        go(State::waiting_assignment);
    if (to == State::stopped && working) go(State::draining);
    PARTI_ASSERT(edge_allowed(state, to));
    env.emit(StateChanged{state, to});
    ++env.stats.states_entered[static_cast<std::size_t>(to)];
    state = to;
    if (to == State::stopped) env.emit(Stopped{});
}

void WorkerCore::Impl::update_state() {
    const std::vector<std::string>& drain = env.view.control().drain;
    bool now_drained = false;
    if (!drain.empty() && session.live()) {
        const std::string id = to_string(session.id());
        now_drained = std::any_of(drain.begin(), drain.end(), [&](const std::string& name) {
            return name == id || (!env.config.instance.empty() && name == env.config.instance);
        });
    }
    if (now_drained != drained) {
        drained = now_drained;
        env.note(LogLevel::info,
                 drained ? "operators drain this worker: it will own nothing" : "operators drain this worker no longer");
    }
    switch (session.phase()) {
        case Session::Phase::idle: break;
        case Session::Phase::claiming: go(State::claiming_id); break;
        case Session::Phase::held: {
            const HeadRecord* head = env.view.head_record();
            if (assignee.applied_any() && (head == nullptr || assignee.accepted().epoch >= head->epoch)) stable_reached = true;
            if (session.degraded() || env.missing_since[0] || env.missing_since[1]) go(State::degraded);
            else if (stable_reached) go(State::stable);
            else if (state != State::degraded) go(State::waiting_assignment);
            break;
        }
        case Session::Phase::relinquishing:
        case Session::Phase::over: go(State::fenced); break;
        case Session::Phase::leaving: go(State::draining); break;
        case Session::Phase::gone: go(State::stopped); break;
    }
    if (leader.reported_phase() != phase) {
        phase = leader.reported_phase();
        env.emit(PhaseChanged{phase});
    }
}

void WorkerCore::Impl::pass() {
    env.again = false;
    follow_session();
    follow_record();
    assignee.advance(env);
    session.set_applied(assignee.applied());
    session.advance(env, assignee.holding());
    follow_session();
    membership.advance(env);
    election.advance(env, session, leader, membership, partitions != nullptr);
    leader.advance(env, session, membership);
    recreate_buckets();
    update_interest();
    update_state();
    alert.advance(env, state == State::claiming_id || state == State::degraded || state == State::fenced);
}

WorkerCore::WorkerCore(const Config& config, std::shared_ptr<const Strategy> strategy, std::uint64_t seed, std::uint64_t process,
                       std::uint32_t speaks)
    : impl_(std::make_unique<Impl>(config, std::move(strategy), seed, process, speaks)) {
    PARTI_ASSERT(impl_->env.strategy != nullptr);
}

WorkerCore::~WorkerCore() = default;

void WorkerCore::step(Instant now, const Event& event, Effects& out) {
    Impl& impl = *impl_;
    PARTI_ASSERT(now >= impl.env.now);
    impl.env.now = now;
    impl.env.out = &out;
    if (impl.state == State::stopped) {
        impl.env.wake = Instant::max();
        return;
    }
#if defined(PARTI_TEST_BREAKAGE)
    impl.count(event);
#endif
    // A timer that comes so late means that this process was stopped and heard nothing meanwhile: silence tells nothing, and what
    // it knows may be of a store that is no more.
    const bool stalled = impl.env.wake != Instant::max() && now > impl.env.wake + impl.env.config.timing.heartbeat / 2;
    impl.session.expire(impl.env);
    impl.follow_session();
    if (stalled) {
        impl.env.view.count_silence_anew(now);
        impl.session.stalled(impl.env);
    }
    impl.dispatch(event);
    for (int passes = 0;; ++passes) {
        PARTI_ASSERT(passes < kPassesMax);
        impl.env.wake = Instant::max();
        impl.pass();
        if (!impl.env.again) break;
    }
    impl.env.out = nullptr;
}

std::optional<Instant> WorkerCore::next_deadline() const {
    if (impl_->env.wake == Instant::max()) return std::nullopt;
    return impl_->env.wake;
}

State WorkerCore::state() const { return impl_->state; }
LeaderPhase WorkerCore::phase() const { return impl_->phase; }
bool WorkerCore::leading() const { return impl_->leader.phase() == Leader::Phase::acting; }
AlertLevel WorkerCore::alert() const { return impl_->alert.level(); }

std::optional<WorkerNumber> WorkerCore::number() const {
    if (!impl_->session.live()) return std::nullopt;
    return impl_->session.number();
}

Incarnation WorkerCore::incarnation() const { return impl_->session.incarnation(); }
SessionId WorkerCore::session() const { return impl_->session.id(); }
Instant WorkerCore::lease_deadline() const { return impl_->session.deadline(); }
Epoch WorkerCore::epoch() const { return impl_->env.floor; }
Fence WorkerCore::applied() const { return impl_->assignee.applied(); }

WorkerStats WorkerCore::stats() const {
    WorkerStats out = impl_->env.stats;
    out.owned = impl_->assignee.owned_count();
    out.draining = impl_->assignee.draining_count();
    out.alert = impl_->alert.level();
    if (!impl_->leader.on()) out.partitions = out.orphaned = out.active_workers = 0;
    return out;
}

std::vector<WorkerCore::Holding> WorkerCore::holdings() const { return impl_->assignee.holdings(); }

std::size_t WorkerCore::backlog() const {
    return impl_->assignee.unacknowledged() + impl_->membership.open_writes() + impl_->env.view.marks() + impl_->reported.size();
}

bool WorkerCore::at_rest() const {
    const Impl& impl = *impl_;
    if (impl.state == State::stopped) return true;
    return impl.state == State::stable && impl.env.view.complete() && impl.assignee.draining_count() == 0 &&
           !impl.election.busy() && !impl.membership.busy() && (!impl.leader.on() || impl.leader.settled());
}

void WorkerCore::check() const {
    const Impl& impl = *impl_;
    impl.assignee.check();
    impl.leader.check(impl.env);
    if (impl.leader.on()) PARTI_ASSERT(impl.session.live());
    if (impl.session_begun.empty()) PARTI_ASSERT(impl.assignee.owned_count() == 0);
    if (impl.state == State::stable) PARTI_ASSERT(impl.session.live());
}

}  // namespace parti::core
