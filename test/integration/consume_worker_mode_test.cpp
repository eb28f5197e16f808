// Mode per_worker on a newer server: the traps of work queues (W2, W4, W5 of the Go library), and what 2.9 is told.
#include "consume_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

// Skipped, with the reason, where there is no newer server.
class ConsumePerWorker : public ConsumeTest {
protected:
    void SetUp() override {
        ConsumeTest::SetUp();
        auto newer = newer_nats_server();
        if (!newer) GTEST_SKIP() << newer.error();  // nothing older can do it; the reason is printed
        NatsServerOptions options;
        options.binary = *newer;
        raw_.reset();
        serve(std::move(options));
        auto raw = RawNats::connect(server_->url());
        ASSERT_TRUE(raw) << raw.error();
        raw_.emplace(std::move(*raw));
        make_stream({{"retention", "workqueue"}});
    }
    ConsumerConfig per_worker() const {
        ConsumerConfig config = consuming();
        config.mode = ConsumerMode::per_worker;
        return config;
    }
    std::vector<std::string> durables() {
        std::vector<std::string> names;
        const auto page = raw_->api("CONSUMER.NAMES.ORDERS");
        if (page && (*page)["consumers"].is_array()) names = (*page)["consumers"].get<std::vector<std::string>>();
        return names;
    }
    std::uint64_t messages_left() {
        const auto info = raw_->api("STREAM.INFO.ORDERS");
        return info ? (*info)["state"]["messages"].get<std::uint64_t>() : ~std::uint64_t{0};
    }
};

TEST_F(ConsumePerWorker, AGainedPartitionBringsItsBacklogAndAHandoffRepeatsNothing) {
    const auto partitions = ids(12);
    publish(partitions, 40);
    Context context = connect();
    const auto list = source(12);
    auto a = member(context, list, seen_.handler(), per_worker());
    ASSERT_TRUE(eventually([&] { return seen_.total() >= 60; })) << notes_.text();
    auto b = member(context, list, seen_.handler(), per_worker());
    publish(partitions, 40);
    ASSERT_TRUE(eventually([&] {
        return covered({&a->worker, &b->worker}, 12) && !b->worker.assignment().empty();
    })) << notes_.text();
    publish(partitions, 40);  // what came before a may have handled alone
    ASSERT_TRUE(eventually([&] { return b->consumer->stats().handled > 0; })) << notes_.text();
    EXPECT_EQ(durables().size(), 2U);
    ASSERT_TRUE(a->worker.stop());
    publish(partitions, 40);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 160U * 12U && messages_left() == 0; }))
        << seen_.total() << notes_.text();
    EXPECT_EQ(seen_.in_order_once(partitions, 160), "");
    // The leaver has deleted its durable before its partitions were granted.
    EXPECT_EQ(durables().size(), 1U);
    ASSERT_TRUE(b->worker.stop());
    EXPECT_TRUE(eventually([&] { return durables().empty(); }));
}

TEST_F(ConsumePerWorker, InAStallTheServerSaysWhatIsNotDelivered) {
    publish(ids(2), 10);
    Context context = connect(3);
    Hold hold;
    ConsumerConfig config = per_worker();
    config.ack_wait = 3s;
    auto a = member(context, source(2), seen_.handler(hold), config);
    const auto known = [&] {
        const ConsumerStats stats = a->consumer->stats();
        return stats.lag + stats.in_flight;
    };
    ASSERT_TRUE(eventually([&] { return hold.inside() > 0 && known() == 20; })) << known() << notes_.text();
    publish(ids(2), 5);
    EXPECT_TRUE(eventually([&] { return known() == 30; })) << known();
    hold.open();
    ASSERT_TRUE(eventually([&] { return seen_.total() == 30 && known() == 0; })) << known() << notes_.text();
}

TEST_F(ConsumePerWorker, AStopWhileItLooksForLeftoversWaitsForNothing) {
    Context context = connect();
    Worker a = worker(context, source(12));
    a.start();
    ASSERT_TRUE(a.wait_for(State::stable, 10s)) << notes_.text();
    auto consumer = Consumer::make(a, per_worker(), seen_.handler());
    ASSERT_TRUE(consumer && consumer->start());
    const auto stopped = consumer->stop();  // a drain that nobody ends is a timeout
    EXPECT_TRUE(stopped) << stopped.error().message();
}

TEST_F(ConsumePerWorker, AWorkerWithoutPartitionsHasNoConsumerAndReceivesNothing) {
    Context context = connect();
    const auto list = source(1);
    auto a = member(context, list, seen_.handler(), per_worker());
    ASSERT_TRUE(eventually([&] { return covered({&a->worker}, 1); }));
    Seen idle;
    auto b = member(context, list, idle.handler(), per_worker());
    ASSERT_TRUE(b->worker.wait_for(State::stable, 10s));
    publish(ids(1), 30);
    ASSERT_TRUE(raw_->request("orders.9999", "7"));  // nobody's partition
    ASSERT_TRUE(eventually([&] { return seen_.total() == 30; })) << notes_.text();
    EXPECT_EQ(idle.total(), 0U);
    EXPECT_EQ(durables().size(), 1U);
    EXPECT_EQ(seen_.in_order_once(ids(1), 30), "");
}

TEST_F(ConsumePerWorker, TheDurableOfADeadIncarnationIsDeletedAndItsPartitionsGoOn) {
    const auto partitions = ids(6);
    Context context = connect();
    const auto list = source(6);
    auto a = member(context, list, seen_.handler(), per_worker());
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().consuming == 6; })) << notes_.text();
    const WorkerNumber held = *a->worker.number();
    ASSERT_TRUE(a->worker.stop());
    a.reset();
    // As a killed worker leaves it: a durable with half of the filters, of an incarnation whose lease has ended.
    nlohmann::json left{{"durable_name", "c-" + std::to_string(held.value) + "-1"},
                        {"name", "c-" + std::to_string(held.value) + "-1"},
                        {"ack_policy", "explicit"},
                        {"filter_subjects", {"orders.1000", "orders.1001", "orders.1002"}}};
    const std::string name = left["name"].get<std::string>();
    ASSERT_TRUE(raw_->api("CONSUMER.CREATE.ORDERS." + name, {{"stream_name", "ORDERS"}, {"config", left}}));
    publish(partitions, 20);
    auto b = member(context, list, seen_.handler(), per_worker());
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 120; })) << seen_.total() << notes_.text();
    EXPECT_EQ(seen_.in_order_once(partitions, 20), "");
    const auto now = durables();
    EXPECT_EQ(std::count(now.begin(), now.end(), name), 0);
}

TEST_F(ConsumePerWorker, ARefusedFilterIsTriedAgainUntilItsHolderLetsGo) {
    const auto partitions = ids(4);
    publish(partitions, 10);
    // Somebody else's consumer: not a durable of ours, so it is not touched.
    nlohmann::json foreign{
        {"durable_name", "foreign"}, {"name", "foreign"}, {"ack_policy", "explicit"}, {"filter_subject", "orders.1001"}};
    ASSERT_TRUE(raw_->api("CONSUMER.CREATE.ORDERS.foreign", {{"stream_name", "ORDERS"}, {"config", foreign}}));
    Context context = connect();
    auto a = member(context, source(4), seen_.handler(), per_worker());
    ASSERT_TRUE(eventually([&] { return !a->consumer->troubles().empty(); })) << notes_.text();
    EXPECT_EQ(a->consumer->stats().consuming, 0U);
    EXPECT_EQ(durables(), std::vector<std::string>{"foreign"});
    ASSERT_TRUE(raw_->api("CONSUMER.DELETE.ORDERS.foreign"));
    ASSERT_TRUE(eventually([&] { return seen_.total() == 40; })) << notes_.text();
    EXPECT_TRUE(a->consumer->troubles().empty());
    EXPECT_EQ(seen_.in_order_once(partitions, 10), "");
}

TEST_F(ConsumePerWorker, AnotherRetentionIsRefusedWithWhatToDo) {
    ASSERT_TRUE(raw_->api("STREAM.DELETE.ORDERS"));
    make_stream();
    Context context = connect();
    Worker w = worker(context, source(2));
    auto consumer = Consumer::make(w, per_worker(), seen_.handler());
    ASSERT_TRUE(consumer);
    const auto started = consumer->start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, Errc::invalid_config);
    EXPECT_NE(started.error().detail.find("'limits'"), std::string::npos) << started.error().detail;
    EXPECT_NE(started.error().detail.find("per_partition"), std::string::npos) << started.error().detail;
}

TEST_F(ConsumePerWorker, OnePartitionPerDurableWorksOnThisServerToo) {
    const auto partitions = ids(3);
    publish(partitions, 30);
    Context context = connect();
    auto a = member(context, source(3), seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return seen_.total() == 90 && messages_left() == 0; })) << notes_.text();
    EXPECT_EQ(seen_.in_order_once(partitions, 30), "");
}

}  // namespace
}  // namespace parti::test
