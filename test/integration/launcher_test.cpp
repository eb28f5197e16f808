// What the launcher promises to a test that commands it: a server that can be stopped, killed, paused and set back, on one port.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "swept_test.h"
#include "testutil/nats_server.h"
#include "testutil/proc_text.h"
#include "testutil/server_monitor.h"
#include "testutil/tcp_text.h"

namespace parti::test {
namespace {

constexpr Milliseconds time{2000};

class NatsServerTest : public SweptTest {
protected:
    static NatsServer start(NatsServerOptions options = {}) {
        auto server = NatsServer::start(std::move(options));
        if (!server) throw std::runtime_error(server.error());  // gtest reports it as a failure
        return std::move(*server);
    }
    static std::string request(const NatsServer& server, const std::string& subject, const std::string& body) {
        auto nats = RawNats::connect(server.url(), time);
        if (!nats) return "no connection: " + nats.error();
        auto answer = nats->request(subject, body, time);
        return answer ? *answer : "no answer: " + answer.error();
    }
    static void make_stream(const NatsServer& server) {
        const std::string answer =
            request(server, "$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s.>"],"storage":"file"})");
        ASSERT_NE(answer.find("stream_create_response"), std::string::npos) << answer;
        ASSERT_EQ(answer.find("\"error\""), std::string::npos) << answer;
    }
    static void store_message(const NatsServer& server) {
        const std::string answer = request(server, "s.x", "hello");
        ASSERT_NE(answer.find("\"seq\""), std::string::npos) << answer;
    }
    // Messages of stream S as the server counts them; -1: there is no such stream.
    static long messages(const NatsServer& server) {
        auto stats = read_server_stats(server.monitor_url());
        if (!stats) throw std::runtime_error(stats.error());
        const StreamInfo* stream = stats->stream("S");
        return stream == nullptr ? -1 : static_cast<long>(stream->messages);
    }
    static bool answers(const NatsServer& server, Milliseconds timeout) {
        auto nats = RawNats::connect(server.url(), timeout);
        return nats && nats->ping(timeout);
    }
};

TEST_F(NatsServerTest, TheBinaryThatIsAskedForRuns) {
    const auto newer = newer_nats_server();
    // Not a fault of this code: a machine without network has no newer server.
    if (!newer) GTEST_SKIP() << newer.error();
    NatsServerOptions options;
    options.binary = *newer;
    const NatsServer server = start(std::move(options));
    EXPECT_TRUE(std::filesystem::equivalent(server.binary(), *newer));
    EXPECT_NE(server.version(), start().version());
}

TEST_F(NatsServerTest, IsReadyOnLoopbackPortsOfItsOwnChoice) {
    const NatsServer server = start();
    EXPECT_TRUE(answers(server, time));
    EXPECT_EQ(server.url().rfind("nats://127.0.0.1:", 0), 0U);
    EXPECT_FALSE(server.version().empty());
    EXPECT_EQ(server.sha256().size(), 64U);
    EXPECT_EQ(server.binary().front(), '/');
    const auto client = parse_url(server.url());
    const auto monitor = parse_url(server.monitor_url());
    ASSERT_TRUE(client && monitor);
    std::vector<std::uint16_t> expected = {client->port, monitor->port};
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(listening_ports(server.pid()), expected);
    const auto stats = read_server_stats(server.monitor_url());
    ASSERT_TRUE(stats) << stats.error();
    EXPECT_EQ(stats->version, server.version());
    EXPECT_TRUE(stats->jetstream);
    EXPECT_GT(stats->mem, 0U);
}

TEST_F(NatsServerTest, TwoAtOnceShareNothing) {
    const NatsServer one = start();
    const NatsServer two = start();
    EXPECT_NE(one.url(), two.url());
    EXPECT_NE(one.monitor_url(), two.monitor_url());
    EXPECT_NE(one.store(), two.store());
    make_stream(one);
    store_message(one);
    EXPECT_EQ(messages(one), 1);
    EXPECT_EQ(messages(two), -1);
}

TEST_F(NatsServerTest, APausedServerDoesNotAnswerUntilItIsResumed) {
    NatsServer server = start();
    auto nats = RawNats::connect(server.url(), time);
    ASSERT_TRUE(nats) << nats.error();
    ASSERT_TRUE(nats->ping(time));
    ASSERT_TRUE(server.pause());
    EXPECT_FALSE(nats->ping(Milliseconds(300)));
    ASSERT_TRUE(server.resume());
    EXPECT_TRUE(answers(server, time));
    ASSERT_TRUE(server.pause()) << "pausing works more than once";
    EXPECT_FALSE(answers(server, Milliseconds(300)));
    EXPECT_TRUE(server.stop()) << "a paused server can be stopped";
}

TEST_F(NatsServerTest, AKilledServerComesBackOnTheSamePortWithItsStore) {
    NatsServer server = start();
    make_stream(server);
    store_message(server);
    const std::string url = server.url(), monitor = server.monitor_url();
    const pid_t before = server.pid();
    ASSERT_TRUE(server.kill());
    EXPECT_EQ(server.pid(), 0);
    EXPECT_FALSE(answers(server, Milliseconds(300)));
    EXPECT_FALSE(server.kill()) << "there is nothing to kill twice";
    ASSERT_TRUE(server.restart());
    EXPECT_EQ(server.url(), url);
    EXPECT_EQ(server.monitor_url(), monitor);
    EXPECT_NE(server.pid(), before);
    EXPECT_NE(server.pid(), 0);
    EXPECT_EQ(messages(server), 1);
}

TEST_F(NatsServerTest, AGracefulRestartKeepsPortAndStoreToo) {
    NatsServer server = start();
    make_stream(server);
    store_message(server);
    const std::string url = server.url();
    const pid_t before = server.pid();
    ASSERT_TRUE(server.restart());
    EXPECT_EQ(server.url(), url);
    EXPECT_NE(server.pid(), before);
    ASSERT_TRUE(server.halt());
    EXPECT_FALSE(answers(server, Milliseconds(300)));
    ASSERT_TRUE(server.restart());
    EXPECT_EQ(messages(server), 1);
    EXPECT_NE(server.log_text().find("Server Exiting"), std::string::npos);
}

TEST_F(NatsServerTest, ARestartWaitsForItsPortWhenSomebodyHoldsItForAMoment) {
    NatsServer server = start();
    const std::string url = server.url();
    const auto port = parse_url(url);
    ASSERT_TRUE(port);
    ASSERT_TRUE(server.halt());
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port->port);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(fd, 1), 0);
    std::string log;
    std::thread holder([&, path = server.log_path()] {
        const auto deadline = std::chrono::steady_clock::now() + Milliseconds(5000);
        do {
            std::this_thread::sleep_for(Milliseconds(5));  // between two looks
            log = proc::read_text(path).value_or("");
        } while (log.find("address already in use") == std::string::npos && std::chrono::steady_clock::now() < deadline);
        ::close(fd);
    });
    const auto restarted = server.restart();
    holder.join();
    EXPECT_NE(log.find("address already in use"), std::string::npos) << "the port was really taken";
    ASSERT_TRUE(restarted) << restarted.error();
    EXPECT_EQ(server.url(), url);
    EXPECT_TRUE(answers(server, time));
}

TEST_F(NatsServerTest, WipeLosesEverythingButThePort) {
    NatsServer server = start();
    make_stream(server);
    store_message(server);
    const std::string url = server.url();
    ASSERT_TRUE(server.wipe());
    EXPECT_EQ(server.url(), url);
    EXPECT_EQ(messages(server), -1);
}

TEST_F(NatsServerTest, RestoreGoesBackToTheSnapshot) {
    NatsServer server = start();
    make_stream(server);
    store_message(server);
    const std::string url = server.url();
    ASSERT_TRUE(server.snapshot("one"));
    store_message(server);
    store_message(server);
    EXPECT_EQ(messages(server), 3);
    ASSERT_TRUE(server.restore("one"));
    EXPECT_EQ(messages(server), 1);
    EXPECT_EQ(server.url(), url);
    store_message(server);
    ASSERT_TRUE(server.restore("one")) << "a snapshot can be used again";
    EXPECT_EQ(messages(server), 1);
}

TEST_F(NatsServerTest, ARefusedCommandChangesNothing) {
    NatsServer server = start();
    const pid_t pid = server.pid();
    const auto unknown = server.restore("never");
    ASSERT_FALSE(unknown);
    EXPECT_NE(unknown.error().find("'never'"), std::string::npos) << unknown.error();
    const auto bad = server.snapshot("../escape");
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.error().find("'../escape' must be"), std::string::npos) << bad.error();
    EXPECT_EQ(server.pid(), pid);
    EXPECT_TRUE(answers(server, time));
}

TEST_F(NatsServerTest, AServerThatDiesByItselfCanBeRestarted) {
    NatsServer server = start();
    make_stream(server);
    ASSERT_EQ(::kill(server.pid(), SIGKILL), 0);
    ASSERT_TRUE(server.restart());
    EXPECT_EQ(messages(server), 0);
}

TEST_F(NatsServerTest, WithoutJetStreamNobodyAnswersItsApi) {
    NatsServerOptions options;
    options.jetstream = false;
    const NatsServer server = start(options);
    EXPECT_TRUE(answers(server, time));
    EXPECT_NE(request(server, "$JS.API.INFO", "").find("no responders"), std::string::npos);
    const auto stats = read_server_stats(server.monitor_url());
    ASSERT_TRUE(stats) << stats.error();
    EXPECT_FALSE(stats->jetstream);
}

TEST_F(NatsServerTest, LimitsAreThoseThatWereAskedFor) {
    NatsServerOptions options;
    options.max_file_bytes = 2U << 20U;
    options.max_memory_bytes = 3U << 20U;
    const NatsServer server = start(options);
    const auto page = http_get(server.monitor_url(), "/varz", time);
    ASSERT_TRUE(page) << page.error();
    const auto config = nlohmann::json::parse(page->body).at("jetstream").at("config");
    EXPECT_EQ(config.at("max_storage"), 2U << 20U);
    EXPECT_EQ(config.at("max_memory"), 3U << 20U);
}

TEST_F(NatsServerTest, TheStoreCanBeInMemory) {
    NatsServerOptions options;
    options.store_in_memory = true;
    const NatsServer server = start(options);
    EXPECT_EQ(server.store().rfind("/dev/shm/", 0), 0U) << server.store();
}

TEST_F(NatsServerTest, ExtraConfigurationWithUsersIsReadyAndTurnsStrangersAway) {
    NatsServerOptions options;
    options.extra_config = "authorization { user: alice, password: secret }";
    NatsServer server = start(options);
    auto stranger = RawNats::connect(server.url(), time);
    ASSERT_TRUE(stranger) << stranger.error();
    EXPECT_TRUE(stranger->needs_more());
    const auto refused = stranger->ping(time);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().find("Authorization"), std::string::npos) << refused.error();
    EXPECT_TRUE(server.restart());
}

TEST_F(NatsServerTest, AConfigurationTheServerRefusesIsAnErrorWithItsReason) {
    NatsServerOptions options;
    options.extra_config = "port: { nonsense";
    const auto server = NatsServer::start(options);
    ASSERT_FALSE(server);
    EXPECT_NE(server.error().find("Parse error on line"), std::string::npos) << server.error();
    EXPECT_NE(server.error().find("exit 100"), std::string::npos) << server.error();
}

TEST_F(NatsServerTest, StopEndsItAndKeepsTheLogText) {
    NatsServer server = start();
    const std::string store = server.store();
    ASSERT_TRUE(server.stop());
    EXPECT_NE(server.log_text().find("Server is ready"), std::string::npos);
    EXPECT_NE(server.log_text().find("Server Exiting"), std::string::npos);
    EXPECT_TRUE(server.scan_log().empty()) << describe(server.scan_log());
    EXPECT_NE(::access(store.c_str(), F_OK), 0);
    EXPECT_TRUE(server.stop()) << "stopping twice is no error";
    EXPECT_FALSE(server.restart());
}

TEST_F(NatsServerTest, AnErrorLineInTheServersLogIsFound) {
    NatsServer server = start();
    EXPECT_TRUE(server.scan_log().empty()) << describe(server.scan_log());
    const auto to = parse_url(server.url());
    ASSERT_TRUE(to);
    auto stranger = TcpText::connect(*to, time);
    ASSERT_TRUE(stranger) << stranger.error();
    ASSERT_TRUE(stranger->send("GARBAGE no such operation\r\n", time));
    (void)stranger->read_to_end(time);  // the server says why and hangs up
    ASSERT_TRUE(server.stop());         // its log is whole now
    const auto findings = server.scan_log();
    ASSERT_FALSE(findings.empty()) << server.log_text();
    EXPECT_NE(findings.front().text.find("[ERR]"), std::string::npos);
    EXPECT_TRUE(server.scan_log({{"parser ERROR", "this test sent garbage"}}).empty());
}

TEST_F(NatsServerTest, ConsumersAreCountedByTheServer) {
    NatsServer server = start();
    make_stream(server);
    EXPECT_TRUE(wait_for_consumers(server.monitor_url(), 0, time));
    const std::string answer = request(server, "$JS.API.CONSUMER.DURABLE.CREATE.S.left",
                                       R"({"stream_name":"S","config":{"durable_name":"left","ack_policy":"explicit"}})");
    ASSERT_EQ(answer.find("\"error\""), std::string::npos) << answer;
    const auto none = wait_for_consumers(server.monitor_url(), 0, Milliseconds(50));
    ASSERT_FALSE(none) << "a consumer that is left must be reported";
    EXPECT_NE(none.error().find("S/left"), std::string::npos) << none.error();
    EXPECT_TRUE(wait_for_consumers(server.monitor_url(), 1, time));
    const auto stats = read_server_stats(server.monitor_url());
    ASSERT_TRUE(stats) << stats.error();
    EXPECT_EQ(stats->consumer_count, 1U);
    EXPECT_GE(stats->api_total, 3U);  // account, stream, consumer
    EXPECT_EQ(stats->slow_consumers, 0U);
}

}  // namespace
}  // namespace parti::test
