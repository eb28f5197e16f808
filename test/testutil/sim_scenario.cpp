#include "testutil/sim_scenario.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "wire/codec.h"

namespace parti::testutil {
namespace {

SimPlan plan_of(const SimScenario::Options& options) {
    SimPlan plan;
    plan.seed = 1;
    plan.config = options.config;
    plan.config.group = "story";
    if (options.adjust) options.adjust(plan.config);
    plan.partitions = options.partitions;
    return plan;
}

SimOptions sim_options_of(const SimScenario::Options& options) {
    SimOptions out;
    out.history = options.history;
    return out;
}

}  // namespace

SimScenario::SimScenario(Options options)
    : shared_(std::make_unique<SimShared>(sim_options_of(options), plan_of(options))), instances_(options.instances) {
    shared_->faults = false;
    shared_->network.latency_min = kMilli;
    shared_->network.latency_max = kMilli;
    PartitionSet set;
    for (std::uint32_t i = 0; i < options.partitions; ++i) {
        set.push_back(Partition::from_id(std::string(1, static_cast<char>('a' + static_cast<int>(i)))).value());
    }
    shared_->partitions = std::make_shared<const PartitionSet>(std::move(set));
    shared_->store.create(bucket(Bucket::lease));
    shared_->store.create(bucket(Bucket::assignment));
    shared_->on_effect = [this](const SimWorker& worker, const core::Effect& effect) { on_effect(worker, effect); };
    shared_->callback_delay = [this](const SimWorker& worker) {
        const auto it = delays_.find(worker.process().name());
        return it == delays_.end() ? 5 * kMilli : it->second;
    };
    shared_->store.observe([this](const SimStore::Stream& stream, const std::string& key, const SimMessage& message) {
        on_stored(stream, key, message);
    });
}

SimScenario::~SimScenario() { processes_.clear(); }

std::string SimScenario::bucket(Bucket bucket) const {
    const std::string& group = shared_->plan.config.group;
    return bucket == Bucket::lease ? runtime::lease_bucket_name(group) : runtime::assignment_bucket_name(group);
}

void SimScenario::lost(Bucket bucket, Revision kept) {
    const Timing& timing = shared_->plan.config.timing;
    shared_->judge.lost(shared_->scheduler.now(), bucket, kept, (timing.heartbeat + timing.drain_timeout).count() + kSecond,
                        timing.ttl.count());
}

// ---- lines ------------------------------------------------------------------------------------------------------------------

void SimScenario::line(const std::string& who, const std::string& what) {
    std::array<char, 40> time{};
    const auto micros = shared_->scheduler.now() / kMicro;
    std::snprintf(time.data(), time.size(), "%4lld.%03lld  %-6s ", static_cast<long long>(micros / 1'000'000),
                  static_cast<long long>(micros % 1'000'000 / 1'000), who.c_str());
    lines_.push_back(time.data() + what);
}

void SimScenario::say(const std::string& text) { lines_.push_back("-- " + text); }

std::string SimScenario::letters(const std::vector<Partition>& partitions) const {
    std::string out;
    for (const Partition& partition : partitions) out += partition.id();
    return out.empty() ? "-" : out;
}

void SimScenario::on_effect(const SimWorker& worker, const core::Effect& effect) {
    const std::string& who = worker.process().name();
    auto& grants = grants_[who];
    const auto named = [&grants](const std::vector<std::uint64_t>& list) {
        std::string out;
        for (const std::uint64_t grant : list) out += grants[grant];
        std::sort(out.begin(), out.end());
        return out;
    };
    if (const auto* started = std::get_if<core::SessionStarted>(&effect)) {
        line(who, "holds number " + std::to_string(started->number.value) + ", incarnation " +
                      std::to_string(started->incarnation.value));
    } else if (const auto* ended = std::get_if<core::SessionEnded>(&effect)) {
        line(who, "session over: " + ended->reason);
    } else if (const auto* granted = std::get_if<core::Granted>(&effect)) {
        std::string what;
        for (const core::Grant& grant : granted->grants) what += grants[grant.grant] = grant.partition.id();
        line(who, "owns " + what + " " + text_of(granted->grants.front().fence));
    } else if (const auto* revoked = std::get_if<core::Revoked>(&effect)) {
        line(who, "gives back " + named(revoked->grants));
    } else if (const auto* late = std::get_if<core::DrainTimedOut>(&effect)) {
        line(who, "did not release " + named(late->grants) + " in time");
    } else if (const auto* changed = std::get_if<core::StateChanged>(&effect)) {
        line(who, "is " + std::string(parti::to_string(changed->to)));
    } else if (const auto* leads = std::get_if<core::LeadershipChanged>(&effect)) {
        line(who, (leads->leader ? "leads epoch " : "no longer leads epoch ") + std::to_string(leads->epoch.value));
    } else if (const auto* phase = std::get_if<core::PhaseChanged>(&effect)) {
        if (phase->phase == LeaderPhase::frozen || phase->phase == LeaderPhase::emergency) {
            line(who, "phase " + std::string(parti::to_string(phase->phase)));
        }
    } else if (const auto* note = std::get_if<core::Note>(&effect)) {
        if (note->level >= LogLevel::warning) line(who, std::string(parti::to_string(note->level)) + ": " + note->text);
    }
}

void SimScenario::on_stored(const SimStore::Stream& stream, const std::string& key, const SimMessage& message) {
    const bool of_leases = stream.bucket == bucket(Bucket::lease);
    const Bucket in = of_leases ? Bucket::lease : Bucket::assignment;
    const auto parsed = wire::parse_key(in, key);
    if (message.marker()) {
        if (parsed && of_leases) shared_->judge.lease_void(parsed->number);
        if (parsed && !of_leases && parsed->kind == Key::Kind::worker) shared_->judge.record_void(parsed->number);
        return line("store", key + " removed");
    }
    if (!parsed) return;
    const RecordValue value = shared_->codec.decode(in, *parsed, *message.bytes);
    const Nanos now = shared_->scheduler.now();
    const std::string number = std::to_string(parsed->number.value);
    if (const auto* lease = std::get_if<LeasePtr>(&value)) {
        shared_->judge.lease_stored(now, parsed->number, message.revision, **lease);
        static constexpr std::array<const char*, 5> kStates = {"live", "draining", "released", "dead", "evicted"};
        const std::string what = "lease " + number + ": incarnation " + std::to_string((*lease)->incarnation.value) + " " +
                                 kStates.at(static_cast<std::size_t>((*lease)->state));
        if (std::exchange(told_leases_[parsed->number.value], what) != what) line("store", what);
    } else if (const auto* head = std::get_if<HeadPtr>(&value)) {
        shared_->judge.head_stored(now, message.revision, **head);
        std::string what = "head: epoch " + std::to_string((*head)->epoch.value) + ", leader " +
                           std::to_string((*head)->leader.number.value) + ((*head)->resigned ? " (resigned)" : "") + ", " +
                           std::to_string((*head)->slots) + " slots, standbys";
        for (const WorkerNumber standby : (*head)->standbys) what += " " + std::to_string(standby.value);
        line("store", what);
    } else if (const auto* record = std::get_if<AssignmentPtr>(&value)) {
        shared_->judge.stored(now, parsed->number, message.revision, **record);
        line("store", "record " + number + " " + text_of((*record)->fence) + " for incarnation " +
                          std::to_string((*record)->incarnation.value) + ": " + letters((*record)->partitions) +
                          ((*record)->revoking.empty() ? "" : ", revoking " + letters((*record)->revoking)));
    } else if (const auto* control = std::get_if<ControlPtr>(&value)) {
        line("store", std::string("control: ") + ((*control)->frozen ? "frozen" : "not frozen"));
    }
}

// ---- script -----------------------------------------------------------------------------------------------------------------

void SimScenario::start(const std::string& name, const std::function<void(Config&)>& adjust) {
    const auto slot = slots_.emplace(name, static_cast<std::uint32_t>(slots_.size())).first->second;
    auto process = std::make_unique<SimProcess>(*shared_, name, [](SimProcess&, std::uint32_t) {});
    Config config = shared_->plan.config;
    if (instances_) config.instance = name;
    if (adjust) adjust(config);
    grants_[name].clear();
    line(name, "starts");
    process->add_worker(slot, config);
    processes_[name] = std::move(process);
}

void SimScenario::leave(const std::string& name) {
    line(name, "is asked to leave");
    SimProcess& process = *processes_.at(name);
    const auto worker = process.workers().front();
    shared_->scheduler.after(0, process.lane(), [worker] { worker->leave(); });
}

void SimScenario::crash(const std::string& name) {
    line(name, "crashes");
    processes_.erase(name);
}

void SimScenario::pause(const std::string& name, Nanos duration) {
    line(name, "is paused for " + std::to_string(duration / kSecond) + " s");
    shared_->scheduler.pause_lane(processes_.at(name)->lane(), shared_->scheduler.now() + duration);
}

void SimScenario::cut_off(const std::string& name, Nanos duration) {
    line(name, "is cut off for " + std::to_string(duration / kSecond) + " s");
    processes_.at(name)->client().disconnect();
    shared_->scheduler.after(duration, SimScheduler::kWorld, [this, name] {
        const auto it = processes_.find(name);
        if (it == processes_.end()) return;
        line(name, "is connected again");
        it->second->client().connect();
    });
}

void SimScenario::control(const ControlRecord& record) {
    const RecordValue value = std::make_shared<const ControlRecord>(record);
    shared_->store.overwrite(bucket(Bucket::assignment), wire::to_string(control_key()),
                             std::make_shared<const std::string>(wire::encode(value)));
}

void SimScenario::remove(Bucket in, const std::string& key) {
    line("op", "removes " + key + (in == Bucket::lease ? " of the leases" : " of the assignments"));
    shared_->store.mark(bucket(in), key);
}

void SimScenario::hold(const std::string& name, Bucket in, const std::string& key) {
    holds_.push_back({&processes_.at(name)->client(), bucket(in), key});
    shared_->network.hold = [this](const SimClient& from, const std::string& to, const std::string& what) {
        return std::any_of(holds_.begin(), holds_.end(),
                           [&](const Hold& h) { return h.from == &from && h.bucket == to && h.key == what; });
    };
}

void SimScenario::let_go() {
    line("net", "what was held back arrives: " + std::to_string(held()) + " writes");
    holds_.clear();
    shared_->network.let_go();
}

void SimScenario::run_for(Nanos duration) {
    const Nanos until = shared_->scheduler.now() + duration;
    bool reached = false;
    shared_->scheduler.at(until, SimScheduler::kWorld, [&reached] { reached = true; });
    while (!reached && !shared_->over() && shared_->scheduler.step()) {
    }
    if (shared_->judge.violation()) {
        line("judge",
             std::string(to_string(shared_->judge.violation()->promise)) + " broken: " + shared_->judge.violation()->text);
    }
}

bool SimScenario::run_until(const std::vector<std::string>& words, Nanos at_most) {
    const Nanos until = shared_->scheduler.now() + at_most;
    std::size_t looked_at = lines_.size();
    while (!shared_->over() && shared_->scheduler.next_time() <= until && shared_->scheduler.step()) {
        for (; looked_at < lines_.size(); ++looked_at) {
            const std::string& text = lines_[looked_at];
            const bool all = std::all_of(words.begin(), words.end(),
                                         [&text](const std::string& word) { return text.find(word) != std::string::npos; });
            if (all) return true;
        }
    }
    std::string wanted;
    for (const std::string& word : words) wanted += " '" + word + "'";
    line("script", "waited in vain for" + wanted);
    return false;
}

bool SimScenario::run_until(const std::function<bool()>& condition, Nanos at_most) {
    const Nanos until = shared_->scheduler.now() + at_most;
    while (!condition()) {
        if (shared_->over() || shared_->scheduler.next_time() > until || !shared_->scheduler.step()) {
            line("script", "waited in vain for a condition");
            return false;
        }
    }
    return true;
}

std::uint32_t SimScenario::number(const std::string& name) const {
    return processes_.at(name)->workers().front()->core().number().value_or(WorkerNumber{kWorkerNumberMax}).value;
}

std::uint64_t SimScenario::revision(Bucket in, const std::string& key) const {
    const SimMessage* last = shared_->store.last(bucket(in), key);
    return last == nullptr ? 0 : last->revision;
}

std::string SimScenario::leader() const {
    for (const auto& [name, process] : processes_) {
        for (const auto& worker : process->workers()) {
            if (!worker->ended() && worker->core().leading()) return name;
        }
    }
    return {};
}

void SimScenario::summary() {
    for (const auto& [name, process] : processes_) {
        if (process->workers().empty()) continue;
        const core::WorkerCore& core = process->workers().front()->core();
        std::string owned;
        std::string draining;
        for (const auto& holding : core.holdings()) (holding.draining ? draining : owned) += holding.partition.id();
        const auto number = core.number();
        say(name + ": " + (number ? "number " + std::to_string(number->value) : std::string("no number")) + ", " +
            std::string(parti::to_string(core.state())) + ", owns " + (owned.empty() ? "nothing" : owned) +
            (draining.empty() ? "" : ", releasing " + draining) + (core.leading() ? ", leads" : ""));
    }
}

}  // namespace parti::testutil
