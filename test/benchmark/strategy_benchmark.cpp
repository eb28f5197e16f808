// A plan, by what happened to the group. Arguments: workers, partitions. Weights go by rank (zipf 0.6).
#include <array>
#include <cmath>

#include <benchmark/benchmark.h>

#include <parti/strategy.h>

#include "assign/plan_check.h"
#include "assign/plan_measure.h"
#include "digest.h"

namespace parti::test {
namespace {

enum class Case { fresh, join, leave };

struct Traits {
    bool equal_weights = false;
    bool capacities = false;  // 1..7, else alike
    bool zones = false;       // three
};

class Fleet {
public:
    Fleet(std::int64_t workers, std::int64_t partitions, Traits traits) : traits_(traits) {
        for (std::int64_t n = 0; n < workers; ++n) join();
        for (std::int64_t i = 0; i < partitions; ++i) {
            const double rank = static_cast<double>((i * 7919) % partitions + 1);
            const std::int64_t weight = traits.equal_weights ? 1 : 1 + std::llround(1e6 * std::pow(rank, -0.6));
            partitions_.push_back(Partition::from_id("p." + std::to_string(10'000'000 + i), weight).value());
        }
        previous_.assign(partitions_.size(), kNobody);
    }
    StrategyInput input() const { return {workers_, partitions_, previous_}; }
    void settle(const Strategy& strategy) { previous_ = strategy.assign(input()); }
    void join() {
        static constexpr std::array<std::string_view, 3> kZones = {"a", "b", "c"};
        const auto n = static_cast<std::uint32_t>(workers_.size());
        workers_.push_back({{n}, traits_.capacities ? 1 + n % 7 : 1, traits_.zones ? kZones[n % 3] : std::string_view()});
    }
    void leave() {
        workers_.pop_back();
        for (std::int32_t& owner : previous_) {
            if (owner == static_cast<std::int32_t>(workers_.size())) owner = kNobody;
        }
    }

private:
    Traits traits_;
    std::vector<StrategyWorker> workers_;
    std::vector<Partition> partitions_;
    std::vector<std::int32_t> previous_;
};

void plan(benchmark::State& state, const Strategy& strategy, Case what, Traits traits = {}) {
    Fleet fleet(state.range(0), state.range(1), traits);
    if (what != Case::fresh) fleet.settle(strategy);
    if (what == Case::join) fleet.join();
    if (what == Case::leave) fleet.leave();
    std::vector<std::int32_t> owner;
    for (auto _ : state) {
        owner = strategy.assign(fleet.input());
        benchmark::DoNotOptimize(owner.data());
    }
    if (const auto checked = assign::check_plan(fleet.input(), owner); !checked) {
        return state.SkipWithError(checked.error().detail.c_str());
    }
    const assign::PlanMeasure measure = assign::measure_plan(fleet.input(), owner);
    state.SetLabel(digest_label(assign::plan_digest(owner)));
    state.counters["max_over_fair"] = measure.max_over_fair;
    state.counters["moved_share"] = static_cast<double>(measure.moved_weight) / static_cast<double>(measure.total_weight);
}

void BM_RoundRobin(benchmark::State& state) { plan(state, *round_robin(), Case::fresh); }
void BM_ConsistentHash(benchmark::State& state) { plan(state, *consistent_hash(), Case::fresh); }
void BM_WeightedConsistentHash(benchmark::State& state) { plan(state, *weighted_consistent_hash(), Case::join); }
void BM_Rendezvous(benchmark::State& state) { plan(state, *rendezvous(), Case::join); }
void BM_Rendezvous_Capacities(benchmark::State& state) { plan(state, *rendezvous(), Case::join, {.capacities = true}); }
void BM_Sticky_Fresh(benchmark::State& state) { plan(state, *sticky(), Case::fresh); }
void BM_Sticky_Join(benchmark::State& state) { plan(state, *sticky(), Case::join); }
void BM_Sticky_Leave(benchmark::State& state) { plan(state, *sticky(), Case::leave); }
void BM_Sticky_JoinEqual(benchmark::State& state) { plan(state, *sticky(), Case::join, {.equal_weights = true}); }

void BM_Sticky_JoinZones(benchmark::State& state) { plan(state, *sticky(), Case::join, {.equal_weights = true, .zones = true}); }
void BM_Sticky_FreshZones(benchmark::State& state) { plan(state, *sticky(), Case::fresh, {.zones = true}); }
void BM_Sticky_JoinBudget(benchmark::State& state) { plan(state, *sticky({.max_moves_share = 0.001}), Case::join); }

// Everything sits on one worker of many: the most moves that can be asked for.
void BM_Sticky_SpreadOut(benchmark::State& state) {
    Fleet fleet(1, state.range(1), {.equal_weights = true});
    fleet.settle(*sticky());
    for (std::int64_t n = 1; n < state.range(0); ++n) fleet.join();
    std::vector<std::int32_t> owner;
    for (auto _ : state) {
        owner = sticky()->assign(fleet.input());
        benchmark::DoNotOptimize(owner.data());
    }
    state.SetLabel(digest_label(assign::plan_digest(owner)));
    state.counters["max_over_fair"] = assign::measure_plan(fleet.input(), owner).max_over_fair;
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    benchmark->Args({10, 100})
        ->Args({50, 500})
        ->Args({16, 1024})
        ->Args({100, 10'000})
        ->Args({200, 10'000})
        ->Args({5000, 250'000});
    benchmark->Unit(benchmark::kMicrosecond);
}
BENCHMARK(BM_RoundRobin)->Apply(sizes);
BENCHMARK(BM_ConsistentHash)->Apply(sizes);
BENCHMARK(BM_WeightedConsistentHash)->Apply(sizes);
BENCHMARK(BM_Rendezvous)->Apply(sizes);
BENCHMARK(BM_Rendezvous_Capacities)->Apply(sizes);
BENCHMARK(BM_Sticky_Fresh)->Apply(sizes);
BENCHMARK(BM_Sticky_Join)->Apply(sizes);
BENCHMARK(BM_Sticky_Leave)->Apply(sizes);
BENCHMARK(BM_Sticky_JoinEqual)->Apply(sizes);
BENCHMARK(BM_Sticky_JoinZones)->Apply(sizes);
BENCHMARK(BM_Sticky_FreshZones)->Apply(sizes);
BENCHMARK(BM_Sticky_JoinBudget)->Apply(sizes);
BENCHMARK(BM_Sticky_SpreadOut)->Apply(sizes);

}  // namespace
}  // namespace parti::test
