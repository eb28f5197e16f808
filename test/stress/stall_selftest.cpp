// The alarm for latency: 300 ms in which no worker handles anything must show in the p99.9 of real messages, and in nothing below
// it.
#include "scenario.h"

namespace parti::stress {
namespace {

using namespace std::chrono_literals;

class StallSelftest : public ScenarioTest {
protected:
    StallSelftest() : ScenarioTest(false) {}
};

TEST_F(StallSelftest, ThreeHundredMillisecondsShowInTheNinetyNinePointNine) {
    constexpr std::int64_t kMs = 1'000'000;
    ScenarioPlan plan;
    plan.processes = 2;
    plan.partitions = 40;
    plan.phases = {{12000ms, 1000, 1000}};  // 12,000 messages, 300 of them within the stall: 2.5 %
    plan.faults = {Fault::stall};
    oracles_.allowed_errors = {"timeout", "lease_lost", "link_down"};
    const auto result = run(plan);
    ASSERT_TRUE(result);
    record_latency("", *result, result->start_ns, result->end_ns);
    const std::int64_t p999 = result->ledger.latency_ns(0.999, result->start_ns, result->end_ns, 10'000);
    ASSERT_GE(p999, 0) << "fewer than 10,000 messages: p99.9 is not measured";
    // Of the 12 messages above p99.9 the last waits as long as the stall but for 12 ms, whatever the machine does besides.
    EXPECT_GE(p999, 280 * kMs);
    EXPECT_GE(result->ledger.latency_ns(1, result->start_ns, result->end_ns), 295 * kMs);
    EXPECT_LT(result->ledger.latency_ns(0.5, result->start_ns, result->end_ns), p999 / 2) << "half of the messages never met it";
}

}  // namespace
}  // namespace parti::stress
