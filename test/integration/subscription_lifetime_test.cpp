// When a subscription that ended is freed: nats.c's reader may still be about to lock it (nats.c issue 637, jetstream/link.h).
//
// The linker puts __wrap_natsSubscription_Destroy in the place of nats.c's function for this program, so that each call is seen.
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>
#include <nats/nats.h>

#include "kv_contract_world.h"

namespace {
int freed = 0;  // all clients of this program run on the test's thread
}

// NOLINTBEGIN: the linker's names
extern "C" void __real_natsSubscription_Destroy(natsSubscription* subscription);
extern "C" void __wrap_natsSubscription_Destroy(natsSubscription* subscription) {
    ++freed;
    __real_natsSubscription_Destroy(subscription);
}
// NOLINTEND

namespace parti::testutil {
namespace {

using std::chrono::seconds;

// Messages that nats.c's reader has read.
std::uint64_t messages_read(natsConnection* connection) {
    natsStatistics* statistics = nullptr;
    std::uint64_t count = 0;
    if (natsStatistics_Create(&statistics) != NATS_OK) return 0;
    if (natsConnection_GetStats(connection, statistics) == NATS_OK) {
        natsStatistics_GetCounts(statistics, &count, nullptr, nullptr, nullptr, nullptr);
    }
    natsStatistics_Destroy(statistics);
    return count;
}

TEST(SubscriptionLifetime, AnEndedOneIsFreedByTheAnswerToALaterRequestAndByNoEarlierOne) {
    NatsWorld world(contract_seed());
    world.options.watch_heartbeat = seconds(60);  // nothing comes by itself
    const Connection connection = connect(world.server().url());
    const auto client = jetstream::Client::make(world.io(), connection.get(), world.options).value();
    jetstream::BucketSpec spec;
    spec.name = "b";
    bool made = false;
    client->ensure_bucket(spec, seconds(5), [&](const Result<jetstream::BucketInfo>& answer) { made = answer.has_value(); });
    ASSERT_TRUE(world.run_until([&] { return made; }, seconds(10)));
    // How many were freed by the time that the answer was heard.
    const auto ask = [&] {
        auto at = std::make_shared<std::optional<int>>();
        client->api("STREAM.INFO.KV_b", {}, seconds(5), [at](const Result<std::string>&) { *at = freed; });
        return at;
    };
    bool ended = false;
    jetstream::WatchHandlers handlers;
    handlers.on_initial_done = [&] { ended = true; };
    auto watch = client->watch("b", ">", std::move(handlers));
    ASSERT_TRUE(world.run_until([&] { return ended; }, seconds(10)));

    const int before = freed;
    const std::uint64_t read = messages_read(connection.get());
    const auto earlier = ask();
    const auto deadline = std::chrono::steady_clock::now() + seconds(10);
    while (messages_read(connection.get()) == read && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    watch.reset();
    EXPECT_EQ(freed, before) << "freed while the reader may have a message for it";
    ASSERT_TRUE(world.run_until([&] { return earlier->has_value(); }, seconds(10)));
    EXPECT_EQ(**earlier, before) << "an answer that the reader had read before says nothing";
    const auto later = ask();
    ASSERT_TRUE(world.run_until([&] { return later->has_value(); }, seconds(10)));
    EXPECT_EQ(**later, before + 1) << "what ended is not kept for longer than needed";
    bool stopped = false;
    client->stop([&] { stopped = true; });
    EXPECT_TRUE(world.run_until([&] { return stopped; }, seconds(5)));
}

}  // namespace
}  // namespace parti::testutil
