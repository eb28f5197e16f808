// The hub's turns: however much it owes to many members, an answer does not wait for it, and nothing else on the io thread does.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/hub.h"
#include "testutil/sim_client.h"
#include "wire/codec.h"

namespace parti::runtime {
namespace {

using core::EntrySeen;
using testutil::kMilli;
using testutil::kSecond;
using testutil::SimScheduler;

constexpr std::size_t kMembers = 50;
constexpr std::size_t kTurn = 8;  // events

// Every turn takes a virtual millisecond, as it would on a busy machine.
class HubTurns : public testing::Test {
protected:
    HubTurns() : network_(scheduler_, store_, 7) {
        store_.create(lease_bucket_name("g"));
        store_.create(assignment_bucket_name("g"));
        const SimScheduler::Lane lane = scheduler_.add_lane();
        client_ = std::make_unique<testutil::SimClient>(network_, lane, jetstream::ClientOptions{});
        HubShell shell;
        shell.now = [this] { return core::Instant(Duration(scheduler_.now())); };
        shell.defer = [this, lane](std::function<void()> task) {
            scheduler_.after(kMilli, lane, [this, task = std::move(task)] {
                const std::size_t before = told_;
                task();
                longest_ = std::max(longest_, told_ - before);
            });
        };
        shell.wake = [](core::Instant) {};
        shell.decode = wire::decode;
        shell.encode = wire::encode;
        shell.turn_events_max = kTurn;
        hub_ = Hub::make(*client_, lease_bucket_name("g"), assignment_bucket_name("g"), std::move(shell));
        heard_.resize(kMembers);
        for (std::vector<core::Event>& heard : heard_) {
            ids_.push_back(hub_->join([this, &heard](core::Event event) {
                ++told_;
                heard.push_back(std::move(event));
            }));
            core::Interest interest;
            interest.id = 1;
            interest.all_leases = true;
            hub_->set_interest(ids_.back(), interest);
        }
        run_until([&] { return told_ == kMembers && hub_->queued() == 0; });  // everybody's SnapshotDone
    }
    ~HubTurns() override {
        hub_.reset();
        client_.reset();
        scheduler_.clear();
    }

    template <class Condition>
    void run_until(Condition condition) {
        const testutil::Nanos end = scheduler_.now() + 60 * kSecond;
        while (!condition()) {
            ASSERT_LE(scheduler_.next_time(), end) << told_ << " told, " << hub_->queued() << " queued";
            scheduler_.step();
        }
    }
    static LeasePtr record(std::uint32_t number, std::uint64_t sequence) {
        auto lease = std::make_shared<LeaseRecord>();
        lease->id = {{1, number}, sequence};
        lease->session = {1, number};
        lease->incarnation = {1};
        return lease;
    }
    void write(std::uint32_t number, std::uint64_t sequence) {
        store_.overwrite(lease_bucket_name("g"), wire::to_string(worker_key({number})),
                         std::make_shared<const std::string>(wire::encode(record(number, sequence))));
    }
    template <class E>
    std::vector<E> all(std::size_t member) const {
        std::vector<E> out;
        for (const core::Event& event : heard_[member]) {
            if (const E* e = std::get_if<E>(&event)) out.push_back(*e);
        }
        return out;
    }

    SimScheduler scheduler_;
    testutil::SimStore store_;
    testutil::SimNetwork network_;
    std::unique_ptr<testutil::SimClient> client_;
    std::unique_ptr<Hub> hub_;
    std::vector<std::vector<core::Event>> heard_;
    std::vector<Hub::MemberId> ids_;
    std::size_t told_ = 0;
    std::size_t longest_ = 0;  // turn, in events
};

TEST_F(HubTurns, AnAnswerOvertakesWhatManyMembersAreStillOwed) {
    constexpr std::uint32_t kRecords = 40;
    for (std::uint32_t n = 1; n <= kRecords; ++n) write(n, 1);
    run_until([&] { return hub_->queued() > kMembers * kRecords / 2; });
    core::Put put;
    put.token = {5, 1};
    put.key = worker_key({kRecords + 1});
    put.record = record(kRecords + 1, 1);
    hub_->put(ids_.back(), put);
    hub_->fetch(ids_.front(), {{6, 1}, Bucket::lease, worker_key({1})});
    run_until([&] { return !all<core::WriteAnswered>(kMembers - 1).empty() && !all<core::FetchAnswered>(0).empty(); });
    EXPECT_EQ(all<core::WriteAnswered>(kMembers - 1)[0].result, core::WriteResult::done);
    EXPECT_GT(hub_->queued(), kMembers * kRecords / 4) << "the answers waited for the news";
    // Nobody misses anything for it.
    run_until([&] { return hub_->queued() == 0 && all<EntrySeen>(0).size() == kRecords + 1; });
    for (std::size_t member = 0; member < kMembers; ++member) EXPECT_EQ(all<EntrySeen>(member).size(), kRecords + 1);
}

TEST_F(HubTurns, NoTurnIsLongerThanItsLimit) {
    for (std::uint32_t n = 1; n <= 10; ++n) write(n, 1);
    run_until([&] { return told_ == kMembers * 11 && hub_->queued() == 0; });
    EXPECT_EQ(longest_, kTurn);
}

TEST_F(HubTurns, NewsThatIsOutOfDateBeforeItIsToldIsPassedOver) {
    constexpr std::uint64_t kWrites = 20;
    for (std::uint64_t i = 1; i <= kWrites; ++i) write(7, i);
    run_until([&] { return hub_->queued() == 0 && !all<EntrySeen>(kMembers - 1).empty(); });
    const std::uint64_t last = store_.last(lease_bucket_name("g"), wire::to_string(worker_key({7})))->revision;
    for (std::size_t member = 0; member < kMembers; ++member) {
        const auto seen = all<EntrySeen>(member);
        ASSERT_FALSE(seen.empty());
        EXPECT_EQ(seen.back().entry.revision, last);
        for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_LT(seen[i - 1].entry.revision, seen[i].entry.revision);
    }
    EXPECT_LT(told_, kMembers + kMembers * kWrites / 2);
}

TEST_F(HubTurns, WhatIsOverwrittenWhileALatecomerIsToldComesBeforeTheEndOfWhatThereWas) {
    constexpr std::uint32_t kRecords = 40;  // five turns
    for (std::uint32_t n = 1; n <= kRecords; ++n) write(n, 1);
    run_until([&] { return hub_->queued() == 0 && all<EntrySeen>(0).size() == kRecords; });
    std::set<Key> keys;
    bool done = false;
    const Hub::MemberId late = hub_->join([&](const core::Event& event) {
        if (const auto* seen = std::get_if<EntrySeen>(&event); seen != nullptr && !done) keys.insert(seen->entry.key);
        done = done || std::holds_alternative<core::SnapshotDone>(event);
    });
    core::Interest interest;
    interest.id = 1;
    interest.all_leases = true;
    hub_->set_interest(late, interest);
    for (std::uint32_t n = 1; n <= kRecords; ++n) write(n, 2);
    run_until([&] { return done; });
    EXPECT_EQ(keys.size(), kRecords);
}

TEST_F(HubTurns, NewsThatAMemberNoLongerWantsIsPassedOver) {
    constexpr std::uint32_t kRecords = 40;
    for (std::uint32_t n = 1; n <= kRecords; ++n) write(n, 1);
    run_until([&] { return hub_->queued() > kMembers * kRecords / 2; });
    core::Interest narrow;  // as of a worker that has its number
    narrow.id = 2;
    narrow.leader_lease = WorkerNumber{1};
    for (std::size_t member = 1; member < kMembers; ++member) hub_->set_interest(ids_[member], narrow);
    const std::size_t before = told_;
    run_until([&] { return hub_->queued() == 0 && all<EntrySeen>(0).size() == kRecords; });
    // One record and one SnapshotDone for each of them, all records for the first.
    EXPECT_LE(told_ - before, 2 * kMembers + kRecords);
    for (std::size_t member = 1; member < kMembers; ++member) {
        EXPECT_EQ(all<core::SnapshotDone>(member).back().interest, 2U);
        const auto seen = all<EntrySeen>(member);
        EXPECT_TRUE(std::any_of(seen.begin(), seen.end(), [](const EntrySeen& e) { return e.entry.key == worker_key({1}); }));
    }
}

}  // namespace
}  // namespace parti::runtime
