// HubChunks: processes of one hub each over the simulated client, on a server that takes short messages only.
//
// Role      The fixture of the tests of records in chunks; one test says what happens, another draws it.
// Threads   One.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "core_events.h"
#include "runtime/hub.h"
#include "testutil/sim_client.h"
#include "testutil/sim_records.h"
#include "wire/codec.h"

namespace parti::runtime {

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

inline const std::string kLease = lease_bucket_name("g");
inline const std::string kAssignment = assignment_bucket_name("g");
inline const Key kKey = worker_key({7});
inline constexpr std::size_t kPayload = 700;

// `count` partitions with ids that do not compress; the same seed gives the same lists.
inline AssignmentPtr record(WriteId id, std::size_t count, std::uint64_t seed) {
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

inline RecordValue stored(const SimStore& store) { return testutil::stored_assignment(store, kAssignment, kKey); }

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
    void watch_own() {
        core::Interest interest;
        interest.id = ++interests;
        interest.own_assignment = kKey.number;
        hub->set_interest(member, interest);
    }
    void put(std::uint64_t operation, std::uint32_t attempt, Revision expected, AssignmentPtr value) {
        hub->put(member, {{operation, attempt}, Bucket::assignment, kKey, expected, std::move(value)});
    }
    template <class E>
    std::vector<E> all() const {
        return core::all_of<E>(events);
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
    void pass(Nanos span) {
        bool over = false;
        scheduler_.after(span, SimScheduler::kWorld, [&] { over = true; });
        ASSERT_TRUE(run_until([&] { return over; }, span));
    }
    // A put and its answer.
    WriteAnswered write(Process& p, Revision expected, const AssignmentPtr& value) {
        const std::size_t before = p.all<WriteAnswered>().size();
        p.put(++operation_, 1, expected, value);
        EXPECT_TRUE(run_until([&] { return p.all<WriteAnswered>().size() > before; }));
        return p.all<WriteAnswered>().back();
    }
    // It has heard of a record that names chunks, and its requests go unanswered from here on.
    void hears_no_chunks(Process& p, Nanos span) {
        const std::uint64_t before = p.client->stats().watch_messages;
        ASSERT_TRUE(run_until([&] { return p.client->stats().watch_messages > before; }));
        p.client->lose_answers(scheduler_.now() + span);
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

inline void expect_record(const RecordValue& value, const AssignmentRecord& wanted) {
    const auto* found = std::get_if<AssignmentPtr>(&value);
    ASSERT_NE(found, nullptr) << (std::holds_alternative<UnreadablePtr>(value) ? std::get<UnreadablePtr>(value)->error.detail
                                                                               : "");
    EXPECT_EQ(**found, wanted);
}

}  // namespace parti::runtime
