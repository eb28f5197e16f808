// ServerWatch against a real nats-server, also one that is killed meanwhile.
#include <gtest/gtest.h>

#include "swept_test.h"
#include "testutil/nats_server.h"
#include "testutil/server_watch.h"
#include "testutil/tcp_text.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ServerWatchTest : public SweptTest {};

void create_stream(NatsServer& server, const std::string& name) {
    auto nats = RawNats::connect(server.url(), 5000ms);
    ASSERT_TRUE(nats) << nats.error();
    const auto made =
        nats->request("$JS.API.STREAM.CREATE." + name, "{\"name\":\"" + name + "\",\"subjects\":[\"" + name + ".*\"]}", 5000ms);
    ASSERT_TRUE(made) << made.error();
}

TEST_F(ServerWatchTest, KeepsTheMostItHasSeen) {
    auto server = NatsServer::start();
    ASSERT_TRUE(server) << server.error();
    ServerWatch watch(server->monitor_url(), 10ms);
    const std::uint64_t before = watch.look().samples;
    EXPECT_GT(before, 0U);
    ASSERT_NO_FATAL_FAILURE(create_stream(*server, "one"));
    const ServerSeen seen = watch.look();
    EXPECT_GT(seen.samples, before);
    EXPECT_EQ(seen.missed, 0U);
    EXPECT_EQ(seen.streams, 1U);
    EXPECT_GE(seen.api_calls, 1U);
    EXPECT_EQ(seen.slow_consumers, 0U);
    EXPECT_GT(seen.memory_bytes, 0U);
    EXPECT_TRUE(server->stop());
}

TEST_F(ServerWatchTest, AServerThatIsKilledIsMissedAndItsCountersGoOn) {
    auto server = NatsServer::start();
    ASSERT_TRUE(server) << server.error();
    ServerWatch watch(server->monitor_url(), 10ms);
    watch.look();
    ASSERT_NO_FATAL_FAILURE(create_stream(*server, "one"));
    ASSERT_NO_FATAL_FAILURE(create_stream(*server, "two"));
    const std::uint64_t calls = watch.look().api_calls;
    EXPECT_GE(calls, 2U);
    ASSERT_TRUE(server->kill());
    EXPECT_GT(watch.look().missed, 0U);
    ASSERT_TRUE(server->restart());
    ASSERT_NO_FATAL_FAILURE(create_stream(*server, "three"));
    const ServerSeen seen = watch.look();
    EXPECT_EQ(seen.streams, 3U);
    EXPECT_GT(seen.api_calls, calls) << "a restart takes nothing away";
    EXPECT_TRUE(server->stop());
}

}  // namespace
}  // namespace parti::test
