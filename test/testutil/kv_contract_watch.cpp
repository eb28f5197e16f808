// The cases about watches.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "testutil/kv_contract.h"

namespace parti::testutil {
namespace {

using jetstream::BucketInfo;
using jetstream::EntryKind;
using jetstream::PutAnswer;
using jetstream::PutResult;
using jetstream::RawEntry;
using jetstream::Watch;
using jetstream::WatchHandlers;
using std::chrono::seconds;

// What a watch told, in order.
struct Heard {
    std::vector<RawEntry> entries;
    std::size_t entries_before_initial = 0;
    int initial_done = 0;
    int lost = 0;
    int recovered = 0;
    std::vector<std::size_t> history_lost_after;  // so many entries

    WatchHandlers handlers() {
        WatchHandlers handlers;
        handlers.on_entry = [this](RawEntry entry) { entries.push_back(std::move(entry)); };
        handlers.on_initial_done = [this] {
            ++initial_done;
            entries_before_initial = entries.size();
        };
        handlers.on_lost = [this](const std::string&) { ++lost; };
        handlers.on_recovered = [this] { ++recovered; };
        handlers.on_history_lost = [this](const std::string&) { history_lost_after.push_back(entries.size()); };
        return handlers;
    }
    bool has(const std::string& key, std::uint64_t revision) const {
        return std::any_of(entries.begin(), entries.end(),
                           [&](const RawEntry& entry) { return entry.key == key && entry.revision == revision; });
    }
    std::vector<std::uint64_t> revisions() const {
        std::vector<std::uint64_t> list;
        for (const RawEntry& entry : entries) list.push_back(entry.revision);
        return list;
    }
    // Everything since the entry with this index, by key: the last one counts.
    std::map<std::string, RawEntry> last_since(std::size_t index) const {
        std::map<std::string, RawEntry> last;
        for (std::size_t i = index; i < entries.size(); ++i) last[entries[i].key] = entries[i];
        return last;
    }
};

void expect_strictly_ascending(const std::vector<std::uint64_t>& revisions) {
    for (std::size_t i = 1; i < revisions.size(); ++i) {
        EXPECT_LT(revisions[i - 1], revisions[i]) << "entries " << i - 1 << " and " << i;
    }
}

void expect_no_revision_twice(const Heard& heard) {
    std::set<std::uint64_t> seen;
    for (const RawEntry& entry : heard.entries) {
        if (entry.kind == EntryKind::absent) continue;
        EXPECT_TRUE(seen.insert(entry.revision).second) << entry.key << " revision " << entry.revision << " was delivered twice";
    }
}

}  // namespace

TEST_P(KvContract, WatchOnAnEmptyBucketEndsAtOnce) {
    ensure("b");
    Heard heard;
    const auto watch = client(0).watch("b", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    EXPECT_TRUE(heard.entries.empty());
    EXPECT_EQ(heard.lost, 0);
    EXPECT_EQ(heard.recovered, 0);
}

TEST_P(KvContract, WatchDeliversWhatIsThereThenItsEndThenWhatComes) {
    constexpr std::size_t kKeys = 60;
    ensure("b");
    std::vector<std::uint64_t> last(kKeys);
    for (std::size_t i = 0; i < kKeys; ++i) last[i] = write("b", "worker." + std::to_string(i), "a");
    for (std::size_t i = 0; i < kKeys; i += 3) last[i] = write("b", "worker." + std::to_string(i), "b", last[i]);
    world_->put_marker("b", "worker.7", MarkerKind::deleted);

    Heard heard;
    const auto watch = client(1).watch("b", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    ASSERT_EQ(heard.entries_before_initial, kKeys);
    expect_strictly_ascending(heard.revisions());
    const auto initial = heard.last_since(0);
    EXPECT_EQ(initial.size(), kKeys);
    EXPECT_EQ(initial.at("worker.7").kind, EntryKind::marker);
    EXPECT_EQ(initial.at("worker.6").bytes, "b");
    EXPECT_EQ(initial.at("worker.6").revision, last[6]);
    EXPECT_EQ(initial.at("worker.5").bytes, "a");

    for (std::size_t i = 10; i < 20; ++i) last[i] = write("b", "worker." + std::to_string(i), "c", last[i]);
    world_->put_marker("b", "worker.19", MarkerKind::purged);
    ASSERT_TRUE(run_until([&] { return heard.entries.size() >= kKeys + 11; }));
    EXPECT_EQ(heard.entries.size(), kKeys + 11);
    expect_strictly_ascending(heard.revisions());
    EXPECT_EQ(heard.entries.back().kind, EntryKind::marker);
    EXPECT_EQ(heard.initial_done, 1);
    EXPECT_EQ(heard.lost, 0);
}

TEST_P(KvContract, WatchSeesItsOwnClientsWrites) {
    ensure("b");
    Heard heard;
    const auto watch = client(0).watch("b", "worker.*", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    const std::uint64_t first = write("b", "worker.3", "mine");
    const std::uint64_t second = write("b", "worker.3", "", first);
    ASSERT_TRUE(run_until([&] { return heard.entries.size() >= 2; }));
    EXPECT_EQ(heard.revisions(), (std::vector<std::uint64_t>{first, second}));
    EXPECT_EQ(heard.entries[0].bytes, "mine");
    EXPECT_EQ(heard.entries[1].kind, EntryKind::value);
    EXPECT_EQ(heard.entries[1].bytes, "");
}

TEST_P(KvContract, WatchSeesOnlyTheKeysOfItsPattern) {
    ensure("b");
    ensure("other");
    Heard all_workers;
    Heard one;
    const auto first = client(0).watch("b", "worker.*", all_workers.handlers());
    const auto second = client(0).watch("b", "worker.2", one.handlers());
    ASSERT_TRUE(run_until([&] { return all_workers.initial_done == 1 && one.initial_done == 1; }));
    write("b", "head", "no");
    write("other", "worker.2", "no");
    const std::uint64_t r1 = write("b", "worker.1", "yes");
    const std::uint64_t r2 = write("b", "worker.2", "yes");
    write("b", "worker.1.chunk", "no");
    const std::uint64_t r3 = write("b", "worker.1", "end", r1);
    const std::uint64_t r4 = write("b", "worker.2", "end", r2);
    ASSERT_TRUE(run_until([&] { return all_workers.has("worker.2", r4) && one.has("worker.2", r4); }));
    EXPECT_EQ(all_workers.revisions(), (std::vector<std::uint64_t>{r1, r2, r3, r4}));
    EXPECT_EQ(one.revisions(), (std::vector<std::uint64_t>{r2, r4}));
}

TEST_P(KvContract, AnEndedWatchIsSilentAndLeavesNoConsumer) {
    ensure("b");
    Heard ended;
    Heard heard;
    auto first = client(0).watch("b", ">", ended.handlers());
    const auto second = client(0).watch("b", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return ended.initial_done == 1 && heard.initial_done == 1; }));
    EXPECT_EQ(world_->watch_consumers("b"), 2U);
    first.reset();
    const std::uint64_t revision = write("b", "head", "x");
    ASSERT_TRUE(run_until([&] { return heard.has("head", revision); }));
    EXPECT_TRUE(ended.entries.empty());
    EXPECT_TRUE(run_until([&] { return world_->watch_consumers("b") == 1; }));

    // One that is ended by its own handler, and one before it began.
    std::unique_ptr<Watch> ends_itself;
    int heard_by_it = 0;
    WatchHandlers handlers;
    handlers.on_entry = [&](const RawEntry&) {
        ++heard_by_it;
        ends_itself.reset();
    };
    handlers.on_initial_done = [&] { ADD_FAILURE() << "told after its end"; };
    ends_itself = client(0).watch("b", ">", std::move(handlers));
    client(0).watch("b", ">", ended.handlers()).reset();
    ASSERT_TRUE(run_until([&] { return heard_by_it == 1; }));
    EXPECT_TRUE(run_until([&] { return world_->watch_consumers("b") == 1; }));
    EXPECT_EQ(ended.entries.size(), 0U);
    EXPECT_EQ(ended.initial_done, 1);
}

TEST_P(KvContract, ADeletedConsumerIsReplacedAndNothingIsMissedOrRepeated) {
    constexpr std::size_t kKeys = 12;
    ensure("b");
    std::vector<std::uint64_t> last(kKeys);
    const auto write_all = [&](const std::string& bytes) {
        for (std::size_t i = 0; i < kKeys; i += 2) last[i] = write("b", "worker." + std::to_string(i), bytes, last[i]);
    };
    for (std::size_t i = 0; i < kKeys; ++i) last[i] = write("b", "worker." + std::to_string(i), "a");
    Heard heard;
    auto watch = client(0).watch("b", "worker.*", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    for (int round = 1; round <= 2; ++round) {
        write_all("before");
        EXPECT_EQ(world_->delete_watch_consumers("b"), 1U);
        write_all("after");
        ASSERT_TRUE(run_until([&] { return heard.recovered == round; }));
        EXPECT_EQ(heard.lost, round);
        const auto now = heard.last_since(0);
        for (std::size_t i = 0; i < kKeys; ++i) {
            EXPECT_EQ(now.at("worker." + std::to_string(i)).revision, last[i]) << "worker." << i << " in round " << round;
        }
    }
    write_all("live again");
    ASSERT_TRUE(run_until([&] { return heard.has("worker.10", last[10]); }));
    expect_no_revision_twice(heard);
    expect_strictly_ascending(heard.revisions());
    EXPECT_EQ(heard.initial_done, 1);
    EXPECT_TRUE(heard.history_lost_after.empty());
    EXPECT_TRUE(run_until([&] { return world_->watch_consumers("b") == 1; }));
    watch.reset();
    EXPECT_TRUE(run_until([&] { return world_->watch_consumers("b") == 0; }));
}

TEST_P(KvContract, AServerRestartKeepsValuesAndTheWatchComesBack) {
    const BucketInfo before = ensure("b");
    ensure("b", 1);
    const std::uint64_t first = write("b", "worker.1", "kept");
    Heard heard;
    auto watch = client(0).watch("b", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));

    world_->server_down();
    PutAnswer answer;
    ASSERT_TRUE(run_until([&] { return heard.lost == 1; }));
    const PutAnswer down = put("b", "worker.1", "no", first, 0, seconds(5));
    EXPECT_EQ(down.result, PutResult::no_information);
    EXPECT_EQ(down.error.code, Errc::link_down);
    world_->server_up();
    ASSERT_TRUE(run_until([&] { return heard.recovered == 1; }));
    EXPECT_EQ(heard.lost, 1);

    const RawEntry kept = get("b", "worker.1");
    EXPECT_EQ(kept.bytes, "kept");
    EXPECT_EQ(kept.revision, first);
    const std::uint64_t second = write("b", "worker.1", "on", first);
    ASSERT_TRUE(run_until([&] { return heard.has("worker.1", second); }));
    EXPECT_EQ(heard.revisions(), (std::vector<std::uint64_t>{first, second}));
    EXPECT_TRUE(heard.history_lost_after.empty());
    EXPECT_EQ(ensure("b").created, before.created);
    watch.reset();
    EXPECT_TRUE(run_until([&] { return world_->watch_consumers("b") == 0; }));
}

TEST_P(KvContract, AWipedStoreIsTheEndOfAHistory) {
    const BucketInfo before = ensure("b");
    std::uint64_t last = 0;
    for (int i = 0; i < 5; ++i) last = write("b", "worker.1", std::to_string(i), last);
    write("b", "worker.2", "x");
    Heard heard;
    const auto watch = client(0).watch("b", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    const std::size_t known = heard.entries.size();
    ASSERT_EQ(known, 2U);

    world_->wipe_store();
    ASSERT_TRUE(run_until([&] { return heard.lost == 1; }));
    EXPECT_TRUE(heard.history_lost_after.empty()) << "without a bucket there is no other history yet";
    const BucketInfo after = ensure("b");
    EXPECT_TRUE(after.was_created);
    EXPECT_NE(after.created, before.created);
    const std::uint64_t anew = write("b", "worker.1", "anew");
    EXPECT_LT(anew, last);
    ASSERT_TRUE(run_until([&] { return heard.recovered == 1 && heard.has("worker.1", anew); }));
    EXPECT_EQ(heard.history_lost_after, (std::vector<std::size_t>{known})) << "once, and before the re-read";
    const auto now = heard.last_since(known);
    EXPECT_EQ(now.at("worker.1").bytes, "anew");
    EXPECT_EQ(now.at("worker.2").kind, EntryKind::absent);
    EXPECT_EQ(now.at("worker.2").revision, 0U);
    EXPECT_EQ(heard.initial_done, 1);
}

TEST_P(KvContract, AStoreSetBackIsTheEndOfAHistory) {
    const BucketInfo before = ensure("b");
    const std::uint64_t first = write("b", "worker.1", "old");
    const std::uint64_t other = write("b", "worker.2", "same");
    world_->take_snapshot();
    ensure("b");
    const std::uint64_t second = write("b", "worker.1", "forgotten", first);
    write("b", "worker.3", "forgotten");
    Heard heard;
    const auto watch = client(0).watch("b", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    const std::size_t known = heard.entries.size();
    ASSERT_EQ(known, 3U);
    ASSERT_TRUE(heard.has("worker.1", second));

    world_->restore_snapshot();
    ASSERT_TRUE(run_until([&] { return heard.recovered == 1; }));
    EXPECT_EQ(heard.history_lost_after, (std::vector<std::size_t>{known}));
    const auto now = heard.last_since(known);
    ASSERT_EQ(now.size(), 3U) << "what was known before comes again";
    EXPECT_EQ(now.at("worker.1").bytes, "old");
    EXPECT_EQ(now.at("worker.1").revision, first);
    EXPECT_EQ(now.at("worker.2").revision, other);
    EXPECT_EQ(now.at("worker.3").kind, EntryKind::absent);
    EXPECT_EQ(ensure("b").created, before.created);
    const PutAnswer stale = put("b", "worker.1", "stale", second);
    EXPECT_EQ(stale.result, PutResult::wrong_revision);
    EXPECT_EQ(stale.revision, first);
}

// What one watch has learned of the stream, the next one is told.
TEST_P(KvContract, AWatchComparesTheStreamWithWhatItWasToldOfIt) {
    const BucketInfo info = ensure("b");
    const std::uint64_t revision = write("b", "k", "1");
    std::string identity;
    const auto watch_with = [&](const std::string& known, std::uint64_t highest) {
        auto heard = std::make_unique<Heard>();
        WatchHandlers handlers = heard->handlers();
        handlers.known_identity = known;
        handlers.known_revision = highest;
        handlers.on_stream = [&](const std::string& is) { identity = is; };
        const auto watch = client(0).watch("b", "k", std::move(handlers));
        EXPECT_TRUE(run_until([&] { return heard->initial_done == 1; }));
        EXPECT_EQ(heard->revisions(), std::vector<std::uint64_t>{revision});
        return heard->history_lost_after;
    };
    EXPECT_TRUE(watch_with("", 0).empty());
    EXPECT_EQ(identity, info.created);
    EXPECT_TRUE(watch_with(identity, revision).empty());
    EXPECT_EQ(watch_with("another stream", revision), std::vector<std::size_t>{0});
    EXPECT_EQ(watch_with(identity, revision + 1), std::vector<std::size_t>{0});
}

TEST_P(KvContract, AWatchOfAStreamThatDoesNotExistSaysSo) {
    Heard heard;
    int missing = 0;
    WatchHandlers handlers = heard.handlers();
    handlers.on_missing = [&] { ++missing; };
    const auto watch = client(0).watch("b", "k", std::move(handlers));
    ASSERT_TRUE(run_until([&] { return missing > 0; }));
    EXPECT_EQ(heard.initial_done, 0);
    ensure("b");
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    EXPECT_EQ(heard.history_lost_after.size(), 0U);
}

TEST_P(KvContract, AVanishedKeyIsAbsentAfterTheReRead) {
    world_->make_loose_bucket("loose");
    const std::uint64_t stays = write("loose", "worker.1", "stays");
    const std::uint64_t goes = write("loose", "worker.2", "goes");
    Heard heard;
    const auto watch = client(0).watch("loose", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    world_->vanish_key("loose", "worker.2");
    EXPECT_EQ(get("loose", "worker.2").kind, EntryKind::absent);
    EXPECT_EQ(world_->delete_watch_consumers("loose"), 1U);
    ASSERT_TRUE(run_until([&] { return heard.recovered == 1; }));
    ASSERT_EQ(heard.entries.size(), 3U);
    EXPECT_EQ(heard.entries[0].revision, stays);
    EXPECT_EQ(heard.entries[1].revision, goes);
    EXPECT_EQ(heard.entries[2].kind, EntryKind::absent);
    EXPECT_EQ(heard.entries[2].key, "worker.2");
    EXPECT_TRUE(heard.history_lost_after.empty());
    // A vanished key is created with expectation 0, and the watch tells.
    const std::uint64_t back = write("loose", "worker.2", "back");
    ASSERT_TRUE(run_until([&] { return heard.has("worker.2", back); }));
}

TEST_P(KvContract, AStoppedClientHasAnsweredEverything) {
    ensure("b");
    Heard heard;
    const auto watch = client(1).watch("b", ">", heard.handlers());
    ASSERT_TRUE(run_until([&] { return heard.initial_done == 1; }));
    std::vector<int> answers(20, 0);
    bool stopped = false;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        client(1).put("b", "worker." + std::to_string(i), "x", 0, seconds(30), [&, i](const PutAnswer& answer) {
            ++answers[i];
            EXPECT_FALSE(stopped);
            if (answer.result != PutResult::done) {
                EXPECT_EQ(answer.result, PutResult::no_information);
                EXPECT_EQ(answer.error.code, Errc::stopping);
            }
        });
    }
    client(1).stop([&] { stopped = true; });
    EXPECT_FALSE(stopped) << "answered from inside the call";
    ASSERT_TRUE(run_until([&] { return stopped; }, seconds(3)));
    EXPECT_EQ(std::count(answers.begin(), answers.end(), 1), static_cast<std::ptrdiff_t>(answers.size()));
    EXPECT_TRUE(run_until([&] { return world_->watch_consumers("b") == 0; }));
    const PutAnswer after = put("b", "head", "x", 0, 1);
    EXPECT_EQ(after.result, PutResult::no_information);
    EXPECT_EQ(after.error.code, Errc::stopping);
}

}  // namespace parti::testutil
