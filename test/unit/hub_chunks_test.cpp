// Assignment records that do not fit into one message, over the simulated client: whole or not at all, whoever writes when.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "runtime/hub.h"
#include "testutil/sim_client.h"
#include "testutil/sim_records.h"
#include "wire/codec.h"

namespace parti::runtime {
namespace {

using core::EntrySeen;
using core::Instant;
using core::SnapshotDone;
using core::WriteAnswered;
using core::WriteResult;
using testutil::kMilli;
using testutil::kSecond;
using testutil::Nanos;
using testutil::SimClient;
using testutil::SimMessage;
using testutil::SimNetwork;
using testutil::SimScheduler;
using testutil::SimStore;

const std::string kLease = lease_bucket_name("g");
const std::string kAssignment = assignment_bucket_name("g");
const Key kKey = worker_key({7});
constexpr std::size_t kPayload = 700;

// `count` partitions with ids that do not compress; the same seed gives the same lists.
AssignmentPtr record(WriteId id, std::size_t count, std::uint64_t seed) {
    base::Rng rng(seed);
    auto out = std::make_shared<AssignmentRecord>();
    out->id = id;
    out->fence = {{1}, id.sequence};
    out->incarnation = {1};
    out->session = {1, 7};
    for (std::size_t i = 0; i < count; ++i) {
        out->partitions.push_back(Partition::from_id(std::to_string(rng.next()) + std::to_string(rng.next())).value());
    }
    std::sort(out->partitions.begin(), out->partitions.end());
    return out;
}

RecordValue stored(const SimStore& store) {
    return testutil::stored_assignment(store, kAssignment, kKey);
}

// One process: a client, a hub, a member that hears of everything.
struct Process {
    Process(SimScheduler& time, SimNetwork& network) : scheduler(time), lane(time.add_lane()) {
        client = std::make_unique<SimClient>(network, lane, jetstream::ClientOptions{});
        HubShell shell;
        shell.now = [this] { return Instant(Duration(scheduler.now())); };
        shell.defer = [this](std::function<void()> task) { scheduler.after(0, lane, std::move(task)); };
        shell.wake = [this](Instant at) {
            scheduler.at(at.time_since_epoch().count(), lane, [this, generation = ++ticks] {
                if (generation == ticks) hub->tick();
            });
        };
        shell.decode = wire::decode;
        shell.encode = wire::encode;
        shell.put_timeout = std::chrono::seconds(2);
        shell.limits = {300, kPayload, 400};
        shell.log = [this](LogLevel, std::string_view line) { log.emplace_back(line); };
        hub = Hub::make(*client, kLease, kAssignment, std::move(shell));
        member = hub->join([this](core::Event event) { events.push_back(std::move(event)); });
    }
    ~Process() { scheduler.end_lane(lane); }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void watch() {
        core::Interest interest;
        interest.id = ++interests;
        interest.all_assignments = true;
        hub->set_interest(member, interest);
    }
    void put(std::uint64_t operation, std::uint32_t attempt, Revision expected, AssignmentPtr value) {
        hub->put(member, {{operation, attempt}, Bucket::assignment, kKey, expected, std::move(value)});
    }
    template <class E>
    std::vector<E> all() const {
        std::vector<E> out;
        for (const core::Event& event : events) {
            if (const E* e = std::get_if<E>(&event)) out.push_back(*e);
        }
        return out;
    }
    std::vector<EntrySeen> entries() const {
        std::vector<EntrySeen> out = all<EntrySeen>();
        std::erase_if(out, [](const EntrySeen& e) { return e.entry.key != kKey; });
        return out;
    }

    SimScheduler& scheduler;
    SimScheduler::Lane lane;
    std::uint64_t ticks = 0;
    std::uint64_t interests = 0;
    std::unique_ptr<SimClient> client;
    std::unique_ptr<Hub> hub;
    Hub::MemberId member = 0;
    std::vector<core::Event> events;
    std::vector<std::string> log;
};

class HubChunks : public testing::Test {
protected:
    HubChunks() : network_(scheduler_, store_, 7) {
        network_.payload_bytes_max = kPayload;
        store_.create(kLease);
        store_.create(kAssignment);
        store_.observe([this](const SimStore::Stream&, const std::string& key, const SimMessage&) { ++written_[key]; });
    }
    ~HubChunks() override {
        processes_.clear();
        scheduler_.clear();
    }
    Process& process() { return *processes_.emplace_back(std::make_unique<Process>(scheduler_, network_)); }
    template <class Condition>
    bool run_until(Condition condition, Nanos limit = 20 * kSecond) {
        const Nanos end = scheduler_.now() + limit;
        while (!condition()) {
            if (scheduler_.next_time() > end) return false;
            scheduler_.step();
        }
        return true;
    }
    // A put and its answer.
    WriteAnswered write(Process& p, Revision expected, const AssignmentPtr& value) {
        const std::size_t before = p.all<WriteAnswered>().size();
        p.put(++operation_, 1, expected, value);
        EXPECT_TRUE(run_until([&] { return p.all<WriteAnswered>().size() > before; }));
        return p.all<WriteAnswered>().back();
    }
    std::size_t chunks_written() const {
        std::size_t count = 0;
        for (const auto& [key, times] : written_) count += key == "worker.7" ? 0 : times;
        return count;
    }

    SimScheduler scheduler_;
    SimStore store_;
    SimNetwork network_;
    std::vector<std::unique_ptr<Process>> processes_;
    std::map<std::string, std::size_t> written_;
    std::uint64_t operation_ = 0;
};

void expect_record(const RecordValue& value, const AssignmentRecord& wanted) {
    const auto* found = std::get_if<AssignmentPtr>(&value);
    ASSERT_NE(found, nullptr) << (std::holds_alternative<UnreadablePtr>(value) ? std::get<UnreadablePtr>(value)->error.detail : "");
    EXPECT_EQ(**found, wanted);
}

TEST_F(HubChunks, ALargeRecordArrivesWholeAndOnce) {
    Process& writer = process();
    Process& reader = process();
    reader.watch();
    writer.watch();
    ASSERT_TRUE(run_until([&] { return reader.all<SnapshotDone>().size() == 1; }));
    const auto large = record({{1, 1}, 1}, 60, 1);
    const WriteAnswered answer = write(writer, 0, large);
    ASSERT_EQ(answer.result, WriteResult::done);
    EXPECT_GE(written_.count("worker.7.a.3"), 1U) << "it was to be of several chunks";
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 1 && writer.entries().size() == 1; }));
    for (const Process* p : {&reader, &writer}) {
        EXPECT_EQ(p->entries()[0].entry.revision, answer.revision);
        expect_record(p->entries()[0].entry.value, *large);
        EXPECT_TRUE(p->log.empty()) << p->log[0];
    }
    EXPECT_EQ(std::get<AssignmentPtr>(writer.entries()[0].entry.value).get(), large.get()) << "its own need not be read back";
    // Somebody who comes later hears of it before it is told that this was all, and a fetch finds it.
    Process& late = process();
    late.watch();
    ASSERT_TRUE(run_until([&] { return !late.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(late.entries().size(), 1U);
    expect_record(late.entries()[0].entry.value, *large);
    EXPECT_TRUE(std::holds_alternative<SnapshotDone>(late.events.back()));
    late.hub->fetch(late.member, {{99, 1}, Bucket::assignment, kKey});
    ASSERT_TRUE(run_until([&] { return !late.all<core::FetchAnswered>().empty(); }));
    ASSERT_TRUE(late.all<core::FetchAnswered>()[0].entry.has_value());
    expect_record(late.all<core::FetchAnswered>()[0].entry->value, *large);
    const auto small = record({{1, 1}, 2}, 1, 1);
    ASSERT_EQ(write(writer, answer.revision, small).result, WriteResult::done);
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 2; }));
    expect_record(reader.entries()[1].entry.value, *small);
}

TEST_F(HubChunks, SetsTakeTurnsAndKeysStayBounded) {
    Process& writer = process();
    Revision revision = 0;
    std::set<std::string> keys;
    for (std::uint64_t i = 1; i <= 30; ++i) {
        const auto r = record({{1, 1}, i}, 30 + i % 4 * 10, i);
        const WriteAnswered answer = write(writer, revision, r);
        ASSERT_EQ(answer.result, WriteResult::done);
        revision = answer.revision;
        expect_record(stored(store_), *r);
        if (i == 8) {
            for (const auto& [key, times] : written_) keys.insert(key);
        }
    }
    std::set<std::string> at_the_end;
    for (const auto& [key, times] : written_) at_the_end.insert(key);
    EXPECT_EQ(at_the_end, keys);
    EXPECT_TRUE(keys.contains("worker.7.b.0"));
    EXPECT_LE(keys.size(), 17U);
}

TEST_F(HubChunks, UnchangedListsKeepTheirChunks) {
    Process& first = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    const WriteAnswered answer = write(first, 0, r);
    const std::size_t before = chunks_written();
    Process& second = process();  // a new leader seals
    auto sealed = std::make_shared<AssignmentRecord>(*r);
    sealed->id = {{2, 2}, 1};
    sealed->fence = {{2}, 1};
    const WriteAnswered seal = write(second, answer.revision, sealed);
    EXPECT_EQ(seal.result, WriteResult::done);
    EXPECT_EQ(chunks_written(), before) << "one short message";
    expect_record(stored(store_), *sealed);
    EXPECT_EQ(write(first, answer.revision, record({{1, 1}, 2}, 50, 2)).result, WriteResult::wrong_revision);
    expect_record(stored(store_), *sealed);
}

TEST_F(HubChunks, WhoDiedBetweenChunksAndCommitLeavesNothingTorn) {
    Process& first = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    const WriteAnswered answer = write(first, 0, r);
    // Its chunks arrive, its commit is under way for a long time.
    first.put(++operation_, 1, answer.revision, record({{1, 1}, 2}, 50, 2));
    ASSERT_TRUE(run_until([&] { return written_.count("worker.7.b.2") != 0; }));
    processes_.erase(processes_.begin());
    const std::size_t mains = written_["worker.7"];
    Process& second = process();
    const auto next = record({{2, 2}, 1}, 50, 3);
    const WriteAnswered refused = write(second, answer.revision, next);
    // The set was begun by another: the record is written again as it is, so that the other's commit cannot succeed.
    ASSERT_EQ(refused.result, WriteResult::wrong_revision);
    EXPECT_GT(refused.revision, answer.revision);
    EXPECT_EQ(written_["worker.7"], mains + 1);
    expect_record(stored(store_), *r);
    EXPECT_EQ(write(second, refused.revision, next).result, WriteResult::done);
    expect_record(stored(store_), *next);
}

TEST_F(HubChunks, AMeddledChunkIsAnErrorAndTheNextRecordHeals) {
    Process& writer = process();
    const WriteAnswered answer = write(writer, 0, record({{1, 1}, 1}, 50, 1));
    store_.overwrite(kAssignment, "worker.7.a.1", std::make_shared<const std::string>("gone"));
    Process& reader = process();
    reader.watch();
    ASSERT_TRUE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(reader.entries().size(), 1U);
    const RecordValue damaged = reader.entries()[0].entry.value;
    const auto* bad = std::get_if<UnreadablePtr>(&damaged);
    ASSERT_NE(bad, nullptr);
    EXPECT_NE((*bad)->error.detail.find("worker.7.a.1 is not one"), std::string::npos) << (*bad)->error.detail;
    EXPECT_FALSE((*bad)->future);
    const auto next = record({{1, 1}, 2}, 50, 2);
    ASSERT_EQ(write(writer, answer.revision, next).result, WriteResult::done);
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 2; }));
    expect_record(reader.entries()[1].entry.value, *next);
    // Chunks of another record, well formed.
    const std::string other = wire::encode_chunk({{{3, 3}, 3}, 0, "xyz"});
    store_.overwrite(kAssignment, "worker.7.b.0", std::make_shared<const std::string>(other));
    Process& late = process();
    late.watch();
    ASSERT_TRUE(run_until([&] { return !late.all<SnapshotDone>().empty(); }));
    ASSERT_TRUE(std::holds_alternative<UnreadablePtr>(late.entries().at(0).entry.value));
    // The same lists again, by one who knows that their chunks are damaged: they are written anew.
    const auto again = record({{2, 2}, 1}, 50, 2);
    ASSERT_EQ(write(late, late.entries().at(0).entry.revision, again).result, WriteResult::done);
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 3; }));
    expect_record(reader.entries()[2].entry.value, *again);
}

TEST_F(HubChunks, SilenceIsNotTakenForDamage) {
    Process& writer = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    ASSERT_EQ(write(writer, 0, r).result, WriteResult::done);
    Process& reader = process();
    reader.watch();
    std::size_t seen = 0;
    ASSERT_TRUE(run_until([&] { return reader.client->stats().watch_messages > seen; }));
    network_.server_down();
    ASSERT_FALSE(run_until([&] { return !reader.entries().empty() || !reader.all<SnapshotDone>().empty(); }, 30 * kSecond));
    network_.server_start();
    ASSERT_TRUE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(reader.entries().size(), 1U);
    expect_record(reader.entries()[0].entry.value, *r);
}

TEST_F(HubChunks, ARecordTooLargeForAnyFormIsRefusedByName) {
    Process& writer = process();
    auto lease = std::make_shared<LeaseRecord>();
    lease->id = {{1, 1}, 1};
    lease->instance = std::string(2 * kPayload, 'x');
    writer.hub->put(writer.member, {{1, 1}, Bucket::lease, kKey, 0, LeasePtr(lease)});
    ASSERT_TRUE(run_until([&] { return !writer.all<WriteAnswered>().empty(); }));
    const WriteAnswered said = writer.all<WriteAnswered>()[0];
    EXPECT_EQ(said.result, WriteResult::no_information);
    EXPECT_NE(said.detail.find("at most 700"), std::string::npos) << said.detail;
    EXPECT_NE(said.detail.find("'worker.7'"), std::string::npos) << said.detail;
}

// ---- many writers, everything late, lost and abandoned -----------------------------------------------------------------------------

struct Writer {
    Process* process = nullptr;
    SessionId session;
    std::uint64_t sequence = 0;
    std::uint64_t operation = 0;
    std::uint32_t attempt = 0;
    Revision expected = 0;
    AssignmentPtr value;
    Nanos again_at = 0;
    std::size_t heard = 0;
    Revision known = 0;
    AssignmentPtr basis;
};

// Returns how many commits of chunks there were; fails the test when a record was ever torn.
std::size_t stress(std::uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SimScheduler scheduler;
    SimStore store;
    SimNetwork network(scheduler, store, seed);
    network.payload_bytes_max = kPayload;
    network.rates = {60'000, 60'000, 60'000, 60'000, 20'000, 50 * kMilli, 4000 * kMilli};
    store.create(kLease);
    store.create(kAssignment);
    std::size_t commits = 0;
    std::size_t torn = 0;
    store.observe([&](const SimStore::Stream& stream, const std::string& key, const SimMessage& message) {
        if (key == "worker.7" && wire::read_manifest(*message.bytes)) ++commits;
        if (stream.bucket == kAssignment && std::holds_alternative<UnreadablePtr>(stored(store))) ++torn;
    });
    base::Rng rng(seed);
    std::vector<std::unique_ptr<Process>> processes;
    std::vector<Writer> writers(4);
    for (int i = 0; i < 3; ++i) {
        processes.push_back(std::make_unique<Process>(scheduler, network));
        processes.back()->watch();
    }
    std::uint64_t operation = 0;
    for (std::size_t i = 0; i < writers.size(); ++i) {
        writers[i].process = processes[i % processes.size()].get();  // two of them in one process, under one member
        writers[i].session = {i + 1, seed};
    }
    // The rule above the hub: whoever begins to write first makes sure that there is a record.
    processes[0]->put(++operation, 1, 0, record({{9, 9}, 1}, 1, 1));
    const Nanos end = 120 * kSecond;
    while (scheduler.now() < end && torn == 0) {
        const Nanos until = scheduler.now() + rng.between(kMilli, 60 * kMilli);
        while (scheduler.next_time() <= until) scheduler.step();
        scheduler.at(until, SimScheduler::kWorld, [] {});
        if (scheduler.next_time() <= until) scheduler.step();
        for (Writer& w : writers) {
            Process& p = *w.process;
            for (; w.heard < p.events.size(); ++w.heard) {
                const core::Event& event = p.events[w.heard];
                if (const auto* seen = std::get_if<EntrySeen>(&event); seen != nullptr && seen->entry.key == kKey) {
                    if (std::holds_alternative<UnreadablePtr>(seen->entry.value)) ++torn;
                    EXPECT_GE(seen->entry.revision, w.known);
                    w.known = seen->entry.revision;
                    if (const auto* found = std::get_if<AssignmentPtr>(&seen->entry.value)) w.basis = *found;
                }
                const auto* answer = std::get_if<WriteAnswered>(&event);
                if (answer == nullptr || answer->token.operation != w.operation || w.value == nullptr) continue;
                if (answer->result == WriteResult::done) w.value = nullptr;
                if (answer->result == WriteResult::wrong_revision && w.attempt == 1) w.value = nullptr;
            }
            if (w.value == nullptr && w.known != 0 && rng.chance(1, 4)) {
                w.operation = ++operation;
                w.attempt = 0;
                w.expected = w.known;
                const WriteId id{w.session, ++w.sequence};
                if (w.basis && rng.chance(1, 4)) {
                    auto same = std::make_shared<AssignmentRecord>(*w.basis);  // as when sealing
                    same->id = id;
                    w.value = same;
                } else {
                    w.value = record(id, rng.chance(1, 5) ? 2 : 20 + rng.below(60), rng.next());
                }
                w.again_at = 0;
            }
            if (w.value != nullptr && scheduler.now() >= w.again_at) {
                if (w.attempt > 8 || (w.attempt > 0 && rng.chance(1, 8))) {
                    w.value = nullptr;  // abandoned: what it sent may still happen
                    continue;
                }
                p.put(w.operation, ++w.attempt, w.expected, w.value);
                w.again_at = scheduler.now() + 500 * kMilli;
            }
        }
        if (rng.chance(1, 400)) (void)processes[rng.below(3)]->client->delete_consumers();
        if (rng.chance(1, 400)) {
            Process& p = *processes[rng.below(3)];
            p.client->disconnect();
            scheduler.after(rng.between(kMilli, 3 * kSecond), p.lane, [&p] { p.client->connect(); });
        }
    }
    EXPECT_EQ(torn, 0U) << "at " << scheduler.now() << " ns";
    EXPECT_LE(store.find(kAssignment)->messages.size(), 1U + 2U * 20U);
    processes.clear();
    scheduler.clear();
    return commits;
}

TEST(HubChunksUnderFire, NoRecordIsEverTorn) {
    const char* text = std::getenv("PARTI_SEED");
    const std::uint64_t first = text == nullptr ? 1 : std::strtoull(text, nullptr, 0);
    const std::uint64_t seeds = text == nullptr ? 40 : 1;
    std::size_t commits = 0;
    for (std::uint64_t seed = first; seed < first + seeds && !testing::Test::HasFailure(); ++seed) {
        commits += stress(seed);
        if (testing::Test::HasFailure()) {
            std::printf("replay: PARTI_SEED=%llu parti_hub_chunks_tests --gtest_filter=HubChunksUnderFire.*\n",
                        static_cast<unsigned long long>(seed));
        }
    }
    std::printf("%zu records in chunks committed\n", commits);
    EXPECT_GT(commits, seeds * 10);
}

}  // namespace
}  // namespace parti::runtime
