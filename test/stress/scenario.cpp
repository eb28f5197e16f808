#include "scenario.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "progress.h"
#include "testutil/tcp_text.h"

namespace parti::stress {

using nlohmann::json;
using test::Disturbance;
using test::Milliseconds;

namespace {

constexpr const char* kStream = "LOAD";
constexpr Milliseconds kPatience{30000};
constexpr Milliseconds kStop{2500};                    // longer than a lease of the test timing
constexpr Milliseconds kStall(300);                    // shorter than a lease: nobody loses anything, messages wait
constexpr std::int64_t kReconnect_ns = 1'000'000'000;  // until the clients of a server that came back are there again

// One request of JetStream's API on a connection of its own; an error of the server's is an error.
test::Outcome<json> api(const std::string& url, const std::string& subject, const json& body) {
    auto nats = test::RawNats::connect(url, kPatience);
    if (!nats) return test::failure(nats.error());
    const auto answer = nats->request("$JS.API." + subject, body.empty() ? std::string() : body.dump(), kPatience);
    if (!answer) return test::failure(subject + ": " + answer.error());
    json parsed = json::parse(*answer, nullptr, false);
    if (!parsed.is_object() || parsed.contains("error")) return test::failure(subject + ": " + *answer);
    return parsed;
}

// Messages that some durable has yet to deliver or to see acknowledged.
test::Outcome<std::uint64_t> outstanding(const std::string& url) {
    std::uint64_t sum = 0;
    for (std::uint64_t offset = 0;;) {
        const auto page = api(url, std::string("CONSUMER.LIST.") + kStream, {{"offset", offset}});
        if (!page) return test::failure(page.error());
        const json list = page->value("consumers", json::array());
        for (const json& consumer : list) {
            sum += consumer.value("num_pending", std::uint64_t{0}) + consumer.value("num_ack_pending", std::uint64_t{0});
        }
        offset += list.size();
        if (list.empty() || offset >= page->value("total", std::uint64_t{0})) break;
    }
    return sum;
}

Milliseconds duration_of(const ScenarioPlan& plan) {
    return std::accumulate(plan.phases.begin(), plan.phases.end(), Milliseconds(0),
                           [](Milliseconds sum, const test::LoadPhase& p) { return sum + p.duration; });
}

test::LoadOptions load_options(const ScenarioPlan& plan, const std::string& url, std::uint64_t seed) {
    test::LoadOptions load;
    load.url = url;
    load.plan.seed = seed;
    load.plan.partitions = plan.partitions;
    load.plan.weights = plan.weights;
    load.plan.phases = plan.phases;
    for (std::uint32_t i = 0; i < plan.partitions; ++i) {
        load.partitions.push_back(numbered("part", i));
        load.subjects.push_back(numbered("load", i));
    }
    return load;
}

}  // namespace

std::string_view name(Fault fault) {
    switch (fault) {
        case Fault::kill: return "kill";
        case Fault::stop: return "stop";
        case Fault::stall: return "stall";
        case Fault::add: return "add";
        case Fault::leave: return "leave";
        case Fault::roll: return "roll";
        case Fault::leader: return "leader";
        case Fault::server_restart: return "server_restart";
        case Fault::server_kill: return "server_kill";
        case Fault::grow: return "grow";
        case Fault::shrink: return "shrink";
    }
    return "?";
}

struct ScenarioTest::Live {
    ScenarioPlan plan;
    std::unique_ptr<test::Fleet> fleet;
    std::vector<Disturbance> disturbances;
    std::vector<ScenarioResult::Injected> faults;
    std::uint32_t next_label = 0;
    std::uint32_t extra = 0;  // partitions of the source beyond the plan's
    bool balanced = false;
    std::string label;  // of the fault that is carried out
    std::vector<std::int64_t> reads_ns;
    std::uint64_t reads_failed = 0;
    std::int64_t next_sample_ns = 0;
};

bool ScenarioTest::add_process(Live& live) {
    test::WorkerProcessOptions options;
    options.label = "h" + std::to_string(live.next_label++);
    const ScenarioPlan& plan = live.plan;
    options.workers = plan.workers;
    options.args = {"--consume",
                    kStream,
                    "--subject",
                    "load.{1}",
                    "--handled",
                    live.fleet->folder() + "/" + options.label + ".handled",
                    "--consume-mode",
                    plan.mode,
                    "--max-ack-pending",
                    std::to_string(plan.max_ack_pending),
                    "--work",
                    std::to_string(plan.work.count()),
                    "--callback-threads",
                    plan.work.count() > 0 ? "16" : "2"};
    if (plan.fail_every != 0) options.args.insert(options.args.end(), {"--fail-every", std::to_string(plan.fail_every)});
    const auto index = live.fleet->add(std::move(options));
    if (!index) {
        ADD_FAILURE() << index.error();
        return false;
    }
    test::WorkerProcess& process = live.fleet->process(*index);
    if (live.label.empty()) live.label = process.label();
    if (live.extra != 0) {
        const auto set = process.set_partitions(plan.partitions + live.extra);
        EXPECT_TRUE(set) << set.error();
    }
    const auto started = process.start_workers(0);
    EXPECT_TRUE(started) << started.error();
    return started.has_value();
}

bool ScenarioTest::begin(Live& live) {
    test::FleetOptions options;
    options.partitions = live.plan.partitions;
    options.config = live.plan.config;
    options.server.binary = live.plan.server;
    progress().phase("start");
    progress().workers(0, std::uint64_t{live.plan.processes} * live.plan.workers);
    live.fleet = new_fleet(options);
    if (!live.fleet) return false;
    const std::string& store = live.fleet->options().storage;
    const auto made = api(live.fleet->server().url(), std::string("STREAM.CREATE.") + kStream,
                          {{"name", kStream},
                           {"subjects", {"load.*"}},
                           {"storage", store.empty() ? "file" : store},
                           {"retention", live.plan.retention}});
    EXPECT_TRUE(made) << made.error();
    for (std::uint32_t i = 0; made && i < live.plan.processes; ++i) {
        if (!add_process(live)) return false;
    }
    if (!made || live.plan.processes == 0) return made.has_value();
    const auto balanced = live.fleet->wait_balanced(kPatience, std::uint64_t{live.plan.processes} * live.plan.workers);
    live.balanced = balanced.has_value();
    if (balanced)
        progress().workers(std::uint64_t{live.plan.processes} * live.plan.workers,
                           std::uint64_t{live.plan.processes} * live.plan.workers);
    EXPECT_TRUE(balanced || live.plan.may_stay_behind) << balanced.error();
    return balanced || live.plan.may_stay_behind;
}

// The process that leads first, so that the time counts from the change that matters.
bool ScenarioTest::set_source(Live& live, std::uint32_t extra) {
    live.extra = extra;
    oracles_.more_partitions = live.plan.extra_partitions;
    const auto leader = live.fleet->leader(kPatience);
    if (!leader) {
        ADD_FAILURE() << leader.error();
        return false;
    }
    auto order = live.fleet->alive();
    std::stable_partition(order.begin(), order.end(), [&](std::size_t i) { return i == *leader; });
    for (const std::size_t i : order) {
        const auto set = live.fleet->process(i).set_partitions(live.plan.partitions + extra);
        EXPECT_TRUE(set) << set.error();
        if (!set) return false;
    }
    return true;
}

void ScenarioTest::replace(Live& live, std::size_t gone) {
    const test::WorkerProcess& process = live.fleet->process(gone);
    if (process.killed())
        live.disturbances.push_back({Disturbance::Kind::process_killed, process.label(), process.told_ns(), process.died_ns()});
    add_process(live);
}

void ScenarioTest::inject(Live& live, Fault fault) {
    test::Fleet& fleet = *live.fleet;
    const auto alive = fleet.alive();
    ASSERT_TRUE(!alive.empty() || fault == Fault::add) << "there is no process";
    const std::size_t victim = alive.empty() ? 0 : alive[random()() % alive.size()];
    std::printf("  fault: %s %s\n", std::string(name(fault)).c_str(), alive.empty() ? "" : fleet.process(victim).label().c_str());
    std::fflush(stdout);
    const auto leave = [&](std::size_t index) {
        live.label = fleet.process(index).label();
        const auto left = fleet.leave(index, kPatience);
        EXPECT_TRUE(left) << left.error();
    };
    const auto restart_server = [&](Disturbance::Kind kind) {
        const std::int64_t from = test::boot_now_ns();
        const auto down = kind == Disturbance::Kind::server_crashed ? fleet.server().kill() : fleet.server().halt();
        EXPECT_TRUE(down) << down.error();
        const auto up = fleet.server().restart();
        EXPECT_TRUE(up) << up.error();
        live.disturbances.push_back({kind, "", from, test::boot_now_ns() + kReconnect_ns});
    };
    switch (fault) {
        case Fault::kill:
            live.label = fleet.process(victim).label();
            fleet.kill(victim);
            return replace(live, victim);
        case Fault::leader: {
            const auto leader = fleet.leader(kPatience);
            ASSERT_TRUE(leader) << leader.error();
            live.label = fleet.process(*leader).label();
            fleet.kill(*leader);
            return replace(live, *leader);
        }
        case Fault::stop: {
            const std::int64_t from = test::boot_now_ns();
            ASSERT_TRUE(fleet.process(victim).pause());
            std::this_thread::sleep_for(kStop);  // the fault itself is a time
            ASSERT_TRUE(fleet.process(victim).resume());
            live.disturbances.push_back(
                {Disturbance::Kind::process_stopped, fleet.process(victim).label(), from, test::boot_now_ns()});
            return;
        }
        case Fault::stall: {
            const std::int64_t from = test::boot_now_ns();
            for (const std::size_t index : alive) ASSERT_TRUE(fleet.process(index).pause());
            std::this_thread::sleep_for(kStall);  // the fault itself is a time
            for (const std::size_t index : alive) ASSERT_TRUE(fleet.process(index).resume());
            for (const std::size_t index : alive) {
                live.disturbances.push_back(
                    {Disturbance::Kind::process_stopped, fleet.process(index).label(), from, test::boot_now_ns()});
            }
            return;
        }
        case Fault::add: add_process(live); return;
        case Fault::leave: leave(victim); return replace(live, victim);
        case Fault::roll:
            for (const std::size_t index : alive) {
                add_process(live);
                leave(index);
            }
            return;
        case Fault::server_restart: return restart_server(Disturbance::Kind::server_away);
        case Fault::server_kill: return restart_server(Disturbance::Kind::server_crashed);
        case Fault::grow: set_source(live, live.plan.extra_partitions); return;
        case Fault::shrink: set_source(live, 0); return;
    }
}

// Each fault at its share of the load's time; a fault that takes longer delays the ones after it.
void ScenarioTest::inject_all(Live& live, test::LoadGenerator& load) {
    const Milliseconds total = duration_of(live.plan);
    const std::size_t count = live.plan.faults.size();
    for (std::size_t i = 0; i < count && !HasFailure(); ++i) {
        const std::int64_t due = load.start_ns() + std::chrono::nanoseconds(total).count() * static_cast<std::int64_t>(i + 1) /
                                                       static_cast<std::int64_t>(count + 1);
        read_until(live, load, due);
        if (HasFailure()) return;
        live.label.clear();
        const std::int64_t begin = test::boot_now_ns();
        inject(live, live.plan.faults[i]);
        live.faults.push_back({live.plan.faults[i], begin, test::boot_now_ns(), live.label});
    }
    if ((count > 0 || live.plan.sample_every.count() > 0) && !HasFailure())
        read_until(live, load, load.start_ns() + std::chrono::nanoseconds(total).count());
}

void ScenarioTest::read_until(Live& live, test::LoadGenerator& load, std::int64_t due_ns) {
    const ScenarioPlan& plan = live.plan;
    for (;;) {
        const std::int64_t now = test::boot_now_ns();
        const auto until = [&](std::int64_t at_ns) {
            return std::chrono::ceil<Milliseconds>(std::chrono::nanoseconds(at_ns - test::boot_now_ns()));
        };
        if (until(due_ns).count() <= 0 || HasFailure()) return;
        std::int64_t next = due_ns;
        const auto alive = live.fleet->alive();
        if (plan.read_every.count() > 0 && !alive.empty()) {
            const auto owned = live.fleet->process(alive[random()() % alive.size()]).ownership();
            live.reads_ns.push_back(test::boot_now_ns() - now);
            if (!owned) ++live.reads_failed;
            next = std::min(next, now + std::chrono::nanoseconds(plan.read_every).count());
        }
        if (plan.sample_every.count() > 0) {
            if (now >= live.next_sample_ns) {
                plan.on_sample(*live.fleet, static_cast<double>(now - load.start_ns()) / 1e9);
                live.next_sample_ns = now + std::chrono::nanoseconds(plan.sample_every).count();
            }
            next = std::min(next, live.next_sample_ns);
        }
        const Milliseconds pause = until(next);
        if (pause.count() > 0 && load.wait_done(pause)) return;
    }
}

bool ScenarioTest::drain(Live& live) {
    const std::int64_t deadline = test::boot_now_ns() + std::chrono::nanoseconds(live.plan.drain).count();
    std::string seen;
    while (test::boot_now_ns() < deadline) {
        const auto left = outstanding(live.fleet->server().url());
        if (left && *left == 0) return true;
        seen = left ? std::to_string(*left) + " messages are still to be handled" : left.error();
        for (const std::size_t i : live.fleet->alive()) live.fleet->process(i).listen_for(Milliseconds(20));
    }
    if (live.plan.may_stay_behind) return false;
    for (const std::size_t i : live.fleet->alive()) {
        const auto consumed = live.fleet->process(i).consumed();
        std::printf("  %s: %s\n", live.fleet->process(i).label().c_str(), (consumed ? *consumed : consumed.error()).c_str());
    }
    ADD_FAILURE() << seen << " after " << live.plan.drain.count() << " ms";
    return false;
}

std::vector<test::ProcessHandlings> ScenarioTest::read_handlings(Live& live) {
    std::vector<test::ProcessHandlings> all;
    for (std::size_t i = 0; i < live.fleet->size(); ++i) {
        const test::WorkerProcess& process = live.fleet->process(i);
        std::ifstream file(live.fleet->folder() + "/" + process.label() + ".handled", std::ios::binary);
        std::ostringstream text;
        text << file.rdbuf();
        auto handlings = test::parse_handlings(process.label(), text.str(), process.killed());
        if (!handlings) {
            ADD_FAILURE() << handlings.error();
            continue;
        }
        all.push_back({process.label(), std::move(*handlings)});
    }
    return all;
}

// What the ledger judged, for whoever looks into it; the fleet's folder is gone by then.
void ScenarioTest::keep_handlings(const std::vector<test::ProcessHandlings>& handlings) const {
    const std::string folder = std::string(PARTI_STRESS_KEPT) + "/handled-" + std::to_string(test::boot_now_ns() / 1'000'000);
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    for (const test::ProcessHandlings& process : handlings) {
        std::ofstream file(folder + "/" + process.label + ".handled", std::ios::binary);
        for (const test::Handling& h : process.handlings) file << test::to_line(h);
    }
    std::printf("  handled messages: %s\n", folder.c_str());
}

void ScenarioTest::judge(ScenarioResult& result, const ScenarioPlan& plan, const test::Published& published,
                         const std::vector<test::ProcessHandlings>& handlings, const std::string& server_version) const {
    test::LedgerOptions options;
    options.in_order = plan.max_ack_pending == 1;
    options.complete = result.drained;
    options.allow_forgotten = server_version.rfind("2.9.", 0) == 0;  // its doing alone: durable-check; printed with every run
    options.allow_misplaced = options.allow_forgotten;               // likewise: consume_place_test
    options.check_owners = true;
    options.owners = test::owners_of(result.timeline);
    result.ledger = test::check_ledger(published, handlings, result.disturbances, options);
    std::printf("  ledger: %s\n", test::describe(result.ledger.counts).c_str());
    if (!result.ledger.violations.empty() || std::getenv("PARTI_KEEP_HANDLED") != nullptr) keep_handlings(handlings);
    EXPECT_TRUE(result.ledger.violations.empty()) << test::describe(result.ledger.violations);
    EXPECT_GT(result.ledger.counts.confirmed, 0U);
}

std::optional<ScenarioResult> ScenarioTest::run(const ScenarioPlan& plan) {
    Live live;
    live.plan = plan;
    oracles_.more_partitions = 0;
    if (!begin(live)) return std::nullopt;
    auto generator = test::LoadGenerator::start(load_options(plan, live.fleet->server().url(), random()()));
    if (!generator) {
        ADD_FAILURE() << generator.error();
        return std::nullopt;
    }
    std::optional<Progress::Counter> counted(std::in_place, progress(), "messages",
                                             [&generator] { return generator->confirmed(); });
    progress().phase("load");
    if (plan.after_warmup) {
        generator->wait_done(plan.warmup);
        plan.after_warmup(*live.fleet);
    }
    inject_all(live, *generator);
    ScenarioResult result;
    result.load = generator->finish();
    counted.reset();
    progress().phase("drain");
    result.start_ns = generator->start_ns();
    result.end_ns = test::boot_now_ns();
    std::printf("  load: %s\n", test::describe(result.load).c_str());
    const std::string invalid = result.load.why_invalid();
    if (!invalid.empty() && !plan.may_stay_behind)
        note_anomaly("latencies are not measured: " + invalid);  // else it is the point
    result.balanced = live.balanced;
    result.reads_ns = live.reads_ns;
    result.reads_failed = live.reads_failed;
    result.partitions = plan.partitions;
    result.extra_partitions = plan.extra_partitions;
    result.planned_ns = std::chrono::nanoseconds(duration_of(plan)).count();
    result.drained = drain(live);
    result.drained_ms = static_cast<double>(test::boot_now_ns() - result.end_ns) / 1e6;
    if (plan.at_end) plan.at_end(*live.fleet);
    const auto left = live.fleet->leave_together(live.fleet->alive(), kPatience);
    EXPECT_TRUE(left) << left.error();
    auto handlings = read_handlings(live);
    const auto removed = api(live.fleet->server().url(), std::string("STREAM.DELETE.") + kStream, json::object());
    EXPECT_TRUE(removed) << removed.error();  // with its durables, which the library never removes
    const std::string server_version = live.fleet->server().version();
    result.timeline = end_fleet(std::move(live.fleet), oracles_);
    result.disturbances = live.disturbances;
    result.faults = live.faults;
    judge(result, plan, generator->take_published(), handlings, server_version);
    record_classes(result);
    if (!result.drained && !plan.may_stay_behind) return std::nullopt;
    return result;
}

}  // namespace parti::stress
