// on a real server, seen through real workers: whatever happens to the watches, the view is right again, what changed
// meanwhile is seen, and the server holds the consumers there should be and no other.
#include <map>

#include "raw_nats.h"
#include "testutil/server_monitor.h"
#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::size_t kPartitions = 12;
// Of a process with one worker: head, control, and either both worker.* or its own record and its leader's lease.
constexpr std::uint64_t kConsumersOfProcess = 4;

class WatchHealing : public WorkerTest {
protected:
    void SetUp() override {
        WorkerTest::SetUp();
        std::vector<Partition> list;
        for (std::size_t i = 0; i < kPartitions; ++i)
            list.push_back(*Partition::from_id((i < 10 ? "part.0000" : "part.000") + std::to_string(i)));
        list_ = *StaticSource::make(std::move(list));
        process_.emplace(host({"--workers", "1", "--partitions", std::to_string(kPartitions), "--autostart"}));
        join();
        join();
        ASSERT_TRUE(balanced()) << notes_.text();
        ASSERT_TRUE(at_rest()) << why_;
    }
    void TearDown() override {
        workers_.clear();
        contexts_.clear();
        if (process_) {
            EXPECT_TRUE(process_->ask("quit", "bye"));
        }
        process_.reset();
        WorkerTest::TearDown();
    }

    // One more worker, in a "process" of its own: a context.
    void join() {
        contexts_.push_back(connect());
        workers_.push_back(worker(contexts_.back(), list_));
        workers_.back().start();
    }
    std::set<std::string> ids_of_process() {
        std::set<std::string> out;
        const auto said = process_->ask("ownership", "ownership");
        if (!said || said->at("workers").empty() ||
            said->at("workers")[0].at("valid") != said->at("workers")[0].at("partitions").size()) {
            return out;
        }
        for (const json& id : said->at("workers")[0].at("partitions")) out.insert(id.get<std::string>());
        return out;
    }
    // All workers own as much as each other, and everything once.
    bool balanced() {
        const std::size_t share = kPartitions / (workers_.size() + 1);
        return eventually([&] {
            std::set<std::string> seen;
            std::size_t total = 0;
            for (const Worker& w : workers_) {
                const auto owned = w.assignment();
                if (owned.size() != share) return false;
                for (const Ownership& o : owned) {
                    if (!o.valid()) return false;
                    seen.insert(o.partition().id());
                }
                total += owned.size();
            }
            const auto ids = ids_of_process();
            seen.insert(ids.begin(), ids.end());
            return ids.size() == share && total + ids.size() == kPartitions && seen.size() == kPartitions;
        });
    }
    // As many consumers as the processes need. A vanished client's go after 5 s.
    bool at_rest() {
        const auto counted = wait_for_consumers(server_->monitor_url(), kConsumersOfProcess * (contexts_.size() + 1), 20s);
        if (!counted) why_ = counted.error();
        return counted.has_value();
    }
    // What shows that every watch works again: a change that all of them must hear of.
    void expect_healed() {
        join();
        EXPECT_TRUE(balanced()) << notes_.text();
        EXPECT_TRUE(at_rest()) << why_;
    }
    bool all_hold(bool valid) {
        return std::all_of(workers_.begin(), workers_.end(), [&](const Worker& w) {
            const auto owned = w.assignment();
            return owned.empty() ? !valid : owned.front().valid() == valid;
        });
    }

    std::shared_ptr<StaticSource> list_;
    std::vector<Context> contexts_;
    std::vector<Worker> workers_;
    std::optional<Host> process_;
    std::string why_;
};

TEST_F(WatchHealing, AfterARestart) {
    ASSERT_TRUE(server_->halt());
    ASSERT_TRUE(server_->restart());
    expect_healed();
}

TEST_F(WatchHealing, AfterAKill) {
    ASSERT_TRUE(server_->kill());
    ASSERT_TRUE(server_->restart());
    expect_healed();
}

TEST_F(WatchHealing, AfterTheStoreWasWiped) {
    ASSERT_TRUE(server_->wipe());
    ASSERT_TRUE(eventually([&] { return all_hold(false); }));  // their leases are gone with the store
    expect_healed();
}

TEST_F(WatchHealing, AfterALongPauseOfTheServer) {
    ASSERT_TRUE(server_->pause());
    ASSERT_TRUE(eventually([&] { return all_hold(false); }));  // longer than every lease
    ASSERT_TRUE(server_->resume());
    expect_healed();
}

TEST_F(WatchHealing, AfterALongPauseOfAWorkersProcess) {
    ASSERT_TRUE(process_->process().pause());
    std::size_t total = 0;
    ASSERT_TRUE(eventually([&] {
        total = 0;
        for (const Worker& w : workers_) total += w.assignment().size();
        return total == kPartitions;
    })) << total;
    join();  // a change that it sleeps through
    ASSERT_TRUE(eventually([&] { return workers_.back().assignment().size() == kPartitions / 3; }));
    ASSERT_TRUE(process_->process().resume());
    EXPECT_TRUE(balanced()) << notes_.text();
    EXPECT_TRUE(at_rest()) << why_;
}

TEST_F(WatchHealing, AfterAllConsumersWereDeletedBehindTheirBacks) {
    auto raw = RawNats::connect(server_->url());
    ASSERT_TRUE(raw) << raw.error();
    std::set<std::string> before;
    for (const std::string stream : {"KV_parti_g_lease", "KV_parti_g_assignment"}) {
        const auto names = raw->api("CONSUMER.NAMES." + stream);
        ASSERT_TRUE(names) << names.error();
        for (const json& name : names->at("consumers")) {
            const auto gone = raw->api("CONSUMER.DELETE." + stream + "." + name.get<std::string>());
            ASSERT_TRUE(gone) << gone.error();
            before.insert(name.get<std::string>());
        }
    }
    EXPECT_EQ(before.size(), kConsumersOfProcess * 3);
    join();  // before they can have noticed
    EXPECT_TRUE(balanced()) << notes_.text();
    EXPECT_TRUE(at_rest()) << why_;
    const auto stats = read_server_stats(server_->monitor_url());
    ASSERT_TRUE(stats) << stats.error();
    for (const ConsumerInfo& consumer : stats->consumers) EXPECT_FALSE(before.contains(consumer.name)) << consumer.name;
}

// ---- what a group at rest costs ----------------------------------------------------------------------------------------

class Deliveries : public WorkerTest {
protected:
    struct Cost {
        double in = 0;   // messages from clients, a renewal
        double out = 0;  // messages to clients, a renewal
    };
    // Of `renewals` renewals and more, by these workers.
    Cost measure(const std::vector<Worker*>& workers, std::uint64_t renewals) {
        const auto count = [&] {
            std::uint64_t sum = 0;
            for (const Worker* w : workers) sum += w->stats().renewals;
            return sum;
        };
        const auto before = read_server_stats(server_->monitor_url());
        const std::uint64_t begin = count();
        EXPECT_TRUE(eventually([&] { return count() >= begin + renewals; }));
        const std::uint64_t end = count();
        const auto after = read_server_stats(server_->monitor_url());
        if (!before || !after) {
            ADD_FAILURE() << "no figures of the server";
            return {};
        }
        const auto made = static_cast<double>(end - begin);
        return {static_cast<double>(after->in_msgs - before->in_msgs) / made,
                static_cast<double>(after->out_msgs - before->out_msgs) / made};
    }
    Cost cost_of(std::size_t processes, std::size_t workers_each) {
        const std::size_t total = processes * workers_each;
        const auto list = source(static_cast<int>(total));
        std::vector<Context> contexts;
        std::vector<Worker> workers;
        for (std::size_t p = 0; p < processes; ++p) contexts.push_back(connect());
        for (std::size_t i = 0; i < total; ++i) workers.push_back(worker(contexts[i % processes], list));
        std::vector<Worker*> all;
        for (Worker& w : workers) {
            all.push_back(&w);
            w.start();
        }
        EXPECT_TRUE(eventually([&] { return covered(all, total) && loads(all) == std::vector<std::size_t>(total, 1); }))
            << notes_.text();
        const Cost cost = measure(all, 20 * total);
        std::printf("%zu workers in %zu processes: %.2f messages in and %.2f out a renewal\n", total, processes, cost.in,
                    cost.out);
        return cost;
    }
};

// A renewal is one message in and one answer out. It is delivered to leader and standbys only: at most three processes; the
// leader's own renewals to every process. Heartbeats of idle watches come on top: two a second and watch.
TEST_F(Deliveries, AtRestGrowWithTheWorkersNotWithTheirSquare) {
    const Cost few = cost_of(1, 4);
    const Cost many = cost_of(1, 24);
    for (const Cost& cost : {few, many}) {
        EXPECT_LT(cost.in, 2.0);
        EXPECT_LT(cost.out, 4.0);
    }
    EXPECT_LT(many.out, few.out + 0.5) << "out messages per renewal do not grow with the workers";
}

TEST_F(Deliveries, AtRestReachThreeProcessesHoweverManyThereAre) {
    const Cost three = cost_of(3, 4);
    const Cost eight = cost_of(8, 4);
    for (const Cost& cost : {three, eight}) EXPECT_LT(cost.in, 2.0);
    // Answer, three deliveries, the leader's renewals to all (1/32 of 8), heartbeats: 2 a second of 4 watches a process at rest,
    // 4 workers of which renew 13 times a second.
    EXPECT_LT(three.out, 6.0);
    EXPECT_LT(eight.out, three.out + 1.0) << "as if every process heard every renewal, it were five more";
}

}  // namespace
}  // namespace parti::test
