// SimProcess and SimWorker: the shell of one simulated process. What lib/runtime does with clocks, threads and nats, in virtual
// time.
//
// Lifetime  A process lives until it crashes or the world ends; a worker until it stopped or its process ends. Tasks that were
//           under way find nothing afterwards.
#pragma once

#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "core/worker_core.h"
#include "runtime/hub.h"
#include "testutil/invariants.h"
#include "testutil/sim_history.h"
#include "testutil/sim_plan.h"
#include "testutil/sim_world.h"

namespace parti::testutil {

// The real codec, with a memory of records by their bytes: every record is parsed, but not once more by every process that reads
// it.
class SimCodec {
public:
    RecordValue decode(Bucket bucket, const Key& key, std::string_view bytes);
    std::string encode(const RecordValue& record);

private:
    struct Slot {
        std::size_t hash = 0;
        Bucket bucket = Bucket::lease;
        Key::Kind kind = Key::Kind::worker;  // what a record may be depends on no more of its key
        std::string bytes;
        RecordValue value;
    };
    std::vector<Slot> slots_{256};
};

class SimWorker;
struct SimShared;

// The strategy of a run, which may have a bad day.
class SimStrategy final : public Strategy {
public:
    SimStrategy(SimShared& shared, std::shared_ptr<const Strategy> inner) : shared_(shared), inner_(std::move(inner)) {}
    std::vector<std::int32_t> assign(const StrategyInput& input) const override;
    std::string_view name() const override { return inner_->name(); }
    Result<void> validate() const override { return inner_->validate(); }
    bool works_in_steps() const override { return inner_->works_in_steps(); }

private:
    void judge_movement(const StrategyInput& input, const std::vector<std::int32_t>& plan) const;
    void judge_inheritance(const StrategyInput& input, const std::vector<std::int32_t>& plan) const;
    SimShared& shared_;
    std::shared_ptr<const Strategy> inner_;
    mutable Epoch inherited_;  // the first plan of this epoch has been judged
};

// What everything in one run shares.
struct SimShared {
    explicit SimShared(const SimOptions& options);
    SimShared(const SimOptions& options, SimPlan plan);
    ~SimShared() { scheduler.clear(); }
    SimShared(const SimShared&) = delete;
    SimShared& operator=(const SimShared&) = delete;

    SimOptions options;
    SimPlan plan;
    SimScheduler scheduler;
    SimStore store;
    SimNetwork network;
    base::Rng rng;
    Invariants judge;
    SimCodec codec;
    SimTotals totals;
    std::shared_ptr<const Strategy> strategy;
    std::shared_ptr<const PartitionSet> partitions;
    Nanos partitions_changed_at = 0;
    const SimWorker* stepping = nullptr;  // whose core is in a step
    bool faults = true;
    // For a scripted scenario: hears of every effect as it is executed; how long a user takes to release what is revoked.
    std::function<void(const SimWorker&, const core::Effect&)> on_effect;
    std::function<Nanos(const SimWorker&)> callback_delay;
    std::unique_ptr<SimHistory> history;  // when it is to be written
    std::uint64_t steps = 0;
    std::uint64_t digest = 0xcbf29ce484222325ULL;

    void mix(std::uint64_t value) { digest = (digest ^ value) * 0x100000001b3ULL ^ (digest >> 29U); }
    void count(Fault fault) { ++totals.faults[static_cast<std::size_t>(fault)]; }
    bool tracing() const { return options.trace != nullptr && steps >= options.trace_from; }
    void trace(const std::string& line) const;
    bool over() const { return judge.violation().has_value() || (options.steps_max != 0 && steps >= options.steps_max); }
};

// A clock that is offset and runs at its own rate. Good for four days of virtual time.
class SimClock {
public:
    SimClock(Nanos offset, std::int64_t ppm) : offset_(offset), ppm_(ppm) {}
    static SimClock draw(base::Rng& rng, std::int64_t ppm_most);
    core::Instant local(Nanos time) const { return core::Instant(Duration(offset_ + time + time * ppm_ / 1'000'000)); }
    Nanos true_time(core::Instant at) const;  // the first at which the clock shows `at` or more
    Nanos true_span(Duration span) const { return span.count() * 1'000'000 / (1'000'000 + ppm_) + kMicro; }

private:
    Nanos offset_;
    std::int64_t ppm_;
};

class SimProcess;

class SimWorker : public std::enable_shared_from_this<SimWorker> {
public:
    SimWorker(SimShared& shared, SimProcess& process, std::uint32_t slot, const Config& config, std::string name);

    void start();
    void leave();  // gracefully
    void end();    // it is no more
    void feed(const core::Event& event);
    bool ended() const { return core_ == nullptr; }
    bool leaving() const { return leaving_; }
    std::uint32_t slot() const { return slot_; }
    const std::string& name() const { return name_; }
    const core::WorkerCore& core() const { return *core_; }
    Invariants::WorkerId id() const { return id_; }
    const SimProcess& process() const { return process_; }

private:
    void execute(core::Effect& effect);
    void write_history(const core::Effect& effect);
    void revoke(const std::vector<std::uint64_t>& grants);
    void judge(const core::Event& event);
    void judge_keep(Nanos now);
    void judge_queues(Nanos now);
    void judge_work(Nanos now, const core::Put& put);
    void arm();
    void tick(std::uint64_t generation);

    SimShared& shared_;
    SimProcess& process_;
    std::uint32_t slot_;
    std::string name_;
    const Duration heartbeat_;
    Invariants::WorkerId id_;
    std::unique_ptr<core::WorkerCore> core_;
    runtime::Hub::MemberId member_ = 0;
    core::Effects effects_;
    std::vector<HoldingSeen> seen_;
    bool started_ = false;
    bool leaving_ = false;
    bool finished_ = false;
    bool holdings_changed_ = false;
    bool draining_ = false;
    std::uint64_t own_steps_ = 0;
    core::Instant lease_told_{};  // policy keep: the deadline that the judge knows
    struct Tries {                // of writes of one key that has not changed meanwhile
        std::uint64_t revision = 0;
        Nanos since = 0;
        std::uint64_t count = 0;
    };
    std::map<std::pair<Bucket, Key>, Tries> tries_;
    Nanos tick_due_ = std::numeric_limits<Nanos>::max();
    std::uint64_t tick_generation_ = 0;
};

class SimProcess {
public:
    // on_stopped hears of a worker that has stopped, in the process's lane, after it is gone.
    SimProcess(SimShared& shared, std::string name, std::function<void(SimProcess&, std::uint32_t slot)> on_stopped);
    ~SimProcess();
    SimProcess(const SimProcess&) = delete;
    SimProcess& operator=(const SimProcess&) = delete;

    SimWorker& add_worker(std::uint32_t slot, const Config& config);
    void remove(const std::shared_ptr<SimWorker>& worker);
    void partitions_changed();
    // Runs `then` the moment a worker here hears that its lease is extended, from `from` on.
    void when_extended(Nanos from, std::function<void()> then);
    void lease_extended();

    SimScheduler::Lane lane() const { return lane_; }
    const SimClock& clock() const { return clock_; }
    core::Instant now() const { return clock_.local(shared_.scheduler.now()); }
    std::uint64_t identity() const { return identity_; }
    const std::string& name() const { return name_; }
    runtime::Hub& hub() { return *hub_; }
    SimClient& client() { return *client_; }
    const std::vector<std::shared_ptr<SimWorker>>& workers() const { return workers_; }
    SimWorker* at_slot(std::uint32_t slot) const;

private:
    SimShared& shared_;
    std::string name_;
    SimScheduler::Lane lane_;
    SimClock clock_;
    std::uint64_t identity_;
    std::uint32_t lives_ = 0;
    Nanos when_extended_from_ = 0;
    std::function<void()> when_extended_;
    std::function<void(SimProcess&, std::uint32_t)> on_stopped_;
    std::unique_ptr<SimClient> client_;
    std::unique_ptr<runtime::Hub> hub_;
    std::uint64_t hub_tick_ = 0;
    std::vector<std::shared_ptr<SimWorker>> workers_;
};

}  // namespace parti::testutil
