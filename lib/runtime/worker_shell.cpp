#include "runtime/worker_shell.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/assert.h"
#include "runtime/boot_clock.h"

namespace parti::runtime {

using core::Instant;

WorkerShell::WorkerShell(ContextImpl& context, Config config, std::shared_ptr<Source> source,
                         std::shared_ptr<const Strategy> strategy, Callbacks callbacks)
    : context_(context), poster_(context.poster()), log_(context.log()), config_(std::move(config)), source_(std::move(source)),
      strategy_(std::move(strategy)), callbacks_(std::make_shared<const Callbacks>(std::move(callbacks))),
      ordinal_(context.next_worker()) {}

WorkerShell::~WorkerShell() = default;

// ---- views -----------------------------------------------------------------------------------------------------------------

WorkerShell::View WorkerShell::view() const {
    const std::lock_guard lock(view_mutex_);
    return view_;
}

WorkerStats WorkerShell::stats() const {
    const std::lock_guard lock(view_mutex_);
    WorkerStats out = view_.stats;
    if (view_.number) {
        const core::Instant sent = view_.lease_deadline - (config_.timing.ttl - config_.timing.margin);
        out.since_renewal = std::max<Duration>(boot_now() - sent, Duration::zero());
    }
    return out;
}

std::optional<WorkerNumber> WorkerShell::number() const {
    const std::lock_guard lock(view_mutex_);
    return view_.number;
}

State WorkerShell::state() const {
    const std::lock_guard lock(view_mutex_);
    return view_.state;
}

bool WorkerShell::leader() const {
    const std::lock_guard lock(view_mutex_);
    return view_.leader;
}

LeaderPhase WorkerShell::phase() const {
    const std::lock_guard lock(view_mutex_);
    return view_.phase;
}

std::string WorkerShell::id() const {
    const auto n = number();
    return n ? config_.worker_prefix + '-' + std::to_string(n->value) : std::string();
}

std::vector<Ownership> WorkerShell::assignment() const {
    std::vector<Ownership> out;
    {
        const std::lock_guard lock(view_mutex_);
        out.reserve(owned_.size());
        for (const Held& held : owned_) out.emplace_back(held.state);
    }
    std::sort(out.begin(), out.end(), [](const Ownership& a, const Ownership& b) { return a.partition() < b.partition(); });
    return out;
}

Result<void> WorkerShell::wait_for(State state, Duration timeout) {
    std::unique_lock lock(view_mutex_);
    Waiter waiter{state, view_.state == state};
    waiters_.push_back(&waiter);
    // Deadlines are computed from it: it must not overflow.
    timeout = std::clamp<Duration>(timeout, Duration::zero(), std::chrono::hours(24));
    view_changed_.wait_for(lock, timeout, [&] { return waiter.hit || view_.finished; });
    std::erase(waiters_, &waiter);
    if (waiter.hit) return {};
    if (view_.fatal) return tl::unexpected(*view_.fatal);
    if (view_.finished)
        return fail(Errc::stopping, fmt::format("the worker has stopped and will not be {} again", to_string(state)));
    return fail(Errc::timeout, fmt::format("the worker is {} and not {} after {} ms", to_string(view_.state), to_string(state),
                                           std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
}

bool WorkerShell::wait_finished(Duration timeout) {
    std::unique_lock lock(view_mutex_);
    return view_changed_.wait_for(lock, timeout, [&] { return view_.finished; });
}

// ---- steps -----------------------------------------------------------------------------------------------------------------

void WorkerShell::feed(const core::Event& event) {
    if (!core_ || stopped_seen_) return;
    core::Effects& effects = context_.scratch();
    PARTI_ASSERT(effects.empty());
    core_->step(context_.now(), event, effects);
    for (core::Effect& effect : effects) {
        std::visit([this](auto& e) { on(e); }, effect);
    }
    effects.clear();
    context_.give_back_scratch();
    show();
    submit_tasks();
    if (stopped_seen_) {
        finish();
    } else {
        timer_->set(core_->next_deadline());
    }
}

void WorkerShell::show() {
    const std::lock_guard lock(view_mutex_);
    if (core_) {
        view_.state = core_->state();
        view_.phase = core_->phase();
        view_.leader = core_->leading();
        view_.alert = core_->alert();
        view_.number = core_->number();
        view_.stats = core_->stats();
        view_.lease_deadline = core_->lease_deadline();
    }
    for (const State state : passed_) {
        if (!core_) {
            view_.state = state;
            ++view_.stats.states_entered[static_cast<std::size_t>(state)];
        }
        for (Waiter* waiter : waiters_) waiter->hit |= waiter->wanted == state;
    }
    if (!passed_.empty()) view_changed_.notify_all();
    passed_.clear();
}

void WorkerShell::timer_fired() {
    if (phase_ == Phase::starting) {
        start_timer();
    } else {
        feed(core::Tick{});
    }
}

void WorkerShell::link_changed(const Connection::Link& link) {
    if (link.for_good) {
        Error error{Errc::link_down, "the connection to NATS is closed for good: " + link.detail + "; the worker ends"};
        {
            const std::lock_guard lock(view_mutex_);
            if (!view_.fatal) view_.fatal = error;
        }
        tell_error(std::move(error));
    }
    submit_tasks();
    feed(core::LinkChanged{link.up});
    if (link.for_good) request_stop();  // nobody could renew its lease any more
}

void WorkerShell::on(core::Put& put) { group_->hub().put(*member_, put); }
void WorkerShell::on(core::Fetch& fetch) { group_->hub().fetch(*member_, fetch); }
void WorkerShell::on(core::SetInterest& interest) { group_->hub().set_interest(*member_, interest.interest); }

void WorkerShell::on(core::Distrust& distrust) { group_->hub().distrust(distrust.bucket, distrust.detail); }
void WorkerShell::on(core::CreateBucket& create) { group_->hub().create(create.bucket); }

void WorkerShell::on(core::SessionStarted& started) {
    session_ = std::make_shared<SessionTokens>(started.deadline,
                                               SessionInfo{ordinal_, started.number, started.incarnation, started.session});
    if (Observer* o = context_.observer()) o->session_started(session_->info, started.deadline);
}

void WorkerShell::on(core::LeaseExtended& extended) {
    PARTI_ASSERT(session_ != nullptr);
    if (!session_->extend(extended.deadline)) {
        post([session = session_->info.session](WorkerShell& self) { self.feed(core::SessionLapsed{session}); });
        return;
    }
    if (Observer* o = context_.observer()) o->lease_extended(session_->info, extended.deadline);
}

void WorkerShell::on(core::SessionEnded& ended) {
    PARTI_ASSERT(session_ != nullptr);
    session_->end();
    if (Observer* o = context_.observer()) o->session_ended(session_->info, ended.reason);
}

void WorkerShell::on(core::Granted& granted) {
    PARTI_ASSERT(session_ != nullptr);
    std::vector<Held> gained;
    gained.reserve(granted.grants.size());
    for (core::Grant& g : granted.grants) {
        gained.push_back({g.grant, std::make_shared<OwnershipState>(std::move(g.partition), g.fence, session_)});
    }
    {
        const std::lock_guard lock(view_mutex_);
        owned_.insert(owned_.end(), gained.begin(), gained.end());
        PARTI_ASSERT(
            std::is_sorted(owned_.begin(), owned_.end(), [](const Held& a, const Held& b) { return a.grant < b.grant; }));
    }
    if (Observer* o = context_.observer()) {
        std::vector<Holding> holdings;
        for (const Held& h : gained) holdings.push_back({h.grant, &h.state->partition, h.state->fence});
        o->granted(session_->info, holdings);
    }
    tell_assigned(gained);
}

void WorkerShell::on(core::Revoked& revoked) {
    std::vector<Held> lost;
    std::sort(revoked.grants.begin(), revoked.grants.end());
    {
        const std::lock_guard lock(view_mutex_);
        std::erase_if(owned_, [&](Held& held) {
            if (!std::binary_search(revoked.grants.begin(), revoked.grants.end(), held.grant)) return false;
            held.state->over.store(true, std::memory_order_release);
            lost.push_back(std::move(held));
            return true;
        });
    }
    PARTI_ASSERT(lost.size() == revoked.grants.size());
    observe_gone(lost, Gone::revoked);
    draining_.insert(draining_.end(), lost.begin(), lost.end());
    tell_revoked(lost);
}

void WorkerShell::on(core::DrainTimedOut& timed_out) {
    forget_draining(timed_out.grants);
    hooks_late(timed_out.grants);
}

void WorkerShell::on(core::StateChanged& changed) { change_state(changed.from, changed.to); }

void WorkerShell::change_state(State from, State to) {
    passed_.push_back(to);
    log_->print(LogLevel::info, "worker {}{}: {} -> {}", ordinal_, core_ && core_->number() ? " (" + id() + ")" : "",
                to_string(from), to_string(to));
    if (!callbacks_->on_state) return;
    queue_task("on_state", nullptr, [from, to](const Callbacks& user) { user.on_state(from, to); });
}

void WorkerShell::on(core::LeadershipChanged& changed) {
    if (!callbacks_->on_leader) return;
    queue_task("on_leader", nullptr, [leads = changed.leader](const Callbacks& user) { user.on_leader(leads); });
}

void WorkerShell::on(core::PhaseChanged& changed) {
    log_->print(LogLevel::info, "worker {}: leader's phase {}", ordinal_, to_string(changed.phase));
}

void WorkerShell::on(core::RefreshPartitions&) {
    log(LogLevel::info, "operators ask for the partitions to be listed again");
    refresh_partitions();
}

void WorkerShell::on(core::AlertChanged& changed) {
    if (!callbacks_->on_alert) return;
    queue_task("on_alert", nullptr,
               [level = changed.level, since = changed.since](const Callbacks& user) { user.on_alert(level, since); });
}

void WorkerShell::on(core::Note& note) {
    log(note.level, note.text);
    if (note.error && note.error->code == Errc::instance_replaced) {
        const std::lock_guard lock(view_mutex_);
        view_.fatal = note.error;
    }
    if (note.error) tell_error(std::move(*note.error));
}

void WorkerShell::on(core::Stopped&) { stopped_seen_ = true; }

void WorkerShell::observe_gone(const std::vector<Held>& gone, Gone how) const {
    Observer* o = context_.observer();
    if (o == nullptr || gone.empty()) return;
    std::vector<Holding> holdings;
    for (const Held& h : gone) holdings.push_back({h.grant, &h.state->partition, h.state->fence});
    const SessionInfo& of = gone.front().state->session->info;  // what is revoked or released together was held by one session
    if (how == Gone::revoked) {
        o->revoked(of, holdings);
    } else {
        o->released(of, holdings);
    }
}

void WorkerShell::forget_draining(std::vector<std::uint64_t> grants) {
    std::vector<Held> gone;
    std::sort(grants.begin(), grants.end());
    std::erase_if(draining_, [&](Held& held) {
        if (!std::binary_search(grants.begin(), grants.end(), held.grant)) return false;
        gone.push_back(std::move(held));
        return true;
    });
    observe_gone(gone, Gone::released);
}

void WorkerShell::release_done(std::vector<std::uint64_t> grants) {
    if (!core_) return;
    forget_draining(grants);
    feed(core::ReleaseDone{std::move(grants)});
}

// ---- the end ---------------------------------------------------------------------------------------------------------------

void WorkerShell::finish() {
    if (phase_ == Phase::finished) return;
    phase_ = Phase::finished;
    if (session_) session_->end();
    if (timer_) timer_->set(std::nullopt);
    if (member_) group_->hub().leave(*member_);
    member_.reset();
    reader_.reset();
    draining_.clear();
    revokes_.clear();
    {
        const std::lock_guard lock(view_mutex_);
        for (const Held& held : owned_) held.state->over.store(true, std::memory_order_release);
        owned_.clear();
        view_.state = State::stopped;
        view_.phase = LeaderPhase::idle;
        view_.leader = false;
        view_.number.reset();
        view_.finished = true;
        for (Waiter* waiter : waiters_) waiter->hit |= waiter->wanted == State::stopped;
        view_changed_.notify_all();
    }
    for (const auto& hook : hooks()) hook->worker_finished();
    // The hub may be the one who called: it goes, if this was its last worker, when the stack is unwound.
    poster_->post([weak = weak_from_this(), group = std::exchange(group_, nullptr),
                   core = std::shared_ptr<core::WorkerCore>(std::move(core_)), self = std::exchange(keep_self_, nullptr),
                   context = std::exchange(keep_context_, nullptr)] {
        if (context && self) self->detach();
    });
}

void WorkerShell::detach() {
    const bool told = phase_ == Phase::finished;
    finish();
    if (!told) log_->print(LogLevel::debug, "worker {} is detached", ordinal_);
    timer_.reset();
    if (attached_) context_.remove(this);
    attached_ = false;
}

void WorkerShell::detach_when_finished(std::shared_ptr<ContextImpl> keep) {
    if (phase_ == Phase::finished || phase_ == Phase::made) {
        detach();
        return;
    }
    keep_context_ = std::move(keep);
    keep_self_ = shared_from_this();
}

}  // namespace parti::runtime
