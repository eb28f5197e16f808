// What servers may write, and what they may not: everything the client reads, without a server.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "jetstream/json.h"
#include "jetstream/server_version.h"
#include "testutil/kv_contract.h"

namespace parti::jetstream {
namespace {

TEST(JetStreamJson, AnErrorReplyCountsBeforeItsSeq) {
    const PutAnswer answer = parse_pub_ack(
        R"({"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 17"},"stream":"KV_b","seq":0})", "KV_b");
    EXPECT_EQ(answer.result, PutResult::wrong_revision);
    EXPECT_EQ(answer.revision, 17U);
    EXPECT_EQ(answer.error.code, Errc::wrong_revision);
}

// A cluster that has just formed, or that a server restarts in, refuses a bucket that it takes a moment later.
TEST(JetStreamJson, APeerThatIsOfflineIsWaitedFor) {
    const auto code_of = [](const std::string& why) {
        return to_error({400, 10005, "no suitable peers for placement, " + why}, "b").code;
    };
    EXPECT_EQ(code_of("peer offline"), Errc::not_ready);
    EXPECT_EQ(code_of("tags not matched ['x']"), Errc::invalid_argument);
}

TEST(JetStreamJson, OnlyAnAcknowledgementOfTheStreamItselfIsDone) {
    EXPECT_EQ(parse_pub_ack(R"({"stream":"KV_b","seq":5})", "KV_b").result, PutResult::done);
    EXPECT_EQ(parse_pub_ack(R"({"stream":"KV_b","seq":5})", "KV_b").revision, 5U);
    for (const char* bytes :
         {R"({"stream":"other","seq":5})", R"({"stream":"KV_b","seq":0})", R"({"stream":"KV_b"})", "", "+OK", "[]",
          R"({"error":{"code":503,"err_code":10077,"description":"no space"},"stream":"KV_b","seq":9})",
          R"({"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"KV_b","seq":0})"}) {
        const PutAnswer answer = parse_pub_ack(bytes, "KV_b");
        EXPECT_EQ(answer.result, PutResult::no_information) << bytes;
        EXPECT_FALSE(answer.error.detail.empty()) << bytes;
    }
}

TEST(JetStreamJson, DeliveriesAreReadInBothForms) {
    const auto plain = parse_delivery("$JS.ACK.KV_b.name.1.42.7.1699.3");
    ASSERT_TRUE(plain.has_value());
    EXPECT_EQ(plain->stream_sequence, 42U);
    EXPECT_EQ(plain->consumer_sequence, 7U);
    EXPECT_EQ(plain->time, 1699U);
    EXPECT_EQ(plain->consumer, "name");
    EXPECT_EQ(plain->pending, 3U);
    for (const char* reply : {"$JS.ACK.hub.ABCDEF.KV_b.name.1.42.7.1699.3", "$JS.ACK._.ABCDEF.KV_b.name.1.42.7.1699.3.random"}) {
        const auto longer = parse_delivery(reply);
        ASSERT_TRUE(longer.has_value()) << reply;
        EXPECT_EQ(longer->stream_sequence, 42U) << reply;
        EXPECT_EQ(longer->consumer_sequence, 7U) << reply;
        EXPECT_EQ(longer->consumer, "name") << reply;
        EXPECT_EQ(longer->pending, 3U) << reply;
    }
    for (const char* reply : {"", "$JS.ACK.", "$JS.FC.KV_b.name.1", "$JS.ACK.KV_b.name.1.x.7.1699.3", "$JS.ACK.a.b.c.d.e.f.g.h",
                              "$JS.ACK.KV_b.name.1.42.-7.1699.3", "$JS.ACK.KV_b.name.1.99999999999999999999.7.1699.3"}) {
        EXPECT_FALSE(parse_delivery(reply).has_value()) << reply;
    }
}

TEST(JetStreamJson, Base64IsReadOrRefused) {
    EXPECT_EQ(decode_base64("").value_or("?"), "");
    EXPECT_EQ(decode_base64("Zg==").value_or("?"), "f");
    EXPECT_EQ(decode_base64("Zm8=").value_or("?"), "fo");
    EXPECT_EQ(decode_base64("Zm9vYmFy").value_or("?"), "foobar");
    EXPECT_EQ(decode_base64("+/8A").value_or("?"), std::string("\xfb\xff\0", 3));
    for (const char* bad : {"Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9*", "Zm 9"})
        EXPECT_FALSE(decode_base64(bad).has_value()) << bad;
}

TEST(JetStreamJson, StoredMarkersAreRecognisedByTheirHeaderLine) {
    // hdrs: "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"
    const auto marker = parse_stored_message(
        R"({"message":{"subject":"$KV.b.k","seq":4,"hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg=="}})", "$KV.b.", "k");
    ASSERT_TRUE(marker.has_value());
    EXPECT_EQ(marker->kind, EntryKind::marker);
    EXPECT_EQ(marker->revision, 4U);
    // hdrs: "NATS/1.0\r\nX: KV-Operation: DEL\r\n\r\n"
    const auto value = parse_stored_message(
        R"({"message":{"subject":"$KV.b.k","seq":5,"hdrs":"TkFUUy8xLjANClg6IEtWLU9wZXJhdGlvbjogREVMDQoNCg==","data":"Zm9v"}})",
        "$KV.b.", "k");
    ASSERT_TRUE(value.has_value());
    EXPECT_EQ(value->kind, EntryKind::value);
    EXPECT_EQ(value->bytes, "foo");
    EXPECT_FALSE(parse_stored_message(R"({"message":{"subject":"$KV.b.other","seq":5}})", "$KV.b.", "k").has_value());
    EXPECT_FALSE(parse_stored_message(R"({"message":{"subject":"$KV.b.k","seq":5,"data":"Z"}})", "$KV.b.", "k").has_value());
}

TEST(JetStreamJson, EveryContradictionNamesBothValues) {
    BucketSpec spec;
    spec.name = "b";
    const std::string good = R"({"config":)" + stream_config_json(spec) + "}";
    EXPECT_TRUE(contradictions(spec, good).empty()) << contradictions(spec, good).front();
    struct Case {
        const char* found;
        const char* line;
    };
    for (const Case& each : {Case{R"("storage":"memory")", R"(storage is "memory" and must be "file")"},
                             {R"("num_replicas":3)", "num_replicas is 3 and must be 1"},
                             {R"("max_msgs_per_subject":5)", "max_msgs_per_subject is 5 and must be 1"},
                             {R"("max_age":1000)", "max_age is 1000 and must be 0"},
                             {R"("max_bytes":1024)", "max_bytes is 1024 and must be -1 (no limit)"},
                             {R"("max_msgs":10)", "max_msgs is 10 and must be -1 (no limit)"},
                             {R"("discard":"old")", R"(discard is "old" and must be "new")"},
                             {R"("deny_delete":false)", "deny_delete is false and must be true"},
                             {R"("deny_purge":false)", "deny_purge is false and must be true"},
                             {R"("allow_rollup_hdrs":true)", "allow_rollup_hdrs is true and must be false"},
                             {R"("subjects":["$KV.b.>","x"])", R"(subjects is ["$KV.b.>","x"] and must be ["$KV.b.>"])"},
                             {R"("sealed":true)", "sealed is true and must be false"},
                             {R"("mirror":{"name":"o"})", R"(mirror is {"name":"o"} and must be absent)"},
                             {R"("sources":[{"name":"o"}])", R"(sources is [{"name":"o"}] and must be absent)"}}) {
        // A later key of the same name wins.
        std::string bad = good;
        bad.insert(bad.size() - 2, std::string(",") + each.found);
        const auto lines = contradictions(spec, bad);
        ASSERT_EQ(lines.size(), 1U) << each.found;
        EXPECT_EQ(lines[0], each.line);
    }
    EXPECT_FALSE(contradictions(spec, "junk").empty());
    EXPECT_GT(contradictions(spec, R"({"config":{}})").size(), 3U);
}

TEST(JetStreamJson, ReplicasFollowTheServersVersion) {
    const auto verdict = [](std::uint32_t replicas, const char* version) {
        return replicas_supported(replicas, parse_version(version).value());
    };
    EXPECT_EQ(verdict(1, "2.9.10").value_or("?"), "");
    EXPECT_EQ(verdict(3, "2.11.0-preview.2").value_or("?"), "");
    EXPECT_EQ(verdict(5, "2.15.1").value_or("?"), "");
    EXPECT_NE(verdict(3, "2.9.21").value_or("").find("2.9.21"), std::string::npos);
    EXPECT_NE(verdict(3, "2.10.27").value_or("").find("2.10.27"), std::string::npos);
    const auto refused = verdict(3, "2.9.20");
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::unsupported_server);
    EXPECT_NE(refused.error().detail.find("2.9.20"), std::string::npos);
    EXPECT_NE(refused.error().detail.find("replicas (3)"), std::string::npos);
    EXPECT_FALSE(parse_version("").has_value());
    EXPECT_FALSE(parse_version("two").has_value());
}

TEST(JetStreamJson, NamesFollowTheKvRules) {
    for (const char* good : {"k", "worker.1", "a/b=c-d_e.F"}) EXPECT_TRUE(valid_key(good, false)) << good;
    for (const char* bad : {"", ".a", "a.", "a..b", "a b", "*", ">", "worker.*", "a\n", "a$"})
        EXPECT_FALSE(valid_key(bad, false)) << bad;
    for (const char* good : {"*", ">", "worker.*", "a.>", "*.b", "worker.1"}) EXPECT_TRUE(valid_key(good, true)) << good;
    for (const char* bad : {"", "a*", "*a", ">.a", "a>", "a..>"}) EXPECT_FALSE(valid_key(bad, true)) << bad;
    EXPECT_TRUE(valid_bucket_name("parti_g_lease"));
    for (const char* bad : {"", "a.b", "a b", "a*"}) EXPECT_FALSE(valid_bucket_name(bad)) << bad;
}

TEST(JetStreamJson, JunkIsAnErrorAndNeverMore) {
    const std::uint64_t seed = testutil::contract_seed();
    SCOPED_TRACE("PARTI_TEST_SEED=" + std::to_string(seed));
    base::Rng rng(seed);
    BucketSpec spec;
    spec.name = "b";
    const std::string whole =
        R"({"error":null,"stream":"KV_b","seq":5,"created":"x","state":{"last_seq":1},"delivered":{"consumer_seq":0},)"
        R"("message":{"subject":"$KV.b.k","seq":4,"hdrs":"","data":""},"config":)" +
        stream_config_json(spec) + "}";
    ASSERT_TRUE(parse_stream_info(whole).has_value());
    ASSERT_TRUE(parse_consumer_created(whole).has_value());
    ASSERT_TRUE(parse_stored_message(whole, "$KV.b.", "k").has_value());
    std::size_t refused = 0;
    for (int i = 0; i < 3000; ++i) {
        std::string bytes = whole;
        const std::uint64_t changes = 1 + rng.below(4);
        for (std::uint64_t c = 0; c < changes; ++c) bytes[rng.below(bytes.size())] = static_cast<char>(rng.below(256));
        if (rng.chance(1, 4)) bytes.resize(rng.below(bytes.size()));
        refused += parse_stream_info(bytes).has_value() ? 0U : 1U;
        static_cast<void>(parse_consumer_created(bytes));
        static_cast<void>(parse_stored_message(bytes, "$KV.b.", "k"));
        static_cast<void>(parse_pub_ack(bytes, "KV_b"));
        static_cast<void>(contradictions(spec, bytes));
        static_cast<void>(parse_delivery(bytes));
        static_cast<void>(decode_base64(bytes));
        static_cast<void>(parse_api_level(bytes));
    }
    EXPECT_GT(refused, 0U);
}

}  // namespace
}  // namespace parti::jetstream
