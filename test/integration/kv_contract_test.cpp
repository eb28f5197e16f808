// The contract suite against the real client and a real nats-server.
#include "kv_contract_world.h"

namespace parti::testutil {

INSTANTIATE_TEST_SUITE_P(Real, KvContract,
                         testing::Values(ContractKind{"nats",
                                                      [](std::uint64_t seed) { return std::make_unique<NatsWorld>(seed); }}),
                         contract_name);

}  // namespace parti::testutil
