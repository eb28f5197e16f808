// Planner: a strategy that works in steps is asked again until it is through, and no other; a fresh group always gets its plan.
#include <gtest/gtest.h>
#include <malloc.h>

#include "core/planner.h"

namespace parti::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class CountedStrategy : public Strategy {
public:
    CountedStrategy(std::shared_ptr<const Strategy> inner, bool in_steps) : inner_(std::move(inner)), in_steps_(in_steps) {}
    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        ++calls;
        return inner_->assign(input);
    }
    std::string_view name() const override { return inner_->name(); }
    bool works_in_steps() const override { return in_steps_; }

    mutable int calls = 0;

private:
    std::shared_ptr<const Strategy> inner_;
    bool in_steps_;
};

class PlannerTest : public testing::Test {
protected:
    void make(std::shared_ptr<const Strategy> strategy, std::size_t partitions = 20) {
        counted_ = std::make_shared<CountedStrategy>(strategy, strategy->works_in_steps());
        config_.group = "g";
        env_ = std::make_unique<Env>(config_, counted_, 1, 1);
        env_->now = Instant{} + std::chrono::hours(1);
        env_->out = &effects_;
        std::vector<Partition> list;
        for (std::size_t i = 0; i < partitions; ++i) list.push_back(Partition::from_id("p" + std::to_string(1000 + i)).value());
        planner_.set_partitions(make_partition_set(std::move(list)).value());
    }
    static std::vector<Member> members(std::uint32_t count) {
        std::vector<Member> out;
        for (std::uint32_t n = 0; n < count; ++n) out.push_back({{n}, {1}, 1, {}});
        return out;
    }
    // A group of two in which `from` owns everything, inherited.
    void inherit_all_on(std::uint32_t from, std::uint32_t workers) {
        planner_.begin(members(workers), false, counted_->works_in_steps(), 0);
        for (std::size_t i = 0; i < planner_.partitions()->size(); ++i) planner_.inherit(i, {from});
    }
    bool advance(const std::vector<Member>& who, bool in_force = true) {
        env_->wake = Instant::max();
        return planner_.advance(*env_, who, in_force);
    }
    std::size_t owned_by(std::uint32_t number) const {
        std::size_t out = 0;
        for (std::size_t i = 0; i < planner_.partitions()->size(); ++i) {
            if (planner_.target(i) == std::int64_t{number}) ++out;
        }
        return out;
    }

    Config config_;
    std::shared_ptr<CountedStrategy> counted_;
    std::unique_ptr<Env> env_;
    Effects effects_;
    Planner planner_;
};

TEST_F(PlannerTest, AsksInStepsUntilNothingChanges) {
    make(sticky({.max_moves = 4}));
    inherit_all_on(0, 2);
    // A new leader cannot know whether its predecessor was through: it asks at once.
    EXPECT_TRUE(planner_.unfinished());
    EXPECT_TRUE(advance(members(2)));
    EXPECT_EQ(owned_by(1), 4U);
    EXPECT_TRUE(planner_.unfinished());

    EXPECT_FALSE(advance(members(2)));  // not before the interval is over, and it wants to be woken then
    EXPECT_EQ(env_->wake, env_->now + config_.timing.min_rebalance_interval);
    env_->now += config_.timing.min_rebalance_interval;
    EXPECT_FALSE(advance(members(2), false));  // nor before the last plan is in force
    EXPECT_EQ(owned_by(1), 4U);
    EXPECT_TRUE(advance(members(2)));
    EXPECT_EQ(owned_by(1), 8U);

    env_->now += config_.timing.min_rebalance_interval;
    EXPECT_TRUE(advance(members(2)));
    EXPECT_EQ(owned_by(1), 10U);
    env_->now += config_.timing.min_rebalance_interval;
    EXPECT_FALSE(advance(members(2)));
    EXPECT_FALSE(planner_.unfinished());
    const int calls = counted_->calls;
    EXPECT_EQ(calls, 4);
    EXPECT_EQ(env_->stats.plans_by[static_cast<std::size_t>(PlanReason::step)], 4U);
    env_->now += 10 * config_.timing.min_rebalance_interval;
    EXPECT_FALSE(advance(members(2)));
    EXPECT_EQ(counted_->calls, calls);
    EXPECT_EQ(env_->wake, Instant::max());
}

TEST_F(PlannerTest, StepsKeepADistanceWithoutAnInterval) {
    config_.timing.min_rebalance_interval = Duration::zero();
    make(sticky({.max_moves = 4}));
    inherit_all_on(0, 2);
    EXPECT_TRUE(advance(members(2)));
    EXPECT_FALSE(advance(members(2)));
    EXPECT_EQ(env_->wake, env_->now + config_.timing.settle_pause);
    env_->now += config_.timing.settle_pause;
    EXPECT_TRUE(advance(members(2)));
}

TEST_F(PlannerTest, AJoinWithinStepsWaitsForItsWindowAndThenTakesPart) {
    make(sticky({.max_moves = 4}));
    inherit_all_on(0, 2);
    EXPECT_TRUE(advance(members(2)));
    EXPECT_FALSE(advance(members(3)));
    env_->now += config_.timing.min_rebalance_interval + config_.timing.settle_pause;
    EXPECT_TRUE(advance(members(3)));
    EXPECT_GT(owned_by(2), 0U);
    EXPECT_TRUE(planner_.unfinished());
}

TEST_F(PlannerTest, AsksOtherStrategiesOnce) {
    make(sticky());
    inherit_all_on(0, 2);
    EXPECT_FALSE(planner_.unfinished());
    env_->now += 10 * config_.timing.min_rebalance_interval;
    EXPECT_FALSE(advance(members(2)));
    EXPECT_EQ(counted_->calls, 0);
    EXPECT_FALSE(advance(members(3)));
    env_->now += config_.timing.settle_pause;
    EXPECT_TRUE(advance(members(3)));
    EXPECT_FALSE(planner_.unfinished());
    env_->now += 10 * config_.timing.min_rebalance_interval;
    EXPECT_FALSE(advance(members(3)));
    EXPECT_EQ(counted_->calls, 1);
}

// Its first leader wrote empty records for everybody and left before the window was over.
TEST_F(PlannerTest, AFreshGroupGetsItsPlanUnderTheSecondLeaderToo) {
    config_.cold_start = ColdStart::wait;
    make(sticky());
    planner_.begin(members(2), true, false, 0);
    EXPECT_FALSE(advance(members(2)));
    EXPECT_TRUE(planner_.settling());
    env_->now += config_.timing.cold_start_window;
    EXPECT_TRUE(advance(members(2)));
    EXPECT_EQ(owned_by(0), 10U);
    EXPECT_EQ(owned_by(1), 10U);
    EXPECT_TRUE(planner_.settled());
}

// Every worker of a process knows the partitions; what a plan needs for each of them only the leader may hold.
TEST_F(PlannerTest, OnlyALeaderHoldsATarget) {
    constexpr std::size_t kPartitions = 20'000;
    const auto live = [] { return static_cast<double>(::mallinfo2().uordblks); };
    // Under a sanitizer mallinfo2 is always 0.
    if (live() == 0) GTEST_SKIP() << "the allocator of this build does not count";
    std::vector<Partition> list;
    for (std::size_t i = 0; i < kPartitions; ++i) list.push_back(Partition::from_id("p" + std::to_string(100'000 + i)).value());
    const auto set = make_partition_set(std::move(list)).value();
    make(sticky());
    planner_.end();
    const double before = live();
    planner_.set_partitions(set);
    EXPECT_LT(live() - before, kPartitions);
    planner_.begin(members(2), false, false, 0);
    EXPECT_GT(live() - before, kPartitions);
    EXPECT_EQ(planner_.target(kPartitions - 1), Planner::kUnassigned);
    planner_.end();
    EXPECT_LT(live() - before, kPartitions);
}

TEST_F(PlannerTest, TheSetMayChangeAfterALeadership) {
    make(sticky(), 4);
    inherit_all_on(1, 2);
    planner_.end();
    std::vector<Partition> list;
    for (std::size_t i = 0; i < 6; ++i) list.push_back(Partition::from_id("p" + std::to_string(1002 + i)).value());
    planner_.set_partitions(make_partition_set(std::move(list)).value());
    planner_.begin(members(2), false, false, 0);  // and the next leadership inherits nothing of the last one
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(planner_.target(i), Planner::kUnassigned);
}

}  // namespace
}  // namespace parti::core
