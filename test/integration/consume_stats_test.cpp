// What a consumer says of its messages on a real server (lag, in flight, the oldest), and term: what is terminated never comes
// again.
#include "consume_fixture.h"

#include <chrono>

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ConsumeStats : public ConsumeTest {
protected:
    // At least that old, and older at the next look.
    static bool ages(const Consumer& consumer, Duration at_least) {
        Duration seen{};
        return eventually([&] { return (seen = consumer.stats().oldest_in_flight) >= at_least; }) &&
               eventually([&] { return consumer.stats().oldest_in_flight > seen; });
    }
};

TEST_F(ConsumeStats, LagInFlightAndTheOldestFollowTheMessages) {
    make_stream();
    publish(ids(2), 10);
    Context context = connect(3);
    Hold hold;
    ConsumerConfig config = consuming();
    config.ack_wait = 3s;  // the server is asked once a second while nothing is settled
    auto a = member(context, source(2), seen_.handler(hold), config);
    ASSERT_TRUE(eventually([&] { return hold.inside() == 2; })) << notes_.text();
    EXPECT_EQ(a->consumer->stats().in_flight, 2U) << "one of each partition";
    EXPECT_EQ(a->consumer->stats().lag, 18U);
    EXPECT_TRUE(ages(*a->consumer, 50ms));
    publish(ids(1), 5);
    EXPECT_TRUE(eventually([&] { return a->consumer->stats().lag == 23; }))
        << "the handlers hold on: the server is asked; lag " << a->consumer->stats().lag;
    hold.open();
    ASSERT_TRUE(eventually([&] { return seen_.total() == 25; }));
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().in_flight == 0; }));
    EXPECT_TRUE(eventually([&] { return a->consumer->stats().oldest_in_flight == Duration::zero(); }))
        << "the last handler has returned";
    const ConsumerStats after = a->consumer->stats();
    EXPECT_EQ(after.lag, 0U);
    EXPECT_EQ(after.pulled, 25U);
    EXPECT_EQ(after.acked, 25U);
}

TEST_F(ConsumeStats, AMessageThatIsKeptIsInFlightAndAgesUntilItIsSettled) {
    make_stream();
    publish(ids(1), 5);
    Context context = connect();
    ConsumerConfig config = consuming();
    config.ack = AckMode::manual;
    config.ack_wait = 10s;
    config.max_ack_pending = 3;
    std::mutex mutex;
    std::vector<Message> kept;
    const auto count = [&] {
        const std::lock_guard lock(mutex);
        return kept.size();
    };
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            const std::lock_guard lock(mutex);
            kept.push_back(m);
            return {};
        },
        config);
    ASSERT_TRUE(eventually([&] { return count() == 3; })) << notes_.text();
    EXPECT_EQ(a->consumer->stats().in_flight, 3U);
    EXPECT_EQ(a->consumer->stats().lag, 2U);
    EXPECT_TRUE(ages(*a->consumer, 50ms)) << "the handlers have returned, the messages are not settled";
    const Duration before = a->consumer->stats().oldest_in_flight;
    {
        const std::lock_guard lock(mutex);
        for (Message& m : kept) EXPECT_TRUE(m.ack());
    }
    ASSERT_TRUE(eventually([&] { return count() == 5; }));
    EXPECT_EQ(a->consumer->stats().in_flight, 2U);
    EXPECT_EQ(a->consumer->stats().lag, 0U);
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(kept[3].ack() && kept[4].ack());
    EXPECT_EQ(a->consumer->stats().in_flight, 0U);
    EXPECT_TRUE(eventually([&] { return a->consumer->stats().oldest_in_flight == Duration::zero(); }))
        << "the last handler has returned";
    EXPECT_GE(before, 50ms);
    kept.clear();
}

TEST_F(ConsumeStats, WhatIsTerminatedNeverComesAgain) {
    make_stream();
    publish(ids(1), 4);
    Context context = connect();
    ConsumerConfig config = consuming();
    config.ack_wait = 300ms;
    config.retry_first = 5ms;
    std::atomic<int> calls{0};
    // 1 is terminated by a handler that succeeds then, 2 by one that fails then.
    const Handler handler = [&](Message& m) -> Result<void> {
        ++calls;
        if (m.payload() == "1" || m.payload() == "2") {
            EXPECT_TRUE(m.term());
            const auto again = m.term();
            EXPECT_EQ(again ? Errc{} : again.error().code, Errc::invalid_argument) << "settled before";
            EXPECT_FALSE(m.in_progress());
        }
        if (m.payload() == "2") return fail(Errc::internal, "and fails");
        seen_.add(m);
        return {};
    };
    const auto list = source(1);
    auto a = member(context, list, handler, config);
    ASSERT_TRUE(eventually([&] { return calls == 4; })) << notes_.text();
    // Longer than the ack_wait, by the server's clock: its own record says what is open, and what came again.
    const auto since = std::chrono::steady_clock::now();
    ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() - since > 2 * config.ack_wait; }));
    const auto info = consumer_info("c-p_1000");
    EXPECT_EQ(info.value("num_ack_pending", -1), 0);
    EXPECT_EQ(info.value("num_redelivered", -1), 0);
    EXPECT_EQ(calls, 4);
    EXPECT_EQ(seen_.of("p.1000"), (std::vector<std::uint64_t>{0, 1, 3}));
    const ConsumerStats stats = a->consumer->stats();
    EXPECT_EQ(stats.acked, 2U) << "a term is no ack";
    EXPECT_EQ(stats.failed, 1U);
    EXPECT_EQ(stats.in_flight, 0U);
    ASSERT_TRUE(a->worker.stop());
    auto b = member(context, list, handler, config);
    ASSERT_TRUE(eventually([&] { return b->consumer->stats().consuming == 1; }));
    EXPECT_EQ(b->consumer->stats().lag, 0U);
    publish(ids(1), 1);
    ASSERT_TRUE(eventually([&] { return calls == 5; }));
    EXPECT_EQ(seen_.of("p.1000"), (std::vector<std::uint64_t>{0, 1, 3, 4})) << "nor to the next owner";
}

}  // namespace
}  // namespace parti::test
