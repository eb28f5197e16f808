// What the core costs: a renewal of a follower, a leader's look at one renewal of many, and a whole group's start.
#include <benchmark/benchmark.h>

#include "core/worker_core.h"
#include "unit/core_bench.h"

namespace parti::test {
namespace {

Config group(std::uint32_t workers) {
    Config out;
    out.group = "bench";
    out.timing = fast_test_timing();
    out.number_max = 2 * workers;
    out.expected_workers = workers;
    return out;
}

std::unique_ptr<CoreBench> started(std::uint32_t workers, std::size_t partitions) {
    auto bench = std::make_unique<CoreBench>(group(workers), partitions);
    for (std::uint32_t i = 0; i < workers; ++i) bench->add();
    if (!bench->run_until([&] { return bench->covered(); }, std::chrono::seconds(60))) return nullptr;
    bench->run_for(std::chrono::seconds(2));
    return bench;
}

// One virtual second of a group at rest: every renewal, its answer and its deliveries.
void core_group_second_at_rest(benchmark::State& state) {
    const auto workers = static_cast<std::uint32_t>(state.range(0));
    const auto bench = started(workers, 10 * workers);
    if (!bench) {
        state.SkipWithError("the group did not settle");
        return;
    }
    const std::size_t before = bench->puts();
    for (auto _ : state) bench->run_for(std::chrono::seconds(1));
    state.counters["puts_per_s"] = static_cast<double>(bench->puts() - before) / static_cast<double>(state.iterations());
    if (!bench->covered()) state.SkipWithError("the group lost its coverage");
}
BENCHMARK(core_group_second_at_rest)->Arg(1)->Arg(10)->Arg(50);

// From the first step to every partition owned once.
void core_group_start(benchmark::State& state) {
    const auto workers = static_cast<std::uint32_t>(state.range(0));
    for (auto _ : state) {
        CoreBench bench(group(workers), 10 * workers);
        for (std::uint32_t i = 0; i < workers; ++i) bench.add();
        if (!bench.run_until([&] { return bench.covered(); }, std::chrono::seconds(60)))
            state.SkipWithError("the group did not settle");
        benchmark::DoNotOptimize(bench.puts());
    }
}
BENCHMARK(core_group_start)->Arg(1)->Arg(10)->Arg(50)->Unit(benchmark::kMillisecond);

// A Tick that has nothing to do.
void core_idle_step(benchmark::State& state) {
    const auto bench = started(1, 10);
    if (!bench) {
        state.SkipWithError("the group did not settle");
        return;
    }
    core::Effects effects;
    for (auto _ : state) {
        bench->core(0).step(bench->now(), core::Tick{}, effects);
        benchmark::DoNotOptimize(effects.data());
        effects.clear();
    }
}
BENCHMARK(core_idle_step);

}  // namespace
}  // namespace parti::test
