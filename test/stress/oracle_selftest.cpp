// Makes each oracle of the suite fail once, on purpose, and shows that it stays silent otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nats/nats.h>

#include <fstream>

#include "testutil/oracles.h"

namespace parti::test {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// Lines of a history, with times in milliseconds.
std::string line(const char* event, int t, const std::string& session, const std::string& fields) {
    return "{\"t\":" + std::to_string(t * kMs) + ",\"e\":\"" + event + "\",\"s\":\"" + session + "\"," + fields + "}\n";
}
std::string until(int deadline) { return "\"until\":" + std::to_string(deadline * kMs); }
std::string session_line(int t, const std::string& session, int number, int incarnation, int deadline) {
    return line("session", t, session,
                "\"w\":0,\"n\":" + std::to_string(number) + ",\"i\":" + std::to_string(incarnation) + "," + until(deadline));
}
std::string extend_line(int t, const std::string& session, int deadline) { return line("deadline", t, session, until(deadline)); }
std::string end_line(int t, const std::string& session) { return line("end", t, session, "\"reason\":\"left\""); }
std::string gone_line(const char* event, int t, const std::string& session, int grant, const std::string& partition = "p0") {
    return line(event, t, session, "\"g\":" + std::to_string(grant) + ",\"p\":\"" + partition + "\"");
}
std::string grant_line(int t, const std::string& session, int grant, int epoch, int version,
                       const std::string& partition = "p0") {
    return line("grant", t, session,
                "\"g\":" + std::to_string(grant) + ",\"p\":\"" + partition + "\",\"f\":[" + std::to_string(epoch) + "," +
                    std::to_string(version) + "]");
}

ProcessHistory history(const std::string& label, const std::string& text) {
    auto events = parse_history(label, text, false);
    EXPECT_TRUE(events) << (events ? std::string() : events.error());
    ProcessHistory process;
    process.label = label;
    if (events) process.events = std::move(*events);
    process.died_ns = 10'000 * kMs;
    return process;
}

// Worker a holds p0 until it hands it over to b at 200 ms.
const std::string kLoser = "{\"t\":1,\"e\":\"open\",\"pid\":1,\"label\":\"one\"}\n" + session_line(0, "a", 0, 1, 800) +
                           grant_line(10, "a", 1, 1, 1) + extend_line(100, "a", 900) + gone_line("revoke", 190, "a", 1) +
                           gone_line("release", 200, "a", 1) + end_line(210, "a");
const std::string kWinner = session_line(5, "b", 1, 1, 800) + grant_line(205, "b", 1, 1, 2) + gone_line("revoke", 300, "b", 1) +
                            gone_line("release", 301, "b", 1) + end_line(310, "b");

FleetRecord healthy() {
    FleetRecord record;
    for (const auto& [label, text] : {std::pair{"one", kLoser}, std::pair{"two", kWinner}}) {
        ProcessRecord process;
        process.label = label;
        process.history = history(label, text);
        process.exit = ExitStatus{0, std::nullopt};
        record.processes.push_back(std::move(process));
    }
    return record;
}

std::vector<Oracle> fired(const FleetRecord& record) {
    std::vector<Oracle> oracles;
    for (const Violation& violation : judge(record).violations) {
        if (std::find(oracles.begin(), oracles.end(), violation.oracle) == oracles.end()) oracles.push_back(violation.oracle);
        std::printf("  seen: [%s] %s\n", std::string(name(violation.oracle)).c_str(), violation.text.c_str());
    }
    return oracles;
}

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

void rewrite(FleetRecord& record, std::size_t process, const std::string& text) {
    record.processes[process].history = history(record.processes[process].label, text);
}

TEST(OracleSelftest, AHealthyHandoffIsSilent) {
    const FleetRecord record = healthy();
    EXPECT_THAT(fired(record), IsEmpty());
    const Timeline timeline = judge(record).timeline;
    EXPECT_THAT(check_coverage(timeline, 50 * kMs, 1), IsEmpty());
    EXPECT_EQ(timeline.longest_gap_ns(0, 1000 * kMs), 5 * kMs);
    const auto succession = timeline.succession(0, 150 * kMs);
    EXPECT_EQ(succession.partitions, 1U);
    EXPECT_EQ(succession.all_owned_ns, 205 * kMs);
}

TEST(OracleSelftest, TwoOwnersForTwoMillisecondsAreSeen) {
    FleetRecord record = healthy();
    rewrite(
        record, 1,
        session_line(5, "b", 1, 1, 800) + grant_line(198, "b", 1, 1, 2) + gone_line("release", 301, "b", 1) + end_line(310, "b"));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::one_owner));
}

TEST(OracleSelftest, ARevokeThatIsNotReleasedStillOwns) {
    FleetRecord record = healthy();
    rewrite(
        record, 1,
        session_line(5, "b", 1, 1, 800) + grant_line(195, "b", 1, 1, 2) + gone_line("release", 301, "b", 1) + end_line(310, "b"));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::one_owner));
}

TEST(OracleSelftest, AnOwnerThatFallsSilentOwnsUntilItsLastDeadlineOnly) {
    FleetRecord record = healthy();
    const std::string silent = session_line(0, "a", 0, 1, 800) + grant_line(10, "a", 1, 1, 1) + extend_line(100, "a", 900);
    const auto taken_at = [](int t) {
        return session_line(5, "b", 1, 1, 5000) + grant_line(t, "b", 1, 2, 1) + gone_line("release", 1300, "b", 1) +
               end_line(1310, "b");
    };
    record.processes[0].history.killed = true;
    record.processes[0].exit = ExitStatus{std::nullopt, 9};
    const auto silent_until = [&](std::int64_t died_ns, int taken) {
        record.processes[0].history.events = history("one", silent).events;
        record.processes[0].history.died_ns = died_ns;
        rewrite(record, 1, taken_at(taken));
        return fired(record);
    };
    EXPECT_THAT(silent_until(10'000 * kMs, 901), IsEmpty());
    EXPECT_THAT(silent_until(10'000 * kMs, 899), ElementsAre(Oracle::one_owner));
    // Stopped, and continued after its deadline: it says its end and its release then, and did not own in between.
    const std::string woken =
        silent + end_line(1400, "a") + gone_line("revoke", 1401, "a", 1) + gone_line("release", 1402, "a", 1);
    const auto woken_and = [&](int taken) {
        record.processes[0].history.events = history("one", woken).events;
        record.processes[0].history.died_ns = 10'000 * kMs;
        rewrite(record, 1, taken_at(taken));
        return fired(record);
    };
    EXPECT_THAT(woken_and(901), IsEmpty());
    EXPECT_THAT(woken_and(899), ElementsAre(Oracle::one_owner));
    EXPECT_THAT(silent_until(500 * kMs, 501), IsEmpty()) << "its process died at 500 ms";
    EXPECT_THAT(silent_until(500 * kMs, 499), ElementsAre(Oracle::one_owner));
}

TEST(OracleSelftest, ALostPartitionIsSeenOnceTheFleetIsStable) {
    const Timeline timeline = judge(healthy()).timeline;
    const auto violations = check_coverage(timeline, 203 * kMs, 1);  // released, not granted yet
    ASSERT_EQ(violations.size(), 1U);
    EXPECT_EQ(violations[0].oracle, Oracle::coverage);
    EXPECT_FALSE(check_coverage(timeline, 50 * kMs, 2).empty()) << "two partitions, of which one never had an owner";
}

TEST(OracleSelftest, ANumberHeldTwiceIsSeen) {
    FleetRecord record = healthy();
    rewrite(record, 1, session_line(5, "b", 0, 2, 800) + end_line(310, "b"));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::unique_number));
    rewrite(record, 1, session_line(215, "b", 0, 2, 800) + end_line(310, "b"));
    EXPECT_THAT(fired(record), IsEmpty()) << "the second took it after the first had left";
    rewrite(record, 1, session_line(215, "b", 0, 1, 800) + end_line(310, "b"));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::unique_number)) << "the incarnation must grow";
}

TEST(OracleSelftest, ANumberFarAboveThoseInUseIsSeen) {
    FleetRecord record = healthy();
    const auto sparse = [&](int number, int begin, std::int64_t held_ms) {
        rewrite(record, 1, session_line(begin, "b", number, 1, begin + 800) + end_line(begin + 10, "b"));
        return check_dense(judge(record).timeline, {.first = 0, .choice = 3, .held_afterwards_ns = held_ms * kMs}).size();
    };
    EXPECT_EQ(sparse(3, 5, 0), 0U) << "0 is held; 1, 2 and 3 are the first three that are free";
    EXPECT_EQ(sparse(4, 5, 0), 1U);
    EXPECT_EQ(sparse(2, 300, 0), 0U);
    EXPECT_EQ(sparse(3, 300, 0), 1U) << "0 was given back at 210 ms";
    EXPECT_EQ(sparse(3, 300, 100), 0U) << "0 may still look held";
}

TEST(OracleSelftest, AnAssignmentThatGoesBackIsSeen) {
    FleetRecord record = healthy();
    rewrite(record, 1,
            session_line(5, "b", 1, 1, 800) + grant_line(205, "b", 1, 1, 3) + grant_line(206, "b", 2, 1, 2, "p1") +
                gone_line("release", 301, "b", 1) + gone_line("release", 301, "b", 2, "p1") + end_line(310, "b"));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::monotone_version));
    rewrite(record, 1,
            session_line(215, "b", 0, 2, 800) + grant_line(220, "b", 1, 1, 0, "p1") + gone_line("release", 301, "b", 1, "p1") +
                end_line(310, "b"));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::monotone_version)) << "the next incarnation of a number goes back, too";
}

TEST(OracleSelftest, AFenceThatDoesNotGrowIsSeen) {
    FleetRecord record = healthy();
    rewrite(
        record, 1,
        session_line(5, "b", 1, 1, 800) + grant_line(205, "b", 1, 1, 1) + gone_line("release", 301, "b", 1) + end_line(310, "b"));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::fence_order));
}

TEST(OracleSelftest, AHistoryThatProvesNothingIsSeen) {
    FleetRecord record = healthy();
    rewrite(record, 1, session_line(5, "b", 1, 1, 800) + grant_line(205, "b", 1, 1, 2) + end_line(200, "b"));
    EXPECT_THAT(fired(record), Contains(Oracle::history)) << "time goes back";
    rewrite(record, 1, grant_line(205, "b", 1, 1, 2));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::history)) << "a grant without a session";
    rewrite(record, 1, session_line(5, "b", 1, 1, 800) + grant_line(205, "b", 1, 1, 2));
    EXPECT_THAT(fired(record), ElementsAre(Oracle::history)) << "a clean end that released nothing";
    EXPECT_FALSE(parse_history("h", "{\"t\":1}\n", false));
    EXPECT_FALSE(parse_history("h", "nonsense\n", false));
    EXPECT_FALSE(parse_history("h", "{\"t\":1,\"e\":\"moved\",\"s\":\"a\"}\n", false));
    EXPECT_FALSE(parse_history("h", "{\"t\":1,\"ev", false));
    EXPECT_TRUE(parse_history("h", "{\"t\":1,\"ev", true)) << "a kill cuts a line off";
}

TEST(OracleSelftest, AnErrorLineAndAnErrorEventAreSeen) {
    auto folder = TempFolder::make("oracle-log");
    ASSERT_TRUE(folder) << folder.error();
    const std::string path = folder->path() + "/host.log";
    const auto log_says = [&path](const std::string& text) {
        std::ofstream(path) << text;
        FleetRecord record = healthy();
        record.processes[0].log = scan_log_file(path, {});
        return fired(record);
    };
    EXPECT_THAT(log_says("[info] fine\n"), IsEmpty());
    EXPECT_THAT(log_says("[info] fine\nERROR: AddressSanitizer: heap-use-after-free\n"), ElementsAre(Oracle::log));
    EXPECT_THAT(log_says("terminate called without an active exception\n"), ElementsAre(Oracle::log));
    FleetRecord record = healthy();
    record.server_log = scan_log_text("server", "[7] 2026/11/20 [ERR] JetStream failed to store a msg\n", {});
    EXPECT_THAT(fired(record), ElementsAre(Oracle::log));
    record = healthy();
    record.processes[0].errors = {R"({"event":"error","worker":0,"error":"lease lost"})"};
    EXPECT_THAT(fired(record), ElementsAre(Oracle::log));
    EXPECT_THAT(judge(record, {.allowed_errors = {"lease lost"}}).violations, IsEmpty());
}

TEST(OracleSelftest, AnUnexpectedEndIsSeen) {
    FleetRecord record = healthy();
    record.processes[0].exit = ExitStatus{1, std::nullopt};
    EXPECT_THAT(fired(record), ElementsAre(Oracle::exit_status));
    record.processes[0].exit = ExitStatus{std::nullopt, 11};
    EXPECT_THAT(fired(record), ElementsAre(Oracle::exit_status));
    record.processes[0].exit.reset();
    EXPECT_THAT(fired(record), ElementsAre(Oracle::exit_status));
    record = healthy();
    record.processes[0].history.killed = true;
    EXPECT_THAT(fired(record), ElementsAre(Oracle::exit_status)) << "it was killed, and yet it ended with 0";
}

TEST(OracleSelftest, ASlowConsumerIsSeen) {
    FleetRecord record = healthy();
    record.slow_consumers = 1;
    EXPECT_THAT(fired(record), ElementsAre(Oracle::slow_consumer));
}

// A request of JetStream's API on a connection of its own.
std::string request(const std::string& url, const std::string& subject, const std::string& body) {
    natsConnection* connection = nullptr;
    if (natsConnection_ConnectTo(&connection, url.c_str()) != NATS_OK) return "cannot connect";
    natsMsg* reply = nullptr;
    const natsStatus status = natsConnection_RequestString(&reply, connection, subject.c_str(), body.c_str(), 5000);
    const std::string answer = status == NATS_OK
                                   ? std::string(natsMsg_GetData(reply), static_cast<std::size_t>(natsMsg_GetDataLength(reply)))
                                   : natsStatus_GetText(status);
    natsMsg_Destroy(reply);
    natsConnection_Destroy(connection);
    return answer;
}

TEST(OracleSelftest, AConsumerLeftOnTheServerIsSeen) {
    {
        auto fleet = Fleet::start({.partitions = 1});
        ASSERT_TRUE(fleet) << fleet.error();
        const std::string url = (*fleet)->server().url();
        const auto created =
            request(url, "$JS.API.STREAM.CREATE.KV_leak", R"({"name":"KV_leak","subjects":["$KV.leak.>"],"storage":"memory"})");
        ASSERT_EQ(created.find("\"error\""), std::string::npos) << created;
        const auto consumer =
            request(url, "$JS.API.CONSUMER.CREATE.KV_leak",
                    R"({"stream_name":"KV_leak","config":{"deliver_subject":"nobody.listens","ack_policy":"none",)"
                    R"("inactive_threshold":600000000000}})");
        EXPECT_NE(consumer.find("\"name\""), std::string::npos) << consumer;
        EXPECT_FALSE(wait_for_consumers((*fleet)->server().monitor_url(), 0, Milliseconds(300)));
        (*fleet)->set_consumers_deadline(Milliseconds(500));
        const FleetRecord record = (*fleet)->end();
        EXPECT_THAT(fired(record), ElementsAre(Oracle::server_consumer));
    }
    nats_CloseAndWait(5000);
    EXPECT_THAT(judge_leftovers(), IsEmpty()) << describe(judge_leftovers());
}

TEST(OracleSelftest, AServerWithoutAFleetLeavesNothing) {
    {
        auto fleet = Fleet::start({.partitions = 1});
        ASSERT_TRUE(fleet) << fleet.error();
        EXPECT_THAT(fired((*fleet)->end()), IsEmpty());
    }
    EXPECT_THAT(judge_leftovers(), IsEmpty()) << describe(judge_leftovers());
}

TEST(OracleSelftest, ASurvivingChildAndAFolderAreSeen) {
    {
        ProcessOptions cat;
        cat.path = "cat";
        auto child = ChildProcess::start(cat);
        ASSERT_TRUE(child) << child.error();
        auto folder = TempFolder::make("oracle-left");
        ASSERT_TRUE(folder) << folder.error();
        const auto violations = judge_leftovers(Milliseconds(0));
        ASSERT_EQ(violations.size(), 1U);
        EXPECT_EQ(violations[0].oracle, Oracle::leftover);
        EXPECT_THAT(violations[0].text, testing::HasSubstr(std::to_string(child->pid())));
        EXPECT_THAT(violations[0].text, testing::HasSubstr(folder->path()));
        std::printf("  seen: %s\n", violations[0].text.c_str());
    }
    EXPECT_THAT(judge_leftovers(), IsEmpty());
}

}  // namespace
}  // namespace parti::test
