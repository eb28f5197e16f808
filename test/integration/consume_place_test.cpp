// What nats-server 2.9.10 does when a redelivery is due and the pull it finds has no subscriber any more: it loses its place by
// one, and after the message's ack sends it once more, as if for the first time, to whoever pulls then. Its next owner must not
// get it.
#include "consume_fixture.h"

#include <nats/nats.h>

#include <chrono>

namespace parti::test {
namespace {

using namespace std::chrono_literals;

// How often it loses it. Twice at the stream's first message: it counts below zero, and its ack floor is 2^64 - 1.
class ConsumePlace : public ConsumeTest, public testing::WithParamInterface<int> {
protected:
    static constexpr auto kAckWait = 300ms;

    void SetUp() override {
        ConsumeTest::SetUp();
        config_ = consuming();
        config_.ack_wait = kAckWait;
        make_stream();
    }

    // Plain nats.c: takes the first message and never acknowledges it, leaves a pull without a subscriber, and lets the
    // redelivery find it.
    void lose_place() {
        const std::string next = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.c-p_1000";
        const auto taken = raw_->request(next, R"({"batch":1,"expires":5000000000})");
        ASSERT_TRUE(taken) << taken.error();
        ASSERT_EQ(*taken, "0");
        for (int tries = 0; loses_its_place() ? lost() < GetParam() : tries < GetParam(); ++tries) {
            ASSERT_LT(tries, 20) << "the server does not do what this test is about: " << consumer_info("c-p_1000").dump();
            natsSubscription* listening = nullptr;
            ASSERT_EQ(natsConnection_SubscribeSync(&listening, raw_->get(), "nobody.soon"), NATS_OK);
            const std::string body = R"({"batch":10,"expires":60000000000})";
            ASSERT_EQ(natsConnection_PublishRequestString(raw_->get(), next.c_str(), "nobody.soon", body.c_str()), NATS_OK);
            EXPECT_TRUE(eventually([&] { return consumer_info("c-p_1000").value("num_waiting", -1) == 1; }));
            natsSubscription_Destroy(listening);
            ASSERT_TRUE(raw_->flush());
            // The server's own clock counts here, and asking it would make it forget the pull.
            const auto since = std::chrono::steady_clock::now();
            ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() - since > 2 * kAckWait; }));
        }
    }

    // By how much, the message of sequence 1 being the only one delivered.
    std::int64_t lost() {
        return 1 - static_cast<std::int64_t>(consumer_info("c-p_1000")["delivered"]["stream_seq"].get<std::uint64_t>());
    }

    // The durable as the library makes it.
    void make_durable(const Context& context) {
        auto first = member(context, list_, seen_.handler(), config_);
        ASSERT_TRUE(eventually([&] { return first->consumer->stats().consuming == 1; })) << notes_.text();
        ASSERT_TRUE(first->worker.stop());
    }

    bool loses_its_place() const { return server_->version().rfind("2.9.", 0) == 0; }

    const std::shared_ptr<Source> list_ = source(1);
    ConsumerConfig config_;
};

TEST_P(ConsumePlace, TheOwnerDoesNotHandleAgainWhatItAcknowledged) {
    Context context = connect();
    make_durable(context);
    publish(ids(1), 3);
    ASSERT_NO_FATAL_FAILURE(lose_place());
    auto a = member(context, list_, seen_.handler(), config_);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 3; })) << notes_.text();
    EXPECT_EQ(seen_.in_order_once(ids(1), 3), "");
    if (loses_its_place()) {
        EXPECT_GE(a->consumer->stats().repeated, 1U) << "the server did not do what this test is about";
    }
}

TEST_P(ConsumePlace, AHandoffLeavesNothingThatWasAcknowledgedToTheNextOwner) {
    Context context = connect();
    make_durable(context);
    publish(ids(1), 3);
    ASSERT_NO_FATAL_FAILURE(lose_place());
    Hold hold;
    auto a = member(
        context, list_,
        [&](Message& m) -> Result<void> {
            seen_.add(m);
            hold.wait();
            return {};
        },
        config_);
    ASSERT_TRUE(eventually([&] { return hold.inside() == 1; })) << notes_.text();
    a->worker.request_stop();  // while the message is in hand
    ASSERT_TRUE(a->worker.wait_for(State::draining, 10s));
    hold.open();
    ASSERT_TRUE(a->worker.stop());
    ASSERT_EQ(seen_.total(), 1U);
    if (loses_its_place()) {
        EXPECT_GE(a->consumer->stats().repeated, 1U) << "the server did not do what this test is about";
    }
    auto b = member(context, list_, seen_.handler(), config_);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 3; })) << consumer_info("c-p_1000").dump() << notes_.text();
    EXPECT_EQ(seen_.in_order_once(ids(1), 3), "");
}

INSTANTIATE_TEST_SUITE_P(Times, ConsumePlace, testing::Values(1, 2));

}  // namespace
}  // namespace parti::test
