// Consumers on a real server: handoffs neither lose nor replay, and keep each partition's order (P-9, P-10; W2, W3 of the Go
// library).
#include "consume_fixture.h"

#include <nats/nats.h>

#include <chrono>
#include <memory>

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ConsumeHandoff : public ConsumeTest {};

TEST_F(ConsumeHandoff, OneWorkerHandlesTheBacklogAndWhatComesLater) {
    make_stream();
    const auto partitions = ids(3);
    publish(partitions, 20);
    Context context = connect();
    auto a = member(context, source(3), seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return seen_.total() == 60; })) << notes_.text();
    publish(partitions, 10);
    ASSERT_TRUE(eventually([&] { return seen_.total() == 90; }));
    EXPECT_EQ(seen_.in_order_once(partitions, 30), "");
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().acked == 90; }));
    const ConsumerStats stats = a->consumer->stats();
    EXPECT_EQ(stats.handled, 90U);
    EXPECT_EQ(stats.pulled, 90U);
    EXPECT_EQ(stats.redelivered, 0U);
    EXPECT_EQ(stats.partitions, 3U);
    EXPECT_EQ(stats.consuming, 3U);
    EXPECT_EQ(stats.lag, 0U);
    EXPECT_EQ(stats.in_flight, 0U);
    EXPECT_TRUE(a->consumer->troubles().empty());
    EXPECT_TRUE(eventually([&] { return consumer_info("c-p_1000").value("num_ack_pending", -1) == 0; }));
    EXPECT_TRUE(notes_.errors().empty()) << notes_.text();
}

// nats-server 2.9.10 may drop an expired request without a word; a message that finds none waits for the next.
TEST_F(ConsumeHandoff, APullRequestIsFollowedByTheNextBeforeItExpires) {
    constexpr std::size_t requests = 15;
    make_stream();
    natsSubscription* raw_requests = nullptr;
    ASSERT_EQ(natsConnection_SubscribeSync(&raw_requests, raw_->get(), "$JS.API.CONSUMER.MSG.NEXT.ORDERS.c-p_1000"), NATS_OK);
    const std::unique_ptr<natsSubscription, void (*)(natsSubscription*)> subscription(raw_requests, natsSubscription_Destroy);
    ConsumerConfig config = consuming();
    config.pull_expires = 600ms;
    Context context = connect();
    auto a = member(context, source(1), seen_.handler(), config);
    std::vector<std::chrono::steady_clock::duration> pauses;
    std::chrono::steady_clock::time_point before{};
    for (std::size_t i = 0; i < requests; ++i) {
        natsMsg* request = nullptr;
        ASSERT_EQ(natsSubscription_NextMsg(&request, raw_requests, 20'000), NATS_OK) << i;
        natsMsg_Destroy(request);
        const auto now = std::chrono::steady_clock::now();
        if (i > 0) pauses.push_back(now - before);
        before = now;
    }
    std::sort(pauses.begin(), pauses.end());
    EXPECT_LT(pauses[pauses.size() / 2], config.pull_expires);
    publish(ids(1), 20);  // with several requests open
    ASSERT_TRUE(eventually([&] { return seen_.total() == 20; })) << seen_.total();
    EXPECT_EQ(seen_.in_order_once(ids(1), 20), "");
}

TEST_F(ConsumeHandoff, AJoinAndALeaveUnderLoadLoseReplayAndReorderNothing) {
    make_stream();
    const auto partitions = ids(12);
    publish(partitions, 40);
    Context context = connect();
    const auto list = source(12);
    auto a = member(context, list, seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return seen_.total() >= 100; })) << notes_.text();
    auto b = member(context, list, seen_.handler(), consuming());
    publish(partitions, 40);
    ASSERT_TRUE(eventually([&] { return covered({&a->worker, &b->worker}, 12) && !b->worker.assignment().empty(); }));
    publish(partitions, 40);
    ASSERT_TRUE(eventually([&] { return b->consumer->stats().handled > 0; }));
    // The leaver still has messages to handle.
    ASSERT_TRUE(a->worker.stop());
    publish(partitions, 40);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 160U * 12U; })) << seen_.total() << '\n' << notes_.text();
    EXPECT_EQ(seen_.in_order_once(partitions, 160), "");
    EXPECT_GT(b->consumer->stats().handled, 40U * 12U);
    EXPECT_EQ(consumers_on_stream(), 12U);
}

TEST_F(ConsumeHandoff, PipelinedHandoffsLoseNothingAndHandleNothingTwice) {
    make_stream();
    const auto partitions = ids(8);
    publish(partitions, 300);
    Context context = connect();
    const auto list = source(8);
    ConsumerConfig config = consuming();
    config.max_ack_pending = 100;
    auto a = member(context, list, seen_.handler(), config);
    ASSERT_TRUE(eventually([&] { return seen_.total() >= 200; })) << notes_.text();
    auto b = member(context, list, seen_.handler(), config);
    ASSERT_TRUE(eventually([&] { return covered({&a->worker, &b->worker}, 8) && !b->worker.assignment().empty(); }));
    publish(partitions, 100);
    ASSERT_TRUE(a->worker.stop());
    publish(partitions, 100);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 500U * 8U; })) << seen_.total() << '\n' << notes_.text();
    // Graceful handoffs: what was handled was acknowledged, so nothing is handled twice.
    EXPECT_EQ(seen_.total(), 500U * 8U);
}

}  // namespace
}  // namespace parti::test
