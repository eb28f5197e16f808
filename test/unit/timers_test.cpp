#include "runtime/timers.h"

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>

#include <vector>

#include "runtime/boot_clock.h"

namespace parti::runtime {
namespace {

using namespace std::chrono_literals;

class TimersTest : public ::testing::Test {
protected:
    using Timer = TimerQueue::Timer;

    // Runs the loop until `done` or 20 s are over.
    template <class Done>
    bool run_until(const Done& done) {
        const core::Instant limit = boot_now() + 20s;
        while (!done() && boot_now() < limit) io_.run_one_for(std::chrono::seconds(1));
        return done();
    }

    boost::asio::io_context io_{1};
    std::unique_ptr<TimerQueue> queue_ = std::move(*TimerQueue::make(io_));
    std::vector<int> fired_;
};

TEST_F(TimersTest, FireInTheOrderOfTheirDeadlinesAndNotBefore) {
    const core::Instant start = boot_now();
    Timer late(*queue_, [&] { fired_.push_back(3); });
    Timer early(*queue_, [&] {
        EXPECT_GE(boot_now(), start + 5ms);
        fired_.push_back(1);
    });
    Timer middle(*queue_, [&] { fired_.push_back(2); });
    late.set(start + 30ms);
    middle.set(start + 20ms);
    early.set(start + 5ms);
    ASSERT_TRUE(run_until([&] { return fired_.size() == 3; }));
    EXPECT_EQ(fired_, (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(queue_->armed(), 0U);
}

TEST_F(TimersTest, MoveAndCancel) {
    Timer moved(*queue_, [&] { fired_.push_back(1); });
    Timer cancelled(*queue_, [&] { fired_.push_back(2); });
    Timer end(*queue_, [&] { fired_.push_back(3); });
    moved.set(boot_now() + 1h);
    cancelled.set(boot_now() + 2ms);
    end.set(boot_now() + 20ms);
    moved.set(boot_now() + 1ms);
    cancelled.set(std::nullopt);
    EXPECT_EQ(queue_->armed(), 2U);
    ASSERT_TRUE(run_until([&] { return fired_.size() == 2; }));
    EXPECT_EQ(fired_, (std::vector<int>{1, 3}));
}

TEST_F(TimersTest, DoNotStarveTheLoopWhenAHandlerAsksForThePast) {
    bool posted_ran = false;
    std::unique_ptr<Timer> eager;
    eager = std::make_unique<Timer>(*queue_, [&] {
        fired_.push_back(1);
        eager->set(core::Instant(Duration(1)));
    });
    Timer other(*queue_, [&] { posted_ran = true; });
    eager->set(core::Instant(Duration(1)));
    other.set(boot_now() + 3ms);
    ASSERT_TRUE(run_until([&] { return posted_ran; }));
    EXPECT_GT(fired_.size(), 1U);
}

TEST_F(TimersTest, MayBeDestroyedByAnyHandler) {
    std::unique_ptr<Timer> self;
    std::unique_ptr<Timer> victim = std::make_unique<Timer>(*queue_, [&] { fired_.push_back(99); });
    self = std::make_unique<Timer>(*queue_, [&] {
        fired_.push_back(1);
        victim.reset();
        self.reset();
    });
    const core::Instant same = boot_now() + 1ms;
    Timer last(*queue_, [&] { fired_.push_back(2); });
    self->set(same);
    victim->set(same + 1us);
    last.set(same + 10ms);
    ASSERT_TRUE(run_until([&] { return fired_.size() == 2; }));
    EXPECT_EQ(fired_, (std::vector<int>{1, 2}));
}

}  // namespace
}  // namespace parti::runtime
