#include "testutil/sim_world.h"
#include "testutil/sim_records.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/test_switch.h"
#include "testutil/sim_world_impl.h"
#include "wire/codec.h"

namespace parti::testutil {

namespace {
constexpr Nanos kMinuteMore = 60 * kSecond;
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

SimWorld::Impl::Impl(const SimOptions& options) : shared(options), scheduler(shared.scheduler) {
    if (options.breakage == Breakage::deadlines_ignored) shared.judge.ignore_deadlines(true);
    if (options.breakage == Breakage::expectations_ignored) shared.store.ignore_expectations(true);
    if (options.breakage == Breakage::clocks_wild) shared.plan.clock_ppm = 600'000;
}

void SimWorld::Impl::build() {
    const SimPlan& plan = shared.plan;
    create_buckets();
    shared.store.observe([this](const SimStore::Stream& stream, const std::string& key, const SimMessage& message) {
        const Bucket bucket = stream.bucket == bucket_name(Bucket::lease) ? Bucket::lease : Bucket::assignment;
        if (std::uint64_t& known = identities[bucket]; known != stream.identity) {  // what was wiped or deleted is there again
            if (std::exchange(known, stream.identity) != 0) shared.judge.loss_shows(scheduler.now(), bucket, time_to_notice());
        }
        const auto parsed = wire::parse_key(bucket, key);
        if (parsed && bucket == Bucket::lease && (message.marker() || operator_at_work)) shared.judge.lease_void(parsed->number);
        if (parsed && bucket == Bucket::assignment && parsed->kind == Key::Kind::worker &&
            (message.marker() || operator_at_work)) {
            shared.judge.record_void(parsed->number);
        }
        if (!parsed || message.marker() || operator_at_work) return;
        const bool chunked = bucket == Bucket::assignment && wire::read_manifest(*message.bytes).has_value();
        if (chunked) shared.count(Fault::payload_limit);
        const RecordValue value = chunked ? stored_assignment(shared.store, stream.bucket, *parsed)
                                          : shared.codec.decode(bucket, *parsed, *message.bytes);
        if (const auto* head = std::get_if<HeadPtr>(&value)) shared.judge.head_stored(scheduler.now(), message.revision, **head);
        if (const auto* lease = std::get_if<LeasePtr>(&value)) {
            shared.judge.lease_stored(scheduler.now(), parsed->number, message.revision, **lease);
        }
        if (bucket != Bucket::assignment || parsed->kind != Key::Kind::worker) return;
        const auto* record = std::get_if<AssignmentPtr>(&value);
        // Its chunks were confirmed, then the store forgot them: readers see that, and the leader writes it anew.
        if (record == nullptr && chunked && shared.judge.after_a_loss(scheduler.now())) {
            torn[key] = *message.bytes;
            shared.judge.record_torn(parsed->number);
            return;
        }
        // A leader writes what an operator left there once more, so that nobody else's chunks can be committed on it.
        const auto left = junk.find({stream.bucket, key});
        if (record == nullptr && left != junk.end() && left->second.bytes == *message.bytes) {
            left->second.revision = message.revision;
            return;
        }
        if (record == nullptr && torn.contains(key) && torn.at(key) == *message.bytes) return;  // likewise
        if (record == nullptr) {
            const auto* bad = std::get_if<UnreadablePtr>(&value);
            shared.judge.report(
                scheduler.now(), Promise::other,
                "a record of " + key + " was written that cannot be read: " + (bad ? (*bad)->error.detail : "not there"));
            return;
        }
        shared.judge.stored(scheduler.now(), parsed->number, message.revision, **record);
        if (!chunked) remember(key, message);
        if ((*record)->revoking.empty() || !shared.faults || !shared.network.draw(shared.plan.partitions_midway)) return;
        shared.count(Fault::partitions_midway);
        scheduler.after(shared.rng.between(0, 200 * kMilli), SimScheduler::kWorld, [this] {
            if (shared.faults) change_partitions();
        });
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
        const std::int64_t weight = shared.plan.weighted ? 1 + i * 7 % 10 : 1;
        set.push_back(Partition::from_id("p." + std::to_string(1000 + i), weight).value());
    }
    shared.partitions = std::make_shared<const PartitionSet>(std::move(set));
    shared.partitions_changed_at = scheduler.now();
}

void SimWorld::Impl::start(std::uint32_t index) {
    Place& place = places[index];
    if (place.process) return;
    const std::string name = "p" + std::to_string(index) + (place.lives == 0 ? "" : "'" + std::to_string(place.lives));
    ++place.lives;
    shared.trace("world: process " + name + " starts");
    place.process = std::make_unique<SimProcess>(shared, name,
                                                 [this, index](SimProcess&, std::uint32_t slot) { worker_stopped(index, slot); });
    if (shared.plan.config.create_buckets != CreateBuckets::never) create_buckets();
    for (const std::uint32_t slot : place.slots) {
        if (shared.faults && place.lives > 1 && shared.plan.instances && shared.plan.is_on(Fault::instance_changed) &&
            shared.rng.chance(1, 2)) {
            shared.count(Fault::instance_changed);
            instances[slot] = "pod-" + std::to_string(slot) + "-" + std::to_string(place.lives);
        }
        add_worker(place, slot);
    }
}

void SimWorld::Impl::add_worker(Place& place, std::uint32_t slot) {
    Config config = shared.plan.config_of(slot);
    while (instances.size() <= slot) instances.push_back("pod-" + std::to_string(instances.size()));
    if (shared.plan.instances) config.instance = instances[slot];
    if (shared.plan.capacities) config.capacity = 1 + slot * 5 % 4;
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

// ---- liveness ---------------------------------------------------------------------------------------------------------------

void SimWorld::Impl::heal() {
    if (shared.steps < shared.options.steps_min) {  // not enough seen yet
        scheduler.after(kMinuteMore, SimScheduler::kWorld, [this] { heal(); });
        return;
    }
    shared.trace("world: no more faults");
    shared.faults = false;
    shared.network.rates = {};
    if (shared.options.breakage == Breakage::never_heals) {
        shared.network.server_down();
    } else {
        shared.network.server_start();
        if (shared.plan.config.create_buckets != CreateBuckets::always) create_buckets();
        remove_all_junk();
        if (!(control() == ControlRecord{})) write_control({});
        // Two of one name would take each other's number for ever.
        const bool trust = shared.plan.config.instance_takeover == InstanceTakeover::trust;
        for (std::size_t slot = 0; trust && slot < instances.size(); ++slot)
            instances[slot] = "pod-" + std::to_string(slot) + "-healed";
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
            const RecordValue value = stored_assignment(shared.store, bucket, *parsed);
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
    totals.doubles = shared.judge.doubles();
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
const SimPlan& SimWorld::plan() const { return impl_->shared.plan; }
SimReport SimWorld::run() { return impl_->run(); }

}  // namespace parti::testutil
