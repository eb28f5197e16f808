#include "consume/naming.h"
#include "jetstream/consumer_api.h"

#include <gtest/gtest.h>

#include <set>

namespace parti::consume {
namespace {

Partition partition(const std::string& id) { return *Partition::from_id(id); }

TEST(SubjectTemplate, RendersKeysByTheirIndex) {
    const auto t = SubjectTemplate::parse("orders.{2}.shard-{0}.x");
    ASSERT_TRUE(t);
    EXPECT_EQ(t->pattern(), "orders.*.*.x");
    EXPECT_EQ(*t->render(partition("a.b.c")), "orders.c.shard-a.x");
}

TEST(SubjectTemplate, NamesThePartitionThatHasTooFewKeys) {
    const auto t = SubjectTemplate::parse("orders.{2}");
    ASSERT_TRUE(t);
    const auto rendered = t->render(partition("a.b"));
    ASSERT_FALSE(rendered);
    EXPECT_NE(rendered.error().detail.find("'a.b'"), std::string::npos);
}

TEST(SubjectTemplate, RefusesWhatIsNoSubject) {
    for (const char* bad : {"", "orders", "orders.", ".{0}", "a..{0}", "a.*.{0}", "a.>.{0}", "a b.{0}", "a.{x}", "a.{}", "a.{0",
                            "a.0}", "a.{64}", "$JS.{0}", "a.{-1}"}) {
        EXPECT_FALSE(SubjectTemplate::parse(bad)) << bad;
    }
    EXPECT_TRUE(SubjectTemplate::parse("dead", "dead_letter_subject", true));
}

TEST(Subjects, CoverAsNatsMatches) {
    EXPECT_TRUE(covers(">", "a.b"));
    EXPECT_TRUE(covers("a.>", "a.*"));
    EXPECT_TRUE(covers("a.*", "a.b"));
    EXPECT_TRUE(covers("a.*.c", "a.*.c"));
    EXPECT_FALSE(covers("a.>", "a"));
    EXPECT_FALSE(covers("a.b", "a.*"));
    EXPECT_FALSE(covers("a.*", "a.b.c"));
    EXPECT_FALSE(covers("a.*", "a.>"));
    EXPECT_FALSE(covers("a.b.c", "a.b"));
}

TEST(DurableNames, AreDifferentForDifferentPartitionsAndLegal) {
    const std::vector<std::string> ids = {"a.b",  "a_b",        "a-b", "a=5Fb", "a.5Fb", "ab",   "a/b",
                                          "a\\b", "\xc3\xa4.b", "A.b", "a.b.c", "a.b_c", "a_b.c"};
    std::set<std::string> names;
    for (const std::string& id : ids) {
        const auto name = partition_durable("p", partition(id));
        ASSERT_TRUE(name) << id;
        EXPECT_EQ(name->find_first_of(".*>/\\ \t"), std::string::npos) << *name;
        EXPECT_TRUE(names.insert(*name).second) << id << " -> " << *name;
    }
    EXPECT_EQ(*partition_durable("p", partition("orders.eu_x.42")), "p-orders_eu=5Fx_42");
}

// nats-server 2.9.10, once it has lost its place at the first message twice.
TEST(DurableStates, ACountThatWentBelowZeroIsNone) {
    const auto state = jetstream::parse_durable(R"({"config":{},"ack_floor":{"stream_seq":18446744073709551615},)"
                                                R"("delivered":{"stream_seq":18446744073709551614},"num_ack_pending":0})");
    ASSERT_TRUE(state);
    EXPECT_EQ(state->ack_floor, 0U);
    EXPECT_EQ(state->delivered, 0U);
    const auto usual = jetstream::parse_durable(R"({"config":{},"ack_floor":{"stream_seq":41},"delivered":{"stream_seq":42}})");
    ASSERT_TRUE(usual);
    EXPECT_EQ(usual->ack_floor, 41U);
    EXPECT_EQ(usual->delivered, 42U);
}

TEST(ServerTimes, AreReadToTheNanosecondOrNotAtAll) {
    using jetstream::parse_utc;
    EXPECT_EQ(parse_utc("1970-01-02T00:00:01Z"), 86'401'000'000'000);
    EXPECT_EQ(parse_utc("2026-11-28T14:57:17.25Z"), 1'795'877'837'250'000'000);
    EXPECT_EQ(parse_utc("2026-11-28T14:57:17.000000001Z"), 1'795'877'837'000'000'001);
    for (const char* text :
         {"", "2026-11-28", "2026-11-28T14:57:17", "2026-11-28T14:57:17+01:00", "2026-02-30T00:00:00Z", "2026-11-28T24:00:00Z",
          "2026-11-28T14:57:17.Z", "2026-11-28T14:57:17.1234567890Z", "2026-11-28T14:57:17.2xZ", "0001-01-01T00:00:00Z"}) {
        EXPECT_EQ(parse_utc(text), 0) << text;
    }
}

TEST(DurableNames, RefuseWhatIsTooLong) {
    EXPECT_FALSE(partition_durable("p", partition(std::string(199, 'a'))));
    EXPECT_TRUE(partition_durable("p", partition(std::string(198, 'a'))));
}

TEST(DurableNames, OfWorkersComeBackAsTheyWere) {
    const std::string name = worker_durable("c-x", WorkerNumber{7}, Incarnation{12});
    EXPECT_EQ(name, "c-x-7-12");
    const auto parsed = parse_worker_durable("c-x", name);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->number.value, 7U);
    EXPECT_EQ(parsed->incarnation.value, 12U);
    for (const char* foreign : {"c-x", "c-x-7", "c-x-7-", "c-x-a-1", "c-x-7-1-2", "c-y-7-12", "d", ""})
        EXPECT_FALSE(parse_worker_durable("c-x", foreign)) << foreign;
}

}  // namespace
}  // namespace parti::consume
