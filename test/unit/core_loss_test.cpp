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

}  // namespace
}  // namespace parti::test
