// The hub over the simulated client: interests, watches, order, caching, and what happens when watches and histories are lost.
#include "runtime/hub.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "core_events.h"
#include "testutil/sim_client.h"
#include "wire/codec.h"

namespace parti::runtime {
namespace {

using core::EntrySeen;
using core::HistoryLost;
using core::Instant;
using core::Interest;
using core::SnapshotDone;
using core::WriteAnswered;
using testutil::kMilli;
using testutil::kSecond;
using testutil::SimClient;
using testutil::SimMessage;
using testutil::SimNetwork;
using testutil::SimScheduler;
using testutil::SimStore;

const std::string kLease = lease_bucket_name("g");
const std::string kAssignment = assignment_bucket_name("g");

struct Member {
    Hub::MemberId id = 0;
    std::vector<core::Event> events;

    template <class E>
    std::vector<E> all() const {
        return core::all_of<E>(events);
    }
    std::vector<Revision> revisions(Bucket bucket, const Key& key) const {
        std::vector<Revision> out;
        for (const EntrySeen& seen : all<EntrySeen>()) {
            if (seen.entry.bucket == bucket && seen.entry.key == key) out.push_back(seen.entry.revision);
        }
        return out;
    }
    bool told(std::uint64_t interest) const {
        for (const SnapshotDone& done : all<SnapshotDone>()) {
            if (done.interest == interest) return true;
        }
        return false;
    }
};

class HubTest : public testing::Test {
protected:
    HubTest() : network_(scheduler_, store_, 7) {
        store_.create(kLease);
        store_.create(kAssignment);
        const SimScheduler::Lane lane = scheduler_.add_lane();
        client_ = std::make_unique<SimClient>(network_, lane, jetstream::ClientOptions{});
        HubShell shell;
        shell.now = [this] { return Instant(Duration(scheduler_.now())); };
        shell.defer = [this, lane](std::function<void()> task) { scheduler_.after(0, lane, std::move(task)); };
        shell.wake = [this, lane](Instant at) {
            scheduler_.at(at.time_since_epoch().count(), lane, [this, generation = ++tick_] {
                if (generation == tick_ && hub_) hub_->tick();
            });
        };
        shell.decode = wire::decode;
        shell.encode = wire::encode;
        shell.put_timeout = std::chrono::seconds(2);
        shell.log = [this](LogLevel, std::string_view line) { log_.emplace_back(line); };
        hub_ = Hub::make(*client_, kLease, kAssignment, std::move(shell));
    }
    ~HubTest() override {
        hub_.reset();
        client_.reset();
        scheduler_.clear();
    }

    std::unique_ptr<Member> join() {
        auto member = std::make_unique<Member>();
        member->id = hub_->join([m = member.get(), this](core::Event event) {
            EXPECT_FALSE(inside_) << "delivered from inside a call";
            m->events.push_back(std::move(event));
        });
        return member;
    }
    void want(const Member& member, Interest interest, std::uint64_t id) {
        interest.id = id;
        inside_ = true;
        hub_->set_interest(member.id, interest);
        inside_ = false;
    }
    template <class Condition>
    bool run_until(Condition condition, testutil::Nanos limit = 20 * kSecond) {
        const testutil::Nanos end = scheduler_.now() + limit;
        while (!condition()) {
            if (scheduler_.next_time() > end) return false;
            scheduler_.step();
        }
        return true;
    }
    void run_for(testutil::Nanos span) {
        (void)run_until([] { return false; }, span);
    }
    // Stores a record whose content is told by `sequence`.
    Revision lease(std::uint32_t number, std::uint64_t sequence) {
        auto record = std::make_shared<LeaseRecord>();
        record->id = {{1, number}, sequence};
        record->session = {1, number};
        record->incarnation = {1};
        return put(kLease, worker_key({number}), LeasePtr(record));
    }
    Revision assignment(std::uint32_t number, std::uint64_t version) {
        auto record = std::make_shared<AssignmentRecord>();
        record->id = {{9, 9}, version};
        record->fence = {{1}, version};
        record->session = {1, number};
        record->incarnation = {1};
        return put(kAssignment, worker_key({number}), AssignmentPtr(record));
    }
    Revision put(const std::string& bucket, const Key& key, const RecordValue& record) {
        return raw(bucket, wire::to_string(key), wire::encode(record));
    }
    Revision raw(const std::string& bucket, const std::string& key, const std::string& bytes) {
        store_.overwrite(bucket, key, std::make_shared<const std::string>(bytes));
        return store_.last(bucket, key)->revision;
    }

    SimScheduler scheduler_;
    SimStore store_;
    SimNetwork network_;
    std::unique_ptr<SimClient> client_;
    std::unique_ptr<Hub> hub_;
    std::vector<std::string> log_;
    bool inside_ = false;
    std::uint64_t tick_ = 0;
};

Interest wide() {
    Interest interest;
    interest.all_leases = true;
    interest.all_assignments = true;
    return interest;
}
Interest own(std::uint32_t number, std::uint32_t leader) {
    Interest interest;
    interest.own_assignment = WorkerNumber{number};
    interest.leader_lease = WorkerNumber{leader};
    return interest;
}

TEST_F(HubTest, AMemberHearsWhatItAskedForAndThenThatThisWasAll) {
    const Revision l1 = lease(1, 1);
    lease(2, 1);
    const Revision a1 = assignment(1, 1);
    const Revision a3 = assignment(3, 1);
    auto member = join();
    want(*member, own(3, 1), 1);
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    EXPECT_EQ(member->revisions(Bucket::lease, worker_key({1})), std::vector<Revision>{l1});
    EXPECT_EQ(member->revisions(Bucket::lease, worker_key({2})), std::vector<Revision>{});
    EXPECT_EQ(member->revisions(Bucket::assignment, worker_key({3})), std::vector<Revision>{a3});
    EXPECT_TRUE(member->revisions(Bucket::assignment, worker_key({1})).empty()) << "revision " << a1;
    EXPECT_TRUE(std::holds_alternative<SnapshotDone>(member->events.back()));
    EXPECT_EQ(hub_->watches(), 4U);  // head, control, assignment 3, lease 1

    const Revision later = assignment(3, 2);
    ASSERT_TRUE(run_until([&] { return member->revisions(Bucket::assignment, worker_key({3})).size() == 2; }));
    EXPECT_EQ(member->revisions(Bucket::assignment, worker_key({3})).back(), later);
}

TEST_F(HubTest, WatchesAreTheUnionOfInterestsAndAreReplacedWithoutAGap) {
    auto first = join();
    auto second = join();
    want(*first, own(1, 5), 1);
    want(*second, own(2, 5), 1);
    ASSERT_TRUE(run_until([&] { return first->told(1) && second->told(1); }));
    EXPECT_EQ(hub_->watches(), 5U);  // head, control, two assignments, one lease
    EXPECT_EQ(store_.subscriptions(kAssignment), 4U);

    want(*first, wide(), 2);
    EXPECT_EQ(hub_->watches(), 7U) << "the old ones stay until what replaces them is complete";
    std::vector<Revision> written;
    for (std::uint64_t i = 1; i <= 40; ++i) {
        written.push_back(assignment(2, i));
        run_for(kMilli / 4);
    }
    ASSERT_TRUE(run_until([&] { return first->told(2) && hub_->watches() == 4; }));
    const auto heard = [&] { return second->revisions(Bucket::assignment, worker_key({2})); };
    ASSERT_TRUE(run_until([&] { return !heard().empty() && heard().back() == written.back(); }));
    const std::vector<Revision> revisions = heard();
    EXPECT_TRUE(std::is_sorted(revisions.begin(), revisions.end())) << "across the replacement too";
    EXPECT_EQ(std::adjacent_find(revisions.begin(), revisions.end()), revisions.end()) << "each at most once";

    want(*first, own(1, 5), 3);
    ASSERT_TRUE(run_until([&] { return first->told(3) && hub_->watches() == 5; }));
    inside_ = true;
    hub_->leave(first->id);
    hub_->leave(second->id);
    inside_ = false;
    run_for(kSecond);
    EXPECT_EQ(hub_->watches(), 0U);
    EXPECT_EQ(store_.subscriptions(kAssignment) + store_.subscriptions(kLease), 0U);
}

TEST_F(HubTest, AMemberThatComesLaterIsToldSinceWhenAValueIsKnown) {
    const Revision revision = lease(4, 1);
    auto first = join();
    want(*first, wide(), 1);
    ASSERT_TRUE(run_until([&] { return first->told(1); }));
    const Instant seen = first->all<EntrySeen>().front().first_seen;
    run_for(5 * kSecond);
    auto second = join();
    want(*second, wide(), 8);
    ASSERT_TRUE(run_until([&] { return second->told(8); }, kMilli)) << "it comes from the cache";
    ASSERT_EQ(second->revisions(Bucket::lease, worker_key({4})), std::vector<Revision>{revision});
    EXPECT_EQ(second->all<EntrySeen>().front().first_seen, seen);
    EXPECT_EQ(first->all<EntrySeen>().size(), 1U);
}

TEST_F(HubTest, OnlyTheNewestInterestIsAnswered) {
    auto member = join();
    want(*member, own(1, 1), 1);
    want(*member, own(2, 2), 2);
    want(*member, wide(), 3);
    ASSERT_TRUE(run_until([&] { return member->told(3); }));
    run_for(kSecond);
    EXPECT_EQ(member->all<SnapshotDone>().size(), 1U);
}

TEST_F(HubTest, OfTwoAnswersThatWaitOnlyTheNewestInterestsIsDelivered) {
    auto first = join();
    want(*first, wide(), 1);
    ASSERT_TRUE(run_until([&] { return first->told(1); }));
    auto second = join();  // everything it wants is known already
    want(*second, own(1, 1), 8);
    want(*second, wide(), 9);
    ASSERT_TRUE(run_until([&] { return second->told(9); }));
    EXPECT_EQ(second->all<SnapshotDone>().size(), 1U);
}

TEST_F(HubTest, AnInterestThatNarrowsAndWidensHearsEachValueOnceAndNoneThatIsOutOfDate) {
    std::vector<Revision> told = {lease(2, 1)};
    auto member = join();
    want(*member, wide(), 1);
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    want(*member, wide(), 2);
    ASSERT_TRUE(run_until([&] { return member->told(2); }));
    EXPECT_EQ(member->revisions(Bucket::lease, worker_key({2})), told) << "it had this one already";
    want(*member, own(1, 5), 3);
    ASSERT_TRUE(run_until([&] { return member->told(3) && hub_->watches() == 4; }));
    lease(2, 2);  // nobody here watches it
    told.push_back(lease(2, 3));
    run_for(kSecond);
    want(*member, wide(), 4);
    ASSERT_TRUE(run_until([&] { return member->told(4); }));
    EXPECT_EQ(member->revisions(Bucket::lease, worker_key({2})), told) << "what is not watched is not known";
}

TEST_F(HubTest, AMemberThatLeftHearsNothingMore) {
    auto member = join();
    auto other = join();
    want(*member, wide(), 1);
    want(*other, wide(), 1);
    ASSERT_TRUE(run_until([&] { return member->told(1) && other->told(1); }));
    core::Put put;
    put.key = worker_key({1});
    put.record = std::make_shared<const LeaseRecord>();
    hub_->put(member->id, put);
    lease(2, 1);
    hub_->leave(member->id);
    const std::size_t known = member->events.size();
    ASSERT_TRUE(run_until([&] { return other->all<EntrySeen>().size() == 2; }));
    run_for(kSecond);
    EXPECT_EQ(member->events.size(), known);
}

TEST_F(HubTest, PutsAndFetchesAreAnsweredAsTheServerActed) {
    auto member = join();
    core::Put put;
    put.token = {5, 2};
    put.key = worker_key({1});
    auto record = std::make_shared<LeaseRecord>();
    record->id = {{3, 4}, 1};
    record->incarnation = {1};
    record->session = {3, 4};
    put.record = LeasePtr(record);
    hub_->put(member->id, put);
    ASSERT_TRUE(run_until([&] { return member->all<WriteAnswered>().size() == 1; }));
    const WriteAnswered done = member->all<WriteAnswered>()[0];
    EXPECT_EQ(done.token, put.token);
    EXPECT_EQ(done.result, core::WriteResult::done);
    EXPECT_EQ(done.revision, 1U);

    hub_->put(member->id, put);  // the same expectation again
    ASSERT_TRUE(run_until([&] { return member->all<WriteAnswered>().size() == 2; }));
    EXPECT_EQ(member->all<WriteAnswered>()[1].result, core::WriteResult::wrong_revision);
    EXPECT_EQ(member->all<WriteAnswered>()[1].revision, 1U);

    network_.server_down();
    hub_->put(member->id, put);
    ASSERT_TRUE(run_until([&] { return member->all<WriteAnswered>().size() == 3; }));
    EXPECT_EQ(member->all<WriteAnswered>()[2].result, core::WriteResult::no_information);
    EXPECT_NE(member->all<WriteAnswered>()[2].detail, "");
    hub_->fetch(member->id, {{6, 1}, Bucket::lease, worker_key({1})});
    ASSERT_TRUE(run_until([&] { return member->all<core::FetchAnswered>().size() == 1; }));
    EXPECT_FALSE(member->all<core::FetchAnswered>()[0].entry.has_value());

    network_.server_start();
    hub_->fetch(member->id, {{7, 1}, Bucket::lease, worker_key({1})});
    hub_->fetch(member->id, {{8, 1}, Bucket::lease, worker_key({2})});
    ASSERT_TRUE(run_until([&] { return member->all<core::FetchAnswered>().size() == 3; }));
    for (const auto& answer : member->all<core::FetchAnswered>()) {
        if (answer.token.operation == 7) {
            ASSERT_TRUE(answer.entry.has_value());
            EXPECT_EQ(answer.entry->revision, 1U);
            EXPECT_EQ(*std::get<LeasePtr>(answer.entry->value), *record);
        }
        if (answer.token.operation == 8) {
            ASSERT_TRUE(answer.entry.has_value());
            EXPECT_EQ(answer.entry->revision, 0U);
            EXPECT_TRUE(std::holds_alternative<Absent>(answer.entry->value));
        }
    }
}

TEST_F(HubTest, MarkersVanishedKeysAndJunkAreToldApart) {
    lease(1, 1);
    lease(2, 1);
    const Revision junk = raw(kLease, "worker.3", "{\"v\":1");
    raw(kLease, "worker.x", "foreign");
    auto member = join();
    want(*member, wide(), 1);
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    ASSERT_EQ(member->all<EntrySeen>().size(), 3U) << "the foreign key is nobody's";
    ASSERT_EQ(log_.size(), 1U);
    EXPECT_NE(log_[0].find("worker.x"), std::string::npos);
    for (const EntrySeen& seen : member->all<EntrySeen>()) {
        EXPECT_EQ(std::holds_alternative<UnreadablePtr>(seen.entry.value), seen.entry.revision == junk);
    }

    member->events.clear();
    store_.mark(kLease, "worker.1");
    ASSERT_TRUE(run_until([&] { return member->all<EntrySeen>().size() == 1; }));
    EXPECT_TRUE(std::holds_alternative<Absent>(member->all<EntrySeen>()[0].entry.value));
    EXPECT_EQ(member->all<EntrySeen>()[0].entry.revision, 5U);

    member->events.clear();
    store_.erase(kLease, "worker.2");
    EXPECT_GT(client_->delete_consumers(), 0U);
    ASSERT_TRUE(run_until([&] { return !member->events.empty(); }));
    run_for(5 * kSecond);
    ASSERT_EQ(member->all<EntrySeen>().size(), 1U) << "what was known before is not repeated";
    EXPECT_EQ(member->all<EntrySeen>()[0].entry.key, worker_key({2}));
    EXPECT_EQ(member->all<EntrySeen>()[0].entry.revision, 0U);
    // Somebody who comes now must know that the number once had a record.
    auto late = join();
    want(*late, wide(), 1);
    ASSERT_TRUE(run_until([&] { return late->told(1); }));
    EXPECT_EQ(late->revisions(Bucket::lease, worker_key({2})), std::vector<Revision>{0});
}

TEST_F(HubTest, ALostHistoryIsToldOnceToEveryoneAndThePresentFollows) {
    for (std::uint64_t i = 1; i <= 10; ++i) assignment(1, i);
    assignment(2, 1);
    auto first = join();
    auto second = join();
    want(*first, own(1, 1), 1);
    want(*second, own(2, 1), 1);
    ASSERT_TRUE(run_until([&] { return first->told(1) && second->told(1); }));
    first->events.clear();
    second->events.clear();
    store_.wipe(kAssignment);
    const Revision anew = assignment(1, 1);
    ASSERT_TRUE(run_until([&] { return first->told(1) && second->told(1); }));
    run_for(10 * kSecond);
    for (const Member* member : {first.get(), second.get()}) {
        ASSERT_EQ(member->all<HistoryLost>().size(), 1U);
        EXPECT_EQ(member->all<HistoryLost>()[0].bucket, Bucket::assignment);
        EXPECT_TRUE(std::holds_alternative<HistoryLost>(member->events.front()));
        EXPECT_TRUE(std::holds_alternative<SnapshotDone>(member->events.back()));
        EXPECT_EQ(member->all<SnapshotDone>().size(), 1U);
    }
    EXPECT_EQ(first->revisions(Bucket::assignment, worker_key({1})), std::vector<Revision>{anew});
    const Revision next = assignment(2, 1);
    ASSERT_TRUE(run_until([&] { return !second->revisions(Bucket::assignment, worker_key({2})).empty(); }));
    EXPECT_EQ(second->revisions(Bucket::assignment, worker_key({2})).back(), next);
    EXPECT_EQ(hub_->watches(), 5U);
}

TEST_F(HubTest, AWatchThatIsOpenedAfterTheLossKnowsOfItFromTheOthers) {
    assignment(1, 1);
    auto member = join();
    want(*member, own(1, 1), 1);
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    store_.wipe(kAssignment);
    assignment(1, 1);
    assignment(2, 1);
    want(*member, own(2, 1), 2);  // a new watch; the old one has not noticed yet
    ASSERT_TRUE(run_until([&] { return !member->all<HistoryLost>().empty() && member->told(2); }));
    run_for(10 * kSecond);
    EXPECT_EQ(member->all<HistoryLost>().size(), 1U);
    EXPECT_EQ(member->all<HistoryLost>()[0].bucket, Bucket::assignment);
}

TEST_F(HubTest, DistrustReadsEverythingAgain) {
    const Revision revision = assignment(1, 1);
    auto member = join();
    want(*member, own(1, 1), 1);
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    member->events.clear();
    hub_->distrust(Bucket::assignment, "a test says so");
    hub_->distrust(Bucket::assignment, "and again");
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    EXPECT_EQ(member->all<HistoryLost>().size(), 1U);
    EXPECT_EQ(member->revisions(Bucket::assignment, worker_key({1})), std::vector<Revision>{revision});
    member->events.clear();
    hub_->distrust(Bucket::assignment, "later, about what was read again");
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    EXPECT_EQ(member->all<HistoryLost>().size(), 1U);
}

TEST_F(HubTest, AMissingBucketIsToldOnceAndMadeAgain) {
    assignment(1, 1);
    auto member = join();
    want(*member, own(1, 1), 1);
    ASSERT_TRUE(run_until([&] { return member->told(1); }));
    store_.remove(kAssignment);
    ASSERT_TRUE(run_until([&] { return !member->all<core::BucketMissing>().empty(); }));
    run_for(5 * kSecond);
    ASSERT_EQ(member->all<core::BucketMissing>().size(), 1U);
    EXPECT_EQ(member->all<core::BucketMissing>()[0].bucket, Bucket::assignment);
    auto late = join();
    want(*late, own(2, 1), 1);
    ASSERT_TRUE(run_until([&] { return !late->all<core::BucketMissing>().empty(); }));
    hub_->create(Bucket::assignment);
    ASSERT_TRUE(run_until([&] { return member->all<core::BucketMissing>().size() == 2; }));
    EXPECT_FALSE(member->all<core::BucketMissing>()[1].missing);
    EXPECT_EQ(member->all<HistoryLost>().size(), 1U);
    EXPECT_NE(store_.find(kAssignment), nullptr);
}

TEST_F(HubTest, AnswersThatComeAfterTheHubFindNobody) {
    auto member = join();
    want(*member, wide(), 1);
    core::Put put;
    put.key = worker_key({1});
    put.record = std::make_shared<const LeaseRecord>();
    hub_->put(member->id, put);
    hub_.reset();
    run_for(5 * kSecond);
    EXPECT_TRUE(member->events.empty());
    EXPECT_NE(store_.last(kLease, "worker.1"), nullptr) << "what was sent arrives";
}

}  // namespace
}  // namespace parti::runtime
