// worker-host as a program: options, exit codes, events, commands, the waste of memory on purpose.
#include <algorithm>
#include <fstream>

#include "testutil/tcp_text.h"
#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class WorkerHost : public WorkerTest {
protected:
    // Runs it to its end; its exit code and what it complained about.
    static std::pair<int, std::string> run(std::vector<std::string> args) {
        auto host = Host::start(std::move(args));
        if (!host) return {-1, host.error()};
        const auto error = host->wait("error");
        const auto status = host->process().wait(kPatience);
        if (!status || !status->code) return {-1, "did not exit"};
        return {*status->code, error ? error->value("error", "") : ""};
    }
};

TEST_F(WorkerHost, RefusesWhatItDoesNotUnderstand) {
    const std::vector<std::string> good = {"--url", server_->url(), "--group", "g"};
    const auto with = [&](const std::vector<std::string>& more) {
        auto all = good;
        all.insert(all.end(), more.begin(), more.end());
        return all;
    };
    const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
        {with({"--colour", "red"}), "--colour"},
        {with({"--workers", "0"}), "--workers '0'"},
        {with({"--workers", "many"}), "many"},
        {with({"--workers"}), "--workers"},
        {with({"--strategy", "best"}), "best"},
        {with({"--inject-memory", "15"}), "15"},
        {with({"--config", "{\"colour\":1}"}), "colour"},
        {with({"--config", "/nowhere.json"}), "/nowhere.json"},
        {with({"--config", "{\"timing\":{\"ttl\":\"1ms\"}}"}), "ttl"},
        {with({"--log", "loud"}), "loud"},
        {with({"--consume", "S"}), "--handled"},
        {with({"--subject", "a.{1}"}), "need --consume STREAM"},
        {with({"--status", "70000"}), "--status '70000'"},
        {{"--group", "g"}, "--url"},
        {{"--url", server_->url(), "--group", "no good"}, "no good"},
        {with({"--url", "http://x"}), "http"},
    };
    for (const auto& c : cases) {
        const auto ended = run(c.first);
        EXPECT_EQ(ended.first, 104) << ended.second;
        EXPECT_NE(ended.second.find(c.second), std::string::npos) << ended.second << " names not " << c.second;
    }
}

TEST_F(WorkerHost, EndsWithASetUpErrorWhenNoServerIsThere) {
    const auto ended = run({"--url", "nats://127.0.0.1:1", "--group", "g"});
    EXPECT_EQ(ended.first, 100);
    EXPECT_NE(ended.second.find("127.0.0.1:1"), std::string::npos) << ended.second;
}

TEST_F(WorkerHost, StartsStopsAndStartsAgain) {
    Host h = host({"--workers", "5", "--partitions", "20", "--label", "x y\"z"});
    const auto ready = h.wait("ready");
    ASSERT_TRUE(ready);
    EXPECT_EQ(ready->at("pid"), h.process().pid());
    EXPECT_EQ(ready->at("server"), server_->version());
    EXPECT_EQ(ready->at("label"), "x y\"z");
    h.send("start 2");
    const auto stable = h.wait("all_stable");
    ASSERT_TRUE(stable);
    EXPECT_EQ(stable->at("workers"), 2);
    EXPECT_GT(stable->at("ms").get<double>(), 0);
    ASSERT_TRUE(h.wait("balanced"));
    h.send("start");
    const auto balanced = h.wait("balanced");
    ASSERT_TRUE(balanced);
    EXPECT_EQ(balanced->at("workers"), 5);
    auto status = h.ask("status", "status");
    ASSERT_TRUE(status);
    EXPECT_EQ(status->at("stable"), 5);
    EXPECT_TRUE(status->at("leader").is_string());
    for (const auto& w : status->at("workers")) EXPECT_EQ(w.at("owned"), 4) << w;
    h.send("stop 3");
    const auto stopped = h.wait("stopped");
    ASSERT_TRUE(stopped);
    EXPECT_EQ(stopped->at("workers"), nlohmann::json({4, 3, 2}));
    h.send("stop_worker 0");
    ASSERT_TRUE(h.wait("stopped"));
    h.send("start 1");
    ASSERT_TRUE(h.wait("balanced"));
    const auto ownership = h.ask("ownership", "ownership");
    ASSERT_TRUE(ownership);
    std::set<std::string> seen;
    for (const auto& w : ownership->at("workers")) {
        for (const auto& p : w.at("partitions")) EXPECT_TRUE(seen.insert(p).second) << p;
    }
    EXPECT_EQ(seen.size(), 20U);
    h.send("start 9");
    const auto refused = h.wait("error");
    ASSERT_TRUE(refused);
    EXPECT_NE(refused->at("error").get<std::string>().find("start 9"), std::string::npos);
    h.send("dance");
    EXPECT_TRUE(h.wait("error"));
    const auto stats = h.ask("stats", "stats");
    ASSERT_TRUE(stats);
    EXPECT_EQ(stats->at("workers"), 2);
    EXPECT_GE(stats->at("leaderships"), 0);
    const auto memory = h.ask("memory", "memory");
    ASSERT_TRUE(memory && memory->contains("live_bytes"));
    EXPECT_TRUE(h.ask("trim", "trimmed"));
    EXPECT_TRUE(h.ask("quit", "bye"));
    const auto status_after = h.process().wait(kPatience);
    ASSERT_TRUE(status_after);
    EXPECT_EQ(status_after->code, 0);
}

TEST_F(WorkerHost, EndsAtOnceWhenItsParentIsGone) {
    Host h = host({"--workers", "1", "--partitions", "3", "--autostart"});
    ASSERT_TRUE(h.wait("covered"));
    h.process().close_stdin();
    const auto status = h.process().wait(kPatience);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->code, 102);
}

TEST_F(WorkerHost, WastesTheMemoryItWasAskedFor) {
    Host h = host({"--workers", "3", "--partitions", "30", "--autostart", "--inject-memory", "50%"});
    ASSERT_TRUE(h.wait("all_stable"));
    std::uint64_t injected = 0;
    for (const auto& event : h.seen()) {
        if (event.value("event", "") == "injected") injected = event.at("bytes");
    }
    EXPECT_GT(injected, 200'000U);  // half of a connected process's anonymous memory
    std::ifstream in("/proc/" + std::to_string(h.process().pid()) + "/status");
    std::uint64_t anonymous = 0;
    for (std::string line; std::getline(in, line);) {
        if (line.rfind("RssAnon:", 0) == 0) anonymous = std::stoull(line.substr(8)) * 1024;
    }
    EXPECT_GT(anonymous, 2 * injected);
    EXPECT_TRUE(h.ask("quit", "bye"));
}

TEST_F(WorkerHost, DelaysItsCallbacks) {
    Host h = host({"--workers", "1", "--partitions", "3", "--autostart", "--callback-delay", "300"});
    const auto covered_at = h.wait("covered");
    ASSERT_TRUE(covered_at);
    EXPECT_GE(covered_at->at("ms").get<double>(), 300);
    EXPECT_TRUE(h.ask("quit", "bye"));
}

TEST_F(WorkerHost, TellsItsStatusOverHttp) {
    Host h = host({"--workers", "3", "--partitions", "12", "--label", "x\"y", "--status", "0"});
    const auto at = h.wait("status_at");
    ASSERT_TRUE(at);
    const std::string url = at->at("url");
    const auto get = [&](const std::string& path) {
        auto answer = http_get(url, path, kPatience);
        EXPECT_TRUE(answer) << answer.error();
        return answer ? *answer : HttpAnswer{};
    };
    const auto before = nlohmann::json::parse(get("/").body, nullptr, false);
    ASSERT_TRUE(before.is_object());
    EXPECT_EQ(before.at("health"), "stopped");
    EXPECT_EQ(before.at("pid"), h.process().pid());
    EXPECT_EQ(before.at("label"), "x\"y");
    EXPECT_EQ(get("/health").status, 503);
    h.send("start");
    ASSERT_TRUE(h.wait("balanced"));
    EXPECT_EQ(get("/health").status, 200);
    const auto now = nlohmann::json::parse(get("/").body, nullptr, false);
    ASSERT_TRUE(now.is_object());
    EXPECT_EQ(now.at("health"), "stable");
    EXPECT_EQ(now.at("workers"), (nlohmann::json{{"all", 3}, {"running", 3}}));
    EXPECT_EQ(now.at("states"), (nlohmann::json{{"Stable", 3}})) << now;
    EXPECT_EQ(now.at("counters").at("owned"), 12);
    EXPECT_GE(now.at("counters").at("partitions_gained"), 12);
    EXPECT_GT(now.at("memory").at("anonymous_bytes"), 0);
    EXPECT_EQ(now.at("threads").at("status"), 1) << "one thread, by name";
    ASSERT_TRUE(eventually(
        [&] { return nlohmann::json::parse(get("/").body).at("counters").at("renewals") > now.at("counters").at("renewals"); }));

    EXPECT_EQ(get("/nothing").status, 404);
    const std::vector<std::pair<std::string, std::string>> requests = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 403"},
        {"DELETE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 405"},
        {"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"}};
    for (const auto& [request, status] : requests) {
        auto raw = TcpText::connect(*parse_url(url), kPatience);
        ASSERT_TRUE(raw) << raw.error();
        ASSERT_TRUE(raw->send(request, kPatience));
        const auto line = raw->read_line(kPatience);
        ASSERT_TRUE(line) << request.substr(0, 40) << ": " << line.error();
        EXPECT_TRUE(line->starts_with(status)) << request.substr(0, 40) << ": " << *line;
    }
    // A second page on the same port cannot be had, and says so.
    const auto ended = run({"--url", server_->url(), "--group", "g", "--status", url.substr(url.rfind(':') + 1)});
    EXPECT_EQ(ended.first, 100);
    EXPECT_NE(ended.second.find("--status"), std::string::npos) << ended.second;

    h.send("stop");
    ASSERT_TRUE(h.wait("stopped"));
    EXPECT_EQ(nlohmann::json::parse(get("/").body).at("health"), "stopped");
    h.send("quit");
    ASSERT_TRUE(h.wait("bye"));
    EXPECT_FALSE(http_get(url, "/", kPatience)) << "the page must end with the process";
}

TEST_F(WorkerHost, HasNoThreadForAStatusNobodyAskedFor) {
    Host h = host({"--workers", "1", "--partitions", "1"});
    ASSERT_TRUE(h.wait("ready"));
    const auto names = thread_names(h.process().pid());
    EXPECT_EQ(std::count(names.begin(), names.end(), "status"), 0);
}

}  // namespace
}  // namespace parti::test
