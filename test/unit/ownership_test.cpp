#include "runtime/ownership.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace parti::runtime {
namespace {

core::Instant at(std::int64_t ns) { return core::Instant(Duration(ns)); }

class OwnershipTest : public ::testing::Test {
protected:
    bool valid(std::int64_t now) const {
        return token_.valid_at([now] { return at(now); });
    }
    std::shared_ptr<SessionTokens> session_ = std::make_shared<SessionTokens>(at(1000));
    OwnershipState token_{*Partition::from_id("orders.eu"), Fence{{3}, 7}, session_};
};

TEST_F(OwnershipTest, IsValidUpToTheDeadlineAndNotAtIt) {
    EXPECT_TRUE(valid(0));
    EXPECT_TRUE(valid(999));
    EXPECT_FALSE(valid(1000));
}

TEST_F(OwnershipTest, FollowsTheDeadlineOfItsSession) {
    ASSERT_TRUE(session_->extend(at(2000)));
    EXPECT_TRUE(valid(1999));
    EXPECT_FALSE(valid(2000));
}

TEST_F(OwnershipTest, ASessionSeenExpiredIsOverForAllItsTokensAndCannotBeExtended) {
    const OwnershipState other(*Partition::from_id("orders.us"), Fence{{3}, 7}, session_);
    EXPECT_FALSE(valid(1000));
    EXPECT_FALSE(session_->extend(at(5000)));
    EXPECT_FALSE(valid(1001));
    EXPECT_FALSE(other.valid_at([] { return at(1); }));
}

TEST_F(OwnershipTest, TakesARenewalIntoAccountThatComesWhileTheClockIsRead) {
    EXPECT_TRUE(token_.valid_at([this] {
        EXPECT_TRUE(session_->extend(at(5000)));
        return at(1500);
    }));
    EXPECT_TRUE(session_->extend(at(6000)));
}

// Whoever comes first decides, and both sides agree: tokens die exactly when the extension is refused.
TEST_F(OwnershipTest, ARaceBetweenAskingAndExtendingEndsOneWayForBoth) {
    int lapsed = 0;
    int extended = 0;
    for (int round = 0; round < 300; ++round) {
        session_ = std::make_shared<SessionTokens>(at(1000));
        OwnershipState token(*Partition::from_id("orders.eu"), Fence{{3}, 7}, session_);
        std::atomic<int> ready{0};
        bool answer = false;
        std::thread asker([&] {
            ++ready;
            while (ready.load() < 2) std::this_thread::yield();
            answer = token.valid_at([] { return at(1500); });
        });
        ++ready;
        while (ready.load() < 2) std::this_thread::yield();
        const bool kept = session_->extend(at(5000));
        asker.join();
        EXPECT_EQ(answer, kept);
        ++(kept ? extended : lapsed);
    }
    RecordProperty("extended", extended);
    RecordProperty("lapsed", lapsed);
}

TEST_F(OwnershipTest, EndsWithItsSessionWhateverTheDeadline) {
    session_->end();
    EXPECT_FALSE(valid(1));
    EXPECT_FALSE(session_->extend(at(5000)));
}

TEST_F(OwnershipTest, EndsWhenItIsRevoked) {
    token_.over = true;
    EXPECT_FALSE(valid(1));
}

TEST_F(OwnershipTest, ReadsTheClockThatRunsThroughSuspend) {
    ASSERT_TRUE(session_->extend(boot_now() + std::chrono::hours(1)));
    EXPECT_TRUE(token_.valid());
    ASSERT_TRUE(session_->extend(boot_now()));
    EXPECT_FALSE(token_.valid());
}

}  // namespace
}  // namespace parti::runtime
