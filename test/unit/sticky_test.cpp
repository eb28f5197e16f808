// Sticky: balance, minimal movement, stickiness. Several cases are those that librdkafka tests its sticky assignor with, as
// properties.
#include "strategy_cases.h"

#include <iostream>
#include <map>

namespace parti::assign {
namespace {

const Strategy& strategy() {
    static const std::shared_ptr<const Strategy> one = sticky();
    return *one;
}

// At equal weights and capacities: loads differ by at most one.
void expect_even(const Group& group) {
    const auto counts = group.counts();
    EXPECT_LE(*std::max_element(counts.begin(), counts.end()) - *std::min_element(counts.begin(), counts.end()), 1);
}
void expect_at_rest(Group group) {
    const auto owners = group.owners();
    EXPECT_EQ(group.plan(strategy()).moved, 0U);
    EXPECT_EQ(group.owners(), owners);
}
// The fewest moves that make equal partitions even, given what each worker holds (orphans already placed at will).
std::uint64_t fewest_moves(std::vector<std::int64_t> held, std::int64_t partitions) {
    std::sort(held.rbegin(), held.rend());
    const auto workers = static_cast<std::int64_t>(held.size());
    std::int64_t moves = 0;
    for (std::int64_t i = 0; i < workers; ++i) {
        const std::int64_t quota = partitions / workers + (i < partitions % workers ? 1 : 0);
        moves += std::max<std::int64_t>(0, held[static_cast<std::size_t>(i)] - quota);
    }
    return static_cast<std::uint64_t>(moves);
}

TEST(Sticky, ReachesEvenLoadWithTheFewestMoves) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 500; ++round) {
        SCOPED_TRACE(round);
        const std::uint64_t workers = 1 + rng.below(20);
        const std::uint64_t count = rng.below(200);
        Group group(workers, equal_partitions(count));
        std::vector<std::int64_t> held(workers);
        for (std::size_t i = 0; i < count; ++i) {
            if (rng.chance(1, 5)) continue;
            const std::uint64_t owner = rng.below(1 + rng.below(workers));
            ++held[owner];
            group.own(i, static_cast<std::uint32_t>(owner));
        }
        const PlanMeasure measure = group.plan(strategy());
        expect_even(group);
        EXPECT_EQ(measure.moved, fewest_moves(held, static_cast<std::int64_t>(count)));
        expect_at_rest(group);
        if (testing::Test::HasFailure()) return;
    }
}

TEST(Sticky, HoldsItsBoundForAnyWeightsAndCapacities) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 500; ++round) {
        std::vector<std::int64_t> weights;
        const std::uint64_t count = 1 + rng.below(150);
        for (std::uint64_t i = 0; i < count; ++i)
            weights.push_back(1 + static_cast<std::int64_t>(rng.below(1U << rng.below(30))));
        Group group(0, partitions_with(weights));
        const std::uint64_t workers = 1 + rng.below(15);
        for (std::uint32_t n = 0; n < workers; ++n) group.join(n, static_cast<std::uint32_t>(1 + rng.below(1U << rng.below(20))));
        for (std::size_t i = 0; i < count; ++i) {
            if (rng.chance(4, 5)) group.own(i, static_cast<std::uint32_t>(rng.below(workers)));
        }
        for (const double epsilon : {0.0, 0.05, 1.0}) {
            SCOPED_TRACE(testing::Message() << "round " << round << ", epsilon " << epsilon);
            const auto tolerant = sticky({.epsilon = epsilon});
            Group tried = group;
            tried.plan(*tolerant);
            std::map<std::int64_t, std::int64_t> load;
            for (std::size_t i = 0; i < count; ++i) load[tried.owners()[i]] += weights[i];
            double capacity = 0;
            for (const StrategyWorker& w : tried.workers()) capacity += w.capacity;
            for (const StrategyWorker& w : tried.workers()) {
                const double fair = static_cast<double>(tried.total_weight()) * w.capacity / capacity;
                EXPECT_LE(static_cast<double>(load[w.number.value]),
                          (1 + epsilon) * fair * (1 + 1e-9) + static_cast<double>(tried.heaviest()));
            }
            Group again = tried;
            EXPECT_EQ(again.plan(*tolerant).moved, 0U);
            if (testing::Test::HasFailure()) return;
        }
    }
}

TEST(Sticky, FollowsCapacity) {
    Group group(0, equal_partitions(800));
    group.join(0, 1);
    group.join(1, 2);
    group.join(2, 5);
    group.plan(strategy());
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{100, 200, 500}));
    group.leave(1);
    group.join(1, 4);  // came back larger
    group.plan(strategy());
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{80, 320, 400}));
}

struct Step {
    double max_over_fair;
    double moved;    // share of the weight
    double minimum;  // theoretical
};
Step join_one(Group& group, std::uint32_t number) {
    group.join(number);
    const PlanMeasure m = group.plan(strategy());
    return {m.max_over_fair, static_cast<double>(m.moved_weight) / static_cast<double>(m.total_weight),
            1.0 / static_cast<double>(group.workers().size())};
}

TEST(Sticky, MovesTheMinimumForEqualWeights) {
    for (const auto& [partitions, workers] : {std::pair{256U, 10U}, std::pair{1024U, 16U}, std::pair{500U, 50U}}) {
        Group group(workers, equal_partitions(partitions));
        EXPECT_EQ(group.plan(strategy()).moved, 0U);
        expect_even(group);
        const Step joined = join_one(group, workers);
        EXPECT_LE(joined.moved, joined.minimum + 1e-9) << partitions << "/" << workers;
        expect_even(group);
        expect_at_rest(group);
        // One goes: only what it had changes hands, and nothing of the others moves.
        group.leave(workers / 2);
        EXPECT_EQ(group.plan(strategy()).moved, 0U);
        expect_even(group);
    }
}

TEST(Sticky, StaysEvenAndNearTheMinimumForZipfWeights) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 20; ++round) {
        SCOPED_TRACE(round);
        Group group(16, zipf_partitions(1024, 0.6, rng.next()));
        EXPECT_LE(group.plan(strategy()).max_over_fair, 1.02);
        const Step joined = join_one(group, 16);
        EXPECT_LE(joined.max_over_fair, 1.02);
        EXPECT_LE(joined.moved, 1.8 * joined.minimum);
        expect_at_rest(group);
        // One goes. Its own partitions must move; when the heaviest is among them, room must be made for it.
        const auto gone = static_cast<std::uint32_t>(rng.below(16));
        std::int64_t orphaned = 0;
        for (std::size_t i = 0; i < 1024; ++i) orphaned += group.owners()[i] == gone ? group.partitions()[i].weight() : 0;
        group.leave(gone);
        const PlanMeasure left = group.plan(strategy());
        EXPECT_LE(left.max_over_fair, 1.02);
        EXPECT_LE(static_cast<double>(left.moved_weight + orphaned), 1.8 * static_cast<double>(orphaned));
        expect_at_rest(group);
        if (round == 0) {
            std::cout << "[ figure   ] zipf 1024p/16w: +1 max/mean " << joined.max_over_fair << ", moved " << joined.moved
                      << " (minimum " << joined.minimum << "); -1 max/mean " << left.max_over_fair << ", moved beyond orphans "
                      << static_cast<double>(left.moved_weight) / static_cast<double>(left.total_weight) << '\n';
        }
    }
}

TEST(Sticky, AHugePartitionDoesNotKeepTheOthersUneven) {
    Group group(4, partitions_with({1'000'000, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
    for (std::size_t i = 0; i < 10; ++i) group.own(i, i < 1 ? 0 : 1);
    EXPECT_EQ(group.plan(strategy()).moved, 6U);
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{1, 3, 3, 3}));
}

TEST(Sticky, ToleratesWhatEpsilonAllows) {
    Group group(2, equal_partitions(100));
    for (std::size_t i = 0; i < 100; ++i) group.own(i, i < 54 ? 0 : 1);
    EXPECT_EQ(Group(group).plan(*sticky({.epsilon = 0.08})).moved, 0U);
    EXPECT_EQ(Group(group).plan(*sticky({.epsilon = 0.07})).moved, 1U);
    EXPECT_EQ(Group(group).plan(*sticky()).moved, 4U);
    EXPECT_EQ(Group(group).plan(*sticky({.epsilon = -1})).moved, 4U);
    EXPECT_EQ(Group(group).plan(*sticky({.epsilon = std::nan("")})).moved, 4U);
}

TEST(Sticky, KeepsOwnersAsPartitionsComeAndGo) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    Group group(7, equal_partitions(100));
    group.plan(strategy());
    for (int round = 0; round < 100; ++round) {
        SCOPED_TRACE(round);
        const auto pool = equal_partitions(200);
        std::vector<Partition> some;
        for (const Partition& p : pool) {
            if (rng.chance(1, 2)) some.push_back(p);
        }
        group.set_partitions(std::move(some));
        std::vector<std::int64_t> held(7);
        for (const std::int64_t owner : group.owners()) {
            if (owner >= 0) ++held[static_cast<std::size_t>(owner)];
        }
        const PlanMeasure measure = group.plan(strategy());
        EXPECT_EQ(measure.moved, fewest_moves(held, static_cast<std::int64_t>(group.partitions().size())));
        expect_even(group);
    }
}

// ---- librdkafka's cases ----------------------------------------------------------------------------------------------------

TEST(Sticky, AddRemoveConsumerOneTopic) {
    Group group(1, equal_partitions(3));
    group.plan(strategy());
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{3}));
    group.join(1);
    EXPECT_EQ(group.plan(strategy()).moved, 1U);
    expect_even(group);
    group.leave(0);
    EXPECT_EQ(group.plan(strategy()).moved, 0U);
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{3}));
}

TEST(Sticky, ReassignmentAfterOneConsumerLeaves) {
    Group group(19, equal_partitions(190));
    group.plan(strategy());
    group.leave(9);
    EXPECT_EQ(group.plan(strategy()).moved, 0U);
    expect_even(group);
    expect_at_rest(group);
}

TEST(Sticky, ReassignmentAfterOneConsumerAdded) {
    Group group(8, equal_partitions(20));
    group.plan(strategy());
    group.join(8);
    EXPECT_EQ(group.plan(strategy()).moved, 2U);
    expect_even(group);
}

TEST(Sticky, LargeAssignmentWithMultipleConsumersLeaving) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    Group group(200, equal_partitions(820));
    group.plan(strategy());
    expect_even(group);
    for (int gone = 0; gone < 50; ++gone) group.leave(static_cast<std::uint32_t>(rng.below(200)));
    // Survivors were even to one, so only the orphans change hands, and a few that even out the rest.
    const PlanMeasure measure = group.plan(strategy());
    EXPECT_EQ(measure.moved, 0U);
    expect_even(group);
    expect_at_rest(group);
}

TEST(Sticky, MoveExistingAssignments) {
    Group group(3, equal_partitions(6));
    for (std::size_t i = 0; i < 6; ++i) group.own(i, i == 5 ? 1 : 0);
    EXPECT_EQ(group.plan(strategy()).moved, 3U);
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{2, 2, 2}));
}

TEST(Sticky, NoReassignmentOnCurrentMembers) {
    Group group(4, equal_partitions(10));
    group.own(0, 0);
    group.own(1, 1);
    group.own(2, 2);
    EXPECT_EQ(group.plan(strategy()).moved, 0U);
    EXPECT_EQ(group.owners()[0], 0);
    EXPECT_EQ(group.owners()[1], 1);
    EXPECT_EQ(group.owners()[2], 2);
    expect_even(group);
}

TEST(Sticky, OwnersThatAreGoneAreForgotten) {
    Group group(3, equal_partitions(9));
    for (std::size_t i = 0; i < 9; ++i) group.own(i, 77);
    EXPECT_EQ(group.plan(strategy()).moved, 0U);
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{3, 3, 3}));
}

TEST(Sticky, AllConsumersReachTheirQuota) {
    Group group(3, equal_partitions(10));
    for (std::size_t i = 0; i < 10; ++i) group.own(i, static_cast<std::uint32_t>(i < 4 ? 0 : i < 7 ? 1 : 2));
    EXPECT_EQ(group.plan(strategy()).moved, 0U);
    EXPECT_EQ(group.counts(), (std::vector<std::int64_t>{4, 3, 3}));
}

}  // namespace
}  // namespace parti::assign
