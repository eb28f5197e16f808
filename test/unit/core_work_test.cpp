// Stories of a view that is behind the store: what was refused is tried again at the pace of attempts, not of the network.
#include <gtest/gtest.h>

#include "core_bench.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

constexpr Duration kAttempt = 75ms;  // a quarter of story_config's heartbeat

// Three workers, of which the leader and one other matter.
class CoreWork : public testing::Test {
protected:
    CoreWork() : bench_(story_config(), 12) {
        for (int i = 0; i < 3; ++i) bench_.add();
        const bool ready = bench_.run_until([&] { return bench_.covered() && bench_.node(2).tokens.size() == 4; }, 10s);
        PARTI_ASSERT(ready);
        leader_ = bench_.leader();
        victim_ = (leader_ + 1) % 3;
        key_ = worker_key(*bench_.core(victim_).number());
        bench_.run_for(1s);
        old_ = bench_.copy(Bucket::lease);
        bench_.run_for(1s);
    }
    // The leader writes this state into the victim's lease.
    bool writes(std::size_t node, const core::Put& put, LeaseState state) const {
        const auto* lease = std::get_if<LeasePtr>(&put.record);
        return node == leader_ && put.key == key_ && lease != nullptr && (*lease)->state == state;
    }

    CoreBench bench_;
    std::size_t leader_ = 0;
    std::size_t victim_ = 0;
    Key key_;
    CoreBench::Copy old_;
};

TEST_F(CoreWork, ADeathThatAStoreWhichWentBackRefusesIsWrittenOnceAnAttempt) {
    int deaths = 0;
    bench_.let_put = [&](std::size_t node, const core::Put& put) {
        deaths += writes(node, put, LeaseState::dead) ? 1 : 0;
        return true;
    };
    bench_.kill(victim_);
    bench_.run_for(600ms);
    bench_.roll_back_unnoticed(old_);
    bench_.run_for(1100ms);  // it was silent for ttl + margin after 1.2 s at the latest
    EXPECT_GE(deaths, 2);
    EXPECT_LE(deaths, 1100ms / kAttempt + 1);
    bench_.roll_back(bench_.copy(Bucket::lease));  // the watch has found it out
    EXPECT_TRUE(bench_.run_until([&] { return bench_.covered(); }, 10s));
}

TEST_F(CoreWork, AnEvictionThatAStoreWhichWentBackRefusesIsWrittenOnceAnAttempt) {
    int evictions = 0;
    bench_.let_hear = [&](std::size_t node, const Entry& entry) { return node != victim_ || entry.bucket == Bucket::lease; };
    bench_.let_put = [&](std::size_t node, const core::Put& put) {
        if (!writes(node, put, LeaseState::evicted)) return true;
        if (++evictions == 1) bench_.roll_back_unnoticed(old_);
        return true;
    };
    bench_.add();  // the victim does not hear what it has to give it
    ASSERT_TRUE(bench_.run_until([&] { return evictions > 0; }, 10s));
    bench_.run_for(1s);
    EXPECT_GE(evictions, 2);
    EXPECT_LE(evictions, 1s / kAttempt + 1);
}

TEST_F(CoreWork, ALeaseThatIsKnownToHaveChangedIsNotEvicted) {
    int evictions = 0;
    bench_.let_put = [&](std::size_t node, const core::Put& put) {
        evictions += writes(node, put, LeaseState::evicted) ? 1 : 0;
        return true;
    };
    // The leader's watch is late: it does not hear that the victim has acknowledged, nor that it renews.
    bench_.let_hear = [&](std::size_t node, const Entry& entry) {
        return node != leader_ || entry.bucket != Bucket::lease || entry.key != key_;
    };
    bench_.add();
    bench_.run_for(story_config().timing.grant_timeout + story_config().timing.drain_timeout + 1s);
    EXPECT_EQ(evictions, 0);
    bench_.let_hear = nullptr;
    EXPECT_TRUE(bench_.run_until([&] { return bench_.covered(); }, 10s));
    EXPECT_EQ(evictions, 0);
    EXPECT_EQ(bench_.core(victim_).incarnation().value, 1U);
}

}  // namespace
}  // namespace parti::test
