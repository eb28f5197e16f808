// User callbacks that are slow, throw, never return, or call back into parti.
#include <atomic>
#include <future>
#include <stdexcept>
#include <thread>

#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class WorkerCallbacks : public WorkerTest {
protected:
    // Long waits of a callback end here when the test does; what it touches lives until it is out.
    void TearDown() override {
        hold_.open();
        EXPECT_TRUE(eventually([&] { return hold_.inside() == 0; }));
        WorkerTest::TearDown();
    }
    Config quick_drain() const {
        Config c = config();
        c.timing.drain_timeout = 300ms;
        c.timing.shutdown_timeout = 4s;
        return c;
    }
    Hold hold_;
};

TEST_F(WorkerCallbacks, OneThatNeverReturnsHoldsUpItsOwnWorkerOnly) {
    Context context = connect();
    const auto list = source(8);
    Callbacks stuck;
    stuck.on_revoked = [this](std::span<const Ownership>, const RevokeDone&) { hold_.wait(); };
    Worker a = worker(context, list, quick_drain(), std::move(stuck));
    a.start();
    ASSERT_TRUE(eventually([&] { return covered({&a}, 8); }));
    std::atomic<int> assigned{0};
    Callbacks counting;
    counting.on_assigned = [&](std::span<const Ownership> gained) { assigned += static_cast<int>(gained.size()); };
    Worker b = worker(context, list, quick_drain(), std::move(counting));
    b.start();
    // b's partitions come from a, whose callback is inside for ever; its callback runs on the same pool of one thread.
    EXPECT_TRUE(eventually([&] { return hold_.inside() == 1 && assigned == 4; })) << assigned;
    EXPECT_TRUE(eventually([&] { return notes_.has_line("on_revoked for p."); }));
    EXPECT_TRUE(notes_.has_line("has not returned"));
    EXPECT_TRUE(notes_.has_line(a.id()));
    EXPECT_TRUE(eventually([&] { return a.last_error() && a.last_error()->code == Errc::callback_failed; }));
    EXPECT_EQ(a.state(), State::stable);  // its lease goes on
    EXPECT_TRUE(covered({&a, &b}, 8));
    ASSERT_TRUE(b.stop());
    const auto begin = std::chrono::steady_clock::now();
    const auto stopped = a.stop();
    EXPECT_LT(std::chrono::steady_clock::now() - begin,
              quick_drain().timing.shutdown_timeout);  // nobody waits for what is written off
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, Errc::timeout);
    EXPECT_NE(stopped.error().detail.find("callback"), std::string::npos) << stopped.error().detail;
}

TEST_F(WorkerCallbacks, WhatTheyThrowIsReported) {
    Context context = connect();
    Callbacks callbacks;
    callbacks.on_assigned = [](std::span<const Ownership>) { throw std::runtime_error("no disk"); };
    callbacks.on_revoked = [](std::span<const Ownership>, const RevokeDone&) { throw 42; };  // NOLINT: any type may come
    Worker w = worker(context, source(2), std::move(callbacks));
    w.start();
    ASSERT_TRUE(w.wait_for(State::stable, 10s));
    const auto reported = [&](const std::string& part) {
        return eventually([&] {
            for (const Error& e : notes_.errors()) {
                if (e.code == Errc::callback_failed && e.detail.find(part) != std::string::npos) return true;
            }
            return false;
        });
    };
    EXPECT_TRUE(reported("on_assigned threw: no disk"));
    EXPECT_TRUE(covered({&w}, 2));
    ASSERT_TRUE(w.stop());  // a revoke callback that throws has let `done` go: released
}

TEST_F(WorkerCallbacks, AThrowingOnErrorDoesNotReportItselfForEver) {
    Context context = connect();
    std::atomic<int> calls{0};
    Callbacks callbacks;
    callbacks.on_assigned = [](std::span<const Ownership>) { throw std::runtime_error("first"); };
    callbacks.on_error = [&](const Error&) {
        ++calls;
        throw std::runtime_error("second");
    };
    Worker w = worker(context, source(2), std::move(callbacks));
    w.start();
    ASSERT_TRUE(eventually([&] { return notes_.has_line("on_error threw: second"); }));
    ASSERT_TRUE(w.stop());
    EXPECT_EQ(calls, 1);
}

TEST_F(WorkerCallbacks, StopInsideOneIsAnErrorAndRequestStopIsNot) {
    Context context = connect();
    std::optional<Worker> w;
    std::promise<Result<void>> answer;
    Callbacks callbacks;
    callbacks.on_assigned = [&](std::span<const Ownership>) {
        answer.set_value(w->stop());
        w->request_stop();
    };
    w.emplace(worker(context, source(2), std::move(callbacks)));
    w->start();
    auto future = answer.get_future();
    ASSERT_EQ(future.wait_for(Seconds(20)), std::future_status::ready);
    const auto stopped = future.get();
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, Errc::stopping);
    EXPECT_TRUE(w->wait_for(State::stopped, 10s));
}

TEST_F(WorkerCallbacks, AWorkerMayBeDestroyedInsideItsOwnCallback) {
    Context context = connect();
    auto holder = std::make_shared<std::optional<Worker>>();
    std::promise<void> gone;
    std::atomic<bool> once{false};
    Callbacks callbacks;
    callbacks.on_assigned = [&, holder](std::span<const Ownership>) {
        if (once.exchange(true)) return;
        holder->reset();
        gone.set_value();
    };
    holder->emplace(worker(context, source(2), std::move(callbacks)));
    holder->value().start();
    ASSERT_EQ(gone.get_future().wait_for(Seconds(20)), std::future_status::ready);
    Worker next = worker(context, source(2));
    next.start();
    EXPECT_TRUE(eventually([&] { return covered({&next}, 2); }));
}

TEST_F(WorkerCallbacks, TheContextsLastHandleMayGoInsideACallback) {
    std::promise<void> gone;
    auto future = gone.get_future();
    {
        auto both = std::make_shared<std::pair<std::optional<Context>, std::optional<Worker>>>();
        both->first = connect();
        std::atomic<bool> started{false};
        Callbacks callbacks;
        callbacks.on_assigned = [&gone, weak = std::weak_ptr(both)](std::span<const Ownership>) {
            if (const auto all = weak.lock()) {
                all->second.reset();
                all->first.reset();
                gone.set_value();
            }
        };
        both->second.emplace(worker(*both->first, source(2), std::move(callbacks)));
        both->second->start();
        ASSERT_EQ(future.wait_for(Seconds(20)), std::future_status::ready);
    }
    // Its threads go by themselves.
    EXPECT_TRUE(eventually([] {
        for (const std::string& name : thread_names(::getpid())) {
            if (name.rfind("parti-", 0) == 0) return false;
        }
        return true;
    }));
}

TEST_F(WorkerCallbacks, DoneMayBeCalledFromAnyThreadAndMoreThanOnce) {
    Context context = connect();
    const auto list = source(6);
    std::mutex mutex;
    std::vector<RevokeDone> pending;
    Callbacks callbacks;
    callbacks.on_revoked = [&](std::span<const Ownership>, RevokeDone done) {
        const std::lock_guard lock(mutex);
        pending.push_back(std::move(done));
    };
    Worker a = worker(context, list, std::move(callbacks));
    a.start();
    ASSERT_TRUE(eventually([&] { return covered({&a}, 6); }));
    Worker b = worker(context, list);
    b.start();
    ASSERT_TRUE(eventually([&] {
        const std::lock_guard lock(mutex);
        return !pending.empty();
    }));
    EXPECT_EQ(a.stats().draining, 3U);
    EXPECT_TRUE(b.assignment().empty());  // not before a has let go
    std::thread other([&] {
        const std::lock_guard lock(mutex);
        for (const RevokeDone& done : pending) {
            done();
            done();
        }
        pending.clear();
    });
    other.join();
    EXPECT_TRUE(eventually([&] { return covered({&a, &b}, 6); }));
    EXPECT_EQ(a.stats().drain_timeouts, 0U);
    a.request_stop();
    EXPECT_TRUE(eventually([&] {
        const std::lock_guard lock(mutex);
        for (const RevokeDone& done : pending) done();
        return a.state() == State::stopped;
    }));
}

TEST_F(WorkerCallbacks, AReleaseMayOutliveItsWorkerAndContext) {
    RevokeDone kept;
    {
        Context context = connect();
        Callbacks callbacks;
        callbacks.on_revoked = [&](std::span<const Ownership>, RevokeDone done) { kept = std::move(done); };
        Worker w = worker(context, source(2), quick_drain(), std::move(callbacks));
        w.start();
        ASSERT_TRUE(eventually([&] { return covered({&w}, 2); }));
        ASSERT_TRUE(w.stop());                    // after the drain timeout
        EXPECT_EQ(w.stats().drain_timeouts, 2U);  // partitions
    }
    ASSERT_TRUE(kept);
    kept();
}

TEST_F(WorkerCallbacks, SlowOnesDoNotDelayRenewals) {
    Context context = connect();
    Callbacks callbacks;
    callbacks.on_assigned = [&](std::span<const Ownership>) {
        hold_.wait(std::chrono::duration_cast<Milliseconds>(3 * fast_test_timing().ttl));
    };
    Worker w = worker(context, source(2), std::move(callbacks));
    w.start();
    ASSERT_TRUE(eventually([&] { return covered({&w}, 2); }));
    const auto renewals = w.stats().renewals;
    EXPECT_TRUE(eventually([&] { return w.stats().renewals >= renewals + 6; }));  // 1.8 s of heartbeats at 300 ms
    EXPECT_TRUE(covered({&w}, 2));
    EXPECT_EQ(w.stats().sessions_lost, 0U);
}

}  // namespace
}  // namespace parti::test
