#include "testutil/sim_world.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/test_switch.h"
#include "testutil/sim_shell.h"
#include "wire/codec.h"

namespace parti::testutil {

void SimTotals::add(const SimTotals& other) {
    runs += other.runs;
    steps += other.steps;
    fleet_seconds += other.fleet_seconds;
    grants += other.grants;
    handoffs += other.handoffs;
    leader_changes += other.leader_changes;
    claims += other.claims;
    fences += other.fences;
    drain_timeouts += other.drain_timeouts;
    convergence_ms += other.convergence_ms;
    for (std::size_t i = 0; i < kFaults; ++i) faults[i] += other.faults[i];
}

std::optional<Breakage> breakage_of(std::string_view name) {
    static constexpr std::array<std::pair<std::string_view, Breakage>, 7> kNames = {{
        {"none", Breakage::none},
        {"deadlines-ignored", Breakage::deadlines_ignored},
        {"expectations-ignored", Breakage::expectations_ignored},
        {"clocks-wild", Breakage::clocks_wild},
        {"record-replayed", Breakage::record_replayed},
        {"never-heals", Breakage::never_heals},
        {"records-emptied", Breakage::records_emptied},
    }};
    for (const auto& item : kNames) {
        if (item.first == name) return item.second;
    }
    return std::nullopt;
}

struct SimWorld::Impl {
    explicit Impl(const SimOptions& options);

    // One process's place in the fleet, whoever lives there now.
    struct Place {
        std::uint32_t lives = 0;
        std::vector<std::uint32_t> slots;
        std::unique_ptr<SimProcess> process;
    };

    SimReport run();
    void build();
    void set_partitions(std::uint32_t count);
    void start(std::uint32_t place);
    void add_worker(Place& place, std::uint32_t slot);
    void worker_stopped(std::uint32_t place, std::uint32_t slot);
    void crash(std::uint32_t place, Nanos away);

    void chaos();
    void inflict(Fault fault, std::uint32_t place);
    void cut_off(std::uint32_t place, Nanos duration);
    std::uint32_t pick_place();
    Nanos pick_duration();
    void heal();

    std::string unconverged() const;  // why not; empty: converged
    void poll();
    void finish();
    void sabotage();

    SimWorker* leader() const;
    std::size_t population() const;

    SimShared shared;
    SimScheduler& scheduler;
    std::vector<Place> places;
    std::uint32_t next_slot = 0;
    bool done = false;
    Nanos healed_at = 0;
    Nanos converged_at = 0;
    std::uint64_t grants_at_convergence = 0;
    std::map<std::string, std::shared_ptr<const std::string>> old_records;
};

SimWorld::Impl::Impl(const SimOptions& options) : shared(options), scheduler(shared.scheduler) {
    if (options.breakage == Breakage::deadlines_ignored) shared.judge.ignore_deadlines(true);
    if (options.breakage == Breakage::expectations_ignored) shared.store.ignore_expectations(true);
    if (options.breakage == Breakage::clocks_wild) shared.plan.clock_ppm = 600'000;
}

void SimWorld::Impl::build() {
    const SimPlan& plan = shared.plan;
    shared.store.create(runtime::lease_bucket_name(plan.config.group));
    shared.store.create(runtime::assignment_bucket_name(plan.config.group));
    shared.store.observe([this](const SimStore::Stream& stream, const std::string& key, const SimMessage& message) {
        if (message.marker()) return;
        const bool of_leases = stream.bucket == runtime::lease_bucket_name(shared.plan.config.group);
        const Bucket bucket = of_leases ? Bucket::lease : Bucket::assignment;
        const auto parsed = wire::parse_key(bucket, key);
        if (!parsed) return;
        const RecordValue value = shared.codec.decode(bucket, *parsed, *message.bytes);
        if (const auto* head = std::get_if<HeadPtr>(&value)) shared.judge.head_stored(scheduler.now(), message.revision, **head);
        if (const auto* lease = std::get_if<LeasePtr>(&value)) {
            shared.judge.lease_stored(scheduler.now(), parsed->number, message.revision, **lease);
        }
        if (of_leases || parsed->kind != Key::Kind::worker) return;
        const auto* record = std::get_if<AssignmentPtr>(&value);
        if (record == nullptr) {
            shared.judge.report(scheduler.now(), Promise::other, "a record of " + key + " was written that cannot be read");
            return;
        }
        shared.judge.stored(scheduler.now(), parsed->number, message.revision, **record);
    });
    set_partitions(plan.partitions);
    places.resize(plan.processes);
    for (; next_slot < plan.workers; ++next_slot) places[next_slot % plan.processes].slots.push_back(next_slot);
    const Nanos spread = shared.rng.chance(1, 2) ? 10 * kMilli : shared.rng.between(0, 5 * kSecond);
    for (std::uint32_t i = 0; i < places.size(); ++i) {
        scheduler.at(shared.rng.between(0, spread), SimScheduler::kWorld, [this, i] { start(i); });
    }
    scheduler.at(shared.rng.between(kSecond, shared.plan.fault_gap), SimScheduler::kWorld, [this] { chaos(); });
    scheduler.at(plan.safety_phase, SimScheduler::kWorld, [this] { heal(); });
    if (shared.options.breakage == Breakage::record_replayed) {
        scheduler.at(60 * kSecond, SimScheduler::kWorld, [this] { sabotage(); });
    }
}

void SimWorld::Impl::set_partitions(std::uint32_t count) {
    PartitionSet set;
    for (std::uint32_t i = 0; i < count; ++i) {
        set.push_back(Partition::from_id("p." + std::to_string(100 + i)).value());
    }
    shared.partitions = std::make_shared<const PartitionSet>(std::move(set));
}

void SimWorld::Impl::start(std::uint32_t index) {
    Place& place = places[index];
    if (place.process) return;
    const std::string name = "p" + std::to_string(index) + (place.lives == 0 ? "" : "'" + std::to_string(place.lives));
    ++place.lives;
    shared.trace("world: process " + name + " starts");
    place.process = std::make_unique<SimProcess>(shared, name,
                                                 [this, index](SimProcess&, std::uint32_t slot) { worker_stopped(index, slot); });
    for (const std::uint32_t slot : place.slots) add_worker(place, slot);
}

void SimWorld::Impl::add_worker(Place& place, std::uint32_t slot) {
    Config config = shared.plan.config;
    if (shared.plan.instances) config.instance = "pod-" + std::to_string(slot);
    place.process->add_worker(slot, config);
}

// It left, or gave up: somebody starts it again.
void SimWorld::Impl::worker_stopped(std::uint32_t index, std::uint32_t slot) {
    const std::uint32_t life = places[index].lives;
    const Nanos away = shared.faults ? shared.rng.between(10 * kMilli, 20 * kSecond) : kMilli;
    shared.trace("world: worker of slot " + std::to_string(slot) + " stopped");
    scheduler.after(away, SimScheduler::kWorld, [this, index, slot, life] {
        Place& place = places[index];
        if (place.process && place.lives == life && place.process->at_slot(slot) == nullptr) add_worker(place, slot);
    });
}

void SimWorld::Impl::crash(std::uint32_t index, Nanos away) {
    Place& place = places[index];
    if (!place.process) return;
    shared.trace("world: process " + place.process->name() + " crashes");
    place.process.reset();
    scheduler.after(away, SimScheduler::kWorld, [this, index] { start(index); });
}

SimWorker* SimWorld::Impl::leader() const {
    for (const Place& place : places) {
        if (!place.process) continue;
        for (const auto& worker : place.process->workers()) {
            if (!worker->ended() && worker->core().leading()) return worker.get();
        }
    }
    return nullptr;
}

std::size_t SimWorld::Impl::population() const {
    std::size_t count = 0;
    for (const Place& place : places) count += place.slots.size();
    return count;
}

// ---- faults -----------------------------------------------------------------------------------------------------------------

std::uint32_t SimWorld::Impl::pick_place() {
    if (shared.rng.chance(2, 5)) {  // the leader is where it hurts
        for (std::uint32_t i = 0; i < places.size(); ++i) {
            if (!places[i].process) continue;
            for (const auto& worker : places[i].process->workers()) {
                if (!worker->ended() && worker->core().leading()) return i;
            }
        }
    }
    return static_cast<std::uint32_t>(shared.rng.below(places.size()));
}

Nanos SimWorld::Impl::pick_duration() {
    const Nanos ttl = shared.plan.config.timing.ttl.count();
    switch (shared.rng.below(6)) {
        case 0:
            return shared.rng.between(20 * kMilli, 300 * kMilli);
        case 1:
            return ttl / 2;
        case 2:
            return shared.rng.between(ttl / 2, ttl);
        case 3:
            return shared.rng.between(ttl * 8 / 10, ttl * 13 / 10);
        case 4:
            return shared.rng.between(ttl, 2 * ttl);
        default:
            return shared.rng.between(0, 3 * ttl);
    }
}

void SimWorld::Impl::chaos() {
    if (!shared.faults) return;
    static constexpr std::array<Fault, 10> kTimed = {Fault::deaf,
                                                     Fault::watch_stalled,
                                                     Fault::consumer_deleted,
                                                     Fault::disconnect,
                                                     Fault::server_down,
                                                     Fault::pause,
                                                     Fault::crash,
                                                     Fault::leave,
                                                     Fault::join,
                                                     Fault::partitions_changed};
    std::array<Fault, kTimed.size()> choice{};
    std::size_t count = 0;
    for (const Fault fault : kTimed) {
        if (shared.plan.on[static_cast<std::size_t>(fault)]) choice[count++] = fault;
    }
    if (count == 0) return;
    const std::uint64_t together = shared.rng.chance(1, 5) ? 2 : 1;
    for (std::uint64_t i = 0; i < together; ++i) inflict(choice[shared.rng.below(count)], pick_place());
    scheduler.after(shared.rng.between(shared.plan.fault_gap / 4, shared.plan.fault_gap * 7 / 4), SimScheduler::kWorld,
                    [this] { chaos(); });
}

void SimWorld::Impl::cut_off(std::uint32_t index, Nanos duration) {
    const std::uint32_t life = places[index].lives;
    places[index].process->client().disconnect();
    scheduler.after(duration, SimScheduler::kWorld, [this, index, life] {
        if (places[index].process && places[index].lives == life) places[index].process->client().connect();
    });
}

void SimWorld::Impl::inflict(Fault fault, std::uint32_t index) {
    Place& place = places[index];
    SimProcess* process = place.process.get();
    const Nanos duration = pick_duration();
    const std::uint32_t life = place.lives;
    const auto happens = [&](const std::string& what) {
        shared.count(fault);
        shared.trace("world: " + std::string(to_string(fault)) + " " + what + " for " + std::to_string(duration / kMilli) +
                     " ms");
    };
    if (process == nullptr && fault != Fault::server_down && fault != Fault::partitions_changed) return;
    switch (fault) {
        case Fault::watch_stalled:
            process->client().stall_watches(scheduler.now() + duration);
            happens(process->name());
            break;
        case Fault::deaf: {
            // What it writes is stored, but it does not hear so; often it is cut off the moment it does, before it can renew
            // again: a lease must count from the first attempt.
            const Nanos deaf = std::min(duration, shared.plan.config.timing.ttl.count() * 7 / 10);
            process->client().lose_answers(scheduler.now() + deaf);
            happens(process->name());
            if (!shared.rng.chance(2, 3)) break;
            process->when_extended(scheduler.now() + deaf, [this, index, life, span = pick_duration() + pick_duration()] {
                if (shared.faults && places[index].process && places[index].lives == life) cut_off(index, span);
            });
            break;
        }
        case Fault::consumer_deleted:
            if (process->client().delete_consumers() > 0) happens(process->name());
            break;
        case Fault::disconnect:
            happens(process->name());
            cut_off(index, duration);
            break;
        case Fault::server_down:
            if (!shared.network.server_up()) return;
            shared.network.server_down();
            happens("");
            scheduler.after(duration, SimScheduler::kWorld, [this] { shared.network.server_start(); });
            break;
        case Fault::pause:
            scheduler.pause_lane(process->lane(), scheduler.now() + duration);
            happens(process->name());
            break;
        case Fault::crash:
            happens(process->name());
            crash(index, std::max<Nanos>(duration, 10 * kMilli));
            break;
        case Fault::leave: {
            std::vector<SimWorker*> candidates;
            for (const auto& worker : process->workers()) {
                if (!worker->ended() && !worker->leaving()) candidates.push_back(worker.get());
            }
            if (candidates.empty()) return;
            SimWorker* worker = candidates[shared.rng.below(candidates.size())];
            happens(worker->name());
            scheduler.after(0, process->lane(), [self = worker->shared_from_this()] { self->leave(); });
            break;
        }
        case Fault::join: {
            if (population() >= shared.plan.workers_max) return;
            place.slots.push_back(next_slot);
            happens(process->name());
            add_worker(place, next_slot++);
            break;
        }
        case Fault::partitions_changed: {
            const auto count = std::clamp<std::int64_t>(
                static_cast<std::int64_t>(shared.partitions->size()) + shared.rng.between(-4, 4), 20, 64);
            set_partitions(static_cast<std::uint32_t>(count));
            happens(std::to_string(count));
            for (std::uint32_t i = 0; i < places.size(); ++i) {
                if (!places[i].process) continue;
                scheduler.after(shared.rng.between(0, kSecond), places[i].process->lane(), [this, i, at = places[i].lives] {
                    if (places[i].process && places[i].lives == at) places[i].process->partitions_changed();
                });
            }
            break;
        }
        default:
            break;  // drawn per request, callback or process
    }
}

// ---- liveness ---------------------------------------------------------------------------------------------------------------

void SimWorld::Impl::heal() {
    shared.trace("world: no more faults");
    shared.faults = false;
    shared.network.rates = {};
    if (shared.options.breakage == Breakage::never_heals) {
        shared.network.server_down();
    } else {
        shared.network.server_start();
        for (Place& place : places) {
            if (place.process) place.process->client().connect();
        }
    }
    for (std::uint32_t i = 0; i < places.size(); ++i) {
        start(i);
        for (const std::uint32_t slot : places[i].slots) {
            if (places[i].process->at_slot(slot) == nullptr) add_worker(places[i], slot);
        }
    }
    healed_at = scheduler.now();
    // A process that is still paused, or a watch that is still stalled, heals when that is over.
    scheduler.after(3 * shared.plan.config.timing.ttl.count(), SimScheduler::kWorld, [this] { poll(); });
}

std::string SimWorld::Impl::unconverged() const {
    const Nanos now = scheduler.now();
    std::size_t leaders = 0;
    for (const Place& place : places) {
        if (!place.process) return "a process is missing";
        if (place.process->workers().size() != place.slots.size()) return place.process->name() + " lacks workers";
        for (const auto& worker : place.process->workers()) {
            if (worker->ended()) return worker->name() + " has ended";
            if (worker->leaving()) return worker->name() + " is leaving";
            const core::WorkerCore& core = worker->core();
            if (core.state() != State::stable) return worker->name() + " is " + std::string(parti::to_string(core.state()));
            if (!core.at_rest()) return worker->name() + " is not at rest";
            if (core.leading()) ++leaders;
        }
    }
    if (leaders != 1) return std::to_string(leaders) + " leaders";
    for (const Partition& partition : *shared.partitions) {
        const std::size_t owners = shared.judge.owners(now, partition.id());
        if (owners != 1) return partition.id() + " has " + std::to_string(owners) + " owners";
    }
    return {};
}

void SimWorld::Impl::poll() {
    const Nanos now = scheduler.now();
    const std::string why = unconverged();
    if (why.empty()) {
        converged_at = now;
        shared.totals.convergence_ms += static_cast<std::uint64_t>((now - healed_at) / kMilli);
        grants_at_convergence = shared.judge.grants();
        shared.trace("world: converged");
        if (shared.options.breakage == Breakage::records_emptied) sabotage();
        const Nanos hold = 3 * (shared.plan.config.timing.ttl + shared.plan.config.timing.margin).count();
        scheduler.at(std::max(shared.plan.total, now + hold), SimScheduler::kWorld, [this] { finish(); });
        return;
    }
    const Nanos since = now - healed_at - 3 * shared.plan.config.timing.ttl.count();
    if (since > shared.plan.convergence_bound()) {
        shared.judge.report(now, Promise::p4_coverage,
                            "not converged " + std::to_string(since / kMilli) + " ms after the last fault: " + why);
        return;
    }
    scheduler.after(shared.rng.between(100 * kMilli, 300 * kMilli), SimScheduler::kWorld, [this] { poll(); });
}

void SimWorld::Impl::finish() {
    const Nanos now = scheduler.now();
    if (shared.judge.grants() != grants_at_convergence) {
        shared.judge.report(now, Promise::p5_untouched,
                            std::to_string(shared.judge.grants() - grants_at_convergence) +
                                " grants after the fleet had converged and nothing had happened");
    }
    for (const Partition& partition : *shared.partitions) {
        const std::size_t owners = shared.judge.owners(now, partition.id());
        if (owners != 1) {
            shared.judge.report(now, Promise::p4_coverage,
                                partition.id() + " has " + std::to_string(owners) + " owners although the fleet had converged");
        }
    }
    shared.judge.full_check(now);
    for (const Place& place : places) {
        for (const auto& worker : place.process->workers()) {
            if (!PARTI_ANY_BROKEN()) worker->core().check();
        }
    }
    done = true;
}

void SimWorld::Impl::sabotage() {
    const std::string bucket = runtime::assignment_bucket_name(shared.plan.config.group);
    if (shared.options.breakage == Breakage::records_emptied) {
        for (const auto& [key, message] : shared.store.matching(bucket, "worker.*")) {
            const auto parsed = wire::parse_key(Bucket::assignment, key);
            if (message.marker() || !parsed) continue;
            const RecordValue value = shared.codec.decode(Bucket::assignment, *parsed, *message.bytes);
            AssignmentRecord record = *std::get<AssignmentPtr>(value);
            if (record.partitions.empty()) continue;
            record.partitions.clear();
            record.fence.version += 1000;
            shared.store.overwrite(
                bucket, key, std::make_shared<const std::string>(wire::encode(std::make_shared<const AssignmentRecord>(record))));
        }
        return;
    }
    for (const auto& [key, message] : shared.store.matching(bucket, "worker.*")) {
        if (message.marker()) continue;
        auto& old = old_records[key];
        if (!old) {
            old = message.bytes;
        } else if (*old != *message.bytes) {
            shared.store.overwrite(bucket, key, old);
        }
    }
    scheduler.after(30 * kSecond, SimScheduler::kWorld, [this] { sabotage(); });
}

SimReport SimWorld::Impl::run() {
    shared.trace("world: " + shared.plan.describe());
    build();
    Nanos moved_at = 0;
    std::uint64_t steps_then = 0;
    while (!done && !shared.over() && scheduler.step()) {
        if (scheduler.now() - moved_at >= kMilli) {
            moved_at = scheduler.now();
            steps_then = shared.steps;
        } else if (shared.steps - steps_then > 50'000) {
            shared.judge.report(scheduler.now(), Promise::other, "50,000 steps within one millisecond: somebody runs in circles");
        }
    }
    SimReport report;
    report.violation = shared.judge.violation();
    report.step = shared.steps;
    report.digest = shared.digest;
    SimTotals& totals = shared.totals;
    const SimCounts& counts = shared.network.counts;
    totals.runs = 1;
    totals.steps = shared.steps;
    totals.fleet_seconds = static_cast<std::uint64_t>(scheduler.now() / kSecond) * population();
    totals.grants = shared.judge.grants();
    totals.handoffs = shared.judge.handoffs();
    const auto set = [&](Fault fault, std::uint64_t count) { totals.faults[static_cast<std::size_t>(fault)] = count; };
    set(Fault::request_lost, counts.requests_lost);
    set(Fault::request_late, counts.requests_late);
    set(Fault::answer_lost, counts.answers_lost);
    set(Fault::answer_late, counts.answers_late);
    set(Fault::answer_refused, counts.refused);
    if (report.violation && shared.tracing()) {
        shared.trace("VIOLATION of " + std::string(to_string(report.violation->promise)) + ": " + report.violation->text);
    }
    report.totals = totals;
    return report;
}

SimWorld::SimWorld(const SimOptions& options) : impl_(std::make_unique<Impl>(options)) {}
SimWorld::~SimWorld() = default;
const SimPlan& SimWorld::plan() const {
    return impl_->shared.plan;
}
SimReport SimWorld::run() {
    return impl_->run();
}

}  // namespace parti::testutil
