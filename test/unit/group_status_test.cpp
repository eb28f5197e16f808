// What a group's records say, and what operators' names mean.
#include "runtime/group_status.h"

#include <gtest/gtest.h>

namespace parti::runtime {
namespace {

SessionId session(std::uint64_t n) { return {n, ~n}; }
std::string hex(std::uint64_t n) { return to_string(session(n)); }

class Records {
public:
    Records& lease(std::uint32_t number, std::uint64_t id, Fence applied, LeaseState state = LeaseState::live,
                   const std::string& instance = {}) {
        LeaseRecord record;
        record.id = {session(id), 1};
        record.incarnation = {1};
        record.session = session(id);
        record.state = state;
        record.instance = instance;
        record.applied = applied;
        return put(Bucket::lease, worker_key({number}), std::make_shared<const LeaseRecord>(record));
    }
    Records& assignment(std::uint32_t number, std::uint64_t id, Fence fence, int owned, int revoking = 0) {
        AssignmentRecord record;
        record.fence = fence;
        record.incarnation = {1};
        record.session = session(id);
        for (int i = 0; i < owned; ++i) record.partitions.push_back(*Partition::from_id("o" + std::to_string(i)));
        for (int i = 0; i < revoking; ++i) record.revoking.push_back(*Partition::from_id("r" + std::to_string(i)));
        return put(Bucket::assignment, worker_key({number}), std::make_shared<const AssignmentRecord>(record));
    }
    Records& head(std::uint32_t leader, std::uint64_t id, std::uint64_t partitions, bool resigned = false) {
        HeadRecord record;
        record.epoch = {3};
        record.leader = {{leader}, {1}, session(id)};
        record.partition_count = partitions;
        record.resigned = resigned;
        record.standbys = {{2}};
        record.slots = 4;
        record.rebalanced = 5;
        return put(Bucket::assignment, head_key(), std::make_shared<const HeadRecord>(record));
    }
    Records& control(ControlRecord record) {
        return put(Bucket::assignment, control_key(), std::make_shared<const ControlRecord>(std::move(record)));
    }
    Records& junk(Bucket bucket, Key key) {
        return put(bucket, key, std::make_shared<const Unreadable>(Unreadable{{Errc::malformed_record, "junk"}, false}));
    }
    GroupStatus status() const { return group_status("g", entries_); }

private:
    Records& put(Bucket bucket, Key key, RecordValue value) {
        entries_[{bucket, key}] = {bucket, key, 1, std::move(value)};
        return *this;
    }
    GroupEntries entries_;
};

const Fence kSealed{{3}, 7};

Records healthy() {
    Records out;
    out.head(1, 10, 6).lease(1, 10, kSealed).assignment(1, 10, kSealed, 3).lease(2, 20, kSealed, LeaseState::live, "pod-b");
    out.assignment(2, 20, kSealed, 3);
    return out;
}

using List = std::vector<std::string>;

TEST(GroupStatus, OfNothingIsEmpty) {
    const GroupStatus s = Records().status();
    EXPECT_EQ(s.group, "g");
    EXPECT_EQ(s.epoch, Epoch());
    EXPECT_FALSE(s.leader || s.without_owner || s.frozen || s.rebalance_pending);
    EXPECT_EQ(s.phase, LeaderPhase::idle);
    EXPECT_TRUE(s.workers.empty() && s.unreadable.empty());
}

TEST(GroupStatus, NamesLeaderStandbyAndCounts) {
    const GroupStatus s = healthy().status();
    EXPECT_EQ(s.leader, WorkerNumber{1});
    EXPECT_EQ(s.phase, LeaderPhase::idle);
    EXPECT_EQ(s.without_owner, 0U);
    ASSERT_EQ(s.workers.size(), 2U);
    EXPECT_TRUE(s.workers[0].leader && s.workers[0].acknowledged && !s.workers[0].standby);
    EXPECT_TRUE(s.workers[1].standby && !s.workers[1].leader);
    EXPECT_EQ(s.workers[1].owned, 3U);
}

TEST(GroupStatus, TellsThePhaseAsFarAsRecordsTell) {
    EXPECT_EQ(healthy().assignment(2, 20, {{3}, 9}, 2, 1).status().phase, LeaderPhase::rebalancing) << "not acknowledged";
    EXPECT_EQ(healthy().assignment(2, 20, {{3}, 9}, 2, 1).status().workers[1].revoking, 1U);
    EXPECT_EQ(healthy().assignment(2, 20, {{3}, 7}, 2, 1).status().workers[1].revoking, 0U) << "acknowledged: it is over";
    EXPECT_EQ(healthy().assignment(2, 20, {{3}, 7}, 2).status().phase, LeaderPhase::rebalancing) << "one without owner";
    EXPECT_EQ(healthy().control({.rebalance = 6}).status().phase, LeaderPhase::rebalancing) << "asked for";
    EXPECT_EQ(healthy().control({.rebalance = 5}).status().phase, LeaderPhase::idle) << "carried out";
    EXPECT_EQ(healthy().control({.frozen = true}).status().phase, LeaderPhase::frozen);
    EXPECT_EQ(healthy().assignment(2, 20, {{2}, 90}, 3).status().phase, LeaderPhase::sealing) << "a record of an older epoch";
    EXPECT_EQ(healthy().assignment(2, 20, {{2}, 90}, 3).status().without_owner, std::nullopt);
    EXPECT_EQ(healthy().head(1, 10, 6, true).status().leader, std::nullopt) << "resigned";
    EXPECT_EQ(healthy().lease(1, 10, kSealed, LeaseState::dead).status().leader, std::nullopt) << "dead";
    EXPECT_EQ(healthy().lease(1, 11, kSealed).status().leader, std::nullopt) << "another session holds its number";
}

TEST(GroupStatus, WhatAnEndedSessionsRecordListsHasNoOwner) {
    const GroupStatus s = healthy().lease(2, 20, kSealed, LeaseState::released).status();
    EXPECT_EQ(s.without_owner, 3U);
    EXPECT_EQ(s.workers[1].owned, 0U);
    EXPECT_FALSE(s.workers[1].standby);
    EXPECT_EQ(healthy().lease(2, 21, {}).status().without_owner, 3U) << "the record is another session's";
    EXPECT_EQ(healthy().lease(2, 21, {}).status().workers[1].published, Fence());
}

TEST(GroupStatus, UnreadableKeysAreListedAndNothingIsGuessed) {
    const GroupStatus s = healthy().junk(Bucket::assignment, worker_key({2})).junk(Bucket::assignment, control_key()).status();
    ASSERT_EQ(s.unreadable.size(), 2U);
    EXPECT_EQ(s.unreadable[0].bucket, "parti_g_assignment");
    EXPECT_EQ(s.unreadable[0].key, "worker.2");
    EXPECT_EQ(s.unreadable[1].key, "control");
    EXPECT_EQ(s.without_owner, std::nullopt);
    EXPECT_EQ(healthy().junk(Bucket::lease, worker_key({9})).status().unreadable[0].bucket, "parti_g_lease");
}

TEST(DrainList, TakesSessionsInstancesAndNumbers) {
    const GroupStatus s = healthy().status();
    const auto drained = [&](std::string_view name, DrainScope scope = DrainScope::present) {
        return with_drained({}, {}, s, name, scope);
    };
    EXPECT_EQ(drained(hex(20)).value(), List{hex(20)});
    EXPECT_EQ(drained("pod-b").value(), List{"pod-b"});
    EXPECT_EQ(drained("2").value(), List{hex(20)});
    EXPECT_EQ(drained("pod-z", DrainScope::in_advance).value(), List{"pod-z"});
    EXPECT_EQ(with_drained({"pod-b"}, {}, s, "pod-b", DrainScope::present).value(), List{"pod-b"}) << "once";
    for (const std::string_view unknown : {"pod-z", "3", "01x"})
        EXPECT_EQ(drained(unknown).error().code, Errc::not_found) << unknown;
    EXPECT_EQ(drained(hex(77), DrainScope::in_advance).error().code, Errc::not_found) << "a session cannot come later";
    for (const std::string& bad : {std::string(), std::string("a b"), std::string(129, 'x'), std::string("a\n")}) {
        EXPECT_EQ(drained(bad, DrainScope::in_advance).error().code, Errc::invalid_argument) << bad;
    }
    const GroupStatus gone = healthy().lease(2, 20, kSealed, LeaseState::released, "pod-b").status();
    EXPECT_EQ(with_drained({}, {}, gone, "pod-b", DrainScope::present).value(), List{"pod-b"}) << "its restart is drained too";
    EXPECT_EQ(with_drained({}, {}, gone, "2", DrainScope::present).error().code, Errc::not_found) << "its session has ended";
}

TEST(DrainList, RefusesANameThatMeansTwoWorkers) {
    const GroupStatus s = healthy().lease(4, 40, kSealed, LeaseState::live, "2").status();
    const auto refused = with_drained({}, {}, s, "2", DrainScope::present);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
    EXPECT_NE(refused.error().detail.find(hex(40)), std::string::npos) << refused.error().detail;
    EXPECT_NE(refused.error().detail.find(hex(20)), std::string::npos) << refused.error().detail;
}

TEST(DrainList, ForgetsSessionsThatEndedButNotThoseItCannotJudge) {
    const GroupStatus s = healthy().status();
    const List list = {hex(77), hex(10), "pod-gone", hex(88)};
    EXPECT_EQ(with_drained(list, {hex(77), hex(10), "pod-gone"}, s, "pod-b", DrainScope::present).value(),
              (List{hex(10), "pod-gone", hex(88), "pod-b"}))
        << "88 came after the list was read: its worker may be younger than the status";
    EXPECT_EQ(without_drained(list, list, s, "pod-gone").value(), List{hex(10)});
    const GroupStatus unsure = healthy().junk(Bucket::lease, worker_key({9})).status();
    EXPECT_EQ(with_drained(list, list, unsure, hex(10), DrainScope::present).value(), list) << "an unreadable lease may be 77's";
}

TEST(DrainList, UndrainsWhateverDrainsTheWorker) {
    const GroupStatus s = healthy().status();
    for (const std::string& name : {std::string("2"), std::string("pod-b"), hex(20)}) {
        EXPECT_EQ(without_drained({"x", "pod-b", hex(20)}, {}, s, name).value(), List{"x"}) << name;
    }
    EXPECT_EQ(without_drained({"x", "pod-b"}, {}, s, "x").value(), List{"pod-b"}) << "nobody has this name any more";
    const auto refused = without_drained({"x"}, {}, s, "pod-b");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::not_found);
    EXPECT_NE(refused.error().detail.find("'pod-b'"), std::string::npos);
}

TEST(DrainList, IsBounded) {
    const GroupStatus s = healthy().status();
    List list;
    for (std::size_t i = 0; i < kDrainMax; ++i) list.push_back("pod-" + std::to_string(i));
    const auto refused = with_drained(list, {}, s, "pod-b", DrainScope::present);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::overloaded);
    list.pop_back();
    EXPECT_EQ(with_drained(list, {}, s, "pod-b", DrainScope::present)->size(), kDrainMax);
}

}  // namespace
}  // namespace parti::runtime
