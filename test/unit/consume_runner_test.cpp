#include "consume/runner.h"

#include <gtest/gtest.h>
#include <nats/nats.h>

#include <atomic>
#include <future>
#include <thread>

#include "consume_delivery.h"

namespace parti::consume {
namespace {

using namespace std::chrono_literals;

constexpr auto kLong = 20s;  // a test that waits so long has failed

// Lanes of one message each; handlers enter, and wait until they are let go.
class RunnerTest : public ::testing::Test {
protected:
    static constexpr Duration kTimeout = 100ms;
    static constexpr std::uint32_t kThreads = 3;
    struct Call {
        std::promise<void> entered, go_on;
    };

    static void SetUpTestSuite() { ASSERT_EQ(nats_Open(-1), NATS_OK); }
    static void TearDownTestSuite() { nats_Close(); }
    void SetUp() override {
        shop_->config.ack_wait = std::chrono::seconds(1);
        shop_->outlet = outlet_;
        shop_->handler = [this](Message& message) -> Result<void> {
            Call& call = calls_.at(message.sequence() - 1);
            call.entered.set_value();
            EXPECT_EQ(call.go_on.get_future().wait_for(kLong), std::future_status::ready);
            return {};
        };
        shop_->report = [](const Error&) {};
        shop_->idle = [](std::uint64_t) {};
        shop_->ready = [this](std::shared_ptr<Lane> lane) { runner_->ready(std::move(lane)); };
    }
    // A thread that was written off is nobody's: what it holds must be gone before nats.c is closed.
    void TearDown() override {
        runner_->stop();
        executor_.stop(kLong);
        const auto since = std::chrono::steady_clock::now();
        while (*deliveries_ > 0 && std::chrono::steady_clock::now() - since < kLong) std::this_thread::yield();
        EXPECT_EQ(*deliveries_, 0);
    }

    void begin(std::uint64_t number) {
        auto flow = std::make_shared<Flow>([] {});
        flow->set_limits({100, 0});
        auto state = std::make_shared<runtime::OwnershipState>(*Partition::from_id("orders.eu"), Fence{{1}, 1}, session_);
        auto lane = std::make_shared<Lane>(number, state, flow, shop_);
        flow->arrived(number, 1);
        auto delivery = make_delivery(lane, number);
        *deliveries_ += 1;
        Delivery* const raw = delivery.get();
        lane->push({raw, [whole = std::move(delivery), left = deliveries_](Delivery*) mutable {
                        whole.reset();
                        *left -= 1;
                    }});
    }
    bool entered(std::uint64_t number) {
        return calls_.at(number - 1).entered.get_future().wait_for(kLong) == std::future_status::ready;
    }
    void let_go(std::uint64_t number) { calls_.at(number - 1).go_on.set_value(); }
    // The watchdog's two looks, kTimeout later each.
    void look_twice() {
        for (int i = 0; i < 2; ++i) {
            ahead_ += 2 * kTimeout.count();
            executor_.check();
        }
    }
    bool rests() {
        const auto since = std::chrono::steady_clock::now();
        while (runner_->running() && std::chrono::steady_clock::now() - since < kLong) std::this_thread::yield();
        return !runner_->running();
    }
    // Two tasks that wait for each other: so many threads are free.
    bool two_threads_are_free() {
        std::promise<void> here[2];
        std::shared_future<void> there[2] = {here[0].get_future().share(), here[1].get_future().share()};
        std::shared_ptr<runtime::Executor::SerialQueue> queues[2];
        std::atomic<int> met{0};
        for (int i = 0; i < 2; ++i) {
            queues[i] = executor_.make_queue(std::chrono::hours(1), {});
            runtime::CallbackTask task;
            task.run = [&here, &there, &met, i] {
                here[i].set_value();
                if (there[1 - i].wait_for(5s) == std::future_status::ready) ++met;
            };
            executor_.submit(queues[i], std::move(task));
        }
        for (const auto& queue : queues) EXPECT_TRUE(executor_.wait_idle(queue, kLong));
        return met == 2;
    }

    std::atomic<std::int64_t> ahead_{0};
    runtime::Executor executor_{kThreads, [this] { return runtime::boot_now() + Duration(ahead_.load()); },
                                std::make_shared<runtime::Logger>(LogSink())};
    std::atomic<int> stuck_{0};
    const std::shared_ptr<jetstream::Outlet> outlet_ = std::make_shared<jetstream::Outlet>(nullptr);
    std::shared_ptr<Runner> runner_ =
        std::make_shared<Runner>(executor_, outlet_, kTimeout, [this](Duration, bool) { ++stuck_; });
    std::shared_ptr<runtime::SessionTokens> session_ =
        std::make_shared<runtime::SessionTokens>(runtime::boot_now() + std::chrono::hours(1));
    std::shared_ptr<Shop> shop_ = std::make_shared<Shop>();
    std::vector<Call> calls_{4};
    const std::shared_ptr<std::atomic<int>> deliveries_ = std::make_shared<std::atomic<int>>(0);  // that exist
};

TEST_F(RunnerTest, AStuckHandlerHasOneStandInAndNoMoreWhenItReturns) {
    runner_->start(1);
    begin(1);
    ASSERT_TRUE(entered(1));
    begin(2);
    look_twice();
    EXPECT_EQ(stuck_, 1);
    EXPECT_TRUE(entered(2)) << "in the stuck one's place";
    let_go(1);
    let_go(2);
    ASSERT_TRUE(rests());
    begin(3);
    begin(4);
    ASSERT_TRUE(entered(3));
    EXPECT_TRUE(two_threads_are_free()) << "4 runs beside 3, although concurrency is 1";
    let_go(3);
    EXPECT_TRUE(entered(4));
    let_go(4);
}

TEST_F(RunnerTest, ALateLookAtAHandlerIsNobodysOnceItIsStopped) {
    constexpr std::uint64_t kMost = runtime::Executor::kReplacementsMax;
    calls_ = std::vector<Call>(kMost + 1);
    runner_->start(1);
    for (std::uint64_t n = 1; n <= kMost; ++n) {
        begin(n);
        ASSERT_TRUE(entered(n));
        look_twice();
        ASSERT_EQ(stuck_, static_cast<int>(n));
    }
    begin(kMost + 1);  // it is reported, but its thread would not be replaced
    ASSERT_TRUE(entered(kMost + 1));
    runner_->stop();
    look_twice();
    EXPECT_EQ(stuck_, static_cast<int>(kMost));
    for (std::uint64_t n = 1; n <= kMost + 1; ++n) let_go(n);
}

TEST_F(RunnerTest, AnOwedFlushIsPaidBeforeItRests) {
    runner_->start(1);
    begin(1);
    ASSERT_TRUE(entered(1));
    outlet_->owe_flush();  // as a handler's ack does
    let_go(1);
    ASSERT_TRUE(rests());
    EXPECT_FALSE(outlet_->owes_flush());
}

}  // namespace
}  // namespace parti::consume
