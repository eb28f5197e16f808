// User code that never returns, each kind: it holds up its own worker's callbacks only, never a lease, never another worker.
#include <atomic>

#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class WorkerStuck : public WorkerTest {
protected:
    void TearDown() override {
        hold_.open();
        EXPECT_TRUE(eventually([&] { return hold_.inside() == 0; }));
        WorkerTest::TearDown();
    }
    Config quick() const {
        Config c = config();
        c.timing.drain_timeout = 300ms;
        c.timing.shutdown_timeout = 2500ms;
        c.timing.startup_timeout = 2s;
        return c;
    }
    bool told(const std::string& part) const {
        const auto errors = notes_.errors();
        return std::any_of(errors.begin(), errors.end(), [&](const Error& e) {
            return e.code == Errc::callback_failed && e.detail.find(part) != std::string::npos;
        });
    }
    static std::size_t callback_threads() {
        const auto names = thread_names(::getpid());
        return static_cast<std::size_t>(
            std::count_if(names.begin(), names.end(), [](const std::string& name) { return name.rfind("parti-cb-", 0) == 0; }));
    }
    // The worker renews at least six times from now on and loses nothing.
    void expect_lease_goes_on(const Worker& w) const {
        const auto renewals = w.stats().renewals;
        EXPECT_TRUE(eventually([&] { return w.stats().renewals >= renewals + 6; }));
        EXPECT_EQ(w.stats().sessions_lost, 0U);
        EXPECT_EQ(w.state(), State::stable);
    }

    Hold hold_;
};

// Sources whose functions hang when they are told to.
class HangingSource final : public Source {
public:
    HangingSource(std::shared_ptr<const PartitionSet> set, std::function<void()> hang)
        : set_(std::move(set)), hang_(std::move(hang)) {}
    Result<std::shared_ptr<const PartitionSet>> list() override {
        ++lists;
        if (hang_list) hang_();
        return set_;
    }
    Result<std::shared_ptr<const PartitionSet>> refresh() override {
        ++refreshes;
        if (hang_refresh) hang_();
        return set_;
    }
    std::shared_ptr<void> listen(Listener) override {
        ++listens;
        if (hang_listen) hang_();
        return nullptr;
    }
    std::atomic<bool> hang_list{false}, hang_refresh{false}, hang_listen{false};
    std::atomic<int> lists{0}, refreshes{0}, listens{0};

private:
    const std::shared_ptr<const PartitionSet> set_;
    const std::function<void()> hang_;
};

class WorkerStuckIn : public WorkerStuck, public testing::WithParamInterface<const char*> {};

TEST_P(WorkerStuckIn, HoldsUpItsOwnCallbacksOnly) {
    const std::string kind = GetParam();
    const auto hang_in = [this, kind](const char* name) {
        if (kind == name) hold_.wait();
    };
    Context context = connect();
    const auto list = source(8);
    Callbacks stuck;
    stuck.on_assigned = [=](std::span<const Ownership>) {
        hang_in("on_assigned");
        if (kind == "on_error") throw std::runtime_error("so that there is an error");
    };
    stuck.on_revoked = [=](std::span<const Ownership>, const RevokeDone&) { hang_in("on_revoked"); };
    stuck.on_state = [=](State, State) { hang_in("on_state"); };
    stuck.on_leader = [=](bool) { hang_in("on_leader"); };
    stuck.on_error = [=](const Error&) { hang_in("on_error"); };
    Worker a = worker(context, list, quick(), std::move(stuck));
    a.start();
    ASSERT_TRUE(eventually([&] { return covered({&a}, 8); }));
    std::atomic<int> gained{0};
    std::atomic<int> lost{0};
    Callbacks counting;
    counting.on_assigned = [&](std::span<const Ownership> p) { gained += static_cast<int>(p.size()); };
    counting.on_revoked = [&](std::span<const Ownership> p, const RevokeDone& done) {
        lost += static_cast<int>(p.size());
        done();
    };
    {
        Worker b = worker(context, list, quick(), std::move(counting));
        b.start();
        // The pool has one thread, and a's callback is inside of it for ever.
        EXPECT_TRUE(eventually([&] { return gained == 4; })) << gained;
        EXPECT_TRUE(eventually([&] { return hold_.entered() == 1; }));
        EXPECT_TRUE(covered({&a, &b}, 8));
        expect_lease_goes_on(a);
        expect_lease_goes_on(b);
        EXPECT_TRUE(eventually([&] { return notes_.has_line(a.id() + ": callback_failed: " + kind); })) << notes_.text();
        EXPECT_TRUE(notes_.has_line("has not returned"));
        ASSERT_TRUE(b.stop());
        EXPECT_EQ(lost, 4);
    }
    EXPECT_TRUE(eventually([&] { return covered({&a}, 8); }));
    const auto stopped = a.stop();
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, Errc::timeout);
    EXPECT_EQ(hold_.entered(), 1);
}

INSTANTIATE_TEST_SUITE_P(All, WorkerStuckIn, testing::Values("on_assigned", "on_revoked", "on_state", "on_leader", "on_error"),
                         [](const auto& param) { return std::string(param.param); });

TEST_F(WorkerStuck, ASourceThatNeverAnswersCostsOneThreadWhateverTheNumberOfItsWorkers) {
    Context context = connect();
    const auto set = *source(4)->list();
    const auto silent = std::make_shared<HangingSource>(set, [this] { hold_.wait(); });
    silent->hang_list = true;
    const auto deaf = std::make_shared<HangingSource>(set, [this] { hold_.wait(); });
    deaf->hang_listen = true;
    std::vector<Worker> waiting;
    Config other = quick();
    other.group = "waiting";
    for (int i = 0; i < 20; ++i) waiting.push_back(worker(context, i % 2 == 0 ? silent : deaf, other));
    for (Worker& w : waiting) w.start();
    ASSERT_TRUE(eventually([&] { return hold_.entered() == 2; }));
    std::atomic<int> gained{0};
    Callbacks counting;
    counting.on_assigned = [&](std::span<const Ownership> p) { gained += static_cast<int>(p.size()); };
    Worker good = worker(context, source(6), quick(), std::move(counting));
    good.start();
    EXPECT_TRUE(eventually([&] { return gained == 6; }));
    expect_lease_goes_on(good);
    EXPECT_TRUE(eventually([&] { return told("Source::list has not returned"); })) << notes_.text();
    EXPECT_EQ(hold_.entered(), 2);
    EXPECT_EQ(callback_threads(), 3U);  // those that are inside, and the one that serves
    for (Worker& w : waiting) {
        const auto ready = w.wait_for(State::stable, 20s);
        ASSERT_FALSE(ready);
        EXPECT_NE(ready.error().detail.find("the source has given no partitions"), std::string::npos) << ready.error().message();
    }
    EXPECT_EQ(silent->lists, 1);
    EXPECT_EQ(deaf->listens, 1);
    EXPECT_EQ(deaf->lists, 0);
    ASSERT_TRUE(good.stop());
}

TEST_F(WorkerStuck, ARefreshThatNeverReturnsLeavesTheWorkersAsTheyAre) {
    Context context = connect();
    const auto silent = std::make_shared<HangingSource>(*source(8)->list(), [this] { hold_.wait(); });
    std::atomic<int> lost{0};
    Callbacks counting;
    counting.on_revoked = [&](std::span<const Ownership> p, const RevokeDone& done) {
        lost += static_cast<int>(p.size());
        done();
    };
    Worker a = worker(context, silent, quick(), std::move(counting));
    a.start();
    ASSERT_TRUE(eventually([&] { return covered({&a}, 8); }));
    silent->hang_refresh = true;
    for (int i = 0; i < 50; ++i) a.refresh_partitions();
    ASSERT_TRUE(eventually([&] { return hold_.entered() == 1; }));
    EXPECT_TRUE(eventually([&] { return told("Source::list has not returned"); })) << notes_.text();
    expect_lease_goes_on(a);
    // Its own callbacks run: it hands over what another worker is to have.
    Worker b = worker(context, source(8), quick());
    b.start();
    EXPECT_TRUE(eventually([&] { return covered({&a, &b}, 8) && a.assignment().size() == 4; }));
    EXPECT_EQ(lost, 4);
    EXPECT_EQ(a.stats().drain_timeouts, 0U);
    EXPECT_EQ(silent->refreshes, 1);
    silent->hang_refresh = false;
    hold_.open();
    EXPECT_TRUE(eventually([&] { return silent->refreshes == 2; }));  // the 49 others share one answer
    ASSERT_TRUE(a.stop());
    EXPECT_EQ(lost, 8);
    EXPECT_EQ(silent->listens, 1);
}

// Strategies run between two renewals and must be bounded (parti/strategy.h). One that is not makes its process lose its leases;
// the tokens know it without the thread that hangs, and another process goes on.
class EndlessStrategy final : public Strategy {
public:
    explicit EndlessStrategy(std::function<void()> hang) : hang_(std::move(hang)) {}
    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        if (hangs) hang_();
        return sticky()->assign(input);
    }
    std::string_view name() const override { return "endless"; }
    std::atomic<bool> hangs{false};

private:
    const std::function<void()> hang_;
};

TEST_F(WorkerStuck, AStrategyThatNeverReturnsEndsItsProcessesTokensInTimeAndAnotherProcessGoesOn) {
    Context here = connect();
    Context there = connect();
    const auto list = source(8);
    const auto strategy = std::make_shared<EndlessStrategy>([this] { hold_.wait(); });
    auto made = Worker::make(here, quick(), list, strategy, {});
    ASSERT_TRUE(made);
    Worker a = std::move(*made);
    a.start();
    ASSERT_TRUE(eventually([&] { return covered({&a}, 8) && a.is_leader(); }));
    const auto owned = a.assignment();
    strategy->hangs = true;
    Worker b = worker(there, list, quick());
    b.start();
    ASSERT_TRUE(eventually([&] { return hold_.entered() == 1; }));
    EXPECT_TRUE(eventually([&] { return covered({&b}, 8); }));
    for (const Ownership& o : owned) EXPECT_FALSE(o.valid()) << o.partition().id();
    strategy->hangs = false;
    hold_.open();
    EXPECT_TRUE(eventually([&] { return covered({&a, &b}, 8) && a.assignment().size() == 4; }));
    for (const Ownership& o : owned) EXPECT_FALSE(o.valid()) << o.partition().id();
    EXPECT_GE(a.stats().sessions_lost, 1U);
}

}  // namespace
}  // namespace parti::test
