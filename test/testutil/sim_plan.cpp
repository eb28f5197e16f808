#include "testutil/sim_plan.h"

#include <algorithm>

namespace parti::testutil {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Timing draw_timing(base::Rng& rng) {
    Timing timing;
    const std::uint64_t kind = rng.below(100);
    if (kind < 15) return timing;  // the defaults
    if (kind == 15) return fast_test_timing();
    // Any valid one: the ratios vary, and so do the windows.
    timing.ttl = milliseconds(rng.between(6000, 18'000));
    timing.margin = std::max<Duration>(milliseconds(100), timing.ttl * rng.between(10, 25) / 100);
    timing.stop_budget = timing.ttl * rng.between(5, 20) / 100;
    timing.heartbeat = (timing.ttl - timing.margin - timing.stop_budget) * rng.between(40, 50) / 100;
    timing.drain_timeout = milliseconds(rng.between(500, 12'000));
    timing.shutdown_timeout = timing.drain_timeout + seconds(2) + milliseconds(rng.between(0, 5000));
    timing.grant_timeout = timing.drain_timeout + milliseconds(rng.between(500, 10'000));
    timing.leader_publish_timeout = milliseconds(rng.between(2000, 8000));
    timing.cold_start_window = milliseconds(rng.between(500, 30'000));
    timing.planned_scale_window = milliseconds(rng.between(300, 10'000));
    timing.settle_pause = std::min<Duration>(milliseconds(rng.between(50, 500)), timing.planned_scale_window);
    timing.min_rebalance_interval = rng.chance(1, 4) ? Duration::zero() : Duration(milliseconds(rng.between(100, 10'000)));
    timing.recovery_grace = milliseconds(rng.between(1000, 15'000));
    return timing;
}

}  // namespace

std::string_view to_string(Fault fault) {
    static constexpr std::array<std::string_view, kFaults> kNames = {"request lost",
                                                                     "request late",
                                                                     "answer lost",
                                                                     "answer late",
                                                                     "answer doubled",
                                                                     "answer refused",
                                                                     "watch stalled",
                                                                     "consumer deleted",
                                                                     "disconnect",
                                                                     "server down",
                                                                     "pause",
                                                                     "crash",
                                                                     "leave",
                                                                     "join",
                                                                     "callback slow",
                                                                     "callback never",
                                                                     "clock skew",
                                                                     "partitions changed",
                                                                     "deaf",
                                                                     "disconnect of leader",
                                                                     "disconnect of all",
                                                                     "tail lost: leases",
                                                                     "tail lost: assignments",
                                                                     "tail lost: both",
                                                                     "wiped: leases",
                                                                     "wiped: assignments",
                                                                     "wiped: both",
                                                                     "bucket deleted",
                                                                     "key deleted",
                                                                     "record malformed",
                                                                     "record of the future",
                                                                     "key foreign",
                                                                     "callback throws",
                                                                     "strategy throws",
                                                                     "instance shared",
                                                                     "instance changed",
                                                                     "policy keep",
                                                                     "everything at once",
                                                                     "payload limit",
                                                                     "record replayed",
                                                                     "frozen",
                                                                     "drained",
                                                                     "rebalance asked",
                                                                     "partitions changed midway",
                                                                     "token lapsed",
                                                                     "takeover by trust",
                                                                     "mixed timing"};
    return kNames[static_cast<std::size_t>(fault)];
}

SimPlan SimPlan::draw(std::uint64_t seed) {
    base::Rng rng(seed ^ 0x706c616e706c616eULL);
    SimPlan plan;
    plan.seed = seed;
    plan.workers =
        static_cast<std::uint32_t>(std::min({rng.between(5, 12), rng.between(5, 12), rng.between(5, 12)}));  // mostly small
    plan.processes = static_cast<std::uint32_t>(rng.between(rng.chance(1, 8) ? 1 : 2, plan.workers));
    plan.partitions = static_cast<std::uint32_t>(rng.between(20, 60));
    plan.strategy = static_cast<std::uint32_t>(rng.chance(1, 2) ? 0 : rng.below(strategy_names().size() + 1));
    plan.instances = rng.chance(1, 4);
    plan.config.group = "sim";
    plan.config.timing = draw_timing(rng);
    plan.workers_max = plan.workers + 3;
    plan.config.number_max = plan.workers_max + static_cast<std::uint32_t>(rng.chance(1, 3) ? rng.between(0, 3) : 40);
    plan.config.expected_workers = rng.chance(1, 2) ? plan.workers : 0;
    plan.config.cold_start = rng.chance(1, 4) ? ColdStart::wait : ColdStart::grant_now;
    plan.config.restart_detection_ratio = rng.chance(1, 2) ? 0.5 : 0.9;

    for (std::size_t i = 0; i < static_cast<std::size_t>(Fault::payload_limit); ++i) plan.on[i] = rng.chance(1, 2);
    // What a store or an operator does to the group is rarer: most runs show what holds without it.
    for (std::size_t i = static_cast<std::size_t>(Fault::tail_lost_leases); i <= static_cast<std::size_t>(Fault::key_foreign);
         ++i) {
        plan.on[i] = rng.chance(1, 6);
    }
    plan.on[static_cast<std::size_t>(Fault::everything)] = rng.chance(1, 8);
    plan.on[static_cast<std::size_t>(Fault::policy_keep)] = rng.chance(1, 8);
    plan.draw_rates(rng);
    plan.fault_gap = rng.between(6, 60) * kSecond;
    base::Rng large(seed ^ 0x6c61726765ULL);  // of its own: seeds without it stay what they were
    plan.on[static_cast<std::size_t>(Fault::payload_limit)] = large.chance(1, 5);
    plan.draw_limits(large);
    plan.weighted = rng.chance(1, 3);
    plan.capacities = rng.chance(1, 3);
    base::Rng operators(seed ^ 0x6f70657261746f72ULL);
    for (const Fault fault : {Fault::frozen, Fault::drained, Fault::rebalance_asked, Fault::record_replayed}) {
        plan.on[static_cast<std::size_t>(fault)] = operators.chance(1, 5);
    }
    for (const Fault fault : {Fault::partitions_midway, Fault::token_lapsed})
        plan.on[static_cast<std::size_t>(fault)] = operators.chance(1, 3);
    plan.on[static_cast<std::size_t>(Fault::takeover_trust)] = plan.instances && operators.chance(1, 3);
    plan.draw_operators(operators);
    base::Rng timing(seed ^ 0x74696d696e67ULL);
    plan.on[static_cast<std::size_t>(Fault::mixed_timing)] = timing.chance(1, 4);
    return plan;
}

// The plan's own timing is the slowest, so that every bound that is made of it holds for all.
Config SimPlan::config_of(std::uint32_t slot) const {
    Config out = config;
    if (!is_on(Fault::mixed_timing) || slot % 2 == 0) return out;
    for (Duration* const span : {&out.timing.ttl, &out.timing.margin, &out.timing.stop_budget, &out.timing.heartbeat}) *span /= 2;
    out.timing.margin = std::max<Duration>(out.timing.margin, milliseconds(100));
    return out.validate() ? out : config;
}

void SimPlan::draw_operators(base::Rng& rng) {
    if (is_on(Fault::partitions_midway)) partitions_midway = static_cast<std::uint32_t>(rng.between(10'000, 200'000));
    if (is_on(Fault::token_lapsed)) token_lapsed = static_cast<std::uint32_t>(rng.between(100, 3'000));
    if (is_on(Fault::takeover_trust)) config.instance_takeover = InstanceTakeover::trust;
}

void SimPlan::draw_limits(base::Rng& rng) {
    if (!is_on(Fault::payload_limit)) return;
    payload_bytes_max = 700;
    limits = {static_cast<std::size_t>(rng.between(200, 300)), rng.chance(1, 2) ? 64U : 420U,
              static_cast<std::size_t>(rng.between(144, 260))};
}

void SimPlan::draw_rates(base::Rng& rng) {
    const auto rate = [&](Fault fault, std::int64_t most) {
        return is_on(fault) ? static_cast<std::uint32_t>(rng.between(1, most)) : std::uint32_t{0};
    };
    rates.request_lost = rate(Fault::request_lost, 60'000);
    rates.request_late = rate(Fault::request_late, 60'000);
    rates.answer_lost = rate(Fault::answer_lost, 60'000);
    rates.answer_late = rate(Fault::answer_late, 60'000);
    rates.refused = rate(Fault::answer_refused, 40'000);
    answer_doubled = rate(Fault::answer_doubled, 100'000);
    callback_slow = rate(Fault::callback_slow, 200'000);
    callback_never = rate(Fault::callback_never, 60'000);
    callback_throws = rate(Fault::callback_throws, 100'000);
    strategy_throws = rate(Fault::strategy_throws, 300'000);
    clock_ppm = static_cast<std::int32_t>(rate(Fault::clock_skew, 48'000));
    if (is_on(Fault::policy_keep)) config.policy = Policy::keep;
    if (is_on(Fault::bucket_deleted)) config.create_buckets = CreateBuckets::always;
}

SimPlan SimPlan::standard(std::uint64_t seed) {
    base::Rng rng(seed ^ 0x7374616e64617264ULL);
    SimPlan plan;
    plan.seed = seed;
    plan.workers = 10;
    plan.workers_max = 10;
    plan.processes = 5;
    plan.partitions = 100;
    plan.config.group = "sim";
    plan.config.expected_workers = 10;
    plan.on.fill(true);
    // Its policy is the default, nobody joins beyond the ten, and it has no instance names.
    for (const Fault fault : {Fault::policy_keep, Fault::join, Fault::instance_shared, Fault::instance_changed,
                              Fault::takeover_trust, Fault::mixed_timing}) {
        plan.on[static_cast<std::size_t>(fault)] = false;
    }
    plan.draw_rates(rng);
    plan.draw_limits(rng);
    plan.draw_operators(rng);
    plan.fault_gap = 20 * kSecond;
    plan.safety_phase = 55 * 60 * kSecond;
    plan.total = 60 * 60 * kSecond;
    return plan;
}

std::shared_ptr<const Strategy> SimPlan::make_strategy() const {
    if (in_steps()) return sticky({.max_moves_share = 1.0 / kSteps});
    return strategy_from_name(strategy_names()[strategy]).value();
}

Nanos SimPlan::convergence_bound() const {
    const Timing& t = config.timing;
    const Duration bound = 3 * (t.ttl + t.margin) + t.cold_start_window + t.planned_scale_window + 2 * t.min_rebalance_interval +
                           t.recovery_grace + t.leader_publish_timeout + t.drain_timeout + 2 * t.grant_timeout + seconds(5);
    const Duration step = std::max(t.min_rebalance_interval, t.settle_pause) + t.drain_timeout + seconds(1);
    return (in_steps() ? bound + (kSteps + 1) * step : bound).count();
}

std::string SimPlan::describe() const {
    std::string out = "seed " + std::to_string(seed) + ": " + std::to_string(workers) + " workers in " +
                      std::to_string(processes) + " processes, " + std::to_string(partitions) + " partitions, " +
                      std::string(make_strategy()->name()) + (in_steps() ? " in steps" : "") + ", ttl " +
                      std::to_string(config.timing.ttl.count() / kMilli) + " ms, numbers to " +
                      std::to_string(config.number_max) + (instances ? ", instances" : "") + ", faults:";
    for (std::size_t i = 0; i < kFaults; ++i) {
        if (on[i]) out += " [" + std::string(to_string(static_cast<Fault>(i))) + "]";
    }
    return out;
}

}  // namespace parti::testutil
