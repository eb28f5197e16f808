#include "testutil/server_monitor.h"

#include <gtest/gtest.h>

#include "testutil/tcp_text.h"

namespace parti::test {
namespace {

const std::string varz = R"({"version":"2.9.10","in_msgs":1,"out_msgs":2,"in_bytes":3,"out_bytes":4,)"
                         R"("slow_consumers":5,"connections":6,"subscriptions":7,"mem":8,"cpu":1.5})";
const std::string jsz = R"({"memory":0,"storage":70,"streams":1,"consumers":2,"messages":3,"api":{"total":9,"errors":1},
  "account_details":[{"name":"$G","reserved_memory":18446744073709551615,"stream_detail":[{"name":"KV_a",
    "state":{"messages":3,"bytes":70,"first_seq":2,"last_seq":4,"consumer_count":2},
    "consumer_detail":[{"name":"c1"},{"name":"c2"}]}]}]})";
const std::string connz =
    R"({"connections":[{"cid":4,"name":"parti","pending_bytes":0,"in_msgs":1,"out_msgs":2,"subscriptions":3}]})";

TEST(ServerMonitor, ReadsTheThreePages) {
    const auto stats = parse_server_stats(varz, jsz, connz);
    ASSERT_TRUE(stats) << stats.error();
    EXPECT_EQ(stats->version, "2.9.10");
    EXPECT_EQ(stats->in_msgs, 1U);
    EXPECT_EQ(stats->out_msgs, 2U);
    EXPECT_EQ(stats->slow_consumers, 5U);
    EXPECT_EQ(stats->mem, 8U);
    EXPECT_DOUBLE_EQ(stats->cpu, 1.5);
    EXPECT_TRUE(stats->jetstream);
    EXPECT_EQ(stats->api_total, 9U);
    EXPECT_EQ(stats->api_errors, 1U);
    EXPECT_EQ(stats->consumer_count, 2U);
    ASSERT_NE(stats->stream("KV_a"), nullptr);
    EXPECT_EQ(stats->stream("KV_a")->messages, 3U);
    EXPECT_EQ(stats->stream("KV_a")->last_sequence, 4U);
    EXPECT_EQ(stats->stream("KV_b"), nullptr);
    ASSERT_EQ(stats->consumers.size(), 2U);
    EXPECT_EQ(stats->consumers[1].name, "c2");
    ASSERT_EQ(stats->clients.size(), 1U);
    EXPECT_EQ(stats->clients[0].name, "parti");
}

TEST(ServerMonitor, AServerWithoutJetStreamIsNoError) {
    const auto stats = parse_server_stats(varz, R"({"disabled":true})", R"({"connections":[]})");
    ASSERT_TRUE(stats) << stats.error();
    EXPECT_FALSE(stats->jetstream);
}

TEST(ServerMonitor, AMissingOrMalformedFieldIsNamed) {
    std::string other = varz;
    other.replace(other.find("slow_consumers"), 14, "fast_consumers");
    auto stats = parse_server_stats(other, jsz, connz);
    ASSERT_FALSE(stats);
    EXPECT_EQ(stats.error(), "/varz: field 'slow_consumers' must be a whole number");
    stats = parse_server_stats(varz, R"({"memory":0})", connz);
    ASSERT_FALSE(stats);
    EXPECT_EQ(stats.error(), "/jsz: field 'consumers' must be a whole number");
    stats = parse_server_stats(varz, jsz, "cut {");
    ASSERT_FALSE(stats);
    EXPECT_EQ(stats.error(), "/connz: must be a JSON object, is 'cut {'");
    EXPECT_FALSE(parse_server_stats(varz, R"({"disabled":"yes"})", connz)) << "a text where a truth value belongs";
}

TEST(TcpText, AUrlNeedsAHostAndAPort) {
    for (const char* good :
         {"nats://127.0.0.1:4222", "127.0.0.1:4222", "http://localhost:4222/varz", "nats://u:p@127.0.0.1:4222"}) {
        const auto to = parse_url(good);
        ASSERT_TRUE(to) << to.error();
        EXPECT_EQ(to->host, "127.0.0.1");
        EXPECT_EQ(to->port, 4222);
    }
    for (const char* bad :
         {"", "nats://", "nats://127.0.0.1", "127.0.0.1:", ":4222", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:42x"}) {
        const auto to = parse_url(bad);
        ASSERT_FALSE(to) << bad;
        EXPECT_NE(to.error().find(std::string("'") + bad + "'"), std::string::npos) << to.error();
    }
}

}  // namespace
}  // namespace parti::test
