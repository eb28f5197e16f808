#include "consume/flow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace parti::consume {
namespace {

class FlowTest : public ::testing::Test {
protected:
    int wakes_ = 0;
    Flow flow_{[this] { ++wakes_; }};
};

TEST_F(FlowTest, TheFloorIsBeforeTheFirstOpenMessage) {
    flow_.set_limits({10, 0});
    flow_.begin(4, 4, 0);
    for (const std::uint64_t s : {5U, 7U, 9U}) flow_.arrived(s, 1);
    EXPECT_EQ(flow_.floor(), 4U);
    flow_.settled(7, 1, true);
    EXPECT_EQ(flow_.floor(), 4U);
    flow_.settled(5, 1, true);
    EXPECT_EQ(flow_.floor(), 8U);
    flow_.settled(9, 1, false);  // given back: open, though no longer in flight
    EXPECT_EQ(flow_.floor(), 8U);
    EXPECT_EQ(flow_.load().messages, 0U);
    flow_.arrived(9, 1);
    flow_.settled(9, 1, true);
    EXPECT_EQ(flow_.floor(), 9U);
}

TEST_F(FlowTest, InOrderTheNextMessageShowsThatOneThatWasGivenBackIsGone) {
    flow_.one_at_a_time();
    flow_.begin(4, 4, 0);
    flow_.arrived(5, 1, 50);
    flow_.settled(5, 1, false);  // and then somebody removes it from the stream
    EXPECT_EQ(flow_.floor(), 4U);
    for (std::uint64_t s = 6; s <= 1000; ++s) {
        flow_.arrived(s, 1, s * 10);
        flow_.settled(s, 1, true);
    }
    EXPECT_EQ(flow_.floor(), 1000U);
    EXPECT_EQ(flow_.settled_to(), 1000U);
    EXPECT_FALSE(flow_.done(5, 50)) << "it was not acknowledged: if it comes after all, it is handled";
}

// max_ack_pending was larger before: the server sends what was given back before anything new, but not in order.
TEST_F(FlowTest, InOrderSeveralThatWereOpenBeforeHoldTheFloorUntilAllAreSettled) {
    flow_.one_at_a_time();
    flow_.begin(4, 9, 3);  // 5, 7, 9
    flow_.arrived(5, 1);
    flow_.settled(5, 1, false);
    for (const std::uint64_t s : {7U, 9U}) {
        flow_.arrived(s, 1);
        flow_.settled(s, 1, true);
        EXPECT_EQ(flow_.floor(), 4U);
    }
    flow_.arrived(5, 1);
    flow_.settled(5, 1, true);
    EXPECT_EQ(flow_.floor(), 9U);
}

TEST_F(FlowTest, InOrderACopyThatIsGivenBackDoesNotLetGoOfTheOneThatIsHandled) {
    flow_.one_at_a_time();
    flow_.begin(4, 4, 0);
    flow_.arrived(5, 1);
    flow_.arrived(5, 1);
    flow_.settled(5, 1, false);
    flow_.arrived(6, 1);
    EXPECT_EQ(flow_.floor(), 4U);
    flow_.settled(5, 1, true);
    EXPECT_EQ(flow_.floor(), 5U);
    EXPECT_TRUE(flow_.done(5));
}

TEST_F(FlowTest, InOrderAMessageThatIsHandledIsNotPassed) {
    flow_.one_at_a_time();
    flow_.begin(4, 4, 0);
    flow_.arrived(5, 1);
    flow_.arrived(6, 1);
    EXPECT_EQ(flow_.floor(), 4U);
}

TEST_F(FlowTest, TheServersFloorPassesWhatItIsHeldUpBy) {
    flow_.set_limits({10, 0});
    flow_.begin(4, 4, 0);
    flow_.arrived(5, 1);
    flow_.settled(5, 1, false);
    for (std::uint64_t s = 6; s <= 200; ++s) {
        EXPECT_FALSE(flow_.held_up() && s < 88) << s;
        flow_.arrived(s, 1);
        flow_.settled(s, 1, true);
    }
    EXPECT_TRUE(flow_.held_up());
    EXPECT_EQ(flow_.floor(), 4U);
    flow_.passed(4);
    EXPECT_EQ(flow_.floor(), 4U) << "the server waits for it, too";
    flow_.passed(5000);
    EXPECT_EQ(flow_.floor(), 4U) << "of another history";
    flow_.passed(200);
    EXPECT_EQ(flow_.floor(), 200U);
    EXPECT_FALSE(flow_.held_up());
    EXPECT_FALSE(flow_.done(5));
    flow_.begin(300, 300, 0, true);
    EXPECT_EQ(flow_.floor(), 300U);
}

TEST_F(FlowTest, WhatTheServerHasBehindItIsNotOpenAfterALookAtIt) {
    flow_.set_limits({10, 0});
    flow_.begin(4, 4, 0);
    for (const std::uint64_t s : {5U, 6U, 7U}) flow_.arrived(s, 1);
    flow_.settled(5, 1, false);
    flow_.settled(6, 1, true);
    flow_.begin(6, 7, 1, true);
    flow_.settled(7, 1, true);
    EXPECT_EQ(flow_.floor(), 7U);
    EXPECT_TRUE(flow_.done(6));
}

TEST_F(FlowTest, WhatAFormerOwnerLeftOpenHoldsTheFloor) {
    flow_.set_limits({10, 0});
    flow_.begin(3, 8, 2);  // two of 4..8 are open, nobody knows which
    flow_.arrived(9, 1);
    flow_.settled(9, 1, true);
    EXPECT_EQ(flow_.floor(), 3U);
    flow_.arrived(5, 1);
    flow_.settled(5, 1, true);
    flow_.arrived(5, 1);  // again: its ack was lost
    flow_.settled(5, 1, true);
    EXPECT_EQ(flow_.floor(), 3U);
    flow_.arrived(8, 1);
    flow_.settled(8, 1, true);
    EXPECT_EQ(flow_.floor(), 9U);
}

TEST_F(FlowTest, TellsUpToWhereTheServerMustHaveItsFloor) {
    flow_.set_limits({10, 0});
    flow_.begin(4, 9, 0);
    EXPECT_EQ(flow_.settled_to(), 0U) << "nothing of ours yet";
    for (const std::uint64_t s : {11U, 12U, 15U}) flow_.arrived(s, 1);
    flow_.settled(12, 1, true);
    EXPECT_EQ(flow_.settled_to(), 0U);
    flow_.settled(11, 1, true);
    EXPECT_EQ(flow_.settled_to(), 12U);
    flow_.settled(15, 1, false);
    EXPECT_EQ(flow_.settled_to(), 12U) << "given back";
    flow_.begin(12, 15, 1, true);
    EXPECT_EQ(flow_.settled_to(), 0U) << "somebody's message is open, perhaps before";
    flow_.forget();
    EXPECT_EQ(flow_.settled_to(), 0U);
}

// nats-server 2.9.10 that has lost its place says that less was delivered than the one message that is open.
TEST_F(FlowTest, TheOneOpenMessageIsTheInheritedOneWhateverItsNumber) {
    flow_.one_at_a_time();
    flow_.set_limits({1, 0});
    flow_.begin(6, 7, 1);
    flow_.arrived(9, 1, 90);
    EXPECT_EQ(flow_.settled_to(), 0U);
    flow_.settled(9, 1, true);
    EXPECT_EQ(flow_.settled_to(), 9U);
    EXPECT_EQ(flow_.floor(), 9U);
    EXPECT_TRUE(flow_.done(9, 90));
}

TEST_F(FlowTest, KnowsWhatIsDoneButNotWhatItNeverSaw) {
    flow_.set_limits({10, 0});
    flow_.begin(2, 2, 0);
    flow_.arrived(3, 1);
    flow_.arrived(6, 1);
    flow_.settled(6, 1, true);
    EXPECT_TRUE(flow_.done(2));
    EXPECT_FALSE(flow_.done(3));
    EXPECT_TRUE(flow_.done(6));
    EXPECT_FALSE(flow_.done(5));  // may have gone to a former owner's pull, who never acknowledged it
    flow_.settled(3, 1, true);
    EXPECT_TRUE(flow_.done(3));
    EXPECT_FALSE(flow_.done(5));
}

TEST_F(FlowTest, AServerThatHasDeliveredLessHasAnotherHistory) {
    flow_.set_limits({10, 0});
    flow_.begin(0, 0, 0);
    flow_.arrived(7, 1);
    flow_.settled(7, 1, true);
    flow_.begin(3, 7, 1);  // the same history: an ack was lost
    EXPECT_TRUE(flow_.done(7));
    flow_.begin(3, 5, 0);  // a store set back
    EXPECT_FALSE(flow_.done(7));
    EXPECT_EQ(flow_.floor(), 5U);
}

// nats-server 2.9.10, killed between emptying a durable's file and writing it, begins at message 1 again.
TEST_F(FlowTest, WhatAKilledServerForgotOfTheSameDurableIsStillDone) {
    flow_.one_at_a_time();
    flow_.set_limits({1, 0});
    flow_.begin(100, 100, 0);
    for (std::uint64_t s = 101; s <= 150; ++s) {
        flow_.arrived(s, 1, 1000 + s);
        flow_.settled(s, 1, true);
    }
    flow_.arrived(151, 1, 1151);  // its handler runs
    flow_.begin(0, 0, 0, true);
    for (const std::uint64_t s : {1U, 100U, 101U, 150U}) EXPECT_TRUE(flow_.done(s, 1000 + s)) << s;
    EXPECT_FALSE(flow_.done(151, 1151));
    EXPECT_FALSE(flow_.done(150, 5000)) << "another message, of a stream that has lost its tail";
    flow_.arrived(1, 1, 1001);
    flow_.settled(1, 1, true);
    flow_.settled(151, 1, true);
    EXPECT_TRUE(flow_.done(151, 1151));
    flow_.begin(1, 1, 0, true);  // again, in the middle of what comes again
    EXPECT_TRUE(flow_.done(150, 1150));
    EXPECT_FALSE(flow_.done(152, 1152));
    flow_.begin(0, 0, 0, false);
    EXPECT_FALSE(flow_.done(150, 1150)) << "another durable: its messages are new";
}

TEST_F(FlowTest, OfAPipelinedDurableOnlyWhatWasSeenIsKnownAfterwards) {
    flow_.set_limits({100, 0});
    flow_.begin(10, 10, 0);
    for (const std::uint64_t s : {12U, 13U, 15U}) flow_.arrived(s, 1, s);  // 11 and 14 may have gone to somebody else
    for (const std::uint64_t s : {12U, 15U}) flow_.settled(s, 1, true);
    flow_.begin(0, 0, 0, true);
    for (const std::uint64_t s : {12U, 15U}) EXPECT_TRUE(flow_.done(s, s)) << s;
    for (const std::uint64_t s : {11U, 13U, 14U}) EXPECT_FALSE(flow_.done(s, s)) << s;
}

TEST_F(FlowTest, TheServersWordIsAsNewAsTheLastDelivery) {
    flow_.begin(4, 6, 2);
    EXPECT_TRUE(flow_.as_new(6));
    flow_.arrived(9, 1);
    EXPECT_FALSE(flow_.as_new(8)) << "asked before 9 was delivered: what is pending there counts 9 as well";
    EXPECT_TRUE(flow_.as_new(9));
    flow_.settled(9, 1, true);
    EXPECT_FALSE(flow_.as_new(8));
    EXPECT_TRUE(flow_.as_new(10)) << "a delivery that is on its way";
}

TEST_F(FlowTest, WakesWhenHalfTheRoomIsFreeOrWhenItStarves) {
    flow_.set_limits({8, 0});
    for (std::uint64_t s = 1; s <= 8; ++s) flow_.arrived(s, 1);
    for (std::uint64_t s = 1; s <= 3; ++s) flow_.settled(s, 1, true);
    EXPECT_EQ(wakes_, 0);
    flow_.settled(4, 1, true);
    EXPECT_EQ(wakes_, 1);
    flow_.starve();
    flow_.settled(5, 1, true);
    EXPECT_EQ(wakes_, 2);
    flow_.set_limits({100, 10});
    flow_.arrived(20, 6);
    flow_.settled(20, 6, true);  // half of the bytes
    EXPECT_EQ(wakes_, 3);
}

TEST_F(FlowTest, WakesWhenAsMuchIsFreeAsTheFeederWants) {
    flow_.set_limits({16, 0});
    for (std::uint64_t s = 1; s <= 40; ++s) flow_.arrived(s, 1);
    for (std::uint64_t s = 1; s <= 7; ++s) flow_.settled(s, 1, true);
    flow_.wake_after(14, flow_.settled_count());  // what was free before is in the request that was sent then
    for (std::uint64_t s = 8; s <= 20; ++s) flow_.settled(s, 1, true);
    EXPECT_EQ(wakes_, 0);
    flow_.settled(21, 1, true);
    EXPECT_EQ(wakes_, 1);
    EXPECT_EQ(flow_.settled_count(), 21U);
    flow_.set_limits({4, 0});  // less than was wanted: all of it
    for (std::uint64_t s = 22; s <= 24; ++s) flow_.settled(s, 1, true);
    EXPECT_EQ(wakes_, 1);
    flow_.settled(25, 1, true);
    EXPECT_EQ(wakes_, 2);
}

TEST_F(FlowTest, WhatIsSettledWhileTheFeederAsksCounts) {
    flow_.set_limits({16, 0});
    for (std::uint64_t s = 1; s <= 16; ++s) flow_.arrived(s, 1);
    const std::uint64_t since = flow_.settled_count();
    for (std::uint64_t s = 1; s <= 7; ++s) flow_.settled(s, 1, true);  // after the feeder has asked for the load
    flow_.wake_after(14, since);
    for (std::uint64_t s = 8; s <= 13; ++s) flow_.settled(s, 1, true);
    EXPECT_EQ(wakes_, 0);
    flow_.settled(14, 1, true);
    EXPECT_EQ(wakes_, 1);
}

// Against the plain definition: the floor is the highest sequence below which everything that arrived is done.
TEST_F(FlowTest, AgreesWithTheDefinitionInAnyOrder) {
    std::mt19937_64 random(20261121);
    for (int run = 0; run < 50; ++run) {
        Flow flow([] {});
        flow.set_limits({64, 0});
        std::vector<std::uint64_t> open;
        std::uint64_t next = 0;
        std::uint64_t last = 0;
        for (int step = 0; step < 300; ++step) {
            if (open.empty() || random() % 2 == 0) {
                next += 1 + random() % 3;
                open.push_back(next);
                flow.arrived(next, 1);
                last = next;
            } else {
                const std::size_t which = random() % open.size();
                flow.settled(open[which], 1, true);
                open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
            }
            const std::uint64_t expected = open.empty() ? last : *std::min_element(open.begin(), open.end()) - 1;
            ASSERT_EQ(flow.floor(), expected) << "run " << run << ", step " << step << " of seed 20261121";
            ASSERT_EQ(flow.load().messages, open.size());
        }
    }
}

}  // namespace
}  // namespace parti::consume
