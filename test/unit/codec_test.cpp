#include "wire/codec.h"

#include <cstdlib>
#include <limits>

#include <gtest/gtest.h>

#include "base/rng.h"

namespace parti::wire {
namespace {

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();

std::uint64_t seed_of_run() {
    const char* text = std::getenv("PARTI_SEED");
    return text == nullptr ? 20240607 : std::strtoull(text, nullptr, 0);
}
std::string replay(std::uint64_t seed) {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    return "replay: PARTI_SEED=" + std::to_string(seed) + " parti_assign_test --gtest_filter=" + info->test_suite_name() + "." +
           info->name();
}

SessionId session(std::uint64_t n) { return {n, ~n}; }
Partition partition(const std::string& id, std::int64_t weight = 1) { return Partition::from_id(id, weight).value(); }

LeaseRecord sample_lease() {
    return {.id = {session(7), 12},
            .incarnation = {3},
            .session = session(7),
            .state = LeaseState::live,
            .instance = "pod-a.0",
            .process = 0xfeed0000beefULL,
            .applied = {{2}, 9},
            .floor = {2},
            .capacity = 4,
            .zone = "eu-1"};
}
HeadRecord sample_head() {
    return {.id = {session(7), 13},
            .epoch = {4},
            .version = 2,
            .resigned = true,
            .leader = {{5}, {3}, session(7)},
            .slots = 12,
            .standbys = {{9}, {1}},
            .policy = Policy::keep,
            .partition_count = 500};
}
AssignmentRecord sample_assignment() {
    return {.id = {session(7), 14},
            .fence = {{4}, 8},
            .incarnation = {3},
            .session = session(8),
            .partitions = {partition("orders.eu.1"), partition("orders.eu.2", 17)},
            .revoking = {partition("orders.\"q\\uote\".\xC3\xA9")}};
}
ControlRecord sample_control() { return {.frozen = true, .drain = {"pod-a", "two words \"\t"}, .rebalance = 3}; }

template <class Record>
RecordValue value(Record record) {
    return std::make_shared<const Record>(std::move(record));
}
template <class Record>
std::shared_ptr<const Record> as(const RecordValue& decoded) {
    const auto* found = std::get_if<std::shared_ptr<const Record>>(&decoded);
    if (found == nullptr) {
        const auto* bad = std::get_if<UnreadablePtr>(&decoded);
        ADD_FAILURE() << (bad == nullptr ? "another record" : (*bad)->error.message());
        return std::make_shared<Record>();
    }
    return *found;
}
std::vector<std::int64_t> weights(const std::vector<Partition>& partitions) {
    std::vector<std::int64_t> out;
    for (const Partition& p : partitions) out.push_back(p.weight());
    return out;
}

void expect_round_trip(Bucket bucket, const Key& key, const RecordValue& record) {
    const std::string bytes = encode(record);
    const RecordValue back = decode(bucket, key, bytes);
    SCOPED_TRACE(bytes.substr(0, 400));
    ASSERT_EQ(back.index(), record.index());
    if (const auto* lease = std::get_if<LeasePtr>(&record)) {
        EXPECT_EQ(*as<LeaseRecord>(back), **lease);
    }
    if (const auto* head = std::get_if<HeadPtr>(&record)) {
        EXPECT_EQ(*as<HeadRecord>(back), **head);
    }
    if (const auto* control = std::get_if<ControlPtr>(&record)) {
        EXPECT_EQ(*as<ControlRecord>(back), **control);
    }
    if (const auto* assignment = std::get_if<AssignmentPtr>(&record)) {
        const auto read = as<AssignmentRecord>(back);
        EXPECT_EQ(*read, **assignment);
        EXPECT_EQ(weights(read->partitions), weights((*assignment)->partitions));
        EXPECT_EQ(weights(read->revoking), weights((*assignment)->revoking));
    }
    EXPECT_EQ(encode(back), bytes);
}

std::string refusal(Bucket bucket, const Key& key, std::string_view bytes) {
    const RecordValue decoded = decode(bucket, key, bytes);
    const auto* bad = std::get_if<UnreadablePtr>(&decoded);
    if (bad == nullptr) return "(read)";
    EXPECT_EQ((*bad)->error.code, (*bad)->future ? Errc::future_record : Errc::malformed_record);
    return (*bad)->error.detail;
}

// `bytes` with its first `from` replaced.
std::string with(std::string bytes, std::string_view from, std::string_view to) {
    const std::size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from << " is not in " << bytes;
    return at == std::string::npos ? bytes : bytes.replace(at, from.size(), to);
}

TEST(Codec, ReadsWhatItWrote) {
    expect_round_trip(Bucket::lease, worker_key({7}), value(sample_lease()));
    expect_round_trip(Bucket::assignment, head_key(), value(sample_head()));
    expect_round_trip(Bucket::assignment, worker_key({7}), value(sample_assignment()));
    expect_round_trip(Bucket::assignment, control_key(), value(sample_control()));
    expect_round_trip(Bucket::assignment, control_key(), value(ControlRecord{}));
    AssignmentRecord nobody;
    nobody.id = {session(1), 0};
    nobody.fence = {{1}, 0};
    expect_round_trip(Bucket::assignment, worker_key({0}), value(nobody));
}

TEST(Codec, KeepsTheLargestNumbers) {
    LeaseRecord lease = sample_lease();
    lease.id.sequence = kMax64;
    lease.incarnation = {kMax64};
    lease.process = kMax64;
    lease.applied = {{kMax64}, kMax64};
    lease.floor = {kMax64};
    lease.capacity = 1'000'000;
    expect_round_trip(Bucket::lease, worker_key({kWorkerNumberMax}), value(lease));
}

TEST(Codec, ReadsWhatItWroteForAnyRecord) {
    const std::uint64_t seed = seed_of_run();
    SCOPED_TRACE(replay(seed));
    base::Rng rng(seed);
    for (int round = 0; round < 500; ++round) {
        LeaseRecord lease = sample_lease();
        lease.id = {session(rng.next() | 1U), rng.next() >> rng.below(64)};
        lease.incarnation = {(rng.next() >> rng.below(64)) | 1U};
        lease.session = session(rng.next() | 1U);
        lease.state = static_cast<LeaseState>(rng.below(5));
        lease.applied = {{rng.next() >> rng.below(64)}, rng.next() >> rng.below(64)};
        lease.process = rng.next();
        if (rng.chance(1, 2)) lease.instance.clear();
        if (rng.chance(1, 2)) lease.zone.clear();
        expect_round_trip(Bucket::lease, worker_key({3}), value(lease));

        AssignmentRecord record = sample_assignment();
        record.partitions.clear();
        const std::uint64_t count = rng.below(50);
        for (std::uint64_t i = 0; i < count; ++i) {
            std::string id = std::to_string(1000 + i).append(".p");
            const std::uint64_t length = 1 + rng.below(20);
            for (std::uint64_t k = 0; k < length; ++k) {
                const char c = static_cast<char>(rng.between(0x21, 0x7e));
                id += (c == '.' || c == '*' || c == '>') ? '"' : c;
            }
            record.partitions.push_back(partition(id, rng.chance(1, 2) ? 1 : rng.between(1, 1'000'000'000)));
        }
        expect_round_trip(Bucket::assignment, worker_key({3}), value(record));
    }
}

TEST(Codec, IgnoresUnknownFieldsAndTheirOrder) {
    const std::string bytes = encode(value(sample_lease()));
    const std::string more = with(bytes, "{", R"({"whistles":[1,{"a":[null,true,-1,1.5]}],"load":0.5,)");
    EXPECT_EQ(*as<LeaseRecord>(decode(Bucket::lease, worker_key({7}), more)), sample_lease());
    const std::string moved = with(with(bytes, R"("v":1,)", ""), R"("zone":"eu-1"})", R"("zone":"eu-1","v":1})");
    EXPECT_EQ(*as<LeaseRecord>(decode(Bucket::lease, worker_key({7}), moved)), sample_lease());
    const std::string blanks = with(with(bytes, ",", " ,\n\t"), "{", " { ");
    EXPECT_EQ(*as<LeaseRecord>(decode(Bucket::lease, worker_key({7}), blanks)), sample_lease());
}

TEST(Codec, HasDefaultsForWhatOperatorsLeaveOut) {
    EXPECT_EQ(*as<ControlRecord>(decode(Bucket::assignment, control_key(), R"({"v":1})")), ControlRecord{});
    EXPECT_EQ(as<ControlRecord>(decode(Bucket::assignment, control_key(), R"({"v":1,"frozen":true})"))->frozen, true);
}

TEST(Codec, SortsPartitionsAndRefusesDoubles) {
    const std::string bytes = encode(value(sample_assignment()));
    const auto read = as<AssignmentRecord>(
        decode(Bucket::assignment, worker_key({7}), with(bytes, R"("orders.eu.1",["orders.eu.2",17])", R"("b",["a",5])")));
    ASSERT_EQ(read->partitions.size(), 2U);
    EXPECT_EQ(read->partitions[0].id(), "a");
    EXPECT_EQ(read->partitions[0].weight(), 5);
    EXPECT_EQ(read->partitions[1].id(), "b");
    EXPECT_EQ(refusal(Bucket::assignment, worker_key({7}), with(bytes, R"(["orders.eu.2",17])", R"(["orders.eu.1",2])")),
              "record of key 'worker.7': field 'partitions' holds partition 'orders.eu.1' twice; ids are unique");
}

TEST(Codec, RefusesANewerMajorAsFuture) {
    for (const auto& [bucket, key] : {std::pair{Bucket::lease, worker_key({1})}, std::pair{Bucket::assignment, worker_key({1})},
                                      std::pair{Bucket::assignment, head_key()}, std::pair{Bucket::assignment, control_key()}}) {
        const RecordValue decoded = decode(bucket, key, R"({"v":2,"w":{"new":"shape"}})");
        const auto* bad = std::get_if<UnreadablePtr>(&decoded);
        ASSERT_NE(bad, nullptr);
        EXPECT_TRUE((*bad)->future);
        EXPECT_EQ((*bad)->error.code, Errc::future_record);
        EXPECT_NE((*bad)->error.detail.find("'v' is 2"), std::string::npos) << (*bad)->error.detail;
    }
}

// What a worker that reads more says, takes and writes.
TEST(Codec, ReadsAsFarAsItIsTold) {
    const std::string bytes = with(encode(value(sample_assignment())), R"("v":1)", R"("v":3)");
    EXPECT_NE(refusal(Bucket::assignment, worker_key({7}), bytes).find("'v' is 3; this version of parti reads up to 1"),
              std::string::npos);
    const RecordValue refused = decode_up_to(2, Bucket::assignment, worker_key({7}), bytes);
    ASSERT_TRUE(std::holds_alternative<UnreadablePtr>(refused));
    EXPECT_TRUE(std::get<UnreadablePtr>(refused)->future);
    EXPECT_NE(std::get<UnreadablePtr>(refused)->error.detail.find("reads up to 2"), std::string::npos);
    const auto read = as<AssignmentRecord>(decode_up_to(3, Bucket::assignment, worker_key({7}), bytes));
    EXPECT_EQ(read->major, 3U);
    EXPECT_EQ(encode(value(AssignmentRecord(*read))), bytes) << "written again in the major it was read in";
    HeadRecord head = sample_head();
    head.major = 2;
    EXPECT_EQ(*as<HeadRecord>(decode_up_to(2, Bucket::assignment, head_key(), encode(value(head)))), head);
}

TEST(Codec, LeasesAreWrittenForEverybodyAndSayWhatTheirWorkerReads) {
    LeaseRecord lease = sample_lease();
    EXPECT_EQ(encode(value(lease)).find("speaks"), std::string::npos) << "the oldest needs no word";
    lease.speaks = 7;
    const std::string bytes = encode(value(lease));
    EXPECT_EQ(bytes.rfind(R"({"v":1,)", 0), 0U) << "whatever the worker speaks";
    EXPECT_NE(bytes.find(R"("speaks":7)"), std::string::npos) << bytes;
    EXPECT_EQ(as<LeaseRecord>(decode(Bucket::lease, worker_key({7}), bytes))->speaks, 7U);
    EXPECT_EQ(as<LeaseRecord>(decode(Bucket::lease, worker_key({7}), encode(value(sample_lease()))))->speaks, kRecordMajorOldest);
    for (const auto& [junk, says] :
         {std::pair{R"("speaks":0)", "'speaks' is 0; it must be in 1.."},
          std::pair{R"("speaks":4294967296)", "'speaks' is 4294967296"}, std::pair{R"("speaks":"7")", "'speaks' is a string"}}) {
        const std::string why = refusal(Bucket::lease, worker_key({7}), with(bytes, R"("speaks":7)", junk));
        EXPECT_NE(why.find(says), std::string::npos) << why;
    }
}

TEST(Codec, LeasesSayHowLongTheirHolderMayBeSilent) {
    LeaseRecord lease = sample_lease();
    EXPECT_EQ(encode(value(lease)).find("silence"), std::string::npos) << "one that does not say is read, too";
    lease.silence_ms = 16'500;
    expect_round_trip(Bucket::lease, worker_key({7}), value(lease));
    const std::string bytes = encode(value(lease));
    EXPECT_NE(bytes.find(R"("silence":16500)"), std::string::npos) << bytes;
    for (const auto& [junk, says] : {std::pair{R"("silence":0)", "'silence' is 0; it must be in 1..172800000"},
                                     std::pair{R"("silence":172800001)", "'silence' is 172800001"},
                                     std::pair{R"("silence":"1")", "'silence' is a string"}}) {
        const std::string why = refusal(Bucket::lease, worker_key({7}), with(bytes, R"("silence":16500)", junk));
        EXPECT_NE(why.find(says), std::string::npos) << why;
    }
}

TEST(Codec, CountsRequestsInControlAndHead) {
    HeadRecord head = sample_head();
    EXPECT_EQ(encode(value(head)).find("rebalanced"), std::string::npos);
    head.rebalanced = kMax64;
    expect_round_trip(Bucket::assignment, head_key(), value(head));
    EXPECT_EQ(as<HeadRecord>(decode(Bucket::assignment, head_key(), encode(value(head))))->rebalanced, kMax64);
    ControlRecord control = sample_control();
    control.refresh = kMax64;
    control.rebalance = kMax64 - 1;
    expect_round_trip(Bucket::assignment, control_key(), value(control));
    const auto read = as<ControlRecord>(decode(Bucket::assignment, control_key(), R"({"v":1,"refresh":4})"));
    EXPECT_EQ(read->refresh, 4U);
    EXPECT_EQ(read->rebalance, 0U);
    EXPECT_NE(refusal(Bucket::assignment, control_key(), R"({"v":1,"refresh":-4})").find("'refresh' is a negative number"),
              std::string::npos);
    EXPECT_NE(refusal(Bucket::assignment, head_key(), with(encode(value(head)), R"("rebalanced":1)", R"("rebalanced":"x","y":1)"))
                  .find("'rebalanced' is a string"),
              std::string::npos);
}

TEST(Codec, HoldsTenThousandNamesToDrainAndNoMore) {
    ControlRecord control;
    for (std::size_t i = 0; i < kDrainMax; ++i) control.drain.push_back("pod-" + std::to_string(i));
    expect_round_trip(Bucket::assignment, control_key(), value(control));
    control.drain.emplace_back("one-more");
    EXPECT_NE(refusal(Bucket::assignment, control_key(), encode(value(control))).find("at most 10000"), std::string::npos);
    ControlRecord longest;
    longest.drain = {std::string(128, 'x')};
    expect_round_trip(Bucket::assignment, control_key(), value(longest));
    longest.drain = {std::string(129, 'x')};
    EXPECT_NE(refusal(Bucket::assignment, control_key(), encode(value(longest))).find("strings of 1..128 bytes"),
              std::string::npos);
}

struct Junk {
    std::string_view from;
    std::string_view to;
    std::string_view names;  // what the error must name
};

void expect_refused(Bucket bucket, const Key& key, const RecordValue& record, std::initializer_list<Junk> cases) {
    const std::string bytes = encode(record);
    for (const Junk& junk : cases) {
        const std::string why = refusal(bucket, key, with(bytes, junk.from, junk.to));
        EXPECT_NE(why.find(junk.names), std::string::npos) << junk.from << " -> " << junk.to << "\n  gave: " << why;
    }
}

TEST(Codec, NamesTheFieldAndRuleOfABadLease) {
    expect_refused(
        Bucket::lease, worker_key({7}), value(sample_lease()),
        {{R"("v":1,)", "", "'v' is missing"},
         {R"("v":1,)", R"("v":0,)", "'v' is 0"},
         {R"("v":1,)", R"("v":"1",)", "'v' is a string"},
         {R"("v":1,)", R"("v":1.0,)", "'v' is a number that is not an integer"},
         {R"("v":1,)", R"("v":1,"v":1,)", "'v' occurs twice"},
         {R"("inc":3)", R"("inc":3,"inc":4)", "'inc' occurs twice"},
         {R"("w":"0)", R"("w":"x)", "'w'"},
         {R"("w":"0)", R"("w":"00)", "32 hex digits"},
         {R"("w":"0000000000000007fffffffffffffff8")", R"("w":"")", "'w'"},
         {R"("s":12)", R"("s":-1)", "'s' is a negative number"},
         {R"("s":12)", R"("s":18446744073709551616)", "'s' is a number that is not an integer (or too large)"},
         {R"("s":12)", R"("s":null)", "'s' is null"},
         {R"("inc":3)", R"("inc":0)", "'inc' is 0; it must be in 1.."},
         {R"("inc":3,)", "", "'inc' is missing"},
         {R"("state":"live")", R"("state":"alive")", "'state' is 'alive'; it must be live, draining, released, dead or evicted"},
         {R"("state":"live")", R"("state":3)", "'state' is a number"},
         {R"("instance":"pod-a.0")", R"("instance":"pod a")", "'instance' is 'pod a'"},
         {R"("process":"0)", R"("process":"G)", "'process'"},
         {R"("applied":[2,9])", R"("applied":[2])", "'applied' must be two numbers"},
         {R"("applied":[2,9])", R"("applied":[2,9,1])", "'applied' must be two numbers"},
         {R"("applied":[2,9])", R"("applied":[2,-9])", "'applied' must be two numbers"},
         {R"("applied":[2,9])", R"("applied":{"e":2})", "'applied' is an object"},
         {R"("capacity":4)", R"("capacity":0)", "'capacity' is 0; it must be in 1..1000000"},
         {R"("capacity":4)", R"("capacity":1000001)", "'capacity' is 1000001"},
         {R"("zone":"eu-1")", R"("zone":"\u0000")", "'zone'"}});
}

TEST(Codec, NamesTheFieldAndRuleOfABadHead) {
    expect_refused(Bucket::assignment, head_key(), value(sample_head()),
                   {{R"("epoch":4)", R"("epoch":0)", "'epoch' is 0"},
                    {R"("resigned":true)", R"("resigned":1)", "'resigned' is a number"},
                    {R"("number":5)", R"("number":100000)", "'leader.number' is 100000; it must be in 0..99999"},
                    {R"("inc":3)", R"("inc":0)", "'leader.inc' is 0"},
                    {R"("leader":{)", R"("leader":[],"other":{)", "'leader' is an array"},
                    {R"("slots":12)", R"("slots":100001)", "'slots' is 100001"},
                    {R"([9,1])", R"([9,9])", "'standbys' holds number 9 twice"},
                    {R"([9,1])", R"([9,-1])", "'standbys' must be different numbers"},
                    {R"("policy":"keep")", R"("policy":"hold")", "'policy' is 'hold'; it must be relinquish or keep"},
                    {R"("partition_count":500)", R"("partition_count":1000001)", "'partition_count' is 1000001"}});
}

TEST(Codec, NamesTheFieldAndRuleOfABadAssignment) {
    expect_refused(Bucket::assignment, worker_key({7}), value(sample_assignment()),
                   {{R"("epoch":4)", R"("epoch":0)", "'epoch' is 0"},
                    {R"("inc":3)", R"("inc":0)", "a record for nobody has 0 and an empty session"},
                    {R"("orders.eu.1")", R"("orders..1")", "'partitions' entry 0: partition key '' is empty"},
                    {R"("orders.eu.1")", R"("orders.>")", "'partitions' entry 0"},
                    {R"("orders.eu.1")", R"(7)", R"(a partition must be "id" or ["id", weight])"},
                    {R"("orders.eu.2",17)", R"("orders.eu.2")", "'partitions' entry 1"},
                    {R"("orders.eu.2",17)", R"("orders.eu.2",17,1)", "'partitions' entry 1"},
                    {R"("orders.eu.2",17)", R"("orders.eu.2",0)", "has weight 0; it must be in 1..1000000000"},
                    {R"("orders.eu.2",17)", R"("orders.eu.2",1000000001)", "has weight 1000000001"},
                    {R"("orders.eu.2",17)", R"("orders.eu.2",18446744073709551615)", "it must be in 1..1000000000"},
                    {R"("revoking":)", R"("revolving":)", "'revoking' is missing"}});
}

TEST(Codec, NamesTheFieldAndRuleOfABadControl) {
    expect_refused(Bucket::assignment, control_key(), value(sample_control()),
                   {{R"("frozen":true)", R"("frozen":"yes")", "'frozen' is a string"},
                    {R"("pod-a")", R"("")", "'drain' must hold"},
                    {R"("pod-a")", R"(5)", "'drain' must hold"},
                    {R"("rebalance":3)", R"("rebalance":-3)", "'rebalance' is a negative number"}});
}

TEST(Codec, RefusesWhatIsNotARecord) {
    const std::string deep = R"({"v":1,"x":)" + std::string(100'000, '[');
    const std::string many = R"({"v":1,"x":[)" + [] {
        std::string list;
        for (int i = 0; i < 4'100'000; ++i) list += "1,";
        return list;
    }() + "1]}";
    const std::pair<std::string, std::string_view> cases[] = {
        {"", "it is empty"},
        {"null", "it is null; a JSON object is required"},
        {"[1]", "it is an array"},
        {"{", "line 1"},
        {std::string("\0\0\0", 3), "byte 1"},
        {"\xff\xfe", "byte 1"},
        {R"({"v":1}x)", "byte 8"},
        {"{\"v\":1,\"x\":\"\xc3\x28\"}", "UTF-8"},
        {R"({"v":1e999})", "byte"},
        {deep, "nested more than 32 levels deep"},
        {many, "more than 4000000 values"},
        {std::string(kRecordBytesMax + 1, ' '), "at most 67108864 are read"},
    };
    for (const auto& [bytes, rule] : cases) {
        const std::string why = refusal(Bucket::assignment, worker_key({1}), bytes);
        EXPECT_NE(why.find(rule), std::string::npos) << bytes.substr(0, 60) << "\n  gave: " << why;
        EXPECT_LT(why.size(), 600U);
    }
}

TEST(Codec, RefusesARecordUnderTheKeyOfAnother) {
    EXPECT_NE(refusal(Bucket::assignment, head_key(), encode(value(sample_lease()))), "(read)");
    EXPECT_NE(refusal(Bucket::assignment, worker_key({1}), encode(value(sample_head()))), "(read)");
    EXPECT_NE(refusal(Bucket::lease, worker_key({1}), encode(value(sample_assignment()))), "(read)");
    EXPECT_EQ(refusal(Bucket::lease, head_key(), encode(value(sample_head()))),
              "record of key 'head': the lease bucket has no such key");
}

// Mutated records: whatever comes out, decode returns, and what it read is a valid record: it can be written and read again.
TEST(Codec, SurvivesMutatedRecords) {
    const std::uint64_t seed = seed_of_run();
    SCOPED_TRACE(replay(seed));
    base::Rng rng(seed);
    struct Sample {
        Bucket bucket;
        Key key;
        std::string bytes;
    };
    const std::vector<Sample> samples = {{Bucket::lease, worker_key({7}), encode(value(sample_lease()))},
                                         {Bucket::assignment, head_key(), encode(value(sample_head()))},
                                         {Bucket::assignment, worker_key({7}), encode(value(sample_assignment()))},
                                         {Bucket::assignment, control_key(), encode(value(sample_control()))}};
    constexpr std::string_view kAlphabet = "{}[]\",:0129-+eE.\\untrfalse \x01\xc3\xff";
    int read = 0;
    int refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        const Sample& sample = samples[rng.below(samples.size())];
        std::string bytes = sample.bytes;
        for (std::uint64_t edits = 1 + rng.below(3); edits > 0 && !bytes.empty(); --edits) {
            const std::size_t at = rng.below(bytes.size());
            const char c = kAlphabet[rng.below(kAlphabet.size())];
            switch (rng.below(5)) {
                case 0: bytes[at] = c; break;
                case 1: bytes.insert(at, 1, c); break;
                case 2: bytes.erase(at, 1 + rng.below(8)); break;
                case 3: bytes.resize(at); break;
                default: bytes.insert(at, bytes.substr(rng.below(bytes.size()), rng.below(24))); break;
            }
        }
        const RecordValue decoded = decode(sample.bucket, sample.key, bytes);
        if (std::holds_alternative<UnreadablePtr>(decoded)) {
            ++refused;
            EXPECT_FALSE(std::get<UnreadablePtr>(decoded)->error.detail.empty());
        } else {
            ++read;
            expect_round_trip(sample.bucket, sample.key, decoded);
        }
        if (testing::Test::HasFailure()) FAIL() << "round " << round << ": " << bytes;
    }
    EXPECT_GT(read, 100);
    EXPECT_GT(refused, 10'000);
}

TEST(Codec, NamesKeys) {
    EXPECT_EQ(to_string(worker_key({0})), "worker.0");
    EXPECT_EQ(to_string(worker_key({99999})), "worker.99999");
    EXPECT_EQ(to_string(head_key()), "head");
    EXPECT_EQ(to_string(control_key()), "control");
    for (const Key& key : {worker_key({0}), worker_key({7}), worker_key({kWorkerNumberMax}), head_key(), control_key()}) {
        EXPECT_EQ(parse_key(Bucket::assignment, to_string(key)), key);
    }
    EXPECT_EQ(parse_key(Bucket::lease, "worker.7"), worker_key({7}));
    for (const std::string_view foreign :
         {"", "worker", "worker.", "worker.07", "worker.00", "worker.100000", "worker.-1", "worker.+1", "worker.1 ", "worker.1.2",
          "Worker.1", "heads", "worker.99999999999999999999", "worker.x"}) {
        EXPECT_FALSE(parse_key(Bucket::assignment, foreign)) << foreign;
    }
    EXPECT_FALSE(parse_key(Bucket::lease, "head"));
    EXPECT_FALSE(parse_key(Bucket::lease, "control"));
}

}  // namespace
}  // namespace parti::wire
