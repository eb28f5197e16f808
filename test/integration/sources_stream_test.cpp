// stream_subjects_source: the subjects of a stream reach the workers' callbacks.
#include "sources_fixture.h"
#include "testutil/server_monitor.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class SourcesStream : public SourcesTest {
protected:
    static Result<std::shared_ptr<Source>> make(const Context& context, const std::string& filter = ">",
                                                const std::string& partition = {}) {
        StreamSubjectsOptions options;
        options.stream = "orders";
        options.filter = filter;
        options.partition = partition;
        return stream_subjects_source(context, options);
    }
    static std::shared_ptr<Source> source(const Context& context, const std::string& filter = ">",
                                          const std::string& partition = {}) {
        auto made = make(context, filter, partition);
        if (!made) throw std::runtime_error(made.error().message());
        return *made;
    }
    void publish(const std::string& subject, const std::string& bytes = "x") {
        const auto ack = raw().request(subject, bytes);  // stored when it returns
        EXPECT_TRUE(ack) << ack.error();
    }
};

TEST_F(SourcesStream, ANewSubjectIsAPartitionFromItsFirstMessageOn) {
    stream("orders", "orders.>");
    publish("orders.eu.42.paid");
    publish("orders.eu.42.sent");
    publish("orders.us.7.paid");
    Context context = connect();
    const auto list = source(context, "orders.*.*.>", "{2}.{3}");
    const Told told(*list);
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"eu.42", "us.7"}); }));
    publish("orders.us.8.paid");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"eu.42", "us.7", "us.8"}); }));
    // What says nothing new is not told: further messages, further subjects of a known partition, subjects the filter leaves out.
    const std::size_t before = told.sets();
    for (int i = 0; i < 50; ++i) publish("orders.eu.42.paid");
    publish("orders.eu.42.new");
    publish("orders.short");
    publish("orders.xx.1.end");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"eu.42", "us.7", "us.8", "xx.1"}); }));
    EXPECT_EQ(told.sets(), before + 1);
    EXPECT_TRUE(notes_.errors().empty()) << notes_.text();
}

TEST_F(SourcesStream, ASubjectThatVanishedGoesOnARefresh) {
    stream("orders", "orders.>");
    for (const char* subject : {"orders.a", "orders.b", "orders.c"}) publish(subject);
    Context context = connect();
    const auto list = source(context, "orders.*", "{2}");
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"a", "b", "c"}); }));
    ASSERT_TRUE(raw().api("STREAM.PURGE.orders", {{"filter", "orders.b"}}));
    w->worker->refresh_partitions();
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"a", "c"}); }));
    publish("orders.b");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"a", "b", "c"}); })) << "it is back with its next message";
    EXPECT_TRUE(eventually([&] { return consumers("orders").size() == 1; })) << "one a source, however often it was read";
}

TEST_F(SourcesStream, OnlyHeadersAreSent) {
    stream("orders", "orders.>");
    const std::string big(200'000, 'x');
    for (int i = 0; i < 20; ++i) publish("orders." + std::to_string(i), big);
    Context context = connect();
    const auto before = read_server_stats(server_->monitor_url());
    ASSERT_TRUE(before) << before.error();
    const auto list = source(context, "orders.*", "{2}");
    const Told told(*list);
    EXPECT_EQ(told.last().size(), 20U);
    const auto after = read_server_stats(server_->monitor_url());
    ASSERT_TRUE(after) << after.error();
    EXPECT_LT(after->out_bytes - before->out_bytes, big.size());  // 20 of them are stored
}

TEST_F(SourcesStream, WhatCannotBeWatchedIsAClearError) {
    Context context = connect();
    const auto begin = std::chrono::steady_clock::now();
    const auto missing = make(context);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_NE(missing.error().detail.find("stream 'orders' does not exist"), std::string::npos) << missing.error().detail;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, WatchOptions{}.wait);  // it does not wait for what will not come

    stream("orders", "orders.>");
    const auto outside = make(context, "payments.*");
    ASSERT_FALSE(outside);
    EXPECT_EQ(outside.error().code, Errc::invalid_argument) << outside.error().message();
    EXPECT_NE(outside.error().detail.find("stream 'orders'"), std::string::npos) << outside.error().detail;
    EXPECT_NE(outside.error().detail.find("filter"), std::string::npos) << outside.error().detail;

    ASSERT_TRUE(raw().api("STREAM.DELETE.orders"));
    stream("orders", "orders.>", {{"retention", "workqueue"}});
    const auto queue = make(context);
    ASSERT_FALSE(queue);
    EXPECT_EQ(queue.error().code, Errc::invalid_argument) << queue.error().message();
    EXPECT_NE(queue.error().detail.find("ack"), std::string::npos) << queue.error().detail;

    for (const char* bad : {"a..b", "a b", "*a", ">.a", ""}) {
        const auto refused = make(context, bad);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Errc::invalid_argument);
        EXPECT_NE(refused.error().detail.find("filter '" + std::string(bad) + "'"), std::string::npos) << refused.error().detail;
    }
    EXPECT_TRUE(consumers("orders").empty());
}

TEST_F(SourcesStream, ADeletedStreamIsAnErrorTheLastSetStaysAndItsReturnIsSeen) {
    stream("orders", "orders.>");
    publish("orders.a");
    publish("orders.b");
    Context context = connect();
    const auto list = source(context, "orders.*", "{2}");
    const auto w = owner(context, list);
    ASSERT_TRUE(eventually([&] { return own({w.get()}, {"a", "b"}); }));
    ASSERT_TRUE(raw().api("STREAM.DELETE.orders"));
    EXPECT_TRUE(eventually([&] { return told_error(Errc::not_found, "the last set of 2 partitions is kept"); })) << notes_.text();
    EXPECT_TRUE(own({w.get()}, {"a", "b"}));
    EXPECT_TRUE(covered({&*w->worker}, 2));
    stream("orders", "orders.>");
    publish("orders.b");
    publish("orders.c");
    EXPECT_TRUE(eventually([&] { return own({w.get()}, {"b", "c"}); }));
}

}  // namespace
}  // namespace parti::test
