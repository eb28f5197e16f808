#include "runtime/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "runtime/boot_clock.h"
#include "runtime/io_thread.h"

namespace parti::runtime {
namespace {

using namespace std::chrono_literals;

constexpr auto kLong = 20s;  // a test that waits so long has failed

// A gate that tasks wait at, so that no test depends on how fast the machine is.
class Gate {
public:
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    bool pass() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kLong, [&] { return open_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
};

class Listener final : public StuckListener {
public:
    void callback_stuck(const char* kind, const Subject& subject, Duration, bool replaced) override {
        kinds.emplace_back(kind);
        subjects.push_back(subject);
        last_replaced = replaced;
    }
    std::vector<std::string> kinds;
    std::vector<Subject> subjects;
    bool last_replaced = false;
};

struct FakeClock {
    std::atomic<std::int64_t> ns{1};
    Executor::Clock clock() {
        return [this] { return core::Instant(Duration(ns.load())); };
    }
    void advance(Duration d) { ns += d.count(); }
};

std::shared_ptr<Logger> silent() { return std::make_shared<Logger>(LogSink{}); }
CallbackTask task(std::function<void()> run) { return {"on_test", std::move(run), nullptr}; }

TEST(CallbackLimit, IsTheDrainTimeoutButNoneIsWrittenOffForBeingCalled) {
    EXPECT_EQ(callback_limit(5s), 5s);
    EXPECT_EQ(callback_limit(1ms), 100ms);
    EXPECT_EQ(callback_limit(Duration::zero()), 100ms);
}

TEST(Executor, RunsTheTasksOfOneQueueInOrderAndOneAtATime) {
    Executor executor(4, boot_now, silent());
    const auto queue = executor.make_queue(10s, {});
    std::atomic<int> inside{0};
    std::atomic<bool> overlapped{false};
    std::vector<int> order;
    for (int i = 0; i < 500; ++i) {
        executor.submit(queue, task([&, i] {
                            if (++inside != 1) overlapped = true;
                            order.push_back(i);
                            --inside;
                        }));
    }
    ASSERT_TRUE(executor.wait_idle(queue, kLong));
    EXPECT_FALSE(overlapped);
    ASSERT_EQ(order.size(), 500U);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(Executor, RunsDifferentQueuesInParallel) {
    Executor executor(2, boot_now, silent());
    const auto a = executor.make_queue(10s, {});
    const auto b = executor.make_queue(10s, {});
    Gate from_b;
    std::atomic<bool> met{false};
    executor.submit(a, task([&] { met = from_b.pass(); }));
    executor.submit(b, task([&] { from_b.open(); }));
    ASSERT_TRUE(executor.wait_idle(a, kLong));
    EXPECT_TRUE(met);
}

TEST(Executor, GoesOnAfterATaskThatThrows) {
    Executor executor(1, boot_now, silent());
    const auto queue = executor.make_queue(10s, {});
    bool ran = false;
    executor.submit(queue, task([] { throw std::runtime_error("boom"); }));
    executor.submit(queue, task([&] { ran = true; }));
    ASSERT_TRUE(executor.wait_idle(queue, kLong));
    EXPECT_TRUE(ran);
}

TEST(Executor, WritesAStuckThreadOffAndServesTheOthers) {
    FakeClock clock;
    Executor executor(1, clock.clock(), silent());
    const auto listener = std::make_shared<Listener>();
    const auto stuck = executor.make_queue(1s, listener);
    const auto other = executor.make_queue(1s, {});
    Gate inside;
    Gate release;
    bool second_ran = false;
    const auto subject = std::make_shared<const std::vector<Ownership>>();
    executor.submit(stuck, {"on_revoked", [&] { inside.open(), release.pass(); }, subject});
    executor.submit(stuck, task([&] { second_ran = true; }));
    bool other_ran = false;
    executor.submit(other, task([&] { other_ran = true; }));
    ASSERT_TRUE(inside.pass());

    clock.advance(900ms);
    EXPECT_EQ(executor.check(), core::Instant(Duration(1) + 1s));  // not yet
    clock.advance(200ms);
    ASSERT_TRUE(executor.check().has_value());  // suspected
    EXPECT_EQ(executor.written_off(), 0U);
    clock.advance(100ms);
    executor.check();
    EXPECT_EQ(executor.written_off(), 1U);
    EXPECT_EQ(executor.threads(), 1U);
    ASSERT_EQ(listener->kinds, std::vector<std::string>{"on_revoked"});
    EXPECT_EQ(listener->subjects.front(), subject);
    EXPECT_TRUE(listener->last_replaced);
    ASSERT_TRUE(executor.wait_idle(other, kLong));
    EXPECT_TRUE(other_ran);
    EXPECT_FALSE(second_ran);  // the stuck worker's own callbacks stay in order

    EXPECT_FALSE(executor.wait_idle(stuck, kLong));  // and nobody waits for it

    release.open();
    const core::Instant limit = boot_now() + kLong;
    while (!executor.wait_idle(stuck, 1ms) && boot_now() < limit) {
    }
    EXPECT_TRUE(second_ran);
}

TEST(Executor, ReplacesABoundedNumberOfThreads) {
    FakeClock clock;
    Executor executor(1, clock.clock(), silent());
    const auto listener = std::make_shared<Listener>();
    Gate release;
    const std::size_t rounds = Executor::kReplacementsMax + 1;
    std::vector<std::shared_ptr<Executor::SerialQueue>> queues;
    for (std::size_t i = 0; i < rounds; ++i) {
        auto inside = std::make_shared<Gate>();
        queues.push_back(executor.make_queue(1s, listener));
        executor.submit(queues.back(), task([&, inside] { inside->open(), release.pass(); }));
        ASSERT_TRUE(inside->pass());
        clock.advance(2s);
        executor.check();
        executor.check();
    }
    EXPECT_EQ(executor.written_off(), rounds);
    EXPECT_EQ(listener->kinds.size(), rounds);
    EXPECT_FALSE(listener->last_replaced);
    EXPECT_EQ(executor.threads(), 0U);
    release.open();
    const core::Instant limit = boot_now() + kLong;
    for (const auto& queue : queues) {
        while (!executor.wait_idle(queue, 1ms) && boot_now() < limit) {
        }
        EXPECT_TRUE(executor.wait_idle(queue, 0s));
    }
    // What has returned gives its place back: the pool serves again, and the next one that hangs is replaced.
    Gate served;
    const auto later = executor.make_queue(1s, listener);
    executor.submit(later, task([&] { served.open(); }));
    EXPECT_TRUE(served.pass());
    EXPECT_EQ(executor.threads(), 1U);
    auto inside = std::make_shared<Gate>();
    Gate again;
    const auto last = executor.make_queue(1s, listener);
    executor.submit(last, task([&, inside] { inside->open(), again.pass(); }));
    ASSERT_TRUE(inside->pass());
    clock.advance(2s);
    executor.check();
    executor.check();
    EXPECT_TRUE(listener->last_replaced);
    EXPECT_EQ(executor.threads(), 1U);
    again.open();
    while (!executor.wait_idle(last, 1ms) && boot_now() < limit) {
    }
    EXPECT_TRUE(executor.wait_idle(last, 0s));
}

TEST(Executor, DropsTheTasksOfAClosedQueue) {
    Executor executor(1, boot_now, silent());
    const auto queue = executor.make_queue(10s, {});
    Gate inside;
    Gate release;
    bool ran = false;
    executor.submit(queue, task([&] { inside.open(), release.pass(); }));
    executor.submit(queue, task([&] { ran = true; }));
    ASSERT_TRUE(inside.pass());
    executor.close(queue);
    executor.submit(queue, task([&] { ran = true; }));
    release.open();
    EXPECT_TRUE(executor.wait_idle(queue, kLong));
    EXPECT_FALSE(ran);
}

TEST(Executor, LeavesAThreadBehindThatDoesNotComeBackInTime) {
    Gate inside;
    const auto release = std::make_shared<Gate>();
    std::promise<void> ended;
    {
        Executor executor(1, boot_now, silent());
        const auto queue = executor.make_queue(10s, {});
        executor.submit(queue, task([&inside, &ended, release] {
                            inside.open();
                            release->pass();
                            ended.set_value();
                        }));
        ASSERT_TRUE(inside.pass());
        executor.stop(0s);
        EXPECT_EQ(executor.written_off(), 1U);
    }
    release->open();
    EXPECT_EQ(ended.get_future().wait_for(kLong), std::future_status::ready);
}

TEST(Executor, KnowsItsOwnThreads) {
    Executor executor(1, boot_now, silent());
    Executor stranger(1, boot_now, silent());
    const auto queue = executor.make_queue(10s, {});
    bool mine = false;
    bool strange = true;
    executor.submit(queue, task([&] { mine = executor.on_callback_thread(), strange = stranger.on_callback_thread(); }));
    ASSERT_TRUE(executor.wait_idle(queue, kLong));
    EXPECT_TRUE(mine);
    EXPECT_FALSE(strange);
    EXPECT_FALSE(executor.on_callback_thread());
}

TEST(Poster, DropsWhatComesAfterItWasClosed) {
    IoThread io;
    std::promise<void> ran;
    io.start([] {});
    ASSERT_TRUE(io.poster()->post([&] { ran.set_value(); }));
    ASSERT_EQ(ran.get_future().wait_for(kLong), std::future_status::ready);
    const auto poster = io.poster();
    io.stop();
    EXPECT_FALSE(poster->post([] { FAIL() << "ran after the end"; }));
}

}  // namespace
}  // namespace parti::runtime
