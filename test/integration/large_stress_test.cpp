// A group of a thousand workers on a real server: more than a sanitized build can renew in time.
#include "large_fixture.h"
#include "testutil/budget.h"

namespace parti::test {
namespace {

const stress::Budget budget("LargeGroup.*", {.nightly = 90});

TEST_F(LargeGroup, AThousandWorkersShareFiveThousandPartitionsAndLoseTheirLeader) { share_and_lose_the_leader(1000); }

}  // namespace
}  // namespace parti::test
