// Records in chunks from many writers, with everything late, lost and abandoned: none is ever torn.
#include "hub_chunks_bench.h"

namespace parti::runtime {
namespace {

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
