// Workers on a real server: they stabilise, share, leave, and hear of changes.
#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using Loads = std::vector<std::size_t>;

class WorkerBasics : public WorkerTest {
protected:
    void TearDown() override {
        for (const std::string& line : notes_.bad_lines()) ADD_FAILURE() << "log: " << line;
        for (const Error& error : notes_.errors()) ADD_FAILURE() << "on_error: " << error.message();
        WorkerTest::TearDown();
    }
};

TEST_F(WorkerBasics, OneWorkerBecomesStableAndOwnsEverything) {
    Context context = connect();
    Worker w = worker(context, source(20));
    EXPECT_EQ(w.state(), State::init);
    EXPECT_FALSE(w.number().has_value());
    EXPECT_EQ(w.id(), "");
    w.start();
    ASSERT_TRUE(w.wait_for(State::stable, 10s));
    EXPECT_TRUE(eventually([&] { return covered({&w}, 20); }));
    EXPECT_TRUE(w.is_leader());
    ASSERT_TRUE(w.number().has_value());
    EXPECT_EQ(w.id(), "worker-" + std::to_string(w.number()->value));
    EXPECT_EQ(w.stats().owned, 20U);
    const auto owned = w.assignment();
    EXPECT_TRUE(
        std::is_sorted(owned.begin(), owned.end(), [](const auto& a, const auto& b) { return a.partition() < b.partition(); }));
    EXPECT_GT(owned.front().fence(), Fence());

    ASSERT_TRUE(w.stop());
    EXPECT_EQ(w.state(), State::stopped);
    EXPECT_TRUE(w.assignment().empty());
    EXPECT_FALSE(owned.front().valid());
    EXPECT_FALSE(w.number().has_value());
    EXPECT_TRUE(w.stop());  // again: nothing to do
    const auto waited = w.wait_for(State::stable, 10s);
    ASSERT_FALSE(waited);
    EXPECT_EQ(waited.error().code, Errc::stopping);
}

TEST_F(WorkerBasics, CallbacksTellTheWholeStoryInOrder) {
    std::mutex mutex;
    std::vector<std::string> story;
    std::size_t gained = 0;
    std::size_t lost = 0;
    const auto tell = [&](std::string line) {
        const std::lock_guard lock(mutex);
        story.push_back(std::move(line));
    };
    Callbacks callbacks;
    callbacks.on_state = [&](State from, State to) { tell(std::string(to_string(from)) + ">" + std::string(to_string(to))); };
    callbacks.on_leader = [&](bool leader) { tell(leader ? "leads" : "leads no more"); };
    callbacks.on_assigned = [&](std::span<const Ownership> list) {
        gained += list.size();
        tell("assigned");
    };
    callbacks.on_revoked = [&](std::span<const Ownership> list, const RevokeDone& done) {
        for (const Ownership& o : list) EXPECT_FALSE(o.valid());
        lost += list.size();
        tell("revoked");
        done();
    };
    Context context = connect();
    {
        Worker w = worker(context, source(8), std::move(callbacks));
        w.start();
        ASSERT_TRUE(w.wait_for(State::stable, 10s));
        ASSERT_TRUE(eventually([&] { return covered({&w}, 8); }));
        ASSERT_TRUE(w.stop());
    }
    EXPECT_EQ(gained, 8U);
    EXPECT_EQ(lost, 8U);
    const auto at = [&](const std::string& line) { return std::find(story.begin(), story.end(), line) - story.begin(); };
    EXPECT_LT(at("Init>ClaimingId"), at("ClaimingId>WaitingAssignment"));
    EXPECT_LT(at("WaitingAssignment>Stable"), at("Stable>Draining"));
    EXPECT_LT(at("assigned"), at("revoked"));
    EXPECT_LT(at("leads"), at("leads no more"));
    EXPECT_EQ(story.back(), "Draining>Stopped");
}

TEST_F(WorkerBasics, ThreeWorkersShareEvenlyAndDisjointly) {
    Context context = connect();
    const auto list = source(30);
    Worker a = worker(context, list);
    Worker b = worker(context, list);
    Worker c = worker(context, list);
    for (Worker* w : {&a, &b, &c}) w->start();
    ASSERT_TRUE(eventually([&] { return covered({&a, &b, &c}, 30) && loads({&a, &b, &c}) == Loads{10, 10, 10}; }));
    const std::set<std::string> ids = {a.id(), b.id(), c.id()};
    EXPECT_EQ(ids.size(), 3U);
    EXPECT_EQ(a.is_leader() + b.is_leader() + c.is_leader(), 1);
}

TEST_F(WorkerBasics, WorkersOfTwoContextsFormOneGroup) {
    Context one = connect();
    Context two = connect();
    Worker a = worker(one, source(10));
    Worker b = worker(two, source(10));
    a.start();
    b.start();
    EXPECT_TRUE(eventually([&] { return covered({&a, &b}, 10) && loads({&a, &b}) == Loads{5, 5}; }));
}

TEST_F(WorkerBasics, AGracefulLeaveHandsOverAtOnce) {
    Context context = connect();
    const auto list = source(12);
    std::vector<Worker> workers;
    for (int i = 0; i < 3; ++i) workers.push_back(worker(context, list));
    for (Worker& w : workers) w.start();
    const auto all = [&] {
        std::vector<Worker*> out;
        for (Worker& w : workers) out.push_back(&w);
        return out;
    };
    ASSERT_TRUE(eventually([&] { return covered(all(), 12) && loads(all()) == Loads{4, 4, 4}; }));
    const auto follower = std::find_if(workers.begin(), workers.end(), [](const Worker& w) { return !w.is_leader(); });
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(follower->stop());
    workers.erase(follower);
    ASSERT_TRUE(eventually([&] { return covered(all(), 12); }));
    const auto took = std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
    RecordProperty("handover_ms", static_cast<int>(took.count()));
    EXPECT_LT(took, 1000ms);  // the lease's TTL: nobody waited for silence
}

TEST_F(WorkerBasics, TheLeaderLeavesAndAnotherOneLeads) {
    Context context = connect();
    const auto list = source(12);
    std::vector<Worker> workers;
    for (int i = 0; i < 3; ++i) workers.push_back(worker(context, list));
    for (Worker& w : workers) w.start();
    const auto all = [&] {
        std::vector<Worker*> out;
        for (Worker& w : workers) out.push_back(&w);
        return out;
    };
    ASSERT_TRUE(eventually([&] { return covered(all(), 12) && loads(all()) == Loads{4, 4, 4}; }));
    const Fence before = workers.front().assignment().front().fence();
    const auto leader = std::find_if(workers.begin(), workers.end(), [](const Worker& w) { return w.is_leader(); });
    ASSERT_NE(leader, workers.end());
    ASSERT_TRUE(leader->stop());
    workers.erase(leader);
    ASSERT_TRUE(eventually([&] { return covered(all(), 12) && loads(all()) == Loads{6, 6}; }));
    EXPECT_TRUE(eventually([&] { return workers[0].is_leader() != workers[1].is_leader(); }));
    Fence newest;
    for (Worker& w : workers) {
        for (const Ownership& o : w.assignment()) newest = std::max(newest, o.fence());
    }
    EXPECT_GT(newest.epoch, before.epoch);
}

TEST_F(WorkerBasics, AChangedSourceReachesTheOwners) {
    Context context = connect();
    const auto list = source(4);
    Worker a = worker(context, list);
    Worker b = worker(context, list);
    a.start();
    b.start();
    ASSERT_TRUE(eventually([&] { return covered({&a, &b}, 4); }));
    std::vector<Partition> more;
    for (int i = 0; i < 10; ++i) more.push_back(*Partition::from_id("new." + std::to_string(i)));
    ASSERT_TRUE(list->update(more));
    EXPECT_TRUE(eventually([&] {
        if (!covered({&a, &b}, 10)) return false;
        const auto owned = a.assignment();
        return !owned.empty() && owned.front().partition().id().rfind("new.", 0) == 0;
    }));
}

TEST_F(WorkerBasics, RefreshAsksTheSourceAgain) {
    std::atomic<int> count{3};
    const auto function = function_source([&]() -> Result<std::vector<Partition>> {
        std::vector<Partition> out;
        for (int i = 0; i < count; ++i) out.push_back(*Partition::from_id("f." + std::to_string(i)));
        return out;
    });
    Context context = connect();
    Worker w = worker(context, function);
    w.start();
    ASSERT_TRUE(eventually([&] { return covered({&w}, 3); }));
    count = 7;
    w.refresh_partitions();
    EXPECT_TRUE(eventually([&] { return covered({&w}, 7); }));
}

TEST_F(WorkerBasics, AnEmptySourceIsStableWithoutPartitions) {
    Context context = connect();
    Worker w = worker(context, source(0));
    w.start();
    ASSERT_TRUE(w.wait_for(State::stable, 10s));
    EXPECT_TRUE(w.assignment().empty());
}

TEST_F(WorkerBasics, StopsBeforeAndDuringItsStart) {
    Context context = connect();
    Worker never_started = worker(context, source(3));
    ASSERT_TRUE(never_started.stop());
    EXPECT_EQ(never_started.state(), State::stopped);
    for (int i = 0; i < 20; ++i) {
        Worker w = worker(context, source(3));
        w.start();
        ASSERT_TRUE(w.stop()) << "round " << i;
    }
}

TEST_F(WorkerBasics, AWorkerLeavesWhenItsHandleGoes) {
    Context context = connect();
    const auto list = source(6);
    Worker stays = worker(context, list);
    stays.start();
    {
        Worker goes = worker(context, list);
        goes.start();
        ASSERT_TRUE(eventually([&] { return covered({&stays, &goes}, 6) && loads({&stays, &goes}) == Loads{3, 3}; }));
    }
    EXPECT_TRUE(eventually([&] { return covered({&stays}, 6); }, 1000ms));
}

TEST_F(WorkerBasics, ThreadsDoNotGrowWithTheWorkers) {
    const auto names_with = [&](int workers) {
        Host h =
            host({"--workers", std::to_string(workers), "--partitions", "100", "--expected-workers", std::to_string(workers)});
        EXPECT_TRUE(h.wait("ready"));
        EXPECT_TRUE(h.ask("start", "covered"));
        auto names = thread_names(h.process().pid());
        EXPECT_TRUE(h.ask("quit", "bye"));
        return names;
    };
    const std::vector<std::string> one = names_with(1);
    EXPECT_EQ(one, names_with(50));
    EXPECT_EQ(std::count(one.begin(), one.end(), "parti-io"), 1);
    EXPECT_EQ(std::count(one.begin(), one.end(), "parti-cb-0"), 1);
    EXPECT_EQ(std::count(one.begin(), one.end(), "nats.c"), 6);
    const int sanitizers = std::string(PARTI_SANITIZE_NAME) == "thread" ? 1 : 0;  // TSan has a thread of its own
    EXPECT_EQ(std::count(one.begin(), one.end(), "worker-host"), 1 + sanitizers);
}

}  // namespace
}  // namespace parti::test
