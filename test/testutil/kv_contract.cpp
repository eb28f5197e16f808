#include "testutil/kv_contract.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
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
using std::chrono::milliseconds;
using std::chrono::seconds;

}  // namespace

std::uint64_t contract_seed() {
    static const std::uint64_t seed = [] {
        if (const char* given = std::getenv("PARTI_TEST_SEED"))
            return static_cast<std::uint64_t>(std::strtoull(given, nullptr, 0));
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
    std::printf("replay: PARTI_TEST_SEED=%llu <this test binary> --gtest_filter=%s.%s\n",
                static_cast<unsigned long long>(contract_seed()), test->test_suite_name(), test->name());
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

std::uint64_t KvContract::write(const std::string& bucket, const std::string& key, const std::string& bytes,
                                std::uint64_t expected) {
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
    const std::vector<std::pair<std::string, MarkerKind>> cases{{"k.deleted", MarkerKind::deleted},
                                                                {"k.purged", MarkerKind::purged}};
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

}  // namespace parti::testutil
