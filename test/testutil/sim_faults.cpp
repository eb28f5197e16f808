// The faults of a simulated world: what is drawn when, and what it does.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "testutil/sim_records.h"
#include "testutil/sim_world_impl.h"
#include "wire/codec.h"

namespace parti::testutil {

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
        case 0: return shared.rng.between(20 * kMilli, 300 * kMilli);
        case 1: return ttl / 2;
        case 2: return shared.rng.between(ttl / 2, ttl);
        case 3: return shared.rng.between(ttl * 8 / 10, ttl * 13 / 10);
        case 4: return shared.rng.between(ttl, 2 * ttl);
        default: return shared.rng.between(0, 3 * ttl);
    }
}

namespace {

constexpr std::array<Fault, 29> kTimed = {
    Fault::deaf,
    Fault::watch_stalled,
    Fault::consumer_deleted,
    Fault::disconnect,
    Fault::server_down,
    Fault::pause,
    Fault::crash,
    Fault::leave,
    Fault::join,
    Fault::partitions_changed,
    Fault::disconnect_leader,
    Fault::disconnect_all,
    Fault::tail_lost_leases,
    Fault::tail_lost_assignments,
    Fault::tail_lost_both,
    Fault::wiped_leases,
    Fault::wiped_assignments,
    Fault::wiped_both,
    Fault::bucket_deleted,
    Fault::key_deleted,
    Fault::record_malformed,
    Fault::record_future,
    Fault::key_foreign,
    Fault::instance_shared,
    Fault::everything,
    Fault::record_replayed,
    Fault::frozen,
    Fault::drained,
    Fault::rebalance_asked,
};

// What no codec may take for a record.
constexpr std::array<const char*, 7> kJunk = {
    "not a record",
    "",
    "{",
    "{}",
    R"({"v":1})",
    "[1,2,3]",
    R"({"v":1,"w":"00","s":-1,"epoch":"high","version":1,"inc":1,"session":7,"partitions":{},"revoking":[]})",
};
constexpr std::array<const char*, 2> kFuture = {R"({"v":2})",
                                                R"({"v":99,"w":"00000000000000010000000000000002","s":1,"news":true})"};
constexpr std::array<const char*, 5> kForeign = {"worker.x", "worker.007", "notes", "worker.123456", "head.1"};

}  // namespace

void SimWorld::Impl::chaos() {
    if (!shared.faults) return;
    std::array<Fault, kTimed.size()> choice{};
    std::size_t count = 0;
    for (const Fault fault : kTimed) {
        if (shared.plan.is_on(fault)) choice[count++] = fault;
    }
    if (count == 0) return;
    const std::uint64_t together = shared.rng.chance(1, 5) ? 2 : 1;
    for (std::uint64_t i = 0; i < together; ++i) {
        const Fault fault = choice[shared.rng.below(count)];
        if (fault != Fault::everything) {
            inflict(fault, pick_place());
            continue;
        }
        shared.count(fault);
        shared.trace("world: everything at once");
        for (std::size_t each = 0; each < count; ++each) {
            if (choice[each] != fault) inflict(choice[each], pick_place());
        }
    }
    scheduler.after(shared.rng.between(shared.plan.fault_gap / 4, shared.plan.fault_gap * 7 / 4), SimScheduler::kWorld,
                    [this] { chaos(); });
}

void SimWorld::Impl::inflict(Fault fault, std::uint32_t index) {
    const Nanos duration = pick_duration();
    bool happened = false;
    if (fault >= Fault::tail_lost_leases && fault <= Fault::bucket_deleted) {
        happened = inflict_on_store(fault, duration);
    } else if (fault >= Fault::key_deleted && fault <= Fault::key_foreign) {
        happened = inflict_on_keys(fault, duration);
    } else if (fault >= Fault::record_replayed && fault <= Fault::rebalance_asked) {
        happened = inflict_as_operator(fault, duration);
    } else {
        happened = inflict_on_process(fault, index, duration);
    }
    if (!happened) return;
    shared.count(fault);
    shared.trace("world: " + std::string(to_string(fault)) + " at p" + std::to_string(index) + ", " +
                 std::to_string(duration / kMilli) + " ms");
}

bool SimWorld::Impl::inflict_on_process(Fault fault, std::uint32_t index, Nanos duration) {
    switch (fault) {
        case Fault::server_down: return server_down(duration);
        case Fault::partitions_changed: change_partitions(); return true;
        case Fault::disconnect_all:
            for (std::uint32_t i = 0; i < places.size(); ++i) {
                if (places[i].process) cut_off(i, shared.rng.chance(1, 2) ? duration : pick_duration());
            }
            return true;
        case Fault::disconnect_leader:
            for (std::uint32_t i = 0; i < places.size(); ++i) {
                if (!places[i].process || leader() == nullptr || &leader()->process() != places[i].process.get()) continue;
                cut_off(i, duration);
                return true;
            }
            return false;
        default: break;
    }
    Place& place = places[index];
    SimProcess* process = place.process.get();
    if (process == nullptr) return false;
    switch (fault) {
        case Fault::watch_stalled: process->client().stall_watches(scheduler.now() + duration); return true;
        case Fault::deaf: make_deaf(index, duration); return true;
        case Fault::consumer_deleted: return process->client().delete_consumers() > 0;
        case Fault::disconnect: cut_off(index, duration); return true;
        case Fault::pause: scheduler.pause_lane(process->lane(), scheduler.now() + duration); return true;
        case Fault::crash: crash(index, std::max<Nanos>(duration, 10 * kMilli)); return true;
        case Fault::leave: return someone_leaves(*process);
        case Fault::join:
            if (population() >= shared.plan.workers_max) return false;
            place.slots.push_back(next_slot);
            add_worker(place, next_slot++);
            return true;
        case Fault::instance_shared: return share_instance(index);
        default: return false;  // drawn per request, callback or process
    }
}

void SimWorld::Impl::cut_off(std::uint32_t index, Nanos duration) {
    const std::uint32_t life = places[index].lives;
    places[index].process->client().disconnect();
    scheduler.after(duration, SimScheduler::kWorld, [this, index, life] {
        if (places[index].process && places[index].lives == life) places[index].process->client().connect();
    });
}

// What it writes is stored, but it does not hear so; often it is cut off the moment it does, before it can renew again: a lease
// must count from the first attempt.
void SimWorld::Impl::make_deaf(std::uint32_t index, Nanos duration) {
    SimProcess& process = *places[index].process;
    const std::uint32_t life = places[index].lives;
    const Nanos deaf = std::min(duration, shared.plan.config.timing.ttl.count() * 7 / 10);
    process.client().lose_answers(scheduler.now() + deaf);
    if (!shared.rng.chance(2, 3)) return;
    process.when_extended(scheduler.now() + deaf, [this, index, life, span = pick_duration() + pick_duration()] {
        if (shared.faults && places[index].process && places[index].lives == life) cut_off(index, span);
    });
}

bool SimWorld::Impl::someone_leaves(SimProcess& process) {
    std::vector<SimWorker*> candidates;
    for (const auto& worker : process.workers()) {
        if (!worker->ended() && !worker->leaving()) candidates.push_back(worker.get());
    }
    if (candidates.empty()) return false;
    SimWorker* worker = candidates[shared.rng.below(candidates.size())];
    scheduler.after(0, process.lane(), [self = worker->shared_from_this()] { self->leave(); });
    return true;
}

void SimWorld::Impl::change_partitions() {
    const auto now = static_cast<std::int64_t>(shared.partitions->size());
    const std::int64_t most = std::max<std::int64_t>(64, shared.plan.partitions);
    set_partitions(static_cast<std::uint32_t>(std::clamp<std::int64_t>(now + shared.rng.between(-4, 4), 20, most)));
    for (std::uint32_t i = 0; i < places.size(); ++i) {
        if (!places[i].process) continue;
        scheduler.after(shared.rng.between(0, kSecond), places[i].process->lane(), [this, i, at = places[i].lives] {
            if (places[i].process && places[i].lives == at) places[i].process->partitions_changed();
        });
    }
}

// Somebody gives two pods one name: the process comes back with another worker's.
bool SimWorld::Impl::share_instance(std::uint32_t index) {
    Place& place = places[index];
    if (!shared.plan.instances || place.slots.empty() || next_slot < 2) return false;
    const std::uint32_t slot = place.slots[shared.rng.below(place.slots.size())];
    const auto other = static_cast<std::uint32_t>(shared.rng.below(next_slot));
    if (other == slot) return false;
    instances[slot] = instances[other];
    crash(index, shared.rng.between(10 * kMilli, 2 * kSecond));
    return true;
}

bool SimWorld::Impl::server_down(Nanos duration) {
    if (!shared.network.server_up()) return false;
    shared.network.server_down();
    scheduler.after(duration, SimScheduler::kWorld, [this] {
        shared.network.server_start();
        for (const Bucket bucket : std::exchange(lost_while_down, {})) {
            shared.judge.loss_shows(scheduler.now(), bucket, time_to_notice());
        }
    });
    return true;
}

// ---- what befalls the store -------------------------------------------------------------------------------------------------

std::string SimWorld::Impl::bucket_name(Bucket bucket) const {
    const std::string& group = shared.plan.config.group;
    return bucket == Bucket::lease ? runtime::lease_bucket_name(group) : runtime::assignment_bucket_name(group);
}

// A loss is noticed within a heartbeat by who reaches the store (a renewal is refused), and then the drain takes its time.
// Reaching it may need a few attempts while requests are lost, and a watch notices its end only after three of its own
// heartbeats.
Nanos SimWorld::Impl::time_to_notice() const {
    const Timing& t = shared.plan.config.timing;
    return (t.heartbeat + t.drain_timeout).count() * 21 / 20 + 2 * shared.network.rates.late_max;
}

void SimWorld::Impl::lost(Bucket bucket, Revision kept) {
    const Timing& t = shared.plan.config.timing;
    shared.trace("world: lost " + bucket_name(bucket));
    losses[bucket] += 1;
    if (!shared.network.server_up()) lost_while_down.insert(bucket);
    shared.judge.lost(scheduler.now(), bucket, kept, time_to_notice(), (t.ttl - t.margin).count() * 21 / 20);
}

void SimWorld::Impl::lose_tail(Fault fault, bool leases, bool assignments) {
    // What goes back is the tail of the present history: a copy from before another loss would bring a history back that was
    // lost.
    struct Copy {
        Bucket bucket;
        std::uint64_t losses;
        SimStore::Stream stream;
    };
    std::vector<Copy> copies;
    for (const Bucket bucket : {Bucket::lease, Bucket::assignment}) {
        if (!(bucket == Bucket::lease ? leases : assignments) || shared.store.find(bucket_name(bucket)) == nullptr) continue;
        copies.push_back({bucket, losses[bucket], shared.store.snapshot(bucket_name(bucket))});
    }
    const Nanos tail = shared.rng.chance(1, 2) ? shared.rng.between(kMilli, kSecond) : shared.rng.between(kSecond, 30 * kSecond);
    scheduler.after(tail, SimScheduler::kWorld, [this, fault, copies = std::move(copies)] {
        if (!shared.faults) return;
        std::set<Bucket> gone;
        for (const auto& [bucket, losses_then, copy] : copies) {
            const SimStore::Stream* present = shared.store.find(copy.bucket);
            if (losses[bucket] != losses_then) continue;
            if (present == nullptr || present->identity != copy.identity || present->last_sequence <= copy.last_sequence)
                continue;
            shared.store.restore(copy);
            // A chunk that was on its way may fit there by chance; what it tears may be written once more as it is.
            for (const auto& [key, message] : shared.store.matching(copy.bucket, "worker.*")) {
                if (!message.marker() && wire::read_manifest(*message.bytes)) torn[key] = *message.bytes;
            }
            lost(bucket, copy.last_sequence);
            gone.insert(bucket);
        }
        if (gone.empty()) return;
        shared.count(fault);
        shared.trace("world: " + std::string(to_string(fault)));
        // Mostly it has crashed.
        if (shared.rng.chance(2, 3) && server_down(shared.rng.between(100 * kMilli, 3 * kSecond))) lost_while_down.merge(gone);
    });
}

bool SimWorld::Impl::wipe(bool leases, bool assignments) {
    bool any = false;
    for (const Bucket bucket : {Bucket::lease, Bucket::assignment}) {
        if (!(bucket == Bucket::lease ? leases : assignments) || shared.store.find(bucket_name(bucket)) == nullptr) continue;
        shared.store.wipe(bucket_name(bucket));
        lost(bucket, 0);
        any = true;
    }
    return any;
}

bool SimWorld::Impl::delete_bucket(Nanos duration) {
    const Bucket bucket = shared.rng.chance(1, 2) ? Bucket::lease : Bucket::assignment;
    if (shared.store.find(bucket_name(bucket)) == nullptr) return false;
    shared.store.remove(bucket_name(bucket));
    lost(bucket, 0);
    if (shared.plan.config.create_buckets == CreateBuckets::always) return true;
    scheduler.after(duration, SimScheduler::kWorld, [this] { create_buckets(); });  // an operator does
    return true;
}

void SimWorld::Impl::create_buckets() {
    for (const Bucket bucket : {Bucket::lease, Bucket::assignment}) (void)shared.store.create(bucket_name(bucket));
}

bool SimWorld::Impl::inflict_on_store(Fault fault, Nanos duration) {
    switch (fault) {
        case Fault::tail_lost_leases: lose_tail(fault, true, false); return false;  // counted when it comes
        case Fault::tail_lost_assignments: lose_tail(fault, false, true); return false;
        case Fault::tail_lost_both: lose_tail(fault, true, true); return false;
        case Fault::wiped_leases: return wipe(true, false);
        case Fault::wiped_assignments: return wipe(false, true);
        case Fault::wiped_both: return wipe(true, true);
        case Fault::bucket_deleted: return delete_bucket(duration);
        default: return false;
    }
}

// ---- what an operator does to keys ------------------------------------------------------------------------------------------

void SimWorld::Impl::operator_writes(const std::string& bucket, const std::string& key,
                                     std::shared_ptr<const std::string> bytes) {
    if (shared.store.find(bucket) == nullptr) return;
    shared.trace("world: an operator writes " + bucket + " " + key + ": " + (bytes ? *bytes : "a marker"));
    operator_at_work = true;
    const bool marker = bytes == nullptr;
    shared.store.overwrite(bucket, key, std::move(bytes));
    operator_at_work = false;
    const SimMessage* last = shared.store.last(bucket, key);
    if (!marker) junk[{bucket, key}] = {last->revision, *last->bytes};
}

bool SimWorld::Impl::inflict_on_keys(Fault fault, Nanos duration) {
    const std::string bucket = bucket_name(shared.rng.chance(1, 2) ? Bucket::lease : Bucket::assignment);
    auto keys = shared.store.matching(bucket, ">");
    // Meddling with chunks: HubChunks.AMeddledChunkIsAnErrorAndTheNextRecordHeals.
    std::erase_if(
        keys, [](const auto& item) { return item.first.starts_with("worker.") && item.first.find('.', 7) != std::string::npos; });
    if (keys.empty()) return false;
    std::string key = keys[shared.rng.below(keys.size())].first;
    const char* bytes = nullptr;
    switch (fault) {
        case Fault::key_deleted: operator_writes(bucket, key, nullptr); return true;
        case Fault::record_malformed: bytes = kJunk[shared.rng.below(kJunk.size())]; break;
        case Fault::record_future: bytes = kFuture[shared.rng.below(kFuture.size())]; break;
        case Fault::key_foreign:
            key = kForeign[shared.rng.below(kForeign.size())];
            bytes = "anything";
            break;
        default: return false;
    }
    operator_writes(bucket, key, std::make_shared<const std::string>(bytes));
    // Somebody notices and removes it.
    scheduler.after(duration + shared.rng.between(0, 10 * kSecond), SimScheduler::kWorld, [this] { remove_junk(); });
    return true;
}

// Junk that nothing else has replaced.
void SimWorld::Impl::remove_junk() {
    const auto all = std::exchange(junk, {});
    for (const auto& [where, what] : all) {
        const auto& [bucket, key] = where;
        if (shared.store.find(bucket) == nullptr) continue;
        const SimMessage* last = shared.store.last(bucket, key);
        if (last != nullptr && last->revision == what.revision) operator_writes(bucket, key, nullptr);
    }
}

// A rollback may have brought some back.
void SimWorld::Impl::remove_all_junk() {
    junk.clear();
    for (const Bucket bucket : {Bucket::lease, Bucket::assignment}) {
        for (const auto& [key, message] : shared.store.matching(bucket_name(bucket), ">")) {
            const auto parsed = wire::parse_key(bucket, key);
            if (message.marker() || !parsed) continue;
            const bool chunked = bucket == Bucket::assignment && wire::read_manifest(*message.bytes).has_value();
            const RecordValue value = chunked ? stored_assignment(shared.store, bucket_name(bucket), *parsed)
                                              : shared.codec.decode(bucket, *parsed, *message.bytes);
            if (std::holds_alternative<UnreadablePtr>(value)) operator_writes(bucket_name(bucket), key, nullptr);
        }
    }
}

}  // namespace parti::testutil
