// Stories of a few cores around one store: what a group does when nothing, or exactly one thing, goes wrong. P-1 to P-5, P-8.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>

#include "core_bench.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

const Duration kSilence = 1200ms;  // ttl + margin

std::vector<std::size_t> owned(CoreBench& bench) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < bench.size(); ++i) {
        if (!bench.node(i).dead) out.push_back(bench.node(i).tokens.size());
    }
    return out;
}

TEST(CoreStory, OneWorkerBecomesStableAndOwnsAll) {
    CoreBench bench(story_config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    EXPECT_TRUE(bench.core(0).leading());
    EXPECT_EQ(bench.node(0).states, (std::vector<State>{State::claiming_id, State::waiting_assignment, State::stable}));
    bench.run_for(10s);
    EXPECT_TRUE(bench.covered());
    EXPECT_TRUE(bench.core(0).at_rest());
}

TEST(CoreStory, FiftyWorkersStartTogetherAndBalance) {
    Config c = story_config();
    c.expected_workers = 50;
    CoreBench bench(c, 500);
    for (int i = 0; i < 50; ++i) bench.add();
    const core::Instant begin = bench.now();
    const auto balanced = [&] {
        if (!bench.covered()) return false;
        const auto counts = owned(bench);
        return *std::max_element(counts.begin(), counts.end()) == 10;
    };
    ASSERT_TRUE(bench.run_until(balanced, 5s));
    EXPECT_LT(bench.now() - begin, 250ms);
    EXPECT_EQ(bench.leaders(), 1U);
    std::set<std::uint32_t> numbers;
    std::uint64_t claims = 0;
    for (std::size_t i = 0; i < 50; ++i) {
        numbers.insert(bench.core(i).number()->value);
        claims += bench.core(i).stats().claims_attempted;
    }
    EXPECT_EQ(numbers.size(), 50U);
    EXPECT_LT(claims, 50U * 4);
}

TEST(CoreStory, AJoinerIsServedWithoutTouchingWhatDoesNotMove) {
    CoreBench bench(story_config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    bench.run_for(3s);
    const auto before = bench.node(0).tokens;
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && bench.node(1).tokens.size() == 10; }, 5s));
    for (const auto& [grant, partition] : bench.node(0).tokens)
        EXPECT_TRUE(before.contains(grant)) << partition << " was granted anew";
    EXPECT_EQ(bench.node(0).tokens.size(), 10U);
}

TEST(CoreStory, AGracefulLeaveHandsOverAtOnce) {
    CoreBench bench(story_config(), 20);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 3s));
    bench.run_for(3s);
    for (std::size_t i = 0; i < 3; ++i) {
        if (bench.core(i).leading()) continue;
        const core::Instant begin = bench.now();
        bench.feed(i, core::Stop{});
        ASSERT_TRUE(bench.run_until([&] { return bench.core(i).state() == State::stopped && bench.covered(); }, 1s));
        EXPECT_LT(bench.now() - begin, 20ms);
        return;
    }
    FAIL() << "no follower";
}

TEST(CoreStory, ALeavingLeaderIsReplacedWhileItDrains) {
    CoreBench bench(story_config(), 20);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 3s));
    bench.run_for(3s);
    for (std::size_t i = 0; i < 3; ++i) {
        if (!bench.core(i).leading()) continue;
        const core::Instant begin = bench.now();
        bench.feed(i, core::Stop{});
        ASSERT_TRUE(bench.run_until([&] { return bench.core(i).state() == State::stopped && bench.covered(); }, 1s));
        EXPECT_LT(bench.now() - begin, 100ms);
        EXPECT_EQ(bench.leaders(), 1U);
        return;
    }
    FAIL() << "no leader";
}

// The leader's two standbys go with it: nobody waits for them.
TEST(CoreStory, WhoStaysWhenAllTheOthersLeaveAtOnceOwnsEverythingAtOnce) {
    CoreBench bench(story_config(), 20);
    for (int i = 0; i < 5; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 3s));
    bench.run_for(3s);
    ASSERT_FALSE(bench.core(4).leading());
    const core::Instant begin = bench.now();
    for (std::size_t i = 0; i < 4; ++i) bench.feed(i, core::Stop{});
    ASSERT_TRUE(bench.run_until([&] { return bench.core(4).leading() && bench.covered(); }, 3s));
    EXPECT_LT(bench.now() - begin, 40ms);  // who waits for standbys stands after 50 ms at the earliest
}

TEST(CoreStory, ACrashedFollowersPartitionsAreOwnedAgainWithinTtlPlusMargin) {
    CoreBench bench(story_config(), 30);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 3s));
    bench.run_for(3s);
    for (std::size_t i = 0; i < 3; ++i) {
        if (bench.core(i).leading()) continue;
        bench.node(i).dead = true;
        bench.node(i).tokens.clear();
        const core::Instant begin = bench.now();
        ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
        EXPECT_LT(bench.now() - begin, kSilence + 100ms);
        return;
    }
    FAIL() << "no follower";
}

TEST(CoreStory, ACrashedLeaderIsReplacedAndTheOthersNeverPause) {
    CoreBench bench(story_config(), 30);
    for (int i = 0; i < 4; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 3s));
    bench.run_for(3s);
    std::map<std::size_t, std::map<std::uint64_t, std::string>> before;
    std::size_t leader = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        if (bench.core(i).leading()) leader = i;
        else before[i] = bench.node(i).tokens;
    }
    bench.node(leader).dead = true;
    bench.node(leader).tokens.clear();
    const core::Instant begin = bench.now();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    EXPECT_LT(bench.now() - begin, kSilence + 200ms);
    EXPECT_EQ(bench.leaders(), 1U);
    for (const auto& [index, tokens] : before) {
        for (const auto& [grant, partition] : tokens) EXPECT_TRUE(bench.node(index).tokens.contains(grant)) << partition;
    }
}

TEST(CoreStory, ACutOffWorkerGivesEverythingBackBeforeAnybodyElseGetsIt) {
    CoreBench bench(story_config(), 20);
    for (int i = 0; i < 3; ++i) bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 3s));
    bench.run_for(3s);
    const std::size_t victim = bench.core(0).leading() ? 1 : 0;
    bench.node(victim).cut = true;
    std::set<std::string> mine;
    for (const auto& [grant, partition] : bench.node(victim).tokens) mine.insert(partition);
    const auto others_have_any = [&] {
        for (std::size_t i = 0; i < 3; ++i) {
            if (i == victim) continue;
            for (const auto& [grant, partition] : bench.node(i).tokens) {
                if (mine.contains(partition)) return true;
            }
        }
        return false;
    };
    ASSERT_TRUE(bench.run_until(others_have_any, 5s));
    EXPECT_TRUE(bench.node(victim).tokens.empty());
    EXPECT_FALSE(bench.core(victim).number().has_value());
    bench.node(victim).cut = false;
    bench.feed(victim, core::Tick{});
    ASSERT_TRUE(bench.run_until([&] { return bench.covered() && !bench.node(victim).tokens.empty(); }, 10s));
}

// Two workers of different timing, as amid a rolling change of it: who is silent is judged by what its own lease says.
class CoreMixedTiming : public testing::Test {
protected:
    static Config slow() {
        Config out = story_config();
        out.timing.ttl = 4s;
        out.timing.margin = 800ms;
        out.timing.heartbeat = 1200ms;
        return out;
    }
    // The first one leads.
    void start(const Config& first, const Config& second) {
        bench_.add(first);
        ASSERT_TRUE(bench_.run_until([&] { return bench_.covered(); }, 3s));
        bench_.add(second);
        ASSERT_TRUE(bench_.run_until([&] { return bench_.covered() && !bench_.node(1).tokens.empty(); }, 10s));
        bench_.run_for(3s);
        ASSERT_TRUE(bench_.core(0).leading());
    }
    // From now until this one owns everything.
    Duration until_all_is_of(std::size_t node, int& most) {
        const core::Instant begin = bench_.now();
        EXPECT_TRUE(bench_.run_until([&] { return bench_.node(node).tokens.size() == 20; }, 20s, most));
        return bench_.now() - begin;
    }
    CoreBench bench_{story_config(), 20};
    const Duration slow_silence_ = slow().timing.ttl + slow().timing.margin;
    const Duration slow_heartbeat_ = slow().timing.heartbeat;
};

TEST_F(CoreMixedTiming, ASlowWorkerOfAFastLeader) {
    ASSERT_NO_FATAL_FAILURE(start(story_config(), slow()));
    bench_.node(1).cut = true;
    int most = 0;
    const Duration took = until_all_is_of(0, most);
    EXPECT_EQ(most, 1) << "its tokens were valid";
    EXPECT_GE(took, slow_silence_ - slow_heartbeat_);
    EXPECT_LE(took, slow_silence_ + 100ms);
}

TEST_F(CoreMixedTiming, AFastWorkerOfASlowLeader) {
    ASSERT_NO_FATAL_FAILURE(start(slow(), story_config()));
    bench_.node(1).cut = true;
    int most = 0;
    EXPECT_LE(until_all_is_of(0, most), kSilence + 100ms) << "as it was promised";
    EXPECT_EQ(most, 1);
}

TEST_F(CoreMixedTiming, ASlowLeaderOfAFastWorker) {
    ASSERT_NO_FATAL_FAILURE(start(slow(), story_config()));
    bench_.node(0).cut = true;
    int most = 0;
    EXPECT_GE(until_all_is_of(1, most), slow_silence_ - slow_heartbeat_);
    EXPECT_EQ(most, 1);
}

TEST_F(CoreMixedTiming, ALeaseThatIsRemovedIsTakenForTheSlowestKnown) {
    ASSERT_NO_FATAL_FAILURE(start(story_config(), slow()));
    bench_.node(1).cut = true;
    bench_.scribble(Bucket::lease, worker_key(*bench_.core(1).number()), RecordValue{});
    int most = 0;
    EXPECT_GE(until_all_is_of(0, most), slow_silence_);
    EXPECT_EQ(most, 1);
}

TEST(CoreStory, ALostAnswerToARenewalIsNotALostLease) {
    CoreBench bench(story_config(), 5);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    int lost = 0;
    bench.let_answer = [&](std::size_t, const core::Put& put) {
        if (put.bucket != Bucket::lease || put.token.attempt > 1) return true;
        ++lost;
        return false;
    };
    bench.run_for(5s);
    EXPECT_GT(lost, 5);
    EXPECT_TRUE(bench.covered());
    EXPECT_EQ(bench.core(0).stats().sessions_lost, 0U);
}

TEST(CoreStory, ASlowLoserHoldsUpOnlyWhatItLoses) {
    CoreBench bench(story_config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    bench.run_for(3s);
    bench.node(0).release_at_once = false;
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.node(0).unreleased.size() == 10; }, 3s));
    bench.run_for(1s);
    EXPECT_TRUE(bench.node(1).tokens.empty());
    EXPECT_EQ(bench.node(0).tokens.size(), 10U);
    bench.feed(0, core::ReleaseDone{bench.node(0).unreleased});
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    EXPECT_EQ(bench.node(1).tokens.size(), 10U);
}

TEST(CoreStory, AnEvictedSessionStops) {
    CoreBench bench(story_config(), 4);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    const auto it = bench.store().find({Bucket::lease, worker_key(*bench.core(0).number())});
    ASSERT_NE(it, bench.store().end());
    LeaseRecord record = *std::get<LeasePtr>(it->second.value);
    record.state = LeaseState::dead;
    record.id = {SessionId{1, 2}, 1};
    bench.scribble(Bucket::lease, it->first.second, std::make_shared<const LeaseRecord>(record));
    ASSERT_TRUE(bench.run_until([&] { return bench.node(0).tokens.empty(); }, 1s));
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 5s));
    EXPECT_EQ(bench.core(0).stats().sessions_lost, 1U);
}

TEST(CoreStory, AnUnreadableHeadIsReportedAndNeverOverwritten) {
    CoreBench bench(story_config(), 4);
    bench.scribble(Bucket::assignment, head_key(),
                   std::make_shared<const Unreadable>(Unreadable{{Errc::malformed_record, "junk"}, false}));
    bench.add();
    bench.run_for(10s);
    EXPECT_EQ(bench.leaders(), 0U);
    EXPECT_TRUE(std::holds_alternative<UnreadablePtr>(bench.store().at({Bucket::assignment, head_key()}).value));
    EXPECT_FALSE(bench.node(0).notes.empty());
    EXPECT_EQ(bench.core(0).stats().malformed_records, 1U);
}

// The runtime says so when somebody asked for a token between a late renewal and its new deadline: the session must not live on.
TEST(CoreStory, ASessionWhoseTokensWereSeenExpiredIsOverAndItsWorkerOwnsAgainUnderANewOne) {
    CoreBench bench(story_config(), 20);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    const SessionId before = bench.core(0).session();
    bench.feed(0, core::SessionLapsed{SessionId{1, 2}});  // of another session: nothing happens
    EXPECT_EQ(bench.core(0).session(), before);
    bench.feed(0, core::SessionLapsed{before});
    EXPECT_TRUE(bench.node(0).tokens.empty());
    EXPECT_EQ(bench.core(0).stats().sessions_lost, 1u);
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 1s));
    EXPECT_NE(bench.core(0).session(), before);
}

// Memory that only a leader needs goes with its leadership: two indices of each partition, and the target.
TEST(CoreStory, ADeposedLeaderGivesBackWhatOnlyALeaderNeeds) {
    constexpr std::size_t kPartitions = 20'000;
    const auto live = [] { return static_cast<double>(::mallinfo2().uordblks); };
    if (live() == 0) GTEST_SKIP() << "the allocator of this build does not count";  // as under a sanitizer
    CoreBench bench(story_config(), kPartitions);
    bench.add();
    ASSERT_TRUE(bench.run_until([&] { return bench.covered(); }, 10s));
    auto another = std::make_shared<HeadRecord>(bench.head());
    ++another->epoch.value;
    another->leader = {{7}, {1}, {1, 2}};
    another->id = {another->leader.session, 1};
    const Entry entry{Bucket::assignment, head_key(), bench.store().at({Bucket::assignment, head_key()}).revision + 1,
                      std::shared_ptr<const HeadRecord>(another)};
    const double before = live();
    bench.feed(0, core::EntrySeen{entry, bench.now()});
    EXPECT_FALSE(bench.core(0).leading());
    EXPECT_GT(before - live(), static_cast<double>(kPartitions * (sizeof(std::uint32_t) + sizeof(std::int64_t)) - kPartitions));
}

}  // namespace
}  // namespace parti::test
