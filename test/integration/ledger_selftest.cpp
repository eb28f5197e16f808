// Puts the faults back that lose, repeat or misdirect messages (PEER-GO-PARTI.md W2, W3, W4, W5, W18), as small consumers on a
// real server, and shows that the ledger names each of them; and that it is silent over the same handoff done right.
#include <gtest/gtest.h>
#include <nats/nats.h>

#include <memory>

#include "raw_nats.h"
#include "swept_test.h"
#include "testutil/load_generator.h"
#include "testutil/nats_server.h"
#include "testutil/worker_process.h"

namespace parti::test {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// A consumer's pulls, without any care: what was pulled stays pulled.
class Puller {
public:
    Puller(natsConnection* connection, std::string durable) : connection_(connection), durable_(std::move(durable)) {
        natsInbox* inbox = nullptr;
        EXPECT_EQ(natsInbox_Create(&inbox), NATS_OK);
        inbox_ = inbox;
        natsInbox_Destroy(inbox);
        EXPECT_EQ(natsConnection_SubscribeSync(&subscription_, connection_, inbox_.c_str()), NATS_OK);
    }
    Puller(const Puller&) = delete;
    Puller& operator=(const Puller&) = delete;
    ~Puller() { natsSubscription_Destroy(subscription_); }

    void pull(int batch, std::chrono::nanoseconds expires) {
        const std::string body = json{{"batch", batch}, {"expires", expires.count()}}.dump();
        EXPECT_EQ(natsConnection_PublishRequest(connection_, ("$JS.API.CONSUMER.MSG.NEXT.S." + durable_).c_str(), inbox_.c_str(),
                                                body.data(), static_cast<int>(body.size())),
                  NATS_OK);
        EXPECT_EQ(natsConnection_FlushTimeout(connection_, 5000), NATS_OK);
    }
    // The next message; status messages (no messages, request expired) are left out. nullptr: none came.
    std::shared_ptr<natsMsg> next(Milliseconds timeout) {
        natsMsg* message = nullptr;
        while (natsSubscription_NextMsg(&message, subscription_, timeout.count()) == NATS_OK) {
            std::shared_ptr<natsMsg> held(message, natsMsg_Destroy);
            const char* status = nullptr;
            if (natsMsgHeader_Get(message, "Status", &status) != NATS_OK) return held;
        }
        return nullptr;
    }

private:
    natsConnection* connection_;
    std::string durable_, inbox_;
    natsSubscription* subscription_ = nullptr;
};

enum class Which : std::uint8_t { machines, newer };

class LedgerSelftest : public SweptTest, public testing::WithParamInterface<Which> {
protected:
    void SetUp() override {
        NatsServerOptions options;
        if (GetParam() == Which::newer) {
            const auto newer = newer_nats_server();
            // Without network there is no newer server; the other parameter covers the ledger.
            if (!newer) GTEST_SKIP() << newer.error();
            options.binary = *newer;
        }
        auto server = NatsServer::start(std::move(options));
        ASSERT_TRUE(server) << server.error();
        server_ = std::make_unique<NatsServer>(std::move(*server));
        auto nats = RawNats::connect(server_->url());
        ASSERT_TRUE(nats) << nats.error();
        nats_ = std::make_unique<RawNats>(std::move(*nats));
        processes_.resize(2);
        processes_[0].label = "w0";
        processes_[1].label = "w1";
    }
    void TearDown() override {
        nats_.reset();
        server_.reset();
        nats_CloseAndWait(5000);
        SweptTest::TearDown();
    }

    void make_stream(const char* retention = "limits") {
        const auto made =
            nats_->api("STREAM.CREATE.S", {{"name", "S"}, {"subjects", {"s.>"}}, {"storage", "file"}, {"retention", retention}});
        ASSERT_TRUE(made) << made.error();
    }
    // True: made, or changed.
    bool durable(const std::string& name, const json& more) {
        json config = {
            {"durable_name", name}, {"ack_policy", "explicit"}, {"ack_wait", 30'000'000'000}, {"deliver_policy", "all"}};
        config.update(more);
        auto made = nats_->api("CONSUMER.DURABLE.CREATE.S." + name, {{"stream_name", "S"}, {"config", config}});
        if (!made) refusals_.push_back(made.error());
        return made.has_value();
    }
    static json filter(const std::string& partition) { return {{"filter_subject", "s." + partition}}; }

    void publish(std::uint64_t messages) {
        LoadOptions options;
        options.url = server_->url();
        options.plan.seed = ++seed_;
        options.plan.partitions = 2;
        options.plan.phases = {{Milliseconds(messages), 1000, 1000}};
        options.partitions = {"p0", "p1"};
        options.subjects = {"s.p0", "s.p1"};
        options.published = std::move(published_);
        auto generator = LoadGenerator::start(std::move(options));
        ASSERT_TRUE(generator) << generator.error();
        const LoadReport report = generator->finish();
        EXPECT_EQ(report.confirmed, messages) << describe(report);
        published_ = generator->take_published();
    }
    std::uint64_t published(const std::string& partition) const { return published_.at(partition).size(); }

    // As a handler would: noted, then acknowledged. False: nothing came.
    bool handle(std::size_t worker, Puller& puller, Milliseconds patience = 300ms) {
        const auto message = puller.next(patience);
        if (message == nullptr) return false;
        Handling h;
        const std::string_view payload(natsMsg_GetData(message.get()),
                                       static_cast<std::size_t>(natsMsg_GetDataLength(message.get())));
        const auto content = parse_load_payload(payload);
        EXPECT_TRUE(content);
        jsMsgMetaData* meta = nullptr;
        EXPECT_EQ(natsMsg_GetMetaData(&meta, message.get()), NATS_OK);
        if (!content || meta == nullptr) return false;
        h.partition = std::string(natsMsg_GetSubject(message.get())).substr(2);
        h.sequence = content->sequence;
        h.stream_sequence = meta->Sequence.Stream;
        h.delivered = meta->NumDelivered;
        jsMsgMetaData_Destroy(meta);
        h.begin_ns = boot_now_ns();
        h.end_ns = boot_now_ns();
        processes_[worker].handlings.push_back(h);
        const auto acked = nats_->request(natsMsg_GetReply(message.get()), "+ACK");  // answered once it counts
        EXPECT_TRUE(acked) << acked.error();
        return true;
    }
    std::uint64_t handle_all(std::size_t worker, Puller& puller, std::uint64_t at_most = ~0ULL) {
        std::uint64_t count = 0;
        puller.pull(1000, 10s);
        while (count < at_most && handle(worker, puller)) ++count;
        return count;
    }

    void own(const std::string& partition, std::size_t worker) {
        auto& spans = options_.owners[partition];
        if (!spans.empty()) spans.back().end_ns = boot_now_ns();
        spans.push_back({processes_[worker].label, boot_now_ns(), INT64_MAX});
    }
    LedgerCounts judge() {
        options_.check_owners = true;
        const LedgerReport report = check_ledger(published_, processes_, {}, options_);
        std::printf("  %s\n", describe(report.counts).c_str());
        for (std::size_t i = 0; i < report.violations.size() && i < 3; ++i)
            std::printf("  seen: %s\n", report.violations[i].text.c_str());
        return report.counts;
    }
    static std::uint64_t wrong(const LedgerCounts& c) {
        return c.lost + c.reordered + c.duplicates + c.overlaps + c.not_owned + c.foreign;
    }

    std::unique_ptr<NatsServer> server_;
    std::unique_ptr<RawNats> nats_;
    std::vector<ProcessHandlings> processes_;
    Published published_;
    LedgerOptions options_;
    std::vector<std::string> refusals_;
    std::uint64_t seed_ = 0;
};

TEST_P(LedgerSelftest, AHandoffDoneRightIsSilent) {
    make_stream();
    publish(60);
    own("p0", 0);
    own("p1", 1);
    ASSERT_TRUE(durable("part-p0", filter("p0")) && durable("part-p1", filter("p1")));  // the cursor is the partition's
    Puller p1(nats_->get(), "part-p1");
    EXPECT_EQ(handle_all(1, p1), published("p1"));
    {
        Puller w0(nats_->get(), "part-p0");
        for (int i = 0; i < 5; ++i) {
            w0.pull(1, 5s);
            ASSERT_TRUE(handle(0, w0));
        }
    }
    own("p0", 1);
    Puller w1(nats_->get(), "part-p0");
    EXPECT_EQ(handle_all(1, w1), published("p0") - 5);
    const LedgerCounts counts = judge();
    EXPECT_EQ(wrong(counts), 0U);
    EXPECT_EQ(counts.handled, 60U);
}

TEST_P(LedgerSelftest, W2AFilterAddedToALiveDurableLosesTheBacklog) {
    make_stream();
    publish(60);
    own("p0", 0);
    own("p1", 1);
    ASSERT_TRUE(durable("w0", filter("p0")) && durable("w1", filter("p1")));
    {
        Puller w0(nats_->get(), "w0");
        w0.pull(5, 5s);
        for (int i = 0; i < 5; ++i) ASSERT_TRUE(handle(0, w0));
    }
    Puller w1(nats_->get(), "w1");
    EXPECT_EQ(handle_all(1, w1), published("p1"));
    own("p0", 1);
    ASSERT_TRUE(durable("w1", filter("p0"))) << refusals_.back();  // its position is past p0's backlog
    Puller moved(nats_->get(), "w1");
    handle_all(1, moved);
    const LedgerCounts counts = judge();
    EXPECT_GT(counts.lost, 0U);
    EXPECT_EQ(wrong(counts), counts.lost) << "and nothing else";
    EXPECT_GE(counts.lost + 1, published("p0") - 5) << "all but what came after p1's last message";
}

TEST_P(LedgerSelftest, W3ANewDurableThatDeliversAllRepeatsWhatWasHandled) {
    make_stream();
    publish(60);
    own("p0", 0);
    own("p1", 1);
    ASSERT_TRUE(durable("w0", filter("p0")));
    {
        Puller w0(nats_->get(), "w0");
        EXPECT_EQ(handle_all(0, w0, 10), 10U);
    }
    own("p0", 1);
    ASSERT_TRUE(durable("w1", json::object()));  // both partitions, from the beginning
    Puller w1(nats_->get(), "w1");
    EXPECT_EQ(handle_all(1, w1), 60U);
    const LedgerCounts counts = judge();
    EXPECT_EQ(counts.duplicates, 10U);
    EXPECT_EQ(counts.reordered, 9U) << "all but the last of the ten are older than what was handled before";
    EXPECT_EQ(wrong(counts), 19U);
}

TEST_P(LedgerSelftest, W3WhatWasFetchedAheadIsHandledBesideTheNewOwner) {
    make_stream();
    publish(60);
    own("p0", 0);
    own("p1", 1);
    ASSERT_TRUE(durable("w0", filter("p0")) && durable("w1", filter("p1")));
    Puller w0(nats_->get(), "w0");
    w0.pull(20, 5s);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(handle(0, w0));
    own("p0", 1);  // and w0 still has fifteen in its hands
    ASSERT_TRUE(durable("w1b", {{"filter_subject", "s.p0"},
                                {"deliver_policy", "by_start_sequence"},
                                {"opt_start_seq", processes_[0].handlings.back().stream_sequence + 1}}));
    Puller p1(nats_->get(), "w1"), p0(nats_->get(), "w1b");
    handle_all(1, p1);
    handle_all(1, p0);
    for (int i = 0; i < 15; ++i) ASSERT_TRUE(handle(0, w0));
    const LedgerCounts counts = judge();
    EXPECT_EQ(counts.duplicates, 15U);
    EXPECT_EQ(counts.not_owned, 15U);
    EXPECT_EQ(counts.lost, 0U);
}

TEST_P(LedgerSelftest, W4ADeadWorkersDurableStrandsItsPartitionOfAWorkQueue) {
    make_stream("workqueue");
    publish(60);
    own("p0", 0);
    own("p1", 1);
    ASSERT_TRUE(durable("w0", filter("p0")) && durable("w1", filter("p1")));
    {
        Puller w0(nats_->get(), "w0");
        w0.pull(5, 5s);
        for (int i = 0; i < 5; ++i) ASSERT_TRUE(handle(0, w0));
    }
    own("p0", 1);  // w0 is dead, its durable is not
    EXPECT_FALSE(durable("w1b", filter("p0")));
    ASSERT_FALSE(refusals_.empty());
    EXPECT_NE(refusals_.back().find("10100"), std::string::npos) << refusals_.back();
    Puller w1(nats_->get(), "w1");
    handle_all(1, w1);
    const LedgerCounts counts = judge();
    EXPECT_EQ(counts.lost, published("p0") - 5);
    EXPECT_EQ(wrong(counts), counts.lost);
}

TEST_P(LedgerSelftest, W5ZeroPartitionsAreNoReasonToReadEverything) {
    make_stream();
    publish(60);
    own("p0", 0);
    own("p1", 0);
    ASSERT_TRUE(durable("w0", json::object()));
    Puller w0(nats_->get(), "w0");
    EXPECT_EQ(handle_all(0, w0), 60U);
    ASSERT_TRUE(durable("w1", json::object()));  // no partition, no filter
    Puller w1(nats_->get(), "w1");
    w1.pull(7, 5s);
    for (int i = 0; i < 7; ++i) ASSERT_TRUE(handle(1, w1));
    const LedgerCounts counts = judge();
    EXPECT_EQ(counts.not_owned, 7U);
    EXPECT_EQ(counts.duplicates, 7U);
    EXPECT_EQ(counts.lost, 0U);
}

TEST_P(LedgerSelftest, W18APullThatOutlivesItsOwnerTakesTheNextMessages) {
    make_stream();
    ASSERT_TRUE(durable("part-p0", filter("p0")) && durable("part-p1", filter("p1")));
    own("p0", 0);
    own("p1", 1);
    Puller w0(nats_->get(), "part-p0");
    w0.pull(3, 20s);
    own("p0", 1);  // closed, they say; the server still has its request
    publish(60);
    Puller w1(nats_->get(), "part-p0"), p1(nats_->get(), "part-p1");
    handle_all(1, w1);
    handle_all(1, p1);
    LedgerCounts counts = judge();
    EXPECT_EQ(counts.lost, 3U) << "in the hands of somebody who no longer looks";
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(handle(0, w0));
    counts = judge();
    EXPECT_EQ(counts.lost, 0U);
    EXPECT_EQ(counts.not_owned, 3U) << "or of somebody who does, late";
    EXPECT_EQ(counts.reordered, 3U);
}

INSTANTIATE_TEST_SUITE_P(Servers, LedgerSelftest, testing::Values(Which::machines, Which::newer),
                         [](const auto& tested) { return tested.param == Which::newer ? "newer" : "machines"; });

}  // namespace
}  // namespace parti::test
