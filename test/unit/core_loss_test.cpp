// Stories of a store that loses what it acknowledged: what workers keep, what leaders wait for, and who makes a bucket
// again.
#include <gtest/gtest.h>

#include <algorithm>

#include "core_bench.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

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
    CoreBench bench(story_config(), 24);
    bench.add();
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 12; }, 10s));
    const auto before_third = bench.copy(Bucket::assignment);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 8; }, 10s));
    const Epoch before = bench.core(0).epoch();
    bench.roll_back(before_third);  // its records give the first two what the third holds now
    expect_single_owners_until(
        bench, [&] { return bench.leaders() == 1 && bench.core(0).applied().epoch > before; }, 20s);
    EXPECT_TRUE(bench.node(0).said("lost its history"));
    bench.run_for(5s);
    EXPECT_TRUE(bench.covered());
    EXPECT_EQ(bench.node(2).tokens.size(), 8U);
}

TEST(CoreLoss, AnEmptyAssignmentBucketStartsAboveEveryEpochThatWorkersKnow) {
    CoreBench bench(story_config(), 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, 10s));
    const Epoch before = bench.core(0).epoch();
    bench.roll_back({Bucket::assignment, {}, 0});
    expect_single_owners_until(
        bench, [&] { return bench.leaders() == 1 && bench.core(1).applied().epoch > before; }, 20s);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_GT(bench.core(i).applied().epoch, before) << i;
}

TEST(CoreLoss, ALeaseThatWentBackIsRenewedFromThereAndNothingPauses) {
    CoreBench bench(story_config(), 12);
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
    CoreBench bench(story_config(), 12);
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
    EXPECT_TRUE(bench.node(1).said("its lease record was lost"));
}

TEST(CoreLoss, AStoreThatForgetsEverythingIsSurvived) {
    CoreBench bench(story_config(), 12);
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
        Config c = story_config();
        c.create_buckets = policy;
        CoreBench bench(c, 12);
        for (int i = 0; i < 3; ++i) bench.add();
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.leaders() == 1; }, 10s));
        for (std::size_t i = 0; i < 3; ++i) bench.feed(i, core::BucketMissing{Bucket::assignment, true});
        for (std::size_t i = 0; i < 3; ++i) {
            const bool makes = bench.core(i).leading() && policy == CreateBuckets::always;
            EXPECT_EQ(bench.node(i).created.size(), makes ? 1U : 0U) << i;
            EXPECT_EQ(bench.core(i).state(), State::degraded) << i;
            EXPECT_TRUE(bench.node(i).said("does not exist any more")) << i;
        }
        for (std::size_t i = 0; i < 3; ++i) bench.feed(i, core::BucketMissing{Bucket::assignment, false});
        EXPECT_TRUE(bench.run_until([&] { return bench.covered(); }, 2s));
    }
}

TEST(CoreLoss, ALeaderThatDiedInDoubtLeavesItsDoubtToAStrangerWhoFollows) {
    int followed = 0;
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CoreBench bench(story_config(), 12, seed);
        for (int i = 0; i < 2; ++i) bench.add();
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 6; }, 10s));
        const auto old = bench.copy(Bucket::assignment);
        const std::size_t leader = bench.leader();
        const std::size_t restarted = 1 - leader;
        bench.feed(restarted, core::Stop{});  // and another in its place: the old records name its predecessor
        ASSERT_TRUE(bench.run_until([&] { return bench.core(restarted).state() == State::stopped; }, 10s));
        const std::size_t survivor = bench.add();
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(survivor).tokens.size() == 6; }, 10s));
        // Everybody hears of the loss; the first leader after it dies as soon as it has sealed.
        bench.let_put = [&](std::size_t node, const core::Put& put) { return node == leader || put.key != head_key(); };
        bench.roll_back(old);
        ASSERT_TRUE(bench.run_until([&] { return bench.core(leader).leading(); }, 10s)) << seed;
        bench.kill(leader);
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
    CoreBench bench(story_config(), 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, 10s));
    const std::size_t victim = bench.leader() == 2 ? 1 : 2;
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

}  // namespace
}  // namespace parti::test
