// Scenarios over the load itself: steady, rising, peaks, how much until it breaks, and what a handoff costs.
//
// The sustained one lasts as long as its profile says; PARTI_SCENARIO_FACTOR (1) stretches every phase of the others.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "scenario.h"
#include "testutil/memory_probe.h"

namespace parti::stress {
namespace {

using namespace std::chrono_literals;
using report::Unit;
using test::LoadPhase;
using test::Milliseconds;

constexpr std::int64_t kMs = 1'000'000;

Milliseconds stretched(Milliseconds duration) {
    const char* factor = std::getenv("PARTI_SCENARIO_FACTOR");
    const double times = factor == nullptr ? 1 : std::strtod(factor, nullptr);
    return std::chrono::duration_cast<Milliseconds>(duration * std::max(times, 0.01));
}

double memory_kb(test::Fleet& fleet) {
    double sum = 0;
    for (const std::size_t i : fleet.alive()) {
        const auto memory = test::read_memory(fleet.process(i).pid(), test::Detail::status);
        EXPECT_TRUE(memory) << memory.error();
        if (memory) sum += static_cast<double>(memory->rss_anon) / 1024;
    }
    return sum;
}

// Time from t to the first quarter of a second in which the 95th percentile is within the limit again; -1: never.
double recovered_after_ms(const ScenarioResult& result, std::int64_t t_ns, std::int64_t limit_ns) {
    constexpr std::int64_t window = 250 * kMs;
    for (std::int64_t at = t_ns; at + window <= result.end_ns; at += window) {
        const std::int64_t p95 = result.ledger.latency_ns(0.95, at, at + window, 10);
        if (p95 >= 0 && p95 <= limit_ns) return static_cast<double>(at - t_ns) / 1e6;
    }
    return -1;
}

class LoadScenario : public ScenarioTest {
protected:
    // Base load, a burst of `times` its rate, base load again: how long until messages are handled as before.
    void burst(double times, Milliseconds length) {
        const double base = 300;
        double before_kb = 0, after_kb = 0;
        ScenarioPlan plan;
        plan.phases = {{stretched(5000ms), base, base}, {stretched(length), base * times, base * times}, {stretched(8000ms), base, base}};
        plan.after_warmup = [&](test::Fleet& fleet) { before_kb = memory_kb(fleet); };
        plan.at_end = [&](test::Fleet& fleet) { after_kb = memory_kb(fleet); };
        const auto result = run(plan);
        ASSERT_TRUE(result);
        const std::int64_t rise = result->start_ns + stretched(5000ms).count() * kMs;
        const std::int64_t fall = rise + stretched(length).count() * kMs;
        record_latency("before_", *result, result->start_ns + kMs * 1000, rise);
        record_latency("during_", *result, rise, fall);
        record_latency("after_", *result, fall, result->end_ns);
        const std::int64_t usual = std::max<std::int64_t>(result->ledger.latency_ns(0.95, result->start_ns + kMs * 1000, rise) * 12 / 10, kMs);
        const double recovery = recovered_after_ms(*result, fall, std::max<std::int64_t>(usual, 20 * kMs));
        std::printf("  recovered %.0f ms after the burst; memory %.0f kB before, %.0f kB after\n", recovery, before_kb, after_kb);
        record_companion("recovery", Unit::ms, recovery);
        record_companion("memory_before", Unit::kB, before_kb);
        record_companion("memory_after", Unit::kB, after_kb);
        EXPECT_GE(recovery, 0) << "handled as before the burst never again";
    }
};

class TestScenario_Sustained : public LoadScenario {};
const Budget of_sustained("TestScenario_Sustained.Steady", {.standard = 60, .nightly = 960, .soak = 3720, .soak4h = 14580}, "soak");
TEST_F(TestScenario_Sustained, Steady) {
    double early_kb = 0, late_kb = 0;
    ScenarioPlan plan;
    plan.weights = test::Weights::zipf;
    plan.phases = {{soak_length(), 500, 500}};
    plan.after_warmup = [&](test::Fleet& fleet) { early_kb = memory_kb(fleet); };
    plan.at_end = [&](test::Fleet& fleet) { late_kb = memory_kb(fleet); };
    const auto result = run(plan);
    ASSERT_TRUE(result);
    record_latency("", *result, result->start_ns, result->end_ns);
    std::printf("  memory of all workers: %.0f kB at a quarter, %.0f kB at the end\n", early_kb, late_kb);
    record_companion("memory_quarter", Unit::kB, early_kb);
    record_companion("memory_end", Unit::kB, late_kb);
    EXPECT_EQ(result->ledger.counts.handlings, result->ledger.counts.confirmed) << "in calm every message comes once";
    if (measures()) {
        EXPECT_LT(late_kb, early_kb * 1.25 + 2048) << "memory grows with the messages handled";
    }
}

class TestScenario_Ramp : public LoadScenario {};
const Budget of_ramp("TestScenario_Ramp.*", {.nightly = 45});
TEST_F(TestScenario_Ramp, WorkersAndMessages) {
    ScenarioPlan plan;
    plan.processes = 1;
    plan.phases = {{stretched(20000ms), 0, 2000}};
    plan.faults = {Fault::add, Fault::add, Fault::add};
    const auto result = run(plan);
    ASSERT_TRUE(result);
    record_latency("", *result, result->start_ns, result->end_ns);
    EXPECT_EQ(result->ledger.counts.handlings, result->ledger.counts.confirmed) << "joins repeat nothing";
    EXPECT_EQ(result->load.refused + result->load.unanswered, 0U);
}

class TestScenario_Peak : public LoadScenario {};
const Budget of_peak("TestScenario_Peak.*", {.nightly = 45});
TEST_F(TestScenario_Peak, FiveTimesAndBack) { burst(5, 8000ms); }

class TestScenario_Spike : public LoadScenario {};
const Budget of_spike("TestScenario_Spike.*", {.standard = 35, .nightly = 35});
TEST_F(TestScenario_Spike, TwentyTimesForASecond) { burst(20, 1000ms); }

class TestScenario_EndToEndLatency : public LoadScenario {};
const Budget of_end_to_end("TestScenario_EndToEndLatency.*", {.nightly = 35});
TEST_F(TestScenario_EndToEndLatency, PublishToHandled) {
    ScenarioPlan plan;
    plan.phases = {{stretched(13000ms), 800, 800}};
    const auto result = run(plan);
    ASSERT_TRUE(result);
    record_latency("", *result, result->start_ns, result->end_ns);
    EXPECT_EQ(result->ledger.counts.handlings, result->ledger.counts.confirmed);
}

// A process joins, another leaves: what messages of moved partitions wait, and that the others' do not.
class TestScenario_HandoffGap : public LoadScenario {};
const Budget of_handoff("TestScenario_HandoffGap.*", {.nightly = 40});
TEST_F(TestScenario_HandoffGap, JoinAndLeave) {
    ScenarioPlan plan;
    plan.processes = 2;
    plan.partitions = 100;
    plan.phases = {{stretched(15000ms), 1000, 1000}};
    plan.faults = {Fault::add, Fault::leave};
    const auto result = run(plan);
    ASSERT_TRUE(result);
    std::vector<std::int64_t> moved, unmoved;
    for (const auto& injected : result->faults) {
        const std::int64_t from = injected.begin_ns - 100 * kMs;
        const std::int64_t to = injected.end_ns + 2000 * kMs;
        for (const auto& [partition, owners] : result->timeline.partitions) {
            const bool changed = std::any_of(owners.begin(), owners.end(), [&](const auto& o) { return o.begin_ns > from && o.begin_ns < to; });
            (changed ? moved : unmoved).push_back(result->ledger.longest_wait_ns(partition, from, to));
        }
    }
    const auto at = [](std::vector<std::int64_t>& values, double q) {
        if (values.empty()) return 0.0;
        std::sort(values.begin(), values.end());
        return static_cast<double>(values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))]) / 1e6;
    };
    std::printf("  longest wait of a message: %zu moved partitions p50 %.1f p99 %.1f max %.1f ms, %zu unmoved p50 %.1f p99 %.1f max %.1f ms\n",
                moved.size(), at(moved, 0.5), at(moved, 0.99), at(moved, 1), unmoved.size(), at(unmoved, 0.5), at(unmoved, 0.99), at(unmoved, 1));
    ASSERT_FALSE(moved.empty());
    ASSERT_FALSE(unmoved.empty());
    record_companion("moved_wait_p99", Unit::us, at(moved, 0.99) * 1000);
    record_companion("unmoved_wait_p99", Unit::us, at(unmoved, 0.99) * 1000);
    EXPECT_EQ(result->ledger.counts.handlings, result->ledger.counts.confirmed) << "a graceful handoff repeats nothing";
}

// A ladder of rates, a fresh fleet each, until a criterion fails twice; then one step back by half.
class TestScenario_BreakingPoint : public LoadScenario {
protected:
    // Empty: the rate is carried; else the criterion that failed.
    std::string attempt(double rate) {
        ScenarioPlan plan;
        plan.processes = 2;
        plan.partitions = 100;
        plan.phases = {{stretched(3000ms), rate, rate}};
        plan.may_stay_behind = true;
        plan.drain = 5000ms;
        const auto result = run(plan);
        if (!result) return "the run itself";
        const std::int64_t p99 = result->ledger.latency_ns(0.99, result->start_ns + 500 * kMs, result->end_ns);
        std::string limit;
        if (!result->load.on_time(50 * kMs)) limit = "the generator (lateness p99 " + std::to_string(result->load.late_p99_ns / kMs) + " ms)";
        if (!result->drained) limit = std::to_string(result->ledger.counts.undelivered) + " messages not handled 5 s after the load";
        if (result->drained && p99 > 250 * kMs) limit = "latency p99 " + std::to_string(p99 / kMs) + " ms > 250 ms";
        std::printf("  %.0f /s: %s\n", rate, limit.empty() ? "carried" : limit.c_str());
        return limit;
    }
};

const Budget of_breaking_point("TestScenario_BreakingPoint.*", {.standard = 120, .nightly = 120}, "ladder");

TEST_F(TestScenario_BreakingPoint, MessageRate) {
    double carried = 0, failed = 0;
    std::string limit;
    for (double rate = 4000; failed == 0 && rate <= 64'000 && !HasFailure(); rate *= 2) {
        limit = attempt(rate);
        if (!limit.empty()) limit = attempt(rate);  // 2 of 2
        (limit.empty() ? carried : failed) = rate;
    }
    ASSERT_FALSE(HasFailure());
    ASSERT_GT(carried, 0) << "not even the lowest rate is carried: " << limit;
    if (failed > 0 && attempt((carried + failed) / 2).empty()) carried = (carried + failed) / 2;
    std::printf("  breaking point: %.0f /s carried; the limit is %s\n", carried, failed > 0 ? limit.c_str() : "not reached");
    record_companion("carried", Unit::per_s, carried, limit);
}

}  // namespace
}  // namespace parti::stress
