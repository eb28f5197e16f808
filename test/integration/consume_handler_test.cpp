// What handlers may do: fail, take long, keep messages, poison; and what a revoke and a stop wait for.
#include "consume_fixture.h"

#include <nats/nats.h>

#include <condition_variable>

namespace parti::test {
namespace {

using namespace std::chrono_literals;

// A handler that waits inside until it is opened.
class Door {
public:
    void pass() {
        std::unique_lock lock(mutex_);
        ++inside_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
    }
    bool wait_for_somebody() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kPatience, [this] { return inside_ > 0; });
    }
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int inside_ = 0;
    bool open_ = false;
};

class ConsumeHandlers : public ConsumeTest {};

TEST_F(ConsumeHandlers, AFailureIsTriedAgainInOrder) {
    make_stream();
    publish(ids(1), 10);
    std::atomic<int> failures{0};
    Context context = connect();
    ConsumerConfig config = consuming();
    config.retry_first = 5ms;
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            if (m.payload() == "3" && m.delivered() < 3) {
                ++failures;
                if (m.delivered() == 1) throw std::runtime_error("not yet");
                return fail(Errc::not_ready, "still not");
            }
            seen_.add(m);
            return {};
        },
        config);
    ASSERT_TRUE(eventually([&] { return seen_.total() == 10; })) << notes_.text();
    EXPECT_EQ(failures, 2);
    EXPECT_EQ(seen_.in_order_once(ids(1), 10), "");
    EXPECT_EQ(a->consumer->stats().failed, 2U);
    EXPECT_TRUE(notes_.has_line("not yet"));
}

TEST_F(ConsumeHandlers, PoisonGoesToTheDeadLetterSubjectWithItsReasonAndTheRestGoesOn) {
    make_stream();
    ASSERT_TRUE(raw_->api("STREAM.CREATE.DEAD", {{"name", "DEAD"}, {"subjects", {"dead.*"}}, {"storage", "memory"}}));
    publish(ids(1), 6);
    std::atomic<int> tries{0};
    Context context = connect();
    ConsumerConfig config = consuming();
    config.retry_first = 2ms;
    config.deliveries_max = 3;
    config.dead_letter_subject = "dead.{1}";
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            if (m.payload() == "2") {
                ++tries;
                return fail(Errc::invalid_argument, "cannot be understood");
            }
            seen_.add(m);
            return {};
        },
        config);
    ASSERT_TRUE(eventually([&] { return seen_.total() == 5 && a->consumer->stats().dead_lettered == 1; })) << notes_.text();
    EXPECT_EQ(tries, 3);
    EXPECT_EQ(seen_.of("p.1000"), (std::vector<std::uint64_t>{0, 1, 3, 4, 5}));
    const auto dead = raw_->api("STREAM.MSG.GET.DEAD", {{"last_by_subj", "dead.1000"}});
    ASSERT_TRUE(dead) << dead.error();
    EXPECT_EQ((*dead)["message"]["data"], "Mg==");  // "2"
    EXPECT_TRUE((*dead)["message"].contains("hdrs"));
    EXPECT_TRUE(eventually([&] { return consumer_info("c-p_1000").value("num_ack_pending", -1) == 0; }));
    ASSERT_TRUE(raw_->api("STREAM.DELETE.DEAD"));
}

TEST_F(ConsumeHandlers, PoisonThatCannotBeStoredIsKept) {
    make_stream();
    publish(ids(1), 2);
    std::atomic<bool> well{false};
    Context context = connect();
    ConsumerConfig config = consuming();
    config.retry_first = 2ms;
    config.retry_max = 20ms;
    config.deliveries_max = 2;
    config.dead_letter_subject = "nobody.listens";
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            if (!well) return fail(Errc::internal, "broken");
            seen_.add(m);
            return {};
        },
        config);
    ASSERT_TRUE(eventually([&] { return notes_.has_line("could not be stored under dead_letter_subject"); })) << notes_.text();
    well = true;
    ASSERT_TRUE(eventually([&] { return seen_.total() == 2; })) << notes_.text();
    EXPECT_EQ(seen_.in_order_once(ids(1), 2), "");
    EXPECT_EQ(a->consumer->stats().dead_lettered, 0U);
}

TEST_F(ConsumeHandlers, ASlowHandlerIsNotGivenItsMessageTwice) {
    make_stream();
    publish(ids(1), 3);
    Context context = connect();
    ConsumerConfig config = consuming();
    config.max_ack_pending = 10;
    config.ack_wait = 200ms;
    Door door;
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            if (m.payload() == "0") door.pass();
            seen_.add(m);
            return {};
        },
        config);
    ASSERT_TRUE(door.wait_for_somebody());
    // Three times the ack_wait, by the server's clock: its own record of the consumer says what came again.
    const auto since = std::chrono::steady_clock::now();
    ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() - since > 600ms; }));
    EXPECT_EQ(consumer_info("c-p_1000").value("num_redelivered", -1), 0);
    door.open();
    ASSERT_TRUE(eventually([&] { return seen_.total() == 3; }));
    EXPECT_EQ(seen_.in_order_once(ids(1), 3), "");
    EXPECT_EQ(a->consumer->stats().redelivered, 0U);
}

TEST_F(ConsumeHandlers, AManualMessageMayBeKeptAndAcknowledgedLater) {
    make_stream();
    publish(ids(1), 4);
    Context context = connect();
    ConsumerConfig config = consuming();
    config.ack = AckMode::manual;
    config.max_ack_pending = 2;
    std::mutex mutex;
    std::vector<Message> kept;
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            const std::lock_guard lock(mutex);
            kept.push_back(m);
            return {};
        },
        config);
    const auto count = [&] {
        const std::lock_guard lock(mutex);
        return kept.size();
    };
    ASSERT_TRUE(eventually([&] { return count() == 2; }));
    EXPECT_EQ(a->consumer->stats().acked, 0U);
    {
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(kept[0].ack_confirmed(5s));
        EXPECT_FALSE(kept[0].ack());  // settled before
        EXPECT_TRUE(kept[1].term());
    }
    ASSERT_TRUE(eventually([&] { return count() == 4; }));
    {
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(kept[2].ack());
        EXPECT_TRUE(kept[3].nak(0ms));
    }
    ASSERT_TRUE(eventually([&] { return count() == 5; }));
    const std::lock_guard lock(mutex);
    EXPECT_EQ(kept[4].payload(), "3");
    EXPECT_EQ(kept[4].delivered(), 2U);
    EXPECT_TRUE(kept[4].ack());
    kept.clear();
}

TEST_F(ConsumeHandlers, ConfirmedAcksAreConfirmed) {
    make_stream();
    publish(ids(2), 20);
    Context context = connect();
    ConsumerConfig config = consuming();
    config.ack = AckMode::confirmed;
    auto a = member(context, source(2), seen_.handler(), config);
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().acked == 40; })) << notes_.text();
    EXPECT_EQ(seen_.in_order_once(ids(2), 20), "");
    EXPECT_EQ(consumer_info("c-p_1000").value("num_ack_pending", -1), 0);
}

TEST_F(ConsumeHandlers, ARevokeWaitsForTheHandlerAndTheUsersCallbackComesAfterIt) {
    make_stream();
    publish(ids(1), 3);
    Context context = connect(2);
    Door door;
    std::atomic<bool> handled{false};
    std::atomic<bool> revoked_after{false};
    std::atomic<bool> assigned{false};
    Callbacks callbacks;
    callbacks.on_assigned = [&](std::span<const Ownership>) { assigned = true; };
    callbacks.on_revoked = [&](std::span<const Ownership>, const RevokeDone& done) {
        revoked_after = handled.load();
        done();
    };
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            EXPECT_TRUE(assigned);  // the user's on_assigned has returned
            door.pass();
            seen_.add(m);
            handled = true;
            return {};
        },
        consuming(), std::move(callbacks));
    ASSERT_TRUE(door.wait_for_somebody());
    a->worker.request_stop();
    ASSERT_TRUE(a->worker.wait_for(State::draining, 10s));
    EXPECT_FALSE(revoked_after);
    door.open();
    ASSERT_TRUE(a->worker.stop());
    EXPECT_TRUE(revoked_after);
    EXPECT_EQ(seen_.total(), 1U);  // nothing began after the revoke
    EXPECT_EQ(a->consumer->stats().acked, 1U);
    EXPECT_EQ(consumer_info("c-p_1000").value("num_pending", -1) + consumer_info("c-p_1000").value("num_ack_pending", -1), 2);
}

TEST_F(ConsumeHandlers, AConsumerThatStartsDuringOnAssignedWaitsForItsReturn) {
    make_stream();
    publish(ids(1), 3);
    Context context = connect(2);
    Door door;
    std::atomic<bool> returned{false};
    Callbacks callbacks;
    callbacks.on_assigned = [&](std::span<const Ownership>) {
        door.pass();
        returned = true;
    };
    Worker a = worker(context, source(1), callbacks);
    a.start();
    ASSERT_TRUE(door.wait_for_somebody());
    std::atomic<int> early{0};
    auto consumer = Consumer::make(a, consuming(), [&](Message& m) -> Result<void> {
        if (!returned) ++early;
        seen_.add(m);
        return {};
    });
    ASSERT_TRUE(consumer && consumer->start());
    EXPECT_EQ(consumer->stats().partitions, 0U);
    door.open();
    ASSERT_TRUE(eventually([&] { return seen_.total() == 3; })) << notes_.text();
    EXPECT_EQ(early, 0);
    // One that comes later is told at once.
    auto late = consuming();
    late.prefix = "late";
    auto second = Consumer::make(a, late, [](Message&) -> Result<void> { return {}; });
    ASSERT_TRUE(second && second->start());
    EXPECT_EQ(second->stats().partitions, 1U);
}

TEST_F(ConsumeHandlers, AHandlerThatDoesNotReturnHoldsTheReleaseUpForTheDrainTimeoutOnly) {
    make_stream();
    publish(ids(1), 2);
    Context context = connect(2);
    Config short_drain = config();
    short_drain.timing.drain_timeout = 300ms;
    const auto list = source(1);
    Worker a = worker(context, list, short_drain);
    Door door;
    auto stuck = Consumer::make(a, consuming(), [&](Message&) -> Result<void> {
        door.pass();
        return {};
    });
    ASSERT_TRUE(stuck && stuck->start());
    a.start();
    ASSERT_TRUE(door.wait_for_somebody());
    a.request_stop();
    ASSERT_TRUE(a.wait_for(State::stopped, 10s)) << notes_.text();
    EXPECT_GE(a.stats().drain_timeouts, 1U);
    EXPECT_EQ(stuck->stats().acked, 0U);
    // Somebody else gets the partition, and the message once its ack_wait is over.
    auto b = member(context, list, seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return seen_.total() == 2; })) << notes_.text();
    EXPECT_EQ(seen_.in_order_once(ids(1), 2), "");
    // The ack of a handler that returned success is the one thing that may still be sent.
    door.open();
    EXPECT_TRUE(eventually([&] { return stuck->stats().acked == 1; }));
    EXPECT_EQ(stuck->stats().given_back, 0U);
}

TEST_F(ConsumeHandlers, StopEndsThePullAndTheWorkerGoesOn) {
    make_stream();
    publish(ids(3), 10);
    Context context = connect();
    auto a = member(context, source(3), seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return seen_.total() == 30; }));
    ASSERT_TRUE(a->consumer->stop());
    publish(ids(3), 10);
    // Nobody pulls any more, by the server's own count; so nothing can come.
    for (const char* durable : {"c-p_1000", "c-p_1001", "c-p_1002"}) {
        EXPECT_EQ(consumer_info(durable).value("num_waiting", -1), 0) << durable;
        EXPECT_EQ(consumer_info(durable).value("num_ack_pending", -1), 0) << durable;
    }
    EXPECT_EQ(seen_.total(), 30U);
    EXPECT_TRUE(covered({&a->worker}, 3));
    EXPECT_FALSE(a->consumer->start());  // a new one is made instead
    auto again = Consumer::make(a->worker, consuming(), seen_.handler());
    ASSERT_TRUE(again);
    ASSERT_TRUE(again->start());
    ASSERT_TRUE(eventually([&] { return seen_.total() == 60; }));
    EXPECT_EQ(seen_.in_order_once(ids(3), 20), "");
}

TEST_F(ConsumeHandlers, WhatIsFetchedAheadIsBounded) {
    make_stream();
    publish(ids(1), 200);
    Context context = connect();
    ConsumerConfig config = consuming();
    config.max_ack_pending = 1000;
    config.partition_messages_max = 16;
    Door door;
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            if (m.payload() == "0") door.pass();
            seen_.add(m);
            return {};
        },
        config);
    ASSERT_TRUE(door.wait_for_somebody());
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().pulled == 16; }));
    EXPECT_EQ(consumer_info("c-p_1000").value("num_ack_pending", -1), 16);
    EXPECT_EQ(a->consumer->stats().in_flight, 16U);
    EXPECT_GT(a->consumer->stats().oldest_in_flight, Duration::zero());
    EXPECT_EQ(a->consumer->stats().lag, 184U);
    door.open();
    ASSERT_TRUE(eventually([&] { return seen_.total() == 200; }));
    EXPECT_EQ(seen_.in_order_once(ids(1), 200), "");
}

// nats.c keeps what is published for a millisecond before it writes. With max_ack_pending 1 the next message waits for that; ours
// must not. Both in one run, the best of three rounds each.
TEST_F(ConsumeHandlers, AnOrderedPartitionDoesNotWaitForTheFlusherAsPlainNatsCDoes) {
    constexpr std::uint64_t count = 200;
    using Clock = std::chrono::steady_clock;
    make_stream();
    std::mutex mutex;
    std::vector<Clock::time_point> handled;
    Context context = connect();
    auto a = member(
        context, source(1),
        [&](Message&) -> Result<void> {
            const std::lock_guard lock(mutex);
            handled.push_back(Clock::now());
            return {};
        },
        consuming());
    jsCtx* js = nullptr;
    ASSERT_EQ(natsConnection_JetStream(&js, raw_->get(), nullptr), NATS_OK);
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = "ORDERS";
    options.Config.MaxAckPending = 1;
    options.Config.AckPolicy = js_AckExplicit;
    natsSubscription* plain = nullptr;
    ASSERT_EQ(js_PullSubscribe(&plain, js, "orders.1000", "plain", nullptr, &options, nullptr), NATS_OK);
    auto ours = Clock::duration::max();
    auto theirs = Clock::duration::max();
    for (std::uint64_t round = 1; round <= 3; ++round) {
        publish(ids(1), count);
        ASSERT_TRUE(eventually([&] {
            const std::lock_guard lock(mutex);
            return handled.size() == round * count;
        }));
        ours = std::min(ours, handled.back() - handled[(round - 1) * count]);
        Clock::time_point first;
        for (std::uint64_t i = 0; i < count; ++i) {
            natsMsgList list{};
            ASSERT_EQ(natsSubscription_Fetch(&list, plain, 1, 5000, nullptr), NATS_OK);
            if (i == 0) first = Clock::now();
            EXPECT_EQ(natsMsg_Ack(list.Msgs[0], nullptr), NATS_OK);
            natsMsgList_Destroy(&list);
        }
        theirs = std::min(theirs, Clock::now() - first);
    }
    natsSubscription_Destroy(plain);
    jsCtx_Destroy(js);
    const auto us = [](Clock::duration d) {
        return std::chrono::duration_cast<std::chrono::microseconds>(d).count() / static_cast<long>(count);
    };
    EXPECT_LT(us(ours) * 10, us(theirs) * 7) << "us a message: " << us(ours) << ", plain nats.c " << us(theirs);
    RecordProperty("us_ours", std::to_string(us(ours)));
    RecordProperty("us_plain", std::to_string(us(theirs)));
}

TEST_F(ConsumeHandlers, AMessageLargerThanTheBytesAllowedStillComes) {
    make_stream();
    const std::string large(100'000, '7');
    ASSERT_TRUE(raw_->request("orders.1000", large));
    std::atomic<std::size_t> size{0};
    Context context = connect();
    ConsumerConfig config = consuming();
    config.max_ack_pending = 100;
    config.partition_bytes_max = 4096;
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            size = m.payload().size();
            return {};
        },
        config);
    ASSERT_TRUE(eventually([&] { return size == large.size(); })) << notes_.text();
}

}  // namespace
}  // namespace parti::test
