// Twenty seconds of everything that can go wrong, with the ledger over it: part of every `make test`.
#include "scenario.h"

namespace parti::stress {
namespace {

using namespace std::chrono_literals;

class ConsumeSmoke : public ScenarioTest {
protected:
    ConsumeSmoke() : ScenarioTest(false) {}
};

TEST_F(ConsumeSmoke, NothingIsLostOrReorderedUnderChaos) {
    ScenarioPlan plan;
    plan.processes = 3;
    plan.partitions = 20;
    plan.weights = test::Weights::hot;
    plan.fail_every = 97;
    plan.phases = {{14000ms, 200, 200}};
    plan.faults = {Fault::kill, Fault::leave, Fault::server_kill, Fault::stop, Fault::leader, Fault::server_restart};
    std::shuffle(plan.faults.begin(), plan.faults.end(), random());
    oracles_.allowed_errors = {"callback_failed", "link_down", "timeout", "lease_lost"};
    const auto result = run(plan);
    ASSERT_TRUE(result);
    EXPECT_GT(result->ledger.counts.handlings, result->ledger.counts.handled) << "some were tried again";
    record_latency("", *result, result->start_ns, result->end_ns);
}

}  // namespace
}  // namespace parti::stress
