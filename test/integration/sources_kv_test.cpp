// kv_source: the keys of a bucket reach the workers' callbacks.
#include <parti/nats.h>

#include "sources_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using Weights = std::map<std::string, std::int64_t>;

class SourcesKv : public SourcesTest {
protected:
    void SetUp() override {
        SourcesTest::SetUp();
        const auto made = raw().make_bucket("b");
        ASSERT_TRUE(made) << made.error();
    }
    void put(const std::string& key, const std::string& value = {}) {
        const auto done = raw().put("b", key, value);
        EXPECT_TRUE(done) << done.error();
    }
    static std::shared_ptr<Source> source(const Context& context, KvSourceOptions options = {}) {
        options.bucket = "b";
        auto made = kv_source(context, options);
        if (!made) throw std::runtime_error(made.error().message());
        return *made;
    }
};

TEST_F(SourcesKv, EachKindOfChangeReachesTheWorkersWithoutARefresh) {
    put("a");
    put("b", "5");
    put("c", R"({"weight": 7})");
    Context context = connect();
    const auto list = source(context);
    const Told told(*list);
    EXPECT_EQ(told.last(), (Weights{{"a", 1}, {"b", 5}, {"c", 7}}));
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"a", "b", "c"}); }));
    put("d.e");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"a", "b", "c", "d.e"}); })) << "a new key";
    ASSERT_TRUE(raw().mark("b", "a", "DEL"));
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"b", "c", "d.e"}); })) << "a deleted key";
    ASSERT_TRUE(raw().mark("b", "b", "PURGE"));
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"c", "d.e"}); })) << "a purged key";
    put("a");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"a", "c", "d.e"}); })) << "a key that is back";
    put("c", "70");
    EXPECT_TRUE(eventually([&] { return told.last() == Weights({{"a", 1}, {"c", 70}, {"d.e", 1}}); })) << "another weight";
    const std::size_t before = told.sets();
    put("c", R"({"weight":70})");  // says the same
    put("z");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"a", "c", "d.e", "z"}); }));
    EXPECT_LE(told.sets(), before + 1);
    EXPECT_TRUE(notes_.errors().empty()) << notes_.text();
    ASSERT_TRUE(w->worker->stop());
}

TEST_F(SourcesKv, AListenerThatThrowsIsLoggedAndHoldsNobodyUp) {
    put("a");
    Context context = connect();
    const auto list = source(context);
    const auto thrower = list->listen([](const auto&) { throw std::runtime_error("no room"); });
    const Told told(*list);
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"a"}); }));
    put("b");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"a", "b"}); }));
    EXPECT_EQ(told.last(), (Weights{{"a", 1}, {"b", 1}}));
    EXPECT_TRUE(notes_.has_line("bucket 'b': a listener of the source threw: no room")) << notes_.text();
    ASSERT_TRUE(w->worker->stop());
}

TEST_F(SourcesKv, FilterAndTemplateChooseWhatCounts) {
    put("tenant.eu.1.conf");
    put("tenant.eu.1.state", "9");
    put("tenant.us.2.conf");
    put("other.eu.3.conf");
    Context context = connect();
    KvSourceOptions options;
    options.filter = "tenant.>";
    options.partition = "{2}.{3}";
    const auto list = source(context, options);
    const Told told(*list);
    EXPECT_EQ(told.last(), (Weights{{"eu.1", 9}, {"us.2", 1}}));
    ASSERT_TRUE(raw().mark("b", "tenant.eu.1.state", "DEL"));
    EXPECT_TRUE(eventually([&] { return told.last() == Weights({{"eu.1", 1}, {"us.2", 1}}); }));
    ASSERT_TRUE(raw().mark("b", "tenant.eu.1.conf", "DEL"));
    EXPECT_TRUE(eventually([&] { return told.last() == Weights({{"us.2", 1}}); }));
}

TEST_F(SourcesKv, WithoutWeightsValuesMayBeAnything) {
    put("a", "not a weight");
    put("gone");
    ASSERT_TRUE(raw().mark("b", "gone", "DEL"));
    Context context = connect();
    KvSourceOptions options;
    options.weights = false;
    const auto list = source(context, options);
    const Told told(*list);
    EXPECT_EQ(told.last(), (Weights{{"a", 1}}));
    EXPECT_EQ(told.errors(), 0U);
    ASSERT_TRUE(raw().mark("b", "a", "DEL"));  // markers are headers
    EXPECT_TRUE(eventually([&] { return told.last().empty(); }));
}

TEST_F(SourcesKv, WhatIsUnreadableIsNamedWithItsRuleAndHarmsNobodyElse) {
    put("good", "3");
    put("heavy", "very");
    Context context = connect();
    const auto list = source(context);
    const auto w = owner(context, list);  // begins after the first error: it hears of it all the same
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"good", "heavy"}); }));
    EXPECT_TRUE(eventually([&] { return told_error(Errc::malformed_record, "very"); })) << notes_.text();
    EXPECT_TRUE(told_error(Errc::malformed_record, "1..1000000000"));
    EXPECT_TRUE(told_error(Errc::malformed_record, "bucket 'b'"));
    put("good", "0");
    EXPECT_TRUE(eventually([&] { return told_error(Errc::malformed_record, "good"); })) << notes_.text();
    ASSERT_TRUE(raw().publish("$KV.b.\xff\xfe", "1"));
    EXPECT_TRUE(eventually([&] { return told_error(Errc::malformed_record, "not UTF-8"); })) << notes_.text();
    put("new");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"good", "heavy", "new"}); }));
    const Told told(*list);
    EXPECT_EQ(told.last(), (Weights{{"good", 1}, {"heavy", 1}, {"new", 1}}));
    put("heavy", "8");
    put("good", "9");
    EXPECT_TRUE(eventually([&] { return told.last() == Weights({{"good", 9}, {"heavy", 8}, {"new", 1}}); }));
    ASSERT_TRUE(w->worker->stop());
    EXPECT_LE(notes_.errors().size(), 5U) << notes_.text();  // one a change, not one a key and worker and second
}

TEST_F(SourcesKv, ABurstOfTenThousandKeysIsAFewSets) {
    put("first");
    Context context = connect();
    const auto list = source(context);
    const Told told(*list);
    constexpr int kKeys = 10000;
    for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(raw().publish("$KV.b.k" + std::to_string(i), "2"));
    ASSERT_TRUE(raw().flush());
    ASSERT_TRUE(eventually([&] { return told.last().size() == kKeys + 1; })) << told.last().size();
    EXPECT_LE(told.sets(), kKeys / 500U);
    RecordProperty("sets", static_cast<int>(told.sets()));
}

TEST_F(SourcesKv, AllWorkersOfAProcessHearOfAChangeAndSoDoOtherProcesses) {
    for (int i = 0; i < 6; ++i) put("p" + std::to_string(i));
    Context one = connect();
    Context two = connect();  // as another process: a connection and a source of its own
    const auto list_one = source(one);
    const auto list_two = source(two);
    const auto a = owner(one, list_one);
    const auto b = owner(one, list_one);
    const auto c = owner(two, list_two);
    const Ids six = {"p0", "p1", "p2", "p3", "p4", "p5"};
    ASSERT_TRUE(eventually([&] { return own({a.get(), b.get(), c.get()}, six); }));
    put("p6");
    EXPECT_TRUE(eventually([&] { return own({a.get(), b.get(), c.get()}, {"p0", "p1", "p2", "p3", "p4", "p5", "p6"}); }));
    // Whoever leads next has the same set.
    ASSERT_TRUE(a->worker->stop());
    ASSERT_TRUE(b->worker->stop());
    ASSERT_TRUE(eventually([&] { return c->worker->is_leader(); }));
    ASSERT_TRUE(raw().mark("b", "p0", "DEL"));
    EXPECT_TRUE(eventually([&] { return own({c.get()}, {"p1", "p2", "p3", "p4", "p5", "p6"}); }));
}

TEST_F(SourcesKv, TheSetMayChangeInTheMiddleOfARebalance) {
    Ids wanted;
    for (int i = 0; i < 20; ++i) {
        wanted.insert("p" + std::to_string(100 + i));
        put("p" + std::to_string(100 + i));
    }
    Context context = connect();
    const auto list = source(context);
    // The first worker holds on to what it is to give away.
    std::mutex mutex;
    std::vector<RevokeDone> held;
    bool hold = true;
    Ids first_owns;
    Callbacks slow;
    slow.on_assigned = [&](std::span<const Ownership> gained) {
        const std::lock_guard lock(mutex);
        for (const Ownership& p : gained) first_owns.insert(p.partition().id());
    };
    slow.on_revoked = [&](std::span<const Ownership> lost, RevokeDone done) {
        const std::lock_guard lock(mutex);
        for (const Ownership& p : lost) first_owns.erase(p.partition().id());
        if (hold) held.push_back(std::move(done));
    };
    Config c = config();
    c.timing.min_rebalance_interval = Duration::zero();
    Worker first = worker(context, list, c, std::move(slow));
    first.start();
    ASSERT_TRUE(eventually([&] { return covered({&first}, 20); }));
    const auto second = owner(context, list);
    ASSERT_TRUE(eventually([&] {
        const std::lock_guard lock(mutex);
        return !held.empty();
    }));
    EXPECT_TRUE(second->owned().empty());
    for (int i = 0; i < 10; ++i) {
        const std::string gone = "p" + std::to_string(100 + 2 * i);
        ASSERT_TRUE(raw().mark("b", gone, "DEL"));
        wanted.erase(gone);
        put("q" + std::to_string(i));
        wanted.insert("q" + std::to_string(i));
    }
    const Told told(*list);
    ASSERT_TRUE(
        eventually([&] { return told.last().size() == 20 && told.last().count("q9") == 1 && told.last().count("p118") == 0; }));
    {
        const std::lock_guard lock(mutex);
        hold = false;
        for (const RevokeDone& done : held) done();
        held.clear();
    }
    EXPECT_TRUE(eventually([&] {
        const Ids b = second->owned();
        const std::lock_guard lock(mutex);
        Ids all = first_owns;
        all.insert(b.begin(), b.end());
        return all == wanted && first_owns.size() + b.size() == wanted.size();
    }));
    EXPECT_TRUE(eventually([&] { return covered({&first, &*second->worker}, wanted.size()); }));
    EXPECT_EQ(first.stats().drain_timeouts, 0U);
    ASSERT_TRUE(first.stop());
    ASSERT_TRUE(second->worker->stop());
}

TEST_F(SourcesKv, TooManyKeysAreAnErrorAndTheLastSetStays) {
    for (int i = 0; i < 5; ++i) put("p" + std::to_string(i));
    Context context = connect();
    KvSourceOptions options;
    options.watch.keys_max = 5;
    const auto list = source(context, options);
    const auto w = owner(context, list);
    const Ids five = {"p0", "p1", "p2", "p3", "p4"};
    ASSERT_TRUE(eventually([&] { return own({w.get()}, five); }));
    put("p5");
    EXPECT_TRUE(eventually([&] { return told_error(Errc::overloaded, "more than 5 keys"); })) << notes_.text();
    EXPECT_TRUE(eventually([&] { return consumers("KV_b").empty(); }));
    EXPECT_TRUE(own({w.get()}, five));
    ASSERT_TRUE(raw().mark("b", "p5", "DEL"));
    ASSERT_TRUE(raw().mark("b", "p4", "DEL"));
    w->worker->refresh_partitions();
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"p0", "p1", "p2", "p3"}); }));
    put("p6");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"p0", "p1", "p2", "p3", "p6"}); })) << "it watches again";
}

TEST_F(SourcesKv, TooManyKeysAtFirstAreAnErrorAtOnce) {
    for (int i = 0; i < 6; ++i) put("p" + std::to_string(i));
    Context context = connect();
    KvSourceOptions options;
    options.bucket = "b";
    options.watch.keys_max = 5;
    const auto made = kv_source(context, options);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Errc::overloaded) << made.error().message();
    EXPECT_NE(made.error().detail.find("more than 5 keys"), std::string::npos) << made.error().detail;
}

TEST_F(SourcesKv, WorksOnAConnectionOfTheUsers) {
    put("a");
    {
        auto context = use_connection(raw().get());
        ASSERT_TRUE(context) << context.error().message();
        const auto list = source(*context);
        const auto w = owner(*context, list);
        ASSERT_TRUE(eventually([&] { return own({w.get()}, {"a"}); }));
        put("b");
        EXPECT_TRUE(eventually([&] { return own({w.get()}, {"a", "b"}); }));
    }
    EXPECT_TRUE(eventually([&] { return consumers("KV_b").empty(); }));
}

TEST_F(SourcesKv, BadOptionsAreNamedWithTheRule) {
    Context context = connect();
    const auto refused = [&](const KvSourceOptions& options, const std::string& part) {
        const auto made = kv_source(context, options);
        ASSERT_FALSE(made);
        EXPECT_EQ(made.error().code, Errc::invalid_argument);
        EXPECT_NE(made.error().detail.find(part), std::string::npos) << made.error().detail;
    };
    refused({.bucket = "a.b"}, "bucket 'a.b'");
    refused({.bucket = "b", .filter = "a..b"}, "filter 'a..b'");
    refused({.bucket = "b", .filter = ">", .partition = "{0}"}, "template '{0}'");
    KvSourceOptions times;
    times.bucket = "b";
    times.watch.settle = 2s;
    refused(times, "settle (2000 ms)");
    times = {};
    times.bucket = "b";
    times.watch.keys_max = 0;
    refused(times, "keys_max (0)");
    times = {};
    times.bucket = "b";
    times.watch.wait = Duration::max();
    refused(times, "must be in 0..86400000 ms");
}

}  // namespace
}  // namespace parti::test
