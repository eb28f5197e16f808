// The judge of the simulated world: each promise is broken once on purpose, and a quiet history breaks none.
#include "testutil/invariants.h"

#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace parti::testutil {
namespace {

constexpr Nanos kDeadline = 10 * kSecond;

class InvariantsTest : public testing::Test {
protected:
    InvariantsTest() : a_(judge_.worker_made("a")), b_(judge_.worker_made("b")) {
        judge_.session_started(0, a_, {1}, {1}, kA, kDeadline);
        judge_.session_started(0, b_, {2}, {1}, kB, kDeadline);
    }

    void stored(WorkerNumber number, const SessionId& session, Fence fence, std::initializer_list<const char*> partitions) {
        AssignmentRecord record;
        record.session = session;
        record.fence = fence;
        for (const char* p : partitions) record.partitions.push_back(Partition::from_id(p).value());
        judge_.stored(now_, number, ++revision_, record);
    }
    // A record and its grant, as it ought to be.
    void give(Invariants::WorkerId worker, std::uint64_t grant, Fence fence, const char* partition) {
        stored(worker == a_ ? WorkerNumber{1} : WorkerNumber{2}, worker == a_ ? kA : kB, fence, {partition});
        judge_.granted(now_, worker, grant, partition, fence);
    }
    void revoke(Invariants::WorkerId worker, std::uint64_t grant) {
        const std::vector<std::uint64_t> grants{grant};
        judge_.revoked(now_, worker, grants);
    }
    // Its user has released them, and the worker says so.
    void release_all(Invariants::WorkerId worker) {
        const std::uint64_t grants[] = {1, 2, 3, 4};
        judge_.released(worker, grants);
        judge_.holdings(now_, worker, {});
    }
    void expect(Promise promise) {
        ASSERT_TRUE(judge_.violation().has_value());
        EXPECT_EQ(to_string(judge_.violation()->promise), to_string(promise)) << judge_.violation()->text;
    }
    void expect_nothing() {
        judge_.full_check(now_);
        EXPECT_FALSE(judge_.violation().has_value()) << judge_.violation()->text;
    }
    static Fence fence(std::uint64_t epoch, std::uint64_t version) { return {{epoch}, version}; }

    static constexpr SessionId kA{1, 1};
    static constexpr SessionId kB{2, 2};
    Invariants judge_;
    Invariants::WorkerId a_;
    Invariants::WorkerId b_;
    Nanos now_ = kSecond;
    Revision revision_ = 0;
};

TEST_F(InvariantsTest, ARevokedAndReleasedPartitionMayMove) {
    give(a_, 1, fence(1, 1), "p");
    EXPECT_EQ(judge_.owners(now_, "p"), 1U);
    stored({1}, kA, fence(1, 2), {});
    revoke(a_, 1);
    release_all(a_);
    EXPECT_EQ(judge_.owners(now_, "p"), 0U);
    give(b_, 1, fence(1, 3), "p");
    EXPECT_EQ(judge_.handoffs(), 1U);
    expect_nothing();
}

TEST_F(InvariantsTest, ADeadlineFreesWhatTheSessionHeld) {
    give(a_, 1, fence(1, 1), "p");
    judge_.session_extended(now_, b_, 2 * kDeadline);
    now_ = kDeadline;
    give(b_, 1, fence(1, 2), "p");
    EXPECT_EQ(judge_.owners(now_, "p"), 1U);
    expect_nothing();
}

TEST_F(InvariantsTest, ARecordThatTakesSomethingAwayIsFollowedWithinASecond) {
    give(a_, 1, fence(1, 1), "p");
    give(a_, 2, fence(1, 2), "q");
    AssignmentRecord record;
    record.session = kA;
    record.fence = fence(2, 1);
    record.partitions = {Partition::from_id("q").value()};
    judge_.told(now_, a_, record);
    now_ += kSecond - 1;
    judge_.full_check(now_);
    expect_nothing();
    now_ += 1;
    judge_.full_check(now_);
    expect(Promise::p2_order);
}

TEST_F(InvariantsTest, ARecordForAnotherSessionOrOfBeforeNeedNotBeFollowed) {
    give(a_, 1, fence(1, 3), "p");
    AssignmentRecord record;
    record.session = kB;
    record.fence = fence(2, 1);
    judge_.told(now_, a_, record);
    record.session = kA;
    record.fence = fence(1, 2);
    judge_.told(now_, a_, record);
    now_ += 2 * kSecond;
    judge_.full_check(now_);
    expect_nothing();
}

constexpr Nanos kNotice = 2 * kSecond;

TEST_F(InvariantsTest, AfterALossTwoOwnersAreAllowedForAsLongAsItTakesToNotice) {
    give(a_, 1, fence(1, 1), "p");
    judge_.session_extended(now_, a_, 60 * kSecond);
    judge_.session_extended(now_, b_, 60 * kSecond);
    judge_.lost(now_, Bucket::lease, 0, kNotice, kSecond);
    judge_.error_told(now_);
    now_ += kNotice;
    give(b_, 1, fence(1, 1), "p");
    expect_nothing();
    EXPECT_GT(judge_.doubles(), 0U);
    now_ += 1;
    judge_.full_check(now_);
    expect(Promise::p3_owners);
}

TEST_F(InvariantsTest, ALossOfTheAssignmentsAloneExcusesNobody) {
    give(a_, 1, fence(1, 1), "p");
    judge_.lost(now_, Bucket::assignment, 0, kNotice, kSecond);
    judge_.error_told(now_);
    give(b_, 1, fence(1, 1), "p");
    expect(Promise::p3_owners);
}

TEST_F(InvariantsTest, WhatATornRecordTakesAwayOnlyItsWriterKnowsUntilTheNextRecord) {
    give(a_, 1, fence(1, 1), "p");
    give(a_, 2, fence(1, 2), "q");
    judge_.record_torn({1});
    revoke(a_, 1);
    expect_nothing();
    stored({1}, kA, fence(1, 3), {"q"});
    revoke(a_, 2);
    expect(Promise::p5_untouched);
}

TEST_F(InvariantsTest, ALeaseFromBeforeTheLossMayRunOut) {
    judge_.lost(now_, Bucket::lease, 0, 1, kDeadline - now_);
    judge_.error_told(now_);
    now_ = kDeadline - kSecond;  // long noticed, but one of the two reaches nobody
    const auto c = judge_.worker_made("c");
    judge_.session_started(now_, c, {1}, {2}, kB, 3 * kDeadline);
    expect_nothing();
    judge_.session_extended(now_, a_, 2 * kDeadline);  // so it does reach the store
    expect(Promise::p1_numbers);
}

TEST_F(InvariantsTest, ALossThatNobodyReportsIsNoticed) {
    give(a_, 1, fence(1, 1), "p");
    judge_.lost(now_, Bucket::lease, 0, kNotice, kSecond);
    give(b_, 1, fence(1, 1), "p");
    judge_.session_ended(now_, b_);
    release_all(b_);
    now_ += kNotice + 1;
    judge_.full_check(now_);
    expect(Promise::p12_visible);
}

TEST_F(InvariantsTest, ALossThatShowsOnlyWhenTheServerIsUpAgainWasReportedWhenAnybodyDid) {
    give(a_, 1, fence(1, 1), "p");
    judge_.lost(now_, Bucket::lease, 0, kNotice, kSecond);
    now_ += kSecond;
    judge_.error_told(now_);  // and then the server is restarted
    now_ += 4 * kSecond;
    judge_.loss_shows(now_, Bucket::lease, kNotice);
    give(b_, 1, fence(1, 1), "p");
    judge_.session_ended(now_, b_);
    release_all(b_);
    now_ += kNotice + 1;
    judge_.full_check(now_);
    expect_nothing();
}

TEST_F(InvariantsTest, ALossOfTheAssignmentsThatShowsLaterExcusesNobodyEither) {
    give(a_, 1, fence(1, 1), "p");
    judge_.lost(now_, Bucket::assignment, 0, kNotice, kSecond);
    judge_.error_told(now_);
    now_ += kSecond;
    judge_.loss_shows(now_, Bucket::assignment, kNotice);
    give(b_, 1, fence(1, 1), "p");
    expect(Promise::p3_owners);
}

TEST_F(InvariantsTest, NoLossExcusesAWorkerThatGoesBack) {
    give(a_, 1, fence(3, 1), "p");
    stored({1}, kA, fence(3, 2), {});
    revoke(a_, 1);
    release_all(a_);
    judge_.lost(now_, Bucket::assignment, 0, kNotice, kSecond);
    give(a_, 2, fence(2, 1), "q");
    expect(Promise::p7_versions);
}

TEST_F(InvariantsTest, ANewSessionDoesNotExcuseItEither) {
    give(a_, 1, fence(3, 1), "p");
    judge_.session_ended(now_, a_);
    release_all(a_);
    judge_.session_started(now_, a_, {1}, {2}, kA, kDeadline);
    stored({1}, kA, fence(4, 1), {});
    judge_.lost(now_, Bucket::assignment, 0, kNotice, kSecond);
    give(a_, 2, fence(2, 9), "q");
    expect(Promise::p7_versions);
}

TEST_F(InvariantsTest, PolicyKeepPromisesNumbersAndNotSingleOwners) {
    judge_.policy_keep(true);
    give(a_, 1, fence(1, 1), "p");
    give(b_, 1, fence(1, 2), "p");
    expect_nothing();
    judge_.session_ended(now_, b_);
    judge_.session_started(now_, b_, {1}, {2}, kB, kDeadline);
    expect(Promise::p1_numbers);
}

TEST_F(InvariantsTest, TwoOwnersAreNoticed) {
    give(a_, 1, fence(1, 1), "p");
    give(b_, 1, fence(1, 2), "p");
    expect(Promise::p3_owners);
}

TEST_F(InvariantsTest, AnOwnerBesideOneThatStillDrainsIsNoticed) {
    give(a_, 1, fence(1, 1), "p");
    stored({1}, kA, fence(1, 2), {});
    revoke(a_, 1);
    const std::vector<HoldingSeen> draining{{1, "p", fence(1, 1), true}};
    judge_.holdings(now_, a_, draining);
    give(b_, 1, fence(1, 3), "p");
    expect(Promise::p3_owners);
}

TEST_F(InvariantsTest, AnOwnerBesideOneWhoseSessionEndedButMayStillBelieveInItIsNoticed) {
    give(a_, 1, fence(1, 1), "p");
    judge_.session_ended(now_, a_);
    give(b_, 1, fence(1, 2), "p");
    expect(Promise::p3_owners);
}

TEST_F(InvariantsTest, TwoHoldersOfANumberAreNoticed) {
    const auto c = judge_.worker_made("c");
    judge_.session_started(now_, c, {1}, {2}, {3, 3}, kDeadline);
    expect(Promise::p1_numbers);
}

TEST_F(InvariantsTest, ASessionThatLivesOnAfterItsDeadlineIsNoticed) {
    judge_.session_extended(kDeadline, a_, 2 * kDeadline);
    expect(Promise::p1_numbers);
}

TEST_F(InvariantsTest, ADeposedLeadersWriteOverASealedRecordIsNoticed) {
    stored({1}, kA, fence(2, 1), {});
    stored({1}, kA, fence(1, 9), {"p"});
    expect(Promise::p2_order);
}

TEST_F(InvariantsTest, AGrantFromNoRecordOfTheStoreIsNoticed) {
    judge_.granted(now_, a_, 1, "p", fence(1, 1));
    expect(Promise::p2_order);
}

TEST_F(InvariantsTest, AGrantFromARecordForAnotherSessionIsNoticed) {
    stored({1}, kB, fence(1, 1), {"p"});
    judge_.granted(now_, a_, 1, "p", fence(1, 1));
    expect(Promise::p2_order);
}

TEST_F(InvariantsTest, AnAcknowledgementOfNoRecordIsNoticed) {
    judge_.applied(now_, a_, fence(1, 1));
    expect(Promise::p2_order);
}

TEST_F(InvariantsTest, RevokingWhatNoRecordTakesAwayIsNoticed) {
    give(a_, 1, fence(1, 1), "p");
    stored({1}, kA, fence(1, 2), {"p"});
    revoke(a_, 1);
    expect(Promise::p5_untouched);
}

TEST_F(InvariantsTest, AHoldingThatVanishesIsNoticed) {
    give(a_, 1, fence(1, 1), "p");
    release_all(a_);
    expect(Promise::p5_untouched);
}

TEST_F(InvariantsTest, GivingEverythingBackTooEarlyIsNoticedAndInTimeItIsNot) {
    give(a_, 1, fence(1, 1), "p");
    now_ = kDeadline - kSecond;
    judge_.relinquishing(now_, a_, kSecond);
    revoke(a_, 1);
    expect_nothing();
    judge_.relinquishing(now_ - kMilli, b_, kSecond);
    expect(Promise::p5_untouched);
}

TEST_F(InvariantsTest, GoingBackToAnOlderVersionIsNoticed) {
    stored({1}, kA, fence(1, 1), {});
    stored({1}, kA, fence(1, 2), {"p", "q"});
    judge_.applied(now_, a_, fence(1, 2));
    expect_nothing();
    judge_.applied(now_, a_, fence(1, 1));
    expect(Promise::p7_versions);
}

TEST_F(InvariantsTest, ATokenThatIsNotAboveTheLastOwnersIsNoticed) {
    give(a_, 1, fence(2, 1), "p");
    stored({1}, kA, fence(2, 2), {});
    revoke(a_, 1);
    release_all(a_);
    give(b_, 1, fence(1, 7), "p");
    expect(Promise::tokens);
}

TEST_F(InvariantsTest, AGrantAfterTheDeadlineIsNoticed) {
    now_ = kDeadline;
    give(a_, 1, fence(1, 1), "p");
    expect(Promise::tokens);
}

TEST_F(InvariantsTest, TheFirstViolationIsKept) {
    give(a_, 1, fence(1, 1), "p");
    give(b_, 1, fence(1, 2), "p");
    judge_.report(now_, Promise::p4_coverage, "later");
    expect(Promise::p3_owners);
    EXPECT_EQ(judge_.violation()->at, now_);
}

}  // namespace
}  // namespace parti::testutil
