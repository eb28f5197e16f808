#include "testutil/kv_contract.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace parti::testutil {
namespace {

using jetstream::BucketInfo;
using jetstream::BucketSpec;
using jetstream::EntryKind;
using jetstream::PutAnswer;
using jetstream::PutResult;
using jetstream::RawEntry;
using jetstream::Watch;
using jetstream::WatchHandlers;
using std::chrono::milliseconds;
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

std::uint64_t contract_seed() {
    static const std::uint64_t seed = [] {
        if (const char* given = std::getenv("PARTI_TEST_SEED")) return static_cast<std::uint64_t>(std::strtoull(given, nullptr, 0));
        std::random_device device;
        return static_cast<std::uint64_t>(device()) << 32U | device();
    }();
    return seed;
}

void KvContract::SetUp() { world_ = GetParam().make(contract_seed()); }

void KvContract::TearDown() {
    world_.reset();
    if (!HasFailure()) return;
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    std::printf("replay: PARTI_TEST_SEED=%llu <this test binary> --gtest_filter=%s.%s\n", static_cast<unsigned long long>(contract_seed()),
                test->test_suite_name(), test->name());
}

BucketInfo KvContract::ensure(const std::string& bucket, std::size_t index) {
    std::optional<Result<BucketInfo>> answer;
    BucketSpec spec;
    spec.name = bucket;
    client(index).ensure_bucket(spec, seconds(10), [&](Result<BucketInfo> got) { answer = std::move(got); });
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    if (!answer || !*answer) {
        ADD_FAILURE() << "bucket " << bucket << ": " << (answer ? answer->error().message() : "no answer");
        return {};
    }
    return **answer;
}

PutAnswer KvContract::put(const std::string& bucket, const std::string& key, const std::string& bytes, std::uint64_t expected,
                          std::size_t index, Duration timeout) {
    std::optional<PutAnswer> answer;
    client(index).put(bucket, key, bytes, expected, timeout, [&](PutAnswer got) {
        EXPECT_FALSE(answer.has_value()) << "answered twice";
        answer = std::move(got);
    });
    EXPECT_FALSE(answer.has_value()) << "answered from inside the call";
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    return answer.value_or(PutAnswer{});
}

RawEntry KvContract::get(const std::string& bucket, const std::string& key, std::size_t index) {
    std::optional<Result<RawEntry>> answer;
    client(index).get(bucket, key, seconds(5), [&](Result<RawEntry> got) { answer = std::move(got); });
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    if (!answer || !*answer) {
        ADD_FAILURE() << "get " << key << ": " << (answer ? answer->error().message() : "no answer");
        return {};
    }
    return **answer;
}

std::uint64_t KvContract::write(const std::string& bucket, const std::string& key, const std::string& bytes, std::uint64_t expected) {
    const PutAnswer answer = put(bucket, key, bytes, expected);
    EXPECT_EQ(answer.result, PutResult::done) << key << ": " << answer.error.message();
    return answer.revision;
}

TEST_P(KvContract, CreatesAnAbsentKeyOnce) {
    ensure("b");
    const PutAnswer first = put("b", "worker.1", "one", 0);
    ASSERT_EQ(first.result, PutResult::done) << first.error.message();
    EXPECT_GT(first.revision, 0U);
    const PutAnswer second = put("b", "worker.1", "two", 0);
    EXPECT_EQ(second.result, PutResult::wrong_revision);
    EXPECT_EQ(second.revision, first.revision);
    EXPECT_EQ(second.error.code, Errc::wrong_revision);
    EXPECT_EQ(get("b", "worker.1").bytes, "one");
}

TEST_P(KvContract, CreatingOverAMarkerNeedsTheMarkersRevision) {
    ensure("b");
    const std::vector<std::pair<std::string, MarkerKind>> cases{{"k.deleted", MarkerKind::deleted}, {"k.purged", MarkerKind::purged}};
    for (const auto& entry : cases) {
        SCOPED_TRACE(entry.first);
        const std::uint64_t value = write("b", entry.first, "old");
        world_->put_marker("b", entry.first, entry.second);
        const RawEntry marker = get("b", entry.first);
        ASSERT_EQ(marker.kind, EntryKind::marker);
        EXPECT_GT(marker.revision, value);
        EXPECT_EQ(marker.bytes, "");

        const PutAnswer as_absent = put("b", entry.first, "new", 0);
        EXPECT_EQ(as_absent.result, PutResult::wrong_revision);
        EXPECT_EQ(as_absent.revision, marker.revision);
        const PutAnswer as_value = put("b", entry.first, "new", value);
        EXPECT_EQ(as_value.result, PutResult::wrong_revision);
        EXPECT_EQ(as_value.revision, marker.revision);

        const std::uint64_t created = write("b", entry.first, "new", marker.revision);
        EXPECT_GT(created, marker.revision);
        EXPECT_EQ(get("b", entry.first).bytes, "new");
    }
}

TEST_P(KvContract, CompareAndSetNeedsTheLastRevision) {
    ensure("b");
    const std::uint64_t first = write("b", "head", "1");
    const std::uint64_t second = write("b", "head", "2", first);
    EXPECT_GT(second, first);
    for (const std::uint64_t wrong : {first, second + 1, std::uint64_t{0}}) {
        const PutAnswer answer = put("b", "head", "3", wrong);
        EXPECT_EQ(answer.result, PutResult::wrong_revision) << "expected " << wrong;
        EXPECT_EQ(answer.revision, second) << "expected " << wrong;
    }
    // Another key's writes do not move this key's revision.
    write("b", "control", "x");
    const RawEntry now = get("b", "head");
    EXPECT_EQ(now.bytes, "2");
    EXPECT_EQ(now.revision, second);
    const PutAnswer on_nothing = put("b", "worker.9", "x", second);
    EXPECT_EQ(on_nothing.result, PutResult::wrong_revision);
    EXPECT_EQ(on_nothing.revision, 0U);
}

TEST_P(KvContract, GetTellsValueMarkerAndNothingApart) {
    ensure("b");
    const std::string binary("\0\xff\x01 bytes \n", 11);
    const std::uint64_t revision = write("b", "worker.1", binary);
    const RawEntry value = get("b", "worker.1", 1);
    EXPECT_EQ(value.kind, EntryKind::value);
    EXPECT_EQ(value.key, "worker.1");
    EXPECT_EQ(value.bytes, binary);
    EXPECT_EQ(value.revision, revision);
    const std::uint64_t emptied = write("b", "worker.1", "", revision);
    EXPECT_EQ(get("b", "worker.1").kind, EntryKind::value);
    EXPECT_EQ(get("b", "worker.1").revision, emptied);
    world_->put_marker("b", "worker.1", MarkerKind::deleted);
    EXPECT_EQ(get("b", "worker.1").kind, EntryKind::marker);
    const RawEntry nothing = get("b", "worker.2");
    EXPECT_EQ(nothing.kind, EntryKind::absent);
    EXPECT_EQ(nothing.revision, 0U);
}

TEST_P(KvContract, RacingWritersTakeEveryRevisionOnce) {
    constexpr std::size_t kWritesEach = 500;
    ensure("b");
    client(1);
    struct Success {
        std::uint64_t expected;
        std::uint64_t revision;
        std::string bytes;
    };
    std::vector<Success> successes;
    std::array<std::size_t, 2> attempts{};
    std::array<std::size_t, 2> won{};
    std::size_t rejected = 0;
    std::array<std::function<void(std::uint64_t)>, 2> next;
    for (std::size_t i = 0; i < 2; ++i) {
        next[i] = [&, i](std::uint64_t expected) {
            if (attempts[i]++ == kWritesEach) return;
            const std::string bytes = std::to_string(i) + ":" + std::to_string(attempts[i]);
            client(i).put("b", "head", bytes, expected, seconds(10), [&, i, expected, bytes](PutAnswer answer) {
                ASSERT_NE(answer.result, PutResult::no_information) << answer.error.message();
                if (answer.result == PutResult::done) {
                    successes.push_back({expected, answer.revision, bytes});
                    ++won[i];
                } else {
                    EXPECT_NE(answer.revision, expected) << "refused although it was the last revision";
                    ++rejected;
                }
                next[i](answer.revision);
            });
        };
        next[i](0);
    }
    ASSERT_TRUE(run_until([&] { return attempts[0] > kWritesEach && attempts[1] > kWritesEach; }, seconds(60)));
    EXPECT_EQ(successes.size() + rejected, 2 * kWritesEach);
    EXPECT_GT(won[0], 0U);
    EXPECT_GT(won[1], 0U);
    EXPECT_GT(rejected, 0U) << "the writers did not race";

    std::sort(successes.begin(), successes.end(), [](const Success& a, const Success& b) { return a.revision < b.revision; });
    std::uint64_t before = 0;
    for (const Success& success : successes) {
        EXPECT_EQ(success.expected, before) << "the history is no chain at revision " << success.revision;
        EXPECT_GT(success.revision, before);
        before = success.revision;
    }
    const RawEntry last = get("b", "head");
    EXPECT_EQ(last.revision, before);
    EXPECT_EQ(last.bytes, successes.back().bytes);
}

TEST_P(KvContract, PutsInFlightTogetherAreEachAnsweredOnce) {
    constexpr std::size_t kKeys = 1000;
    ensure("b");
    std::map<std::size_t, std::vector<PutAnswer>> answers;
    std::size_t answered = 0;
    for (std::size_t i = 0; i < kKeys; ++i) {
        client(0).put("b", "worker." + std::to_string(i), "v" + std::to_string(i), 0, seconds(20), [&, i](PutAnswer answer) {
            answers[i].push_back(std::move(answer));
            ++answered;
        });
    }
    ASSERT_TRUE(run_until([&] { return answered >= kKeys; }, seconds(30)));
    std::set<std::uint64_t> revisions;
    for (const auto& entry : answers) {
        ASSERT_EQ(entry.second.size(), 1U);
        ASSERT_EQ(entry.second[0].result, PutResult::done) << entry.second[0].error.message();
        revisions.insert(entry.second[0].revision);
    }
    EXPECT_EQ(revisions.size(), kKeys);
    EXPECT_EQ(get("b", "worker.777", 1).bytes, "v777");
    EXPECT_EQ(client(0).stats().pending_requests, 0U);
}

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

TEST_P(KvContract, ALostAnswerSaysNothingAndTheRepeatShowsTheWrite) {
    ensure("b");
    world_->lose_next_put_answer(0);
    const PutAnswer lost = put("b", "worker.1", "once", 0, 0, milliseconds(300));
    EXPECT_EQ(lost.result, PutResult::no_information);
    EXPECT_EQ(lost.error.code, Errc::timeout);
    const RawEntry stored = get("b", "worker.1");
    EXPECT_EQ(stored.kind, EntryKind::value);
    EXPECT_EQ(stored.bytes, "once");
    const PutAnswer repeated = put("b", "worker.1", "once", 0);
    EXPECT_EQ(repeated.result, PutResult::wrong_revision);
    EXPECT_EQ(repeated.revision, stored.revision);
    EXPECT_EQ(get("b", "worker.1").revision, stored.revision);
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

TEST_P(KvContract, TwoCreatorsOfABucketEndWell) {
    std::array<std::optional<Result<BucketInfo>>, 2> answers;
    BucketSpec spec;
    spec.name = "raced";
    for (std::size_t i = 0; i < 2; ++i) {
        client(i).ensure_bucket(spec, seconds(10), [&answers, i](Result<BucketInfo> answer) { answers[i] = std::move(answer); });
    }
    ASSERT_TRUE(run_until([&] { return answers[0].has_value() && answers[1].has_value(); }));
    for (const auto& answer : answers) ASSERT_TRUE(answer->has_value()) << answer->error().message();
    EXPECT_EQ((**answers[0]).created, (**answers[1]).created);
    EXPECT_EQ((**answers[0]).stream, "KV_raced");
    EXPECT_GT((**answers[0]).payload_bytes_max, 0U);
    write("raced", "head", "1");
    const BucketInfo later = ensure("raced", 1);
    EXPECT_FALSE(later.was_created);
    EXPECT_EQ(later.last_sequence, 1U);
}

TEST_P(KvContract, ABucketIsNeitherMadeNorChangedAgainstTheSpecification) {
    const auto ask = [&](const BucketSpec& spec) {
        std::optional<Result<BucketInfo>> answer;
        client(0).ensure_bucket(spec, seconds(5), [&](Result<BucketInfo> got) { answer = std::move(got); });
        EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
        return answer && !answer->has_value() ? answer->error() : Error{};
    };
    BucketSpec spec;
    spec.name = "missing";
    spec.create = false;
    EXPECT_EQ(ask(spec).code, Errc::not_found);
    ensure("b");
    spec = {};
    spec.name = "b";
    spec.storage = Storage::memory;
    const Error mismatch = ask(spec);
    EXPECT_EQ(mismatch.code, Errc::bucket_mismatch);
    EXPECT_NE(mismatch.detail.find("file"), std::string::npos) << mismatch.detail;
    EXPECT_NE(mismatch.detail.find("memory"), std::string::npos) << mismatch.detail;
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
