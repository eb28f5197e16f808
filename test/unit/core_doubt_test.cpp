// Stories of doubt: what a leader must see in the records and leases alone, and what it must not take for more than it is.
#include <gtest/gtest.h>

#include "core_bench.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLong = 20s;

// A worker that takes this number and no other.
Config numbered(std::uint32_t number) {
    Config out = story_config();
    out.number_min = out.number_max = number;
    return out;
}

AssignmentPtr record_of(CoreBench& bench, std::size_t node) {
    return std::get<AssignmentPtr>(bench.store().at({Bucket::assignment, worker_key(*bench.core(node).number())}).value);
}

// From now on only this node's puts of the head arrive.
void only_may_lead(CoreBench& bench, std::size_t who) {
    bench.let_put = [who](std::size_t node, const core::Put& put) { return node == who || put.key != head_key(); };
}

TEST(CoreDoubt, WhatALeaderInDoubtHasSealedIsEnoughForItsSuccessorToDoubt) {
    Config config = story_config();
    config.timing.drain_timeout = 10s;
    CoreBench bench(config, 12);
    bench.add();
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 6; }, kLong));
    const auto old = bench.copy(Bucket::assignment);
    const std::size_t leader = bench.leader();
    const std::size_t holder = 1 - leader;
    bench.scribble(Bucket::assignment, control_key(),
                   std::make_shared<const ControlRecord>(ControlRecord{.drain = {to_string(bench.core(leader).session())}}));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(holder).tokens.size() == 12; }, kLong));
    // The records of before: they give six of the holder's to the leader. It is in doubt, says so in every record, and dies.
    bench.node(holder).release_at_once = false;
    only_may_lead(bench, leader);
    bench.roll_back(old);
    ASSERT_TRUE(bench.run_until([&] { return bench.core(leader).leading() && bench.node(holder).draining.size() == 6; }, kLong));
    bench.run_for(50ms);
    ASSERT_TRUE(bench.core(leader).leading() && record_of(bench, holder)->keep_only);
    bench.kill(leader);
    const std::size_t stranger = bench.add(config);  // it comes after the loss: no epoch, session or version is out of place
    only_may_lead(bench, stranger);
    int most = 0;
    ASSERT_TRUE(bench.run_until([&] { return bench.core(stranger).leading(); }, kLong, most));
    (void)bench.run_until([] { return false; }, 1s, most);
    EXPECT_LE(most, 1);
    EXPECT_TRUE(bench.node(stranger).tokens.empty());
    bench.node(holder).release_at_once = true;
    bench.feed(holder, core::ReleaseDone{bench.node(holder).unreleased});
    EXPECT_TRUE(bench.run_until([&] { return bench.covered(); }, kLong, most));
    EXPECT_LE(most, 1);
}

// The records of before take two of its partitions from a worker, and do not name them in `revoking`.
TEST(CoreDoubt, WhoHasToReleaseWhatOldRecordsDoNotListMayUseItsDrainTimeout) {
    Config config = story_config();
    config.timing.grant_timeout = config.timing.drain_timeout;
    CoreBench bench(config, 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, kLong));
    const auto old = bench.copy(Bucket::assignment);
    const std::size_t leader = bench.leader();
    const std::size_t holder = (leader + 1) % 3;
    const std::size_t other = (leader + 2) % 3;
    bench.scribble(Bucket::assignment, control_key(),
                   std::make_shared<const ControlRecord>(ControlRecord{.drain = {to_string(bench.core(other).session())}}));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(holder).tokens.size() == 6; }, kLong));
    bench.node(holder).release_at_once = false;
    only_may_lead(bench, leader);
    bench.roll_back(old);
    int most = 0;
    const auto again = [&] { return bench.core(holder).stats().drain_timeouts > 0 && bench.covered(); };
    EXPECT_TRUE(bench.run_until(again, kLong, most));
    EXPECT_LE(most, 1);
    EXPECT_EQ(bench.core(holder).incarnation().value, 1U) << "evicted, with all that it may keep";
}

TEST(CoreDoubt, ALivingSessionThatHasAppliedARecordWhichIsNotThereIsWaitedFor) {
    CoreBench bench(story_config(), 12);
    const std::size_t leader = bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.core(leader).at_rest(); }, kLong));
    const auto old = bench.copy(Bucket::assignment);
    const std::size_t holder = bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(holder).tokens.size() == 6; }, kLong));
    only_may_lead(bench, leader);
    bench.feed(leader, core::Stop{});
    ASSERT_TRUE(bench.run_until([&] { return bench.core(leader).state() == State::stopped; }, kLong));
    ASSERT_EQ(bench.node(holder).tokens.size(), 6U);
    bench.cut(holder);  // it cannot say that it knows of a loss, and owns what it owns until its lease is over
    bench.roll_back(old);
    const std::size_t stranger = bench.add();
    only_may_lead(bench, stranger);
    int most = 0;
    EXPECT_TRUE(bench.run_until([&] { return bench.node(stranger).tokens.size() == 12; }, kLong, most));
    EXPECT_LE(most, 1);
    EXPECT_TRUE(bench.node(stranger).said("grants nothing before every session has acknowledged it"));
}

TEST(CoreDoubt, AnOldRecordThatIsPutBackWhileALeaderStandsGivesNothingThatAnotherHas) {
    CoreBench bench(story_config(), 12);
    for (int i = 0; i < 2; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 6; }, kLong));
    const std::size_t leader = bench.leader();
    const std::size_t other = 1 - leader;
    const AssignmentPtr old = record_of(bench, other);
    const std::size_t third = bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(third).tokens.size() == 4; }, kLong));
    bench.kill(leader);
    bool put_back = false;
    bench.let_put = [&](std::size_t, const core::Put& put) {  // the first that stands has looked at the records already
        if (put_back || put.key != head_key()) return true;
        put_back = true;
        bench.scribble(Bucket::assignment, worker_key(*bench.core(other).number()), old);
        return true;
    };
    int most = 0;
    EXPECT_TRUE(bench.run_until([&] { return put_back && bench.leaders() == 1 && bench.covered(); }, kLong, most));
    EXPECT_LE(most, 1);
}

// Two of what the old record lists are the third's by now. Whose they will be is the higher number's record's to say; before that
// the third has to give them back, and is slow.
TEST(CoreDoubt, AnOldRecordThatIsPutBackWhileNobodyLeadsGivesNothingThatAnotherHasOrHasToRelease) {
    for (const bool lower : {false, true}) {
        CoreBench bench(story_config(), 12);
        const std::size_t leader = bench.add(numbered(0));
        const std::size_t other = bench.add(numbered(lower ? 2 : 1));
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(other).tokens.size() == 6; }, kLong));
        const AssignmentPtr old = record_of(bench, other);
        const std::size_t third = bench.add(numbered(lower ? 1 : 2));
        ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(third).tokens.size() == 4; }, kLong));
        bench.node(third).release_at_once = false;  // until the drain timeout
        bench.kill(leader);
        bench.scribble(Bucket::assignment, worker_key(*bench.core(other).number()), old);
        // The other's first word of the new epoch is lost: the doubt lasts until its next attempt.
        bool lost = false;
        bench.let_put = [&](std::size_t node, const core::Put& put) {
            const auto* lease = std::get_if<LeasePtr>(&put.record);
            const bool lose = !lost && node == other && lease != nullptr && (*lease)->applied.epoch > Epoch{1};
            lost = lost || lose;
            return !lose;
        };
        int most = 0;
        const auto done = [&] { return bench.leaders() == 1 && bench.core(other).applied().epoch > Epoch{1} && bench.covered(); };
        EXPECT_TRUE(bench.run_until(done, kLong, most));
        EXPECT_LE(most, 1);
        EXPECT_TRUE(lost);
    }
}

TEST(CoreDoubt, WhatOnlyADeadSessionsRecordListsAsWellIsNotTakenAway) {
    CoreBench bench(story_config(), 12);
    const std::size_t leader = bench.add(numbered(0));
    const std::size_t keeper = bench.add(numbered(1));
    const std::size_t dead = bench.add(numbered(2));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(dead).tokens.size() == 4; }, kLong));
    const AssignmentPtr record_of_dead = record_of(bench, dead);
    const Key key_of_dead = worker_key(*bench.core(dead).number());
    bench.kill(dead);
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(keeper).tokens.size() == 6; }, kLong));
    const AssignmentPtr record_of_keeper = record_of(bench, keeper);
    const std::size_t fourth = bench.add(numbered(3));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(fourth).tokens.size() == 4; }, kLong));
    std::map<std::uint64_t, std::string> both;  // the keeper has them; the dead one's record lists them, too
    for (const auto& [grant, partition] : bench.node(keeper).tokens) {
        for (const Partition& listed : record_of_dead->partitions) {
            if (listed.id() == partition) both[grant] = partition;
        }
    }
    ASSERT_FALSE(both.empty());
    bench.kill(leader);
    bench.scribble(Bucket::assignment, key_of_dead, record_of_dead);
    bench.scribble(Bucket::assignment, worker_key(*bench.core(keeper).number()), record_of_keeper);
    // The dead one's record stays as it is until after the doubt.
    bool held_up = true;
    bench.let_put = [&](std::size_t, const core::Put& put) {
        const auto* record = std::get_if<AssignmentPtr>(&put.record);
        return !held_up || record == nullptr || put.key != key_of_dead || !(*record)->partitions.empty();
    };
    const auto granting_again = [&] { return bench.node(bench.core(keeper).leading() ? keeper : fourth).said("granting again"); };
    int most = 0;
    ASSERT_TRUE(bench.run_until(granting_again, kLong, most));
    bench.run_for(200ms);
    held_up = false;
    EXPECT_TRUE(bench.run_until([&] { return bench.covered(); }, kLong, most));
    EXPECT_LE(most, 1);
    for (const auto& [grant, partition] : both) {
        EXPECT_TRUE(bench.node(keeper).tokens.contains(grant)) << partition << " was taken away";
    }
}

TEST(CoreDoubt, ARecordThatAnOperatorRemovedIsNoLossOfTheOthers) {
    CoreBench bench(story_config(), 12);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(2).tokens.size() == 4; }, kLong));
    const std::size_t leader = bench.leader();
    const std::size_t victim = (leader + 1) % 3;
    const std::size_t next = (leader + 2) % 3;
    bench.kill(leader);
    only_may_lead(bench, next);
    bench.scribble(Bucket::assignment, worker_key(*bench.core(victim).number()), Absent{});
    int most = 0;
    ASSERT_TRUE(bench.run_until([&] { return bench.core(next).leading() && bench.covered(); }, kLong, most));
    EXPECT_LE(most, 1);
    EXPECT_TRUE(bench.node(next).said("is replaced by an empty one: it was deleted"));
    EXPECT_FALSE(bench.node(next).said("the assignments went back or were lost"));
}

}  // namespace
}  // namespace parti::test
