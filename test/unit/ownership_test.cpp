#include "runtime/ownership.h"

#include <gtest/gtest.h>

namespace parti::runtime {
namespace {

core::Instant at(std::int64_t ns) {
    return core::Instant(Duration(ns));
}

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
    session_->deadline_ns = 2000;
    EXPECT_TRUE(valid(1999));
    EXPECT_FALSE(valid(2000));
}

TEST_F(OwnershipTest, StaysInvalidOnceItWasSeenExpired) {
    EXPECT_FALSE(valid(1000));
    session_->deadline_ns = 5000;
    EXPECT_FALSE(valid(1001));
}

TEST_F(OwnershipTest, TakesARenewalIntoAccountThatComesWhileTheClockIsRead) {
    EXPECT_TRUE(token_.valid_at([this] {
        session_->deadline_ns = 5000;
        return at(1500);
    }));
}

TEST_F(OwnershipTest, EndsWithItsSessionWhateverTheDeadline) {
    session_->ended = true;
    EXPECT_FALSE(valid(1));
}

TEST_F(OwnershipTest, EndsWhenItIsRevoked) {
    token_.over = true;
    EXPECT_FALSE(valid(1));
}

TEST_F(OwnershipTest, ReadsTheClockThatRunsThroughSuspend) {
    session_->deadline_ns = to_ns(boot_now() + std::chrono::hours(1));
    EXPECT_TRUE(token_.valid());
    session_->deadline_ns = to_ns(boot_now());
    EXPECT_FALSE(token_.valid());
}

}  // namespace
}  // namespace parti::runtime
