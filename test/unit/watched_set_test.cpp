#include "runtime/watched_set.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace parti::runtime {
namespace {

WatchedSet set_of(const char* rule) { return WatchedSet(*PartitionRule::make(rule)); }

std::string text(const WatchedSet& set) {
    const auto built = set.build();
    if (!built) return built.error().message();
    std::string out;
    for (const Partition& p : **built) out += (out.empty() ? "" : " ") + p.id() + ":" + std::to_string(p.weight());
    return out;
}

TEST(PartitionRule, MakesAnIdOutOfTokens) {
    EXPECT_EQ(*PartitionRule::make("")->apply("orders.eu.42.paid"), "orders.eu.42.paid");
    EXPECT_EQ(*PartitionRule::make("{2}.{3}")->apply("orders.eu.42.paid"), "eu.42");
    EXPECT_EQ(*PartitionRule::make("{2..}")->apply("orders.eu.42.paid"), "eu.42.paid");
    EXPECT_EQ(*PartitionRule::make("dev-{4}.x")->apply("orders.eu.42.paid"), "dev-paid.x");
    EXPECT_EQ(*PartitionRule::make("{4..}")->apply("orders.eu.42.paid"), "paid");
}

TEST(PartitionRule, NamesTheTokenThatIsNotThere) {
    const auto id = PartitionRule::make("{2}.{5}")->apply("a.b");
    ASSERT_FALSE(id);
    EXPECT_NE(id.error().detail.find("it has 2 tokens; the template '{2}.{5}' asks for token 5"), std::string::npos)
        << id.error().detail;
}

TEST(PartitionRule, RefusesATemplateThatMakesNoSenseAndNamesIt) {
    for (const char* bad : {"{0}", "{}", "{x}", "{1", "1}", "{100}", "{1...}", "{..}", "{1}{", "constant", "{-1}", "{1.}"}) {
        const auto rule = PartitionRule::make(bad);
        ASSERT_FALSE(rule) << bad;
        EXPECT_EQ(rule.error().code, Errc::invalid_argument);
        EXPECT_NE(rule.error().detail.find("'" + std::string(bad) + "'"), std::string::npos) << rule.error().detail;
    }
}

TEST(Weight, IsNothingANumberOrAnObject) {
    EXPECT_EQ(*parse_weight(""), 1);
    EXPECT_EQ(*parse_weight("7"), 7);
    EXPECT_EQ(*parse_weight(" 7\n"), 7);
    EXPECT_EQ(*parse_weight("1000000000"), 1'000'000'000);
    EXPECT_EQ(*parse_weight(R"({"name":"x","weight":12})"), 12);
    EXPECT_EQ(*parse_weight(R"({"name":"x"})"), 1);
}

TEST(Weight, AnythingElseIsRefusedWithTheValueAndTheRule) {
    for (const char* bad : {"0", "-1", "1.5", "1000000001", "heavy", "\"5\"", "null", "[5]", R"({"weight":"5"})",
                            R"({"weight":0})", R"({"weight":1,"weight":2})", "{", "\xff\xfe"}) {
        const auto weight = parse_weight(bad);
        ASSERT_FALSE(weight) << bad;
        EXPECT_EQ(weight.error().code, Errc::malformed_record);
        EXPECT_NE(weight.error().detail.find("1..1000000000"), std::string::npos) << weight.error().detail;
    }
    EXPECT_NE(parse_weight("heavy").error().detail.find("heavy"), std::string::npos);
}

TEST(WatchedSet, IsAFunctionOfWhatIsThereNotOfTheOrder) {
    WatchedSet a = set_of("");
    WatchedSet b = set_of("");
    a.put("x", 1);
    a.put("y", 2);
    a.put("z", 3);
    a.remove("z");
    b.put("y", 9);
    b.put("y", 2);
    b.put("x", 1);
    EXPECT_EQ(text(a), "x:1 y:2");
    EXPECT_EQ(text(a), text(b));
}

TEST(WatchedSet, SaysOnceThatItChangedAndOnlyThen) {
    WatchedSet set = set_of("");
    set.put("x", 1);
    EXPECT_TRUE(set.take_set_changed());
    EXPECT_FALSE(set.take_set_changed());
    set.put("x", 1);
    set.remove("never there");
    EXPECT_FALSE(set.take_set_changed());
    set.put("x", 2);
    EXPECT_TRUE(set.take_set_changed());
    set.remove("x");
    EXPECT_TRUE(set.take_set_changed());
    EXPECT_EQ(set.keys(), 0U);
}

TEST(WatchedSet, KeysOfOnePartitionCountAsTheHeaviestUntilTheLastGoes) {
    WatchedSet set = set_of("{2}");
    set.put("a.p.x", 3);
    set.put("a.p.y", 8);
    set.put("a.q.x", 1);
    EXPECT_EQ(text(set), "p:8 q:1");
    set.remove("a.p.y");
    EXPECT_EQ(text(set), "p:3 q:1");
    set.remove("a.p.x");
    EXPECT_EQ(text(set), "q:1");
}

TEST(WatchedSet, AValueThatIsNoWeightCountsAsOneAndIsNamedUntilItIsMended) {
    WatchedSet set = set_of("");
    set.put("good", 4);
    set.put("bad", parse_weight("heavy"));
    EXPECT_EQ(text(set), "bad:1 good:4");
    EXPECT_TRUE(set.take_problem_changed());
    ASSERT_TRUE(set.problem());
    EXPECT_EQ(set.problem()->code, Errc::malformed_record);
    for (const char* part : {"bad", "heavy", "1..1000000000", "counts as 1"}) {
        EXPECT_NE(set.problem()->detail.find(part), std::string::npos) << part << " in " << set.problem()->detail;
    }
    EXPECT_EQ(set.problem()->detail.find("good"), std::string::npos);
    set.put("bad", parse_weight("heavy"));
    EXPECT_FALSE(set.take_problem_changed());
    set.put("bad", 5);
    EXPECT_TRUE(set.take_problem_changed());
    EXPECT_FALSE(set.problem());
    EXPECT_EQ(text(set), "bad:5 good:4");
}

TEST(WatchedSet, AKeyThatMakesNoPartitionIsLeftOutAndNamed) {
    WatchedSet set = set_of("{2}");
    set.put("a.p", 1);
    set.put("alone", 1);
    set.put("a.\xff", 1);
    EXPECT_EQ(text(set), "p:1");
    ASSERT_TRUE(set.problem());
    for (const char* part : {"alone", "asks for token 2", "not UTF-8", "left out"}) {
        EXPECT_NE(set.problem()->detail.find(part), std::string::npos) << part << " in " << set.problem()->detail;
    }
    set.remove("alone");
    set.remove("a.\xff");
    EXPECT_FALSE(set.problem());
}

TEST(WatchedSet, NamesTheFirstProblemsAndCountsTheOthers) {
    WatchedSet set = set_of("{2}");
    for (int i = 0; i < 1000; ++i) set.put("k" + std::to_string(1000 + i), 1);
    ASSERT_TRUE(set.problem());
    EXPECT_NE(set.problem()->detail.find("and 995 more"), std::string::npos) << set.problem()->detail;
    EXPECT_LT(set.problem()->detail.size(), 2000U);
    set.clear();
    EXPECT_FALSE(set.problem());
}

}  // namespace
}  // namespace parti::runtime
