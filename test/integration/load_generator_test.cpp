// The load generator against a real server: what it calls confirmed is stored, what it cannot do is counted.
#include "testutil/load_generator.h"

#include <gtest/gtest.h>
#include <nats/nats.h>

#include <set>

#include "raw_nats.h"
#include "swept_test.h"
#include "testutil/nats_server.h"
#include "testutil/server_monitor.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class LoadGeneratorTest : public SweptTest {
protected:
    void SetUp() override {
        auto server = NatsServer::start();
        ASSERT_TRUE(server) << server.error();
        server_ = std::make_unique<NatsServer>(std::move(*server));
    }
    void TearDown() override {
        server_.reset();
        nats_CloseAndWait(5000);
        SweptTest::TearDown();
    }
    void make_stream() {
        auto nats = RawNats::connect(server_->url());
        ASSERT_TRUE(nats) << nats.error();
        const auto made = nats->api("STREAM.CREATE.S", {{"name", "S"}, {"subjects", {"s.>"}}, {"storage", "file"}});
        ASSERT_TRUE(made) << made.error();
    }
    LoadOptions options(std::vector<LoadPhase> phases) {
        LoadOptions o;
        o.url = server_->url();
        o.plan.seed = 7;
        o.plan.partitions = 10;
        o.plan.phases = std::move(phases);
        for (int i = 0; i < 10; ++i) {
            o.partitions.push_back("p" + std::to_string(i));
            o.subjects.push_back("s.p" + std::to_string(i));
        }
        return o;
    }
    std::uint64_t stored() {
        const auto stats = read_server_stats(server_->monitor_url());
        const StreamInfo* stream = stats ? stats->stream("S") : nullptr;
        return stream == nullptr ? 0 : stream->messages;
    }
    LoadGenerator start(LoadOptions o) {
        auto generator = LoadGenerator::start(std::move(o));
        if (!generator) throw std::runtime_error(generator.error());
        return std::move(*generator);
    }

    std::unique_ptr<NatsServer> server_;
};

TEST_F(LoadGeneratorTest, EveryMessageOfAPlanIsStoredOnceAndKnown) {
    make_stream();
    LoadGenerator generator = start(options({{200ms, 0, 5000}, {200ms, 5000, 5000}}));
    const LoadReport report = generator.finish();
    std::printf("  %s\n", describe(report).c_str());
    EXPECT_EQ(report.due, 1500U);
    EXPECT_EQ(report.confirmed, 1500U);
    EXPECT_EQ(report.dropped + report.refused + report.unanswered, 0U);
    EXPECT_EQ(stored(), 1500U);
    std::set<std::uint64_t> sequences;
    for (const auto& [partition, messages] : generator.take_published()) {
        std::uint64_t last = 0;
        for (const PublishedMessage& m : messages) {
            EXPECT_GT(m.stream_sequence, last) << "in the partition's order";
            EXPECT_LE(m.intended_ns, m.sent_ns);
            EXPECT_LT(m.sent_ns, m.confirmed_ns);
            last = m.stream_sequence;
            sequences.insert(last);
        }
    }
    EXPECT_EQ(sequences.size(), 1500U);
    EXPECT_EQ(*sequences.rbegin(), 1500U);
}

TEST_F(LoadGeneratorTest, ASecondGeneratorGoesOnWithTheSequences) {
    make_stream();
    LoadGenerator first = start(options({{100ms, 1000, 1000}}));
    first.finish();
    LoadOptions o = options({{100ms, 1000, 1000}});
    o.published = first.take_published();
    const std::size_t before = o.published["p0"].size();
    LoadGenerator second = start(std::move(o));
    second.finish();
    const Published all = second.take_published();
    EXPECT_EQ(all.at("p0").size(), 2 * before) << "the same seed draws the same";
    EXPECT_EQ(stored(), 200U);
}

TEST_F(LoadGeneratorTest, WithoutAStreamNothingIsConfirmed) {
    LoadGenerator generator = start(options({{100ms, 500, 500}}));
    const LoadReport report = generator.finish();
    EXPECT_EQ(report.refused, 50U) << describe(report);
    EXPECT_EQ(report.confirmed, 0U);
    EXPECT_FALSE(report.last_refusal.empty());
}

TEST_F(LoadGeneratorTest, APausedServerFillsTheWindowAndTheRestIsDropped) {
    make_stream();
    LoadOptions o = options({{400ms, 1000, 1000}});
    o.pending_max = 100;
    LoadGenerator generator = start(std::move(o));
    ASSERT_TRUE(server_->pause());
    ASSERT_TRUE(generator.wait_done(10s));
    ASSERT_TRUE(server_->resume());
    const LoadReport report = generator.finish();
    std::printf("  %s\n", describe(report).c_str());
    EXPECT_GT(report.dropped, 0U);
    EXPECT_EQ(report.sent + report.dropped, report.due);
    EXPECT_EQ(report.confirmed, report.sent);
    EXPECT_EQ(stored(), report.confirmed);
    EXPECT_FALSE(report.on_time());
}

TEST_F(LoadGeneratorTest, AServerThatIsKilledKeepsWhatItConfirmed) {
    make_stream();
    LoadGenerator generator = start(options({{1500ms, 2000, 2000}}));
    ASSERT_TRUE(generator.wait_confirmed(500, 10s));
    ASSERT_TRUE(server_->kill());
    ASSERT_TRUE(server_->restart());
    const LoadReport report = generator.finish(3000ms);
    std::printf("  %s\n", describe(report).c_str());
    EXPECT_EQ(report.due, 3000U);
    EXPECT_GT(report.confirmed, 500U);
    EXPECT_LE(report.confirmed, stored()) << "stored and not confirmed is possible, the other way round is not";
}

TEST_F(LoadGeneratorTest, BadOptionsAreNamed) {
    LoadOptions o = options({{100ms, 1, 1}});
    o.subjects.pop_back();
    auto refused = LoadGenerator::start(o);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().find("subjects (9)"), std::string::npos);
    o = options({{100ms, 1, 1}});
    o.message_bytes = 10;
    refused = LoadGenerator::start(o);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().find("message_bytes (10)"), std::string::npos);
}

}  // namespace
}  // namespace parti::test
