#include "testutil/sim_shell.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/assert.h"
#include "core/test_switch.h"
#include "testutil/sim_trace.h"
#include "wire/codec.h"

namespace parti::testutil {

namespace {

// Of the hub: so short, and each takes so long, that what a few workers are owed takes several turns and answers overtake it.
constexpr std::size_t kTurnEvents = 3;
constexpr Nanos kTurn = 20'000;

}  // namespace

// ---- codec ------------------------------------------------------------------------------------------------------------------

RecordValue SimCodec::decode(Bucket bucket, const Key& key, std::string_view bytes) {
    const std::size_t hash = std::hash<std::string_view>{}(bytes);
    Slot& slot = slots_[hash % slots_.size()];
    if (slot.hash != hash || slot.bucket != bucket || slot.kind != key.kind || slot.bytes != bytes) {
        slot = {hash, bucket, key.kind, std::string(bytes), wire::decode(bucket, key, bytes)};
    }
    return slot.value;
}

std::string SimCodec::encode(const RecordValue& record) { return wire::encode(record); }

// ---- shared -----------------------------------------------------------------------------------------------------------------

SimShared::SimShared(const SimOptions& given)
    : SimShared(given, given.standard ? SimPlan::standard(given.seed) : SimPlan::draw(given.seed)) {}

SimShared::SimShared(const SimOptions& given, SimPlan with)
    : options(given), plan(std::move(with)), network(scheduler, store, given.seed ^ 0x6e6574ULL), rng(given.seed) {
    if (!options.history.empty()) history = std::make_unique<SimHistory>(options.history);
    network.rates = plan.rates;
    network.payload_bytes_max = plan.payload_bytes_max;
    strategy = std::make_shared<SimStrategy>(*this, plan.make_strategy());
    judge.policy_keep(plan.config.policy == Policy::keep);
    // A process that was stopped, or whose watch was stalled, for three ttl at most; then it has caught up.
    const Timing& timing = plan.config.timing;
    judge.records_seen_within((4 * timing.ttl + timing.margin).count());
    if (plan.config.policy == Policy::keep) count(Fault::policy_keep);
    judge.trust_instances(plan.config.instance_takeover == InstanceTakeover::trust);
    if (plan.config.instance_takeover == InstanceTakeover::trust) count(Fault::takeover_trust);
    if (plan.is_on(Fault::mixed_timing)) count(Fault::mixed_timing);
}

std::vector<std::int32_t> SimStrategy::assign(const StrategyInput& input) const {
    if (shared_.faults && shared_.network.draw(shared_.plan.strategy_throws)) {
        shared_.count(Fault::strategy_throws);
        throw std::runtime_error("the simulated strategy has a bad day");
    }
    auto plan = inner_->assign(input);
    judge_movement(input, plan);
    judge_inheritance(input, plan);
    return plan;
}

// P-6: with equal weights and capacities sticky moves no more than balance demands - what a worker has above its share.
void SimStrategy::judge_movement(const StrategyInput& input, const std::vector<std::int32_t>& plan) const {
    if (inner_->name() != "sticky" || shared_.plan.weighted || shared_.plan.capacities) return;
    std::vector<std::size_t> loads(input.workers.size(), 0);
    std::size_t moved = 0;
    for (std::size_t i = 0; i < plan.size(); ++i) {
        const std::int32_t owner = input.previous_owner[i];
        if (owner == kNobody) continue;
        ++loads[static_cast<std::size_t>(owner)];
        if (plan[i] != owner) ++moved;
    }
    std::sort(loads.rbegin(), loads.rend());
    std::size_t least = 0;
    for (std::size_t w = 0; w < loads.size(); ++w) {
        const std::size_t share = plan.size() / loads.size() + (w < plan.size() % loads.size() ? 1 : 0);
        least += loads[w] > share ? loads[w] - share : 0;
    }
    if (moved > least) {
        shared_.judge.report(
            shared_.scheduler.now(), Promise::p6_movement,
            "a plan moves " + std::to_string(moved) + " owned partitions, balance demands " + std::to_string(least));
    }
}

// P-6: a new leader begins with what its predecessor's records say. Its first plan takes nothing for free that a living member
// has.
void SimStrategy::judge_inheritance(const StrategyInput& input, const std::vector<std::int32_t>& plan) const {
    const Nanos now = shared_.scheduler.now();
    if (shared_.stepping == nullptr) return;
    const auto epoch = shared_.judge.leads(shared_.stepping->core().session());
    if (!epoch || *epoch == inherited_) return;
    inherited_ = *epoch;
    // A set that has just changed is not the same one to everybody.
    if (shared_.judge.after_a_loss(now) || now < shared_.partitions_changed_at + 60 * kSecond) return;
    for (const Invariants::Kept& kept : shared_.judge.kept()) {
        const auto worker = std::find_if(input.workers.begin(), input.workers.end(),
                                         [&](const StrategyWorker& w) { return w.number == kept.number; });
        const auto partition = std::find_if(input.partitions.begin(), input.partitions.end(),
                                            [&](const Partition& p) { return p.id() == kept.partition; });
        if (worker == input.workers.end() || partition == input.partitions.end()) continue;
        const auto index = static_cast<std::size_t>(partition - input.partitions.begin());
        if (input.previous_owner[index] != kNobody || plan[index] == worker - input.workers.begin()) continue;
        shared_.judge.report(now, Promise::p6_movement,
                             shared_.stepping->name() + " plans for the first time in epoch " + std::to_string(epoch->value) +
                                 " and moves " + partition->id() + " from worker " + std::to_string(kept.number.value) +
                                 " as if nobody had it");
        return;
    }
}

void SimShared::trace(const std::string& line) const {
    if (!tracing()) return;
    const Nanos now = scheduler.now();
    std::fprintf(options.trace, "%5lld.%06lld #%llu %s\n", static_cast<long long>(now / kSecond),
                 static_cast<long long>(now % kSecond / kMicro), static_cast<unsigned long long>(steps), line.c_str());
}

// One draw after the other: the order of a call's arguments is the compiler's business.
SimClock SimClock::draw(base::Rng& rng, std::int64_t ppm_most) {
    const Nanos offset = rng.between(kSecond, 1'000'000 * kSecond);
    return {offset, ppm_most == 0 ? 0 : rng.between(-ppm_most, ppm_most)};
}

Nanos SimClock::true_time(core::Instant at) const {
    const Nanos shown = at.time_since_epoch().count() - offset_;
    if (shown <= 0) return 0;
    Nanos time = shown / (1'000'000 + ppm_) * 1'000'000 + shown % (1'000'000 + ppm_) * 1'000'000 / (1'000'000 + ppm_);
    while (local(time) < at) ++time;  // both roundings together are off by a nanosecond or two
    while (time > 0 && local(time - 1) >= at) --time;
    return time;
}

// ---- worker -----------------------------------------------------------------------------------------------------------------

SimWorker::SimWorker(SimShared& shared, SimProcess& process, std::uint32_t slot, const Config& config, std::string name)
    : shared_(shared), process_(process), slot_(slot), name_(std::move(name)), heartbeat_(config.timing.heartbeat),
      id_(shared.judge.worker_made(name_)),
      core_(std::make_unique<core::WorkerCore>(config, shared.strategy, shared.rng.next(), process.identity())) {}

void SimWorker::start() {
    started_ = true;
    member_ = process_.hub().join([weak = weak_from_this()](core::Event event) {
        const auto self = weak.lock();
        if (!self || self->ended()) return;
        SimShared& shared = self->shared_;
        if (std::holds_alternative<core::WriteAnswered>(event) && shared.faults &&
            shared.network.draw(shared.plan.answer_doubled)) {
            shared.count(Fault::answer_doubled);
            const Nanos delay = shared.rng.between(0, 800 * kMilli);
            shared.scheduler.after(delay, self->process_.lane(),
                                   [self, again = std::make_shared<core::Event>(event)] { self->feed(*again); });
        }
        self->feed(event);
    });
    feed(core::LinkChanged{process_.client().link_up()});
    feed(core::Start{});
    const Nanos source = shared_.rng.between(0, 5 * kMilli);
    shared_.scheduler.after(source, process_.lane(),
                            [self = shared_from_this()] { self->feed(core::PartitionsChanged{self->shared_.partitions}); });
}

void SimWorker::leave() {
    if (ended() || leaving_ || !started_) return;
    leaving_ = true;
    shared_.judge.leaving(id_);
    feed(core::Stop{});
    const Nanos patience = shared_.plan.config.timing.shutdown_timeout.count();
    shared_.scheduler.after(patience, process_.lane(), [self = shared_from_this()] {
        if (!self->ended()) self->process_.remove(self);  // the user's Worker::stop gives up and the object goes
    });
}

void SimWorker::end() {
    if (ended()) return;
    if (started_) process_.hub().leave(member_);
    shared_.judge.worker_gone(shared_.scheduler.now(), id_);
    core_.reset();
}

void SimWorker::feed(const core::Event& event) {
    if (ended() || finished_ || shared_.over()) return;
    ++shared_.steps;
    ++own_steps_;
    const Nanos now = shared_.scheduler.now();
    effects_.clear();
    if (shared_.tracing()) shared_.trace(name_ + " <- " + describe(event));  // before: an assertion may end us
    shared_.stepping = this;
    core_->step(process_.now(), event, effects_);
    shared_.stepping = nullptr;
    shared_.mix(static_cast<std::uint64_t>(now));
    shared_.mix(id_ * 64U + event.index() * 4U + effects_.size());
    holdings_changed_ = draining_ || std::holds_alternative<core::ReleaseDone>(event);
    for (core::Effect& effect : effects_) {
        if (shared_.tracing()) shared_.trace("    " + name_ + " -> " + describe(effect));
        shared_.mix(effect.index());
        if (shared_.on_effect) shared_.on_effect(*this, effect);
        if (shared_.history) write_history(effect);
        execute(effect);
    }
    judge(event);
    arm();
    if (!finished_) return;
    shared_.scheduler.after(0, process_.lane(), [self = shared_from_this()] {
        if (!self->ended()) self->process_.remove(self);
    });
}

void SimWorker::write_history(const core::Effect& effect) {
    Nanos deadline = 0;
    if (const auto* started = std::get_if<core::SessionStarted>(&effect))
        deadline = process_.clock().true_time(started->deadline);
    if (const auto* extended = std::get_if<core::LeaseExtended>(&effect))
        deadline = process_.clock().true_time(extended->deadline);
    shared_.history->effect(shared_.scheduler.now(), process_.name(), id_, effect, deadline);
}

void SimWorker::execute(core::Effect& effect) {
    const Nanos now = shared_.scheduler.now();
    Invariants& judge = shared_.judge;
    if (const auto* put = std::get_if<core::Put>(&effect)) {
        shared_.mix(put->token.operation * 8U + put->token.attempt);
        judge_work(now, *put);
        process_.hub().put(member_, *put);
    } else if (const auto* fetch = std::get_if<core::Fetch>(&effect)) {
        process_.hub().fetch(member_, *fetch);
    } else if (const auto* interest = std::get_if<core::SetInterest>(&effect)) {
        process_.hub().set_interest(member_, interest->interest);
    } else if (const auto* distrust = std::get_if<core::Distrust>(&effect)) {
        process_.hub().distrust(distrust->bucket, distrust->detail);
    } else if (const auto* create = std::get_if<core::CreateBucket>(&effect)) {
        process_.hub().create(create->bucket);
    } else if (const auto* started = std::get_if<core::SessionStarted>(&effect)) {
        ++shared_.totals.claims;
        holdings_changed_ = true;
        judge.session_started(now, id_, started->number, started->incarnation, started->session,
                              process_.clock().true_time(core_->lease_deadline()));
        lease_told_ = core_->lease_deadline();
    } else if (const auto* extended = std::get_if<core::LeaseExtended>(&effect)) {
        judge.session_extended(now, id_, process_.clock().true_time(extended->deadline));
        process_.lease_extended();
        if (shared_.faults && shared_.network.draw(shared_.plan.token_lapsed)) {
            shared_.count(Fault::token_lapsed);
            shared_.scheduler.after(0, process_.lane(), [self = shared_from_this(), session = core_->session()] {
                self->feed(core::SessionLapsed{session});
            });
        }
    } else if (std::holds_alternative<core::SessionEnded>(effect)) {
        if (!leaving_) ++shared_.totals.fences;
        holdings_changed_ = true;
        judge.session_ended(now, id_);
    } else if (const auto* granted = std::get_if<core::Granted>(&effect)) {
        holdings_changed_ = true;
        for (const core::Grant& g : granted->grants) {
            shared_.mix(g.fence.epoch.value * 1'000'003U + g.fence.version);
            judge.granted(now, id_, g.grant, g.partition.id(), g.fence);
        }
    } else if (const auto* revoked = std::get_if<core::Revoked>(&effect)) {
        holdings_changed_ = true;
        if (core_->state() == State::fenced && !leaving_) {  // the session is still on: it gives everything back in time
            judge.relinquishing(now, id_, process_.clock().true_span(shared_.plan.config.timing.stop_budget));
        }
        judge.revoked(now, id_, revoked->grants);
        revoke(revoked->grants);
    } else if (const auto* timed_out = std::get_if<core::DrainTimedOut>(&effect)) {
        judge.released(id_, timed_out->grants);
        holdings_changed_ = true;
        ++shared_.totals.drain_timeouts;
    } else if (const auto* leads = std::get_if<core::LeadershipChanged>(&effect)) {
        if (leads->leader) {
            ++shared_.totals.leader_changes;
            judge.sealed(now, leads->epoch);
        }
    } else if (const auto* note = std::get_if<core::Note>(&effect)) {
        if (note->error) judge.error_told(now);
    } else if (std::holds_alternative<core::Stopped>(effect)) {
        finished_ = true;
    }
}

// The user's callback: it returns at once, soon, late or never.
void SimWorker::revoke(const std::vector<std::uint64_t>& grants) {
    Nanos delay = shared_.rng.chance(1, 2) ? 0 : shared_.rng.between(kMilli / 10, 50 * kMilli);
    if (shared_.callback_delay) delay = shared_.callback_delay(*this);
    if (shared_.faults && shared_.network.draw(shared_.plan.callback_never)) {
        shared_.count(Fault::callback_never);
        return;
    }
    if (shared_.faults && shared_.network.draw(shared_.plan.callback_throws)) {
        shared_.count(Fault::callback_throws);  // the executor reports it and takes it for done
        delay = 0;
    } else if (shared_.faults && shared_.network.draw(shared_.plan.callback_slow)) {
        shared_.count(Fault::callback_slow);
        delay = shared_.rng.between(100 * kMilli, shared_.plan.config.timing.drain_timeout.count() * 3 / 2);
    }
    shared_.scheduler.after(delay, process_.lane(), [self = shared_from_this(), grants] {
        self->shared_.judge.released(self->id_, grants);
        if (self->shared_.history && !self->ended()) {
            self->shared_.history->released(self->shared_.scheduler.now(), self->process_.name(), self->id_, grants);
        }
        self->feed(core::ReleaseDone{grants});
    });
}

// Policy keep: tokens outlive the lease, a number does not, and who goes on without one says so.
void SimWorker::judge_keep(Nanos now) {
    if (!core_->number()) return;
    if (core_->lease_deadline() != lease_told_) {
        lease_told_ = core_->lease_deadline();
        shared_.judge.session_extended(now, id_, process_.clock().true_time(lease_told_));
    }
    const State state = core_->state();
    if (process_.now() >= lease_told_ && (state == State::stable || state == State::waiting_assignment)) {
        shared_.judge.report(now, Promise::p12_visible,
                             name_ + " goes on without a lease and says that it is " + std::string(parti::to_string(state)));
    }
}

// Nothing grows without bound, whatever happens: each limit is a small multiple of what there is to know or to do at once.
void SimWorker::judge_queues(Nanos now) {
    const std::size_t numbers = shared_.plan.config.number_max + 1;
    const auto bounded = [&](const char* what, std::size_t is, std::size_t most) {
        if (is <= most) return;
        shared_.judge.report(now, Promise::work,
                             name_ + ": " + what + " " + std::to_string(is) + ", at most " + std::to_string(most));
    };
    bounded("core's backlog", core_->backlog(), 64 + 4 * numbers);
    // What came while the process was paused is there at once when it goes on.
    bounded("hub's queue", process_.hub().queued(), 8 * (8 + 4 * numbers) * (process_.workers().size() + 1));
    bounded("pending requests", process_.client().stats().pending_requests, 64 + 32 * numbers);
}

// A write that gets nowhere is tried again at the pace of its attempts, and not in circles: as long as the key stays what it is,
// a few writes at once (each may have been decided on news) and then two for every attempt's time.
void SimWorker::judge_work(Nanos now, const core::Put& put) {
    constexpr std::uint64_t kAtOnce = 24;
    const Duration attempt = std::max<Duration>(heartbeat_ / 4, std::chrono::milliseconds(10));
    const std::string bucket = put.bucket == Bucket::lease ? runtime::lease_bucket_name(shared_.plan.config.group)
                                                           : runtime::assignment_bucket_name(shared_.plan.config.group);
    const SimMessage* last =
        shared_.store.find(bucket) == nullptr ? nullptr : shared_.store.last(bucket, wire::to_string(put.key));
    const std::uint64_t revision = last == nullptr ? 0 : last->revision;
    Tries& tries = tries_[{put.bucket, put.key}];
    if (tries.count == 0 || tries.revision != revision) tries = {revision, now, 0};
    ++tries.count;
    const auto most = kAtOnce + 2 * static_cast<std::uint64_t>((now - tries.since) / attempt.count());
    if (tries.count <= most) return;
    shared_.judge.report(now, Promise::work,
                         name_ + " writes " + wire::to_string(put.key) + " for the " + std::to_string(tries.count) +
                             "th time in " + std::to_string((now - tries.since) / kMilli) + " ms, and nothing has come of it");
}

void SimWorker::judge(const core::Event& event) {
    const Nanos now = shared_.scheduler.now();
    if (const auto* seen = std::get_if<core::EntrySeen>(&event)) {
        const auto* record = std::get_if<AssignmentPtr>(&seen->entry.value);
        if (record != nullptr && seen->entry.key.number == core_->number()) shared_.judge.told(now, id_, **record);
    }
    if (shared_.plan.config.policy == Policy::keep) judge_keep(now);
    if (own_steps_ % 16 == 0) {
        if (!PARTI_ANY_BROKEN()) core_->check();  // a broken core is for the invariants to find
        judge_queues(now);
    }
    if (holdings_changed_ || own_steps_ % 64 == 0) {
        const auto holdings = core_->holdings();
        seen_.clear();
        draining_ = false;
        for (const auto& h : holdings) {
            seen_.push_back({h.grant, h.partition.id(), h.fence, h.draining});
            draining_ = draining_ || h.draining;
        }
        shared_.judge.holdings(now, id_, seen_);
    }
    shared_.judge.applied(now, id_, core_->applied());
    if (shared_.steps % 1024 == 0) shared_.judge.full_check(now);
}

// One timer, lazily: an earlier one that is under way arms anew when it finds that it came too soon.
void SimWorker::arm() {
    if (finished_) return;
    const auto deadline = core_->next_deadline();
    if (!deadline) return;
    const Nanos due = std::max(process_.clock().true_time(*deadline), shared_.scheduler.now());
    if (tick_due_ <= due) return;
    tick_due_ = due;
    const Nanos late =
        shared_.rng.chance(1, 100) ? shared_.rng.between(0, 60 * kMilli) : shared_.rng.between(20 * kMicro, 2 * kMilli);
    shared_.scheduler.at(due + late, process_.lane(),
                         [self = shared_from_this(), generation = ++tick_generation_] { self->tick(generation); });
}

void SimWorker::tick(std::uint64_t generation) {
    if (ended() || finished_ || generation != tick_generation_) return;
    tick_due_ = std::numeric_limits<Nanos>::max();
    const auto deadline = core_->next_deadline();
    if (!deadline) return;
    if (process_.now() < *deadline) {
        arm();
    } else {
        feed(core::Tick{});
    }
}

// ---- process ----------------------------------------------------------------------------------------------------------------

SimProcess::SimProcess(SimShared& shared, std::string name, std::function<void(SimProcess&, std::uint32_t)> on_stopped)
    : shared_(shared), name_(std::move(name)), lane_(shared.scheduler.add_lane()),
      clock_(SimClock::draw(shared.rng, shared.plan.clock_ppm)), identity_(shared.rng.next()),
      on_stopped_(std::move(on_stopped)) {
    if (shared.plan.clock_ppm != 0) shared.count(Fault::clock_skew);
    jetstream::ClientOptions options;
    options.watch_heartbeat = std::chrono::milliseconds(500);
    client_ = std::make_unique<SimClient>(shared.network, lane_, options, [this](bool up) {
        const auto workers = workers_;
        for (const auto& worker : workers) worker->feed(core::LinkChanged{up});
    });
    runtime::HubShell shell;
    shell.now = [this] { return now(); };
    shell.defer = [this](std::function<void()> task) { shared_.scheduler.after(kTurn, lane_, std::move(task)); };
    shell.decode = [this](Bucket bucket, const Key& key, std::string_view bytes) {
        return shared_.codec.decode(bucket, key, bytes);
    };
    shell.encode = [this](const RecordValue& record) { return shared_.codec.encode(record); };
    shell.limits = shared.plan.limits;
    shell.turn_events_max = kTurnEvents;
    shell.wake = [this](core::Instant at) {
        const Nanos due = std::max(clock_.true_time(at), shared_.scheduler.now());
        shared_.scheduler.at(due, lane_, [this, generation = ++hub_tick_] {
            if (generation == hub_tick_) hub_->tick();
        });
    };
    shell.log = [this](LogLevel, std::string_view line) {
        if (shared_.tracing()) shared_.trace(name_ + " hub: " + std::string(line));
    };
    hub_ = runtime::Hub::make(*client_, runtime::lease_bucket_name(shared.plan.config.group),
                              runtime::assignment_bucket_name(shared.plan.config.group), std::move(shell));
}

SimProcess::~SimProcess() {
    shared_.scheduler.end_lane(lane_);
    if (shared_.history) shared_.history->died(shared_.scheduler.now(), name_);
    for (const auto& worker : workers_) worker->end();
    workers_.clear();
    hub_.reset();
    client_.reset();
}

SimWorker& SimProcess::add_worker(std::uint32_t slot, const Config& config) {
    std::string name = name_ + ".w" + std::to_string(slot) + (lives_ == 0 ? "" : "'" + std::to_string(lives_));
    ++lives_;
    workers_.push_back(std::make_shared<SimWorker>(shared_, *this, slot, config, std::move(name)));
    SimWorker& worker = *workers_.back();
    shared_.scheduler.after(shared_.rng.between(0, 20 * kMilli), lane_, [worker_ptr = workers_.back()] {
        if (!worker_ptr->ended()) worker_ptr->start();
    });
    return worker;
}

void SimProcess::remove(const std::shared_ptr<SimWorker>& worker) {
    worker->end();
    std::erase(workers_, worker);
    on_stopped_(*this, worker->slot());
}

void SimProcess::partitions_changed() {
    const auto workers = workers_;
    for (const auto& worker : workers) worker->feed(core::PartitionsChanged{shared_.partitions});
}

void SimProcess::when_extended(Nanos from, std::function<void()> then) {
    when_extended_from_ = from;
    when_extended_ = std::move(then);
}

void SimProcess::lease_extended() {
    if (!when_extended_ || shared_.scheduler.now() < when_extended_from_) return;
    const auto then = std::exchange(when_extended_, nullptr);
    then();
}

SimWorker* SimProcess::at_slot(std::uint32_t slot) const {
    for (const auto& worker : workers_) {
        if (worker->slot() == slot) return worker.get();
    }
    return nullptr;
}

}  // namespace parti::testutil
