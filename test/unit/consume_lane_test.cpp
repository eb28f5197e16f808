#include "consume/lane.h"

#include <gtest/gtest.h>
#include <nats/nats.h>

#include "consume_delivery.h"

namespace parti::consume {
namespace {

// A lane without a connection: what it tries to send shows in the counters and errors (link_down: it tried; lease_lost: it did
// not).
class LaneTest : public ::testing::Test {
protected:
    static void SetUpTestSuite() { ASSERT_EQ(nats_Open(-1), NATS_OK); }  // nats.c's messages need it
    static void TearDownTestSuite() { nats_Close(); }
    void SetUp() override {
        shop_->config.ack_wait = std::chrono::seconds(1);
        shop_->config.ack = AckMode::automatic;
        shop_->outlet = std::make_shared<jetstream::Outlet>(nullptr);
        shop_->handler = [this](Message& message) -> Result<void> {
            handled_.push_back(message.sequence());
            if (on_handle_) return on_handle_(message);
            return {};
        };
        shop_->ready = [this](const std::shared_ptr<Lane>&) { ++ready_; };
        shop_->idle = [this](std::uint64_t) { ++idle_; };
        shop_->report = [this](Error error) { errors_.push_back(std::move(error)); };
        shop_->dead_letter = [this](std::shared_ptr<Delivery> delivery, std::string why) {
            dead_.emplace_back(std::move(delivery), std::move(why));
        };
        flow_->set_limits({100, 0});
        lane_ = std::make_shared<Lane>(1, state_, flow_, shop_);
    }
    void push(std::uint64_t sequence, std::uint64_t delivered = 1) {
        flow_->arrived(sequence, 1);
        lane_->push(make_delivery(lane_, sequence, delivered));
    }
    void TearDown() override {
        on_handle_ = nullptr;
        dead_.clear();
        lane_->give_back();
    }

    std::shared_ptr<runtime::SessionTokens> session_ =
        std::make_shared<runtime::SessionTokens>(runtime::boot_now() + std::chrono::hours(1));
    std::shared_ptr<runtime::OwnershipState> state_ =
        std::make_shared<runtime::OwnershipState>(*Partition::from_id("orders.eu"), Fence{{1}, 1}, session_);
    std::shared_ptr<Flow> flow_ = std::make_shared<Flow>([] {});
    std::shared_ptr<Shop> shop_ = std::make_shared<Shop>();
    std::shared_ptr<Lane> lane_;
    std::vector<std::uint64_t> handled_;
    std::function<Result<void>(Message&)> on_handle_;
    std::vector<Error> errors_;
    std::vector<std::pair<std::shared_ptr<Delivery>, std::string>> dead_;
    int ready_ = 0;
    int idle_ = 0;
};

TEST_F(LaneTest, TakesADeliveryByWhatItsReplySays) {
    jetstream::Message message = message_with_reply("$JS.ACK.s.c.3.7.5.99.12");
    ASSERT_TRUE(lane_->take(message));
    EXPECT_EQ(message, nullptr);
    EXPECT_EQ(ready_, 1);
    EXPECT_EQ(lane_->pending(), 12U);
    EXPECT_EQ(flow_->load().messages, 1U);
    EXPECT_EQ(flow_->load().bytes, std::string("orders.eux").size());
    EXPECT_EQ(shop_->counters->pulled, 1U);
    EXPECT_EQ(shop_->counters->redelivered, 1U);
    std::uint64_t delivered_times = 0;
    on_handle_ = [&](Message& m) -> Result<void> {
        delivered_times = m.delivered();
        return {};
    };
    lane_->run(1);
    EXPECT_EQ(handled_, std::vector<std::uint64_t>{7});
    EXPECT_EQ(delivered_times, 3U);
}

TEST_F(LaneTest, TakesNeitherWhatWasSettledBeforeNorWhatIsNoDelivery) {
    flow_->begin(10, 10, 0);
    for (const char* reply : {"$JS.ACK.s.c.1.10.5.99.12", "$JS.ACK.s.c", "_INBOX.x"}) {
        jetstream::Message message = message_with_reply(reply);
        EXPECT_FALSE(lane_->take(message)) << reply;
        EXPECT_NE(message, nullptr) << reply;
    }
    EXPECT_EQ(ready_, 0);
    EXPECT_EQ(lane_->pending(), 0U);
    EXPECT_EQ(flow_->load().messages, 0U);
    EXPECT_EQ(shop_->counters->pulled, 0U);
}

TEST_F(LaneTest, HandlesInOrderAndAsksForARunOnce) {
    for (std::uint64_t s = 1; s <= 5; ++s) push(s);
    EXPECT_EQ(ready_, 1);
    EXPECT_TRUE(lane_->run(3));
    EXPECT_FALSE(lane_->run(64));
    EXPECT_EQ(handled_, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
    EXPECT_EQ(shop_->counters->handled, 5U);
    push(6);
    EXPECT_EQ(ready_, 2);
}

TEST_F(LaneTest, BeginsNothingOnceTheTokenIsInvalid) {
    push(1);
    push(2);
    session_->end();
    EXPECT_FALSE(lane_->run(64));
    EXPECT_TRUE(handled_.empty());
    lane_->give_back();
    EXPECT_EQ(shop_->counters->given_back, 0U);
    EXPECT_EQ(shop_->counters->left, 2U);
    EXPECT_EQ(flow_->load().messages, 0U);
    EXPECT_EQ(flow_->floor(), 0U);  // neither of them is done
}

TEST_F(LaneTest, StopsBetweenTwoMessagesWhenThePartitionIsRevoked) {
    push(1);
    push(2);
    on_handle_ = [this](Message&) -> Result<void> {
        state_->over = true;
        return {};
    };
    EXPECT_FALSE(lane_->run(64));
    EXPECT_EQ(handled_.size(), 1U);
}

TEST_F(LaneTest, AfterTheTokenOnlyTheAckOfASuccessIsSent) {
    for (std::uint64_t s = 1; s <= 2; ++s) push(s);
    Error of_nak, of_term, of_progress;
    on_handle_ = [&](Message& message) -> Result<void> {
        if (message.sequence() == 1) {
            EXPECT_EQ(message.in_progress().error().code, Errc::link_down);  // it tried
            return {};
        }
        session_->end();
        of_progress = message.in_progress().error();
        of_nak = message.nak().error();
        return {};
    };
    lane_->run(64);
    EXPECT_EQ(handled_.size(), 2U);
    EXPECT_EQ(of_progress.code, Errc::lease_lost);
    EXPECT_EQ(of_nak.code, Errc::lease_lost);
    EXPECT_EQ(shop_->counters->acks_lost, 1U);  // of the first; the second one had settled itself
}

TEST_F(LaneTest, ASuccessAfterTheTokenHasEndedIsAcknowledged) {
    push(1);
    on_handle_ = [&](Message&) -> Result<void> {
        session_->end();
        lane_->set_released();
        return {};
    };
    lane_->run(64);
    EXPECT_EQ(shop_->counters->acks_lost, 1U);  // it tried, without a connection
}

TEST_F(LaneTest, AFailureAfterTheTokenHasEndedIsLeft) {
    push(1, 5);
    shop_->config.dead_letter_subject = "dead";
    on_handle_ = [&](Message&) -> Result<void> {
        session_->end();
        return fail(Errc::internal, "no");
    };
    lane_->run(64);
    EXPECT_TRUE(dead_.empty());
    EXPECT_EQ(shop_->counters->left, 1U);
}

TEST_F(LaneTest, PoisonIsHeldUntilItIsStored) {
    shop_->config.dead_letter_subject = "dead";
    push(1, 5);
    on_handle_ = [](Message&) -> Result<void> { throw std::runtime_error("bad"); };
    lane_->run(64);
    ASSERT_EQ(dead_.size(), 1U);
    EXPECT_NE(dead_.front().second.find("bad"), std::string::npos);
    EXPECT_TRUE(lane_->busy());
    lane_->close();
    EXPECT_EQ(idle_, 0);
    static_cast<void>(dead_.front().first->term());
    EXPECT_EQ(idle_, 1);
    EXPECT_FALSE(lane_->busy());
}

TEST_F(LaneTest, AMessageThatKillsItsWorkersIsPoisonBeforeItIsHandled) {
    shop_->config.dead_letter_subject = "dead";
    push(1, 101);
    lane_->run(64);
    EXPECT_TRUE(handled_.empty());
    EXPECT_EQ(dead_.size(), 1U);
}

TEST_F(LaneTest, WithoutADeadLetterSubjectAMessageIsHandledForEverAndReportedEverMoreRarely) {
    on_handle_ = [](Message&) { return fail(Errc::internal, "no"); };
    for (std::uint64_t n = 1; n <= 300; ++n) {
        push(1, n);
        lane_->run(1);
    }
    EXPECT_EQ(handled_.size(), 300U);
    EXPECT_TRUE(dead_.empty());
    std::vector<std::string> told;
    for (const Error& error : errors_) {
        if (error.code == Errc::callback_failed) told.push_back(error.detail);
    }
    ASSERT_EQ(told.size(), 7U);  // deliveries 1, 5 (deliveries_max), 16, 32, 64, 128, 256
    EXPECT_EQ(told.front().find("for ever"), std::string::npos);
    for (std::size_t i = 1; i < told.size(); ++i) EXPECT_NE(told[i].find("tried for ever"), std::string::npos) << told[i];
}

TEST_F(LaneTest, WhatKillsItsWorkersIsPoisonAlsoWhenFailuresAreNot) {
    shop_->config.dead_letter_subject = "dead";
    shop_->config.deliveries_max = 0;
    push(1, 100);
    lane_->run(1);
    EXPECT_EQ(handled_.size(), 1U);
    push(2, 101);
    lane_->run(1);
    EXPECT_EQ(handled_.size(), 1U);
    EXPECT_EQ(dead_.size(), 1U);
}

TEST_F(LaneTest, WhatWasDoneIsNotHandledAgain) {
    flow_->begin(7, 7, 0);
    push(7);
    lane_->run(64);
    EXPECT_TRUE(handled_.empty());
    EXPECT_EQ(shop_->counters->repeated, 1U);
}

// nats-server 2.9.10 may send an acknowledged message again, and the lane may have been closed meanwhile.
TEST_F(LaneTest, WhatWasDoneIsAcknowledgedAndNotGivenBack) {
    flow_->begin(7, 7, 0);
    push(7);
    push(8);
    session_->end();
    lane_->close();
    lane_->set_released();
    lane_->give_back();
    EXPECT_EQ(shop_->counters->repeated, 1U);
    EXPECT_EQ(shop_->counters->acks_lost, 1U);  // of 7: it tried, without a connection
    EXPECT_EQ(shop_->counters->left, 1U);       // 8: it comes again
    EXPECT_TRUE(handled_.empty());
}

}  // namespace
}  // namespace parti::consume
