// What operators of a simulated world do to the group: they freeze, drain and ask through the record `control`, and put old
// records back.
#include <algorithm>
#include <utility>

#include "testutil/sim_records.h"
#include "testutil/sim_world_impl.h"
#include "wire/codec.h"

namespace parti::testutil {

// One value of every record's key, as it was at some time.
void SimWorld::Impl::remember(const std::string& key, const SimMessage& message) {
    if (!shared.plan.is_on(Fault::record_replayed)) return;
    const auto [it, fresh] = older_records.try_emplace(key, message.bytes);
    if (!fresh && shared.rng.chance(1, 8)) it->second = message.bytes;
}

// Whoever restores a backup of one key: the record is valid, and old.
bool SimWorld::Impl::replay_record() {
    const std::string bucket = bucket_name(Bucket::assignment);
    if (shared.store.find(bucket) == nullptr || older_records.empty()) return false;
    auto old = older_records.begin();
    std::advance(old, static_cast<std::ptrdiff_t>(shared.rng.below(older_records.size())));
    const SimMessage* last = shared.store.last(bucket, old->first);
    if (last == nullptr || last->marker() || *last->bytes == *old->second) return false;
    shared.trace("world: an operator puts an old record back: " + old->first + " " + *old->second);
    operator_at_work = true;
    shared.store.overwrite(bucket, old->first, old->second);
    operator_at_work = false;
    return true;
}

ControlRecord SimWorld::Impl::control() const {
    const std::string bucket = bucket_name(Bucket::assignment);
    const SimMessage* last =
        shared.store.find(bucket) == nullptr ? nullptr : shared.store.last(bucket, wire::to_string(control_key()));
    if (last == nullptr || last->marker()) return {};
    const RecordValue value = wire::decode(Bucket::assignment, control_key(), *last->bytes);
    const auto* record = std::get_if<ControlPtr>(&value);
    return record == nullptr ? ControlRecord{} : **record;
}

void SimWorld::Impl::write_control(const ControlRecord& record) {
    const std::string bucket = bucket_name(Bucket::assignment);
    if (shared.store.find(bucket) == nullptr) return;
    const RecordValue value = std::make_shared<const ControlRecord>(record);
    shared.store.overwrite(bucket, wire::to_string(control_key()), std::make_shared<const std::string>(wire::encode(value)));
}

void SimWorld::Impl::drain_someone(Nanos duration) {
    const Place& place = places[shared.rng.below(places.size())];
    if (!place.process || place.process->workers().empty()) return;
    const SimWorker& worker = *place.process->workers()[shared.rng.below(place.process->workers().size())];
    if (worker.ended() || !worker.core().number()) return;
    const bool by_name = shared.plan.instances && shared.rng.chance(1, 2);
    const std::string name = by_name ? instances[worker.slot()] : parti::to_string(worker.core().session());
    ControlRecord record = control();
    if (std::find(record.drain.begin(), record.drain.end(), name) != record.drain.end()) return;
    record.drain.push_back(name);
    std::sort(record.drain.begin(), record.drain.end());
    write_control(record);
    shared.count(Fault::drained);
    shared.trace("world: operators drain " + worker.name());
    scheduler.after(duration + shared.rng.between(0, 60 * kSecond), SimScheduler::kWorld, [this, name] {
        ControlRecord now = control();
        if (std::erase(now.drain, name) != 0) write_control(now);
    });
}

bool SimWorld::Impl::inflict_as_operator(Fault fault, Nanos duration) {
    ControlRecord record = control();
    switch (fault) {
        case Fault::record_replayed: return replay_record();
        case Fault::frozen:
            if (record.frozen) return false;
            record.frozen = true;
            write_control(record);
            scheduler.after(duration + shared.rng.between(0, 60 * kSecond), SimScheduler::kWorld, [this] {
                ControlRecord now = control();
                if (!std::exchange(now.frozen, false)) return;
                write_control(now);
            });
            return true;
        case Fault::drained: drain_someone(duration); return false;  // counted there
        case Fault::rebalance_asked: {
            const SimStore::Stream* stream = shared.store.find(bucket_name(Bucket::assignment));
            if (stream == nullptr) return false;
            record.rebalance = stream->last_sequence + 1;
            write_control(record);
            return true;
        }
        default: return false;
    }
}

}  // namespace parti::testutil
