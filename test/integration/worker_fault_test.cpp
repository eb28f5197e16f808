// Workers whose process is killed or stopped, and servers that go away.
#include <fstream>

#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

class WorkerFaults : public WorkerTest {
protected:
    Host one_worker(const std::string& label, int partitions) {
        return host({"--workers", "1", "--partitions", std::to_string(partitions), "--label", label, "--autostart", "--history",
                     folder_->path() + "/" + label + ".ndjson"});
    }
    std::vector<json> history(const std::string& label) const {
        std::vector<json> out;
        std::ifstream in(folder_->path() + "/" + label + ".ndjson");
        for (std::string line; std::getline(in, line);) out.push_back(json::parse(line));
        return out;
    }
    static std::size_t owned(Host& h) {
        const auto status = h.ask("status", "status");
        if (!status || status->at("workers").empty()) return 0;
        return status->at("workers")[0].at("owned").get<std::size_t>();
    }
    static bool valid(Host& h, std::size_t count) {
        const auto ownership = h.ask("ownership", "ownership");
        return ownership && !ownership->at("workers").empty() && ownership->at("workers")[0].at("valid") == count &&
               ownership->at("workers")[0].at("partitions").size() == count;
    }
};

TEST_F(WorkerFaults, WhatAKilledProcessOwnedIsOwnedAgain) {
    Host a = one_worker("a", 10);
    ASSERT_TRUE(a.wait("covered"));
    Host b = one_worker("b", 10);
    ASSERT_TRUE(b.wait("all_stable"));
    ASSERT_TRUE(eventually([&] { return owned(a) == 5 && owned(b) == 5; }));
    const auto begin = std::chrono::steady_clock::now();
    a.process().kill_now();
    ASSERT_TRUE(eventually([&] { return valid(b, 10); }));
    const auto took = std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
    RecordProperty("owned_again_ms", static_cast<int>(took.count()));
    const Timing t = fast_test_timing();
    EXPECT_LT(took, t.ttl + t.margin + 1000ms);  // the bound is + 200 ms; the rest is a busy machine's
    EXPECT_TRUE(b.ask("quit", "bye"));
}

TEST_F(WorkerFaults, ProcessThatWasStoppedWakesUpWithoutValidTokens) {
    Host a = one_worker("a", 10);
    ASSERT_TRUE(a.wait("covered"));
    Host b = one_worker("b", 10);
    ASSERT_TRUE(b.wait("all_stable"));
    ASSERT_TRUE(eventually([&] { return owned(a) == 5 && owned(b) == 5; }));
    const auto before = a.ask("ownership", "ownership");
    ASSERT_TRUE(before && before->at("workers")[0].at("valid") == 5);
    ASSERT_TRUE(a.process().pause());
    ASSERT_TRUE(eventually([&] { return valid(b, 10); }));  // dead by write: a's lease is over
    a.send("ownership");                                    // waits in the pipe: a's first act
    ASSERT_TRUE(a.process().resume());
    const auto after = a.wait("ownership");
    ASSERT_TRUE(after);
    EXPECT_EQ(after->at("workers")[0].at("valid"), 0);
    // It joins again under a new incarnation, and the ownership that was lost is on record as ended.
    ASSERT_TRUE(eventually([&] { return owned(a) == 5 && owned(b) == 5; }));
    EXPECT_TRUE(a.ask("quit", "bye"));
    EXPECT_TRUE(b.ask("quit", "bye"));
    std::set<std::string> sessions;
    std::size_t ended = 0;
    for (const json& line : history("a")) {
        if (line.at("e") == "session") sessions.insert(line.at("s").get<std::string>());
        if (line.at("e") == "end") ++ended;
    }
    EXPECT_GE(sessions.size(), 2U);
    EXPECT_GE(ended, 1U);
}

TEST_F(WorkerFaults, HistoriesShowOneOwnerAtATimeAcrossAKill) {
    Host a = one_worker("a", 6);
    ASSERT_TRUE(a.wait("covered"));
    Host b = one_worker("b", 6);
    ASSERT_TRUE(b.wait("all_stable"));
    ASSERT_TRUE(eventually([&] { return owned(a) == 3 && owned(b) == 3; }));
    a.process().kill_now();
    ASSERT_TRUE(eventually([&] { return valid(b, 6); }));
    EXPECT_TRUE(b.ask("quit", "bye"));

    std::map<std::string, std::int64_t> a_until;                          // session -> last deadline
    std::map<std::string, std::pair<std::int64_t, std::int64_t>> a_last;  // partition -> [grant, end)
    std::map<std::string, std::string> a_session;                         // partition -> session of its last grant
    for (const json& line : history("a")) {
        const std::string e = line.at("e");
        if (e == "session" || e == "deadline") a_until[line.at("s")] = line.at("until");
        if (e == "grant") {
            a_last[line.at("p")] = {line.at("t"), INT64_MAX};
            a_session[line.at("p")] = line.at("s");
        }
        if (e == "revoke") a_last[line.at("p")].second = line.at("t");
    }
    std::size_t compared = 0;
    for (auto& [partition, span] : a_last) span.second = std::min(span.second, a_until.at(a_session.at(partition)));
    for (const json& line : history("b")) {
        if (line.at("e") != "grant") continue;
        const auto span = a_last.find(line.at("p"));
        ASSERT_NE(span, a_last.end());
        EXPECT_GE(line.at("t").get<std::int64_t>(), span->second.second) << line << " while a's token was valid";
        ++compared;
    }
    EXPECT_GE(compared, 6U);
}

TEST_F(WorkerFaults, AServerRestartIsSurvived) {
    Context context = connect();
    const auto list = source(10);
    Worker a = worker(context, list);
    Worker b = worker(context, list);
    a.start();
    b.start();
    ASSERT_TRUE(eventually([&] { return covered({&a, &b}, 10) && loads({&a, &b}) == std::vector<std::size_t>{5, 5}; }));
    ASSERT_TRUE(server_->kill());
    EXPECT_TRUE(eventually([&] { return !context.connected(); }));
    ASSERT_TRUE(server_->restart());
    EXPECT_TRUE(eventually([&] { return context.connected(); }));
    const auto renewals = a.stats().renewals + b.stats().renewals;
    EXPECT_TRUE(eventually([&] { return a.stats().renewals + b.stats().renewals > renewals + 4; }));
    EXPECT_TRUE(eventually([&] { return covered({&a, &b}, 10); }));
    EXPECT_TRUE(a.stop());
    EXPECT_TRUE(b.stop());
}

TEST_F(WorkerFaults, TokensEndInTimeWhenTheServerStaysAway) {
    Context context = connect();
    Worker w = worker(context, source(4));
    w.start();
    ASSERT_TRUE(eventually([&] { return covered({&w}, 4); }));
    const auto owned = w.assignment();
    ASSERT_TRUE(server_->kill());
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(eventually([&] { return !owned.front().valid(); }));
    const Timing t = fast_test_timing();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, t.ttl);
    EXPECT_TRUE(eventually([&] { return w.state() != State::stable && w.assignment().empty(); }));
    ASSERT_TRUE(server_->restart());
    EXPECT_TRUE(eventually([&] { return covered({&w}, 4); }));
    EXPECT_FALSE(owned.front().valid());  // for ever
    EXPECT_GE(w.stats().sessions_lost, 1U);
}

TEST_F(WorkerFaults, AWorkerStartedWhileTheServerIsAwayStartsWhenItIsBack) {
    Context context = connect();
    ASSERT_TRUE(server_->kill());
    Worker w = worker(context, source(3));
    w.start();
    ASSERT_TRUE(server_->restart());
    EXPECT_TRUE(w.wait_for(State::stable, 20s)) << notes_.text();
    EXPECT_TRUE(eventually([&] { return covered({&w}, 3); }));
}

}  // namespace
}  // namespace parti::test
