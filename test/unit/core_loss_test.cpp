// Stories of a store that loses what it acknowledged: what workers keep, what leaders wait for, and who makes a bucket again.
#include <gtest/gtest.h>

#include <algorithm>

#include "core_bench.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

Config config() {
    Config out;
    out.group = "g";
    out.timing.heartbeat = 300ms;
    out.timing.ttl = 1s;
    out.timing.margin = 200ms;
    out.timing.stop_budget = 100ms;
    out.timing.drain_timeout = 2s;
    out.timing.grant_timeout = 3s;
    out.timing.leader_publish_timeout = 2s;
    out.timing.cold_start_window = 2s;
    out.timing.planned_scale_window = 1s;
    out.timing.min_rebalance_interval = 200ms;
    return out;
}

bool says(const CoreBench::Node& node, const std::string& what) {
    return std::any_of(node.notes.begin(), node.notes.end(), [&](const std::string& n) { return n.find(what) != std::string::npos; });
}

// Runs until the fleet covers everything and `more` holds; nothing may ever have two owners.
void expect_single_owners_until(CoreBench& bench, const std::function<bool()>& more, Duration limit) {
    int most = 0;
    const auto done = [&] {
        most = std::max(most, bench.owners_most());
        return bench.covered() && more();
    };
    EXPECT_TRUE(bench.run_until(done, limit));
    EXPECT_LE(most, 1);
}

TEST(CoreLoss, ARolledBackAssignmentBucketMakesNobodyOwnWhatAnotherHolds) {
    CoreBench bench(config(), 24);
    bench.add();
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 12; }, 10s));
    const auto before_third = bench.copy(Bucket::assignment);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 8; }, 10s));
    const Epoch before = bench.core(0).epoch();
    bench.roll_back(before_third);  // its records give the first two what the third holds now
    expect_single_owners_until(bench, [&] { return bench.leaders() == 1 && bench.core(0).applied().epoch > before; }, 20s);
    EXPECT_TRUE(says(bench.node(0), "lost its history"));
    bench.run_for(5s);
    EXPECT_TRUE(bench.covered());
    EXPECT_EQ(bench.node(2).tokens.size(), 8U);
}

TEST(CoreLoss, AnEmptyAssignmentBucketStartsAboveEveryEpochThatWorkersKnow) {
    CoreBench bench(config(), 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, 10s));
    const Epoch before = bench.core(0).epoch();
    bench.roll_back({Bucket::assignment, {}, 0});
    expect_single_owners_until(bench, [&] { return bench.leaders() == 1 && bench.core(1).applied().epoch > before; }, 20s);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_GT(bench.core(i).applied().epoch, before) << i;
}

TEST(CoreLoss, ALeaseThatWentBackIsRenewedFromThereAndNothingPauses) {
    CoreBench bench(config(), 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, 10s));
    bench.run_for(1s);
    const auto old = bench.copy(Bucket::lease);
    bench.run_for(400ms);
    std::vector<std::map<std::uint64_t, std::string>> tokens;
    for (std::size_t i = 0; i < 3; ++i) tokens.push_back(bench.node(i).tokens);
    bench.roll_back(old);
    bench.run_for(10s);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(bench.node(i).tokens, tokens[i]) << i;
        EXPECT_EQ(bench.core(i).incarnation().value, 1U) << i;
    }
    EXPECT_EQ(bench.leaders(), 1U);
}

TEST(CoreLoss, AWorkerWithoutItsLeaseGivesEverythingBackAndTakesAHigherIncarnation) {
    CoreBench bench(config(), 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, 10s));
    bench.roll_back({Bucket::lease, {}, 0});
    expect_single_owners_until(
        bench,
        [&] {
            for (std::size_t i = 0; i < 3; ++i) {
                if (bench.core(i).incarnation().value < 2) return false;
            }
            return bench.leaders() == 1;
        },
        20s);
    EXPECT_TRUE(says(bench.node(1), "its lease record was lost"));
}

TEST(CoreLoss, AStoreThatForgetsEverythingIsSurvived) {
    CoreBench bench(config(), 12);
    for (int i = 0; i < 4; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(3).tokens.size() == 3; }, 10s));
    const Epoch before = bench.core(0).epoch();
    bench.roll_back({Bucket::lease, {}, 0});
    bench.roll_back({Bucket::assignment, {}, 0});
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.core(3).applied().epoch > before; }, 30s));
    EXPECT_EQ(bench.leaders(), 1U);
}

TEST(CoreLoss, ADeletedBucketIsMadeAgainByTheLeaderAloneWhenThePolicySaysSo) {
    for (const CreateBuckets policy : {CreateBuckets::always, CreateBuckets::at_start}) {
        Config c = config();
        c.create_buckets = policy;
        CoreBench bench(c, 12);
        for (int i = 0; i < 3; ++i) bench.add();
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.leaders() == 1; }, 10s));
        for (std::size_t i = 0; i < 3; ++i) bench.feed(i, core::BucketMissing{Bucket::assignment, true});
        for (std::size_t i = 0; i < 3; ++i) {
            const bool makes = bench.core(i).leading() && policy == CreateBuckets::always;
            EXPECT_EQ(bench.node(i).created.size(), makes ? 1U : 0U) << i;
            EXPECT_EQ(bench.core(i).state(), State::degraded) << i;
            EXPECT_TRUE(says(bench.node(i), "does not exist any more")) << i;
        }
        for (std::size_t i = 0; i < 3; ++i) bench.feed(i, core::BucketMissing{Bucket::assignment, false});
        EXPECT_TRUE(bench.run_until([&] { return bench.covered(); }, 2s));
    }
}

// Number of the only leader, which must be there.
std::size_t leader_of(const CoreBench& bench, const std::vector<std::size_t>& nodes) {
    for (const std::size_t node : nodes) {
        if (const_cast<CoreBench&>(bench).core(node).leading()) return node;
    }
    return nodes.size();
}

TEST(CoreLoss, ALeaderThatDiedInDoubtLeavesItsDoubtToAStrangerWhoFollows) {
    int followed = 0;
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CoreBench bench(config(), 12, seed);
        for (int i = 0; i < 2; ++i) bench.add();
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 6; }, 10s));
        const auto old = bench.copy(Bucket::assignment);
        const std::size_t leader = leader_of(bench, {0, 1});
        const std::size_t restarted = 1 - leader;
        bench.feed(restarted, core::Stop{});  // and another in its place: the old records name its predecessor
        ASSERT_TRUE(bench.run_until([&] { return bench.core(restarted).state() == State::stopped; }, 10s));
        const std::size_t survivor = bench.add();
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(survivor).tokens.size() == 6; }, 10s));
        // Everybody hears of the loss; the first leader after it dies as soon as it has sealed.
        bench.let_put = [&](std::size_t node, const core::Put& put) { return node == leader || put.key != head_key(); };
        bench.roll_back(old);
        ASSERT_TRUE(bench.run_until([&] { return bench.core(leader).leading(); }, 10s)) << seed;
        bench.node(leader).dead = true;
        bench.node(leader).tokens.clear();
        const std::size_t stranger = bench.add();
        bench.let_put = [&](std::size_t node, const core::Put& put) { return node == stranger || put.key != head_key(); };
        int most = 0;
        EXPECT_TRUE(bench.run_until(
            [&] {
                most = std::max(most, bench.owners_most());
                return bench.covered();
            },
            20s))
            << seed;
        EXPECT_LE(most, 1) << seed;
        followed += bench.core(stranger).leading() ? 1 : 0;
    }
    EXPECT_EQ(followed, 12);
}

TEST(CoreLoss, ASessionWhoseLeaseWasRemovedIsWaitedForWhenTheAssignmentsAreLostToo) {
    CoreBench bench(config(), 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, 10s));
    const std::size_t victim = leader_of(bench, {0, 1, 2}) == 2 ? 1 : 2;
    bench.run_for(50ms);
    bench.cut(victim);  // it lives on, with what it owns, until its lease is over
    bench.scribble(Bucket::lease, worker_key(*bench.core(victim).number()), Absent{});
    bench.roll_back({Bucket::assignment, {}, 0});
    int most = 0;
    const auto owned_by_others = [&] {
        most = std::max(most, bench.owners_most());
        std::size_t owned = 0;
        for (std::size_t i = 0; i < 3; ++i) owned += i == victim ? 0 : bench.node(i).tokens.size();
        return owned == 12;
    };
    EXPECT_TRUE(bench.run_until(owned_by_others, 20s));
    EXPECT_LE(most, 1);
}

TEST(CoreLoss, AnOldRecordThatSomebodyPutsBackWhileNobodyLeadsGivesNothingThatAnotherHas) {
    CoreBench bench(config(), 12);
    for (int i = 0; i < 2; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 6; }, 10s));
    const std::size_t leader = leader_of(bench, {0, 1});
    const std::size_t other = 1 - leader;
    const Key key = worker_key(*bench.core(other).number());
    const RecordValue old = bench.store().at({Bucket::assignment, key}).value;
    const std::size_t third = bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(third).tokens.size() == 4; }, 10s));
    bench.node(third).release_at_once = false;  // what it has to give back it keeps for a while
    bench.node(leader).dead = true;
    bench.node(leader).tokens.clear();
    bench.scribble(Bucket::assignment, key, old);  // two of these are the third's now
    int most = 0;
    // Draining counts: its user has not released it.
    std::map<std::uint64_t, std::string> before = bench.node(third).tokens;
    const auto done = [&] {
        most = std::max(most, bench.owners_most());
        for (const auto& [grant, partition] : bench.node(other).tokens) {
            const bool draining = std::any_of(bench.node(third).unreleased.begin(), bench.node(third).unreleased.end(),
                                              [&](std::uint64_t g) { return before.contains(g) && before.at(g) == partition; });
            if (draining && bench.core(third).stats().draining > 0) most = std::max(most, 2);
        }
        return bench.leaders() == 1 && bench.core(other).applied().epoch > Epoch{1} && bench.covered();
    };
    EXPECT_TRUE(bench.run_until(done, 30s));
    EXPECT_LE(most, 1);
}

}  // namespace
}  // namespace parti::test
