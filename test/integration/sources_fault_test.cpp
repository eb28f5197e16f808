// Sources whose server, bucket or consumer goes away.
#include <future>

#include "sources_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class SourcesFaults : public SourcesTest {
protected:
    void SetUp() override {
        SourcesTest::SetUp();
        ASSERT_TRUE(raw().make_bucket("b"));
        for (const char* key : {"x", "y"}) ASSERT_TRUE(raw().put("b", key, ""));
    }
    static KvSourceOptions options() {
        KvSourceOptions o;
        o.bucket = "b";
        return o;
    }
    static std::shared_ptr<Source> source(const Context& context) {
        auto made = kv_source(context, options());
        if (!made) throw std::runtime_error(made.error().message());
        return *made;
    }
    void reconnect() {
        raw_.reset();
        auto again = RawNats::connect(server_->url());
        ASSERT_TRUE(again) << again.error();
        raw_.emplace(std::move(*again));
    }
};

TEST_F(SourcesFaults, ADeletedBucketIsAnErrorTheLastSetStaysAndItsReturnIsSeen) {
    Context context = connect();
    const auto list = source(context);
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"x", "y"}); }));
    ASSERT_TRUE(raw().api("STREAM.DELETE.KV_b"));
    EXPECT_TRUE(eventually([&] { return told_error(Errc::not_found, "bucket 'b' does not exist; the last set of 2"); }))
        << notes_.text();
    EXPECT_TRUE(covered({&*w->worker}, 2));
    EXPECT_TRUE(own({w.get()}, {"x", "y"}));
    const std::size_t errors = notes_.errors().size();
    // A worker that starts now gets the last set too, and is told.
    const auto late = owner(context, list);
    EXPECT_TRUE(eventually([&] { return own({w.get(), late.get()}, {"x", "y"}) && !late->owned().empty(); }));
    EXPECT_LE(notes_.errors().size(), errors + 1) << notes_.text();
    ASSERT_TRUE(raw().make_bucket("b"));
    for (const char* key : {"y", "z"}) ASSERT_TRUE(raw().put("b", key, ""));
    EXPECT_TRUE(eventually([&] { return own({w.get(), late.get()}, {"y", "z"}); }));
    EXPECT_EQ(w->worker->stats().sessions_lost, 0U);
}

TEST_F(SourcesFaults, ABucketThatIsMadeAnewBehindItsBackIsReadAnew) {
    Context context = connect();
    const auto list = source(context);
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"x", "y"}); }));
    ASSERT_TRUE(raw().api("STREAM.DELETE.KV_b"));
    ASSERT_TRUE(raw().make_bucket("b"));
    for (const char* key : {"y", "z"}) ASSERT_TRUE(raw().put("b", key, ""));
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"y", "z"}); }));
}

TEST_F(SourcesFaults, WhatIsReadAnewIsToldAsOneSet) {
    Context context = connect();
    KvSourceOptions o = options();
    o.watch.settle = Duration::zero();
    const auto list = kv_source(context, o);
    ASSERT_TRUE(list);
    const Told told(**list);
    ASSERT_TRUE(raw().api("STREAM.DELETE.KV_b"));
    ASSERT_TRUE(raw().make_bucket("b"));
    constexpr int kKeys = 3000;
    for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(raw().publish("$KV.b.k" + std::to_string(i), ""));
    ASSERT_TRUE(raw().flush());
    ASSERT_TRUE(eventually([&] { return told.last().size() == kKeys; })) << told.last().size();
    // One for what was read; a second when the watch was back before the last key was stored.
    EXPECT_LE(told.sets(), 2U);
}

TEST_F(SourcesFaults, AKilledServerIsSurvivedWithEveryChangeOfTheMeantime) {
    Context context = connect();
    const auto list = source(context);
    const Told told(*list);
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"x", "y"}); }));
    ASSERT_TRUE(server_->kill());
    ASSERT_TRUE(eventually([&] { return !context.connected(); }));
    ASSERT_TRUE(server_->restart());
    reconnect();
    ASSERT_TRUE(raw().put("b", "z", ""));  // before or after the watch is back: it is seen
    ASSERT_TRUE(raw().mark("b", "x", "DEL"));
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"y", "z"}); })) << notes_.text();
    ASSERT_TRUE(raw().put("b", "later", ""));
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"later", "y", "z"}); }));
    EXPECT_LE(told.sets(), 4U);  // nobody was told of an empty or half-read bucket
    EXPECT_EQ(told.last().size(), 3U);
}

TEST_F(SourcesFaults, AConsumerDeletedBehindItsBackIsMadeAnew) {
    Context context = connect();
    const auto list = source(context);
    const Told told(*list);
    const auto names = consumers("KV_b");
    ASSERT_EQ(names.size(), 1U);
    ASSERT_TRUE(raw().api("CONSUMER.DELETE.KV_b." + names[0]));
    ASSERT_TRUE(raw().put("b", "z", ""));
    EXPECT_TRUE(eventually([&] { return told.last().size() == 3; }));
    const auto again = consumers("KV_b");
    ASSERT_EQ(again.size(), 1U);
    EXPECT_NE(again, names);
}

TEST_F(SourcesFaults, NoConsumerIsLeftOnTheServer) {
    const auto before = consumers("KV_b");
    EXPECT_TRUE(before.empty());
    Context context = connect();
    for (int round = 0; round < 3; ++round) {
        const auto one = source(context);
        auto two = source(context);
        const Told told(*two);
        for (int i = 0; i < 5; ++i) static_cast<void>(two->refresh());
        ASSERT_TRUE(raw().put("b", "r" + std::to_string(round), ""));
        EXPECT_TRUE(eventually([&] { return told.last().count("r" + std::to_string(round)) == 1; }));
    }
    // The context lives on: it is the sources that end their consumers, and before the server would (5 s without interest).
    EXPECT_TRUE(eventually([&] { return consumers("KV_b") == before; }, Milliseconds(4000)));
    EXPECT_TRUE(context.connected());
}

TEST_F(SourcesFaults, ASourceMayOutliveItsContextsHandleAndGoInAnyOrder) {
    std::shared_ptr<Source> list;
    std::shared_ptr<void> handle;
    {
        Context context = connect();
        list = source(context);
        handle = list->listen([](const auto&) {});
    }
    const Told told(*list);  // the source holds the connection
    ASSERT_TRUE(raw().put("b", "z", ""));
    EXPECT_TRUE(eventually([&] { return told.last().size() == 3; }));
    list.reset();
    EXPECT_TRUE(eventually([&] { return consumers("KV_b").empty(); }));
    handle.reset();
}

TEST_F(SourcesFaults, AMissingBucketIsAClearErrorOrIsWaitedFor) {
    Context context = connect();
    KvSourceOptions o = options();
    o.bucket = "later";
    const auto missing = kv_source(context, o);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_EQ(missing.error().detail, "bucket 'later' does not exist");
    // Without a wait the workers start once it is there.
    o.watch.wait = Duration::zero();
    const auto list = kv_source(context, o);
    ASSERT_TRUE(list) << list.error().message();
    const auto w = owner(context, *list);
    EXPECT_TRUE(eventually([&] { return told_error(Errc::not_found, "bucket 'later' does not exist"); })) << notes_.text();
    EXPECT_EQ(w->worker->state(), State::init);
    ASSERT_TRUE(raw().make_bucket("later"));
    ASSERT_TRUE(raw().put("later", "k", ""));
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"k"}); }));
}

TEST_F(SourcesFaults, AWorkerWhoseSourceNeverGetsThereSaysWhy) {
    Context context = connect();
    KvSourceOptions o = options();
    o.bucket = "never";
    o.watch.wait = Duration::zero();
    const auto list = kv_source(context, o);
    ASSERT_TRUE(list);
    Config c = config();
    c.timing.startup_timeout = 1s;
    Worker w = worker(context, *list, c);
    w.start();
    const auto ready = w.wait_for(State::stable, 20s);
    ASSERT_FALSE(ready);
    EXPECT_NE(ready.error().detail.find("bucket 'never' does not exist"), std::string::npos) << ready.error().detail;
}

TEST_F(SourcesFaults, AServerThatIsAwayAtTheStartIsWaitedForAndNamed) {
    Context context = connect();
    ASSERT_TRUE(server_->kill());
    ASSERT_TRUE(eventually([&] { return !context.connected(); }));
    KvSourceOptions o = options();
    o.watch.wait = 300ms;
    const auto none = kv_source(context, o);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::timeout);
    EXPECT_NE(none.error().detail.find("bucket 'b' was not read within wait (300 ms): not connected to NATS"), std::string::npos)
        << none.error().detail;
    o.watch.wait = 15s;
    auto waiting = std::async(std::launch::async, [&] { return kv_source(context, o); });
    ASSERT_TRUE(server_->restart());
    const auto list = waiting.get();
    ASSERT_TRUE(list) << list.error().message();
    EXPECT_EQ(weights(**(*list)->list()).size(), 2U);
}

}  // namespace
}  // namespace parti::test
