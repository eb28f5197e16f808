// Weighted consistent hash and rendezvous: the load bound, capacity, movement; and the logarithm that rendezvous ranks by.
#include "strategy_cases.h"

#include "assign/fixed_log.h"

namespace parti::assign {
namespace {

struct Bounded {
    std::string_view name;
    std::shared_ptr<const Strategy> (*make)(std::uint64_t seed, double load_bound);
};
constexpr std::array<Bounded, 2> kBounded = {{
    {"weighted_consistent_hash",
     [](std::uint64_t seed, double bound) { return weighted_consistent_hash({.seed = seed, .load_bound = bound}); }},
    {"rendezvous", [](std::uint64_t seed, double bound) { return rendezvous({.seed = seed, .load_bound = bound}); }},
}};

// load <= max(bound * fair share rounded up, fair share + the heaviest partition), in whole numbers.
void expect_bound(const Group& group, std::int64_t percent) {
    __extension__ using Wide = __int128;
    const Wide capacity = group.total_capacity();
    const auto loads = group.loads();
    for (std::size_t i = 0; i < loads.size(); ++i) {
        const Wide share = Wide{group.total_weight()} * group.workers()[i].capacity;  // times the total capacity
        const bool within = Wide{loads[i] - 1} * capacity * 100 < share * percent;
        EXPECT_TRUE(within || Wide{loads[i] - group.heaviest()} * capacity <= share) << "worker " << i << ", load " << loads[i];
    }
}

TEST(BoundedHash, HoldsItsBoundForAnyGroup) {
    const std::uint64_t seed = strategy_seed();
    SCOPED_TRACE(strategy_replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 80; ++round) {
        const Group group = draw_group(rng);
        for (const Bounded& bounded : kBounded) {
            for (const std::int64_t percent : {101, 125, 200}) {
                SCOPED_TRACE(testing::Message() << bounded.name << ", bound " << percent << " %, round " << round);
                Group tried = group;
                tried.plan(*bounded.make(rng.next(), static_cast<double>(percent) / 100));
                expect_bound(tried, percent);
                if (testing::Test::HasFailure()) return;
            }
        }
    }
}

TEST(BoundedHash, KeepsTheBoundExactlyForEqualWeights) {
    for (const Bounded& bounded : kBounded) {
        SCOPED_TRACE(bounded.name);
        Group group(16, equal_partitions(1600));
        group.plan(*bounded.make(1, 1.1));
        const auto loads = group.loads();
        EXPECT_EQ(*std::max_element(loads.begin(), loads.end()), 110);  // and somebody is at it: both hashes alone are less even
    }
}

TEST(BoundedHash, GivesEmptyWorkersSomething) {
    for (const Bounded& bounded : kBounded) {
        SCOPED_TRACE(bounded.name);
        Group few(10, partitions_with({1000, 1000, 1000, 999, 998, 997}));  // a fair share is less than any of them
        few.plan(*bounded.make(1, 1.25));
        const auto loads = few.loads();
        EXPECT_EQ(std::count(loads.begin(), loads.end(), 0), 4);
    }
}

// Far from the bound these are plain hashes: who comes takes from all and nobody else moves; who goes gives to all.
TEST(BoundedHash, MovesOnlyToTheOneThatCameWhileNothingIsFull) {
    for (const Bounded& bounded : kBounded) {
        SCOPED_TRACE(bounded.name);
        const auto strategy = bounded.make(3, 10);
        Group group(0, equal_partitions(2000));
        for (std::uint32_t n = 0; n < 12; ++n) group.join(n, 1 + n % 4);
        group.plan(*strategy);
        const auto before = group.owners();
        group.join(99, 3);
        EXPECT_GT(group.plan(*strategy).moved, 0U);
        for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(group.owners()[i] == before[i] || group.owners()[i] == 99);
        group.leave(99);
        EXPECT_EQ(group.plan(*strategy).moved, 0U);
        EXPECT_EQ(group.owners(), before);
    }
}

// Of counts that should be in proportion to capacity.
double chi_square(const std::vector<std::int64_t>& counts, const Group& group) {
    std::int64_t total = 0;
    for (const std::int64_t count : counts) total += count;
    double out = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const double expected =
            static_cast<double>(total) * group.workers()[i].capacity / static_cast<double>(group.total_capacity());
        out += (static_cast<double>(counts[i]) - expected) * (static_cast<double>(counts[i]) - expected) / expected;
    }
    return out;
}

TEST(Rendezvous, GivesEachWorkerItsShareByCapacity) {
    Group group(0, equal_partitions(40'000));
    for (std::uint32_t n = 0; n < 16; ++n) group.join(n, 1 + n % 5);
    group.plan(*rendezvous({.load_bound = 10}));
    EXPECT_LT(chi_square(group.counts(), group), 37.7);  // 15 degrees of freedom, 1 in 1,000
    EXPECT_GT(chi_square(group.counts(), group), 3.0);   // nor more even than chance
    // Second choices are as independent: what a leaver had goes to all by capacity.
    const auto before = group.counts();
    group.leave(15);
    group.plan(*rendezvous({.load_bound = 10}));
    auto gained = group.counts();
    for (std::size_t i = 0; i < gained.size(); ++i) gained[i] -= before[i];
    EXPECT_LT(chi_square(gained, group), 36.1);
}

TEST(Rendezvous, DependsOnItsSeed) {
    const auto owners = [](std::uint64_t seed) {
        Group group(10, equal_partitions(500));
        group.plan(*rendezvous({.seed = seed}));
        return group.owners();
    };
    EXPECT_EQ(owners(1), owners(1));
    EXPECT_NE(owners(1), owners(2));
}

TEST(FixedLog, IsTheLogarithm) {
    constexpr double kUnit = 1.0 / (1ULL << 57U);
    base::Rng rng(strategy_seed());
    for (int i = 0; i < 20'000; ++i) {
        const std::uint64_t x = rng.next() >> rng.below(64);
        const long double exact =
            x == 0 ? 44.361419555836499802L : -std::log(static_cast<long double>(x) / 18446744073709551616.0L);
        EXPECT_NEAR(static_cast<double>(neg_log(x)) * kUnit, static_cast<double>(exact), 1e-14 * (1 + static_cast<double>(exact)))
            << x;
    }
    // Never below 1 - u: rendezvous skips by that.
    for (int i = 0; i < 20'000; ++i) {
        const std::uint64_t x = ~(rng.next() >> rng.below(64));
        EXPECT_GE(neg_log(x) + 32, (0 - x) >> 7U) << x;
    }
    EXPECT_GT(neg_log(1), neg_log(2));
    EXPECT_GT(neg_log(1ULL << 63U), neg_log((1ULL << 63U) + (1ULL << 20U)));
}

}  // namespace
}  // namespace parti::assign
