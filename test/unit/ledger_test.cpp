#include "testutil/ledger.h"

#include <gtest/gtest.h>

#include <functional>
#include <utility>

namespace parti::test {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// Ten messages of p, one every 100 ms, each handled 5 ms later for 5 ms.
class LedgerTest : public testing::Test {
protected:
    LedgerTest() {
        for (int i = 0; i < 10; ++i) {
            const std::int64_t t = (i + 1) * 100 * kMs;
            published_["p"].push_back({t, t, t + kMs, static_cast<std::uint64_t>(i + 1)});
        }
        processes_.resize(2);
        processes_[0].label = "one";
        processes_[1].label = "two";
        for (std::uint64_t s = 1; s <= 10; ++s) add(0, s, static_cast<int>(s) * 100 + 5);
    }

    void add(std::size_t process, std::uint64_t sequence, int begin_ms, int end_ms = 0,
             HandlingResult result = HandlingResult::success) {
        Handling h;
        h.partition = "p";
        h.sequence = h.stream_sequence = sequence;
        h.delivered = 1;
        h.begin_ns = begin_ms * kMs;
        h.end_ns = (end_ms == 0 ? begin_ms + 5 : end_ms) * kMs;
        h.result = result;
        processes_[process].handlings.push_back(h);
    }
    void drop(std::uint64_t sequence) {
        std::erase_if(processes_[0].handlings, [&](const Handling& h) { return h.sequence == sequence; });
    }
    void disturb(Disturbance::Kind kind, int from, int to, const std::string& label = "one") {
        disturbances_.push_back({kind, label, from * kMs, to * kMs});
    }
    LedgerReport check() {
        LedgerReport report = check_ledger(published_, processes_, disturbances_, options_);
        for (const Violation& v : report.violations) std::printf("  seen: [%d] %s\n", static_cast<int>(v.oracle), v.text.c_str());
        return report;
    }
    // Every class that is not zero, of those that a perfect run has at zero.
    using Classes = std::map<std::string, std::uint64_t>;
    static Classes classes(const LedgerReport& report) {
        const LedgerCounts& c = report.counts;
        Classes out = {{"lost", c.lost},       {"unacked", c.unacked},       {"replayed", c.replayed}, {"late", c.late_starts},
                       {"dup", c.duplicates},  {"reordered", c.reordered},   {"overlap", c.overlaps},  {"not_owned", c.not_owned},
                       {"foreign", c.foreign}, {"twice", c.published_twice}, {"stale", c.stale}};
        std::erase_if(out, [](const auto& item) { return item.second == 0; });
        return out;
    }

    Published published_;
    std::vector<ProcessHandlings> processes_;
    std::vector<Disturbance> disturbances_;
    LedgerOptions options_;
};

TEST_F(LedgerTest, APerfectRunIsSilent) {
    const LedgerReport report = check();
    EXPECT_EQ(classes(report), Classes{});
    EXPECT_TRUE(report.violations.empty());
    EXPECT_EQ(report.counts.confirmed, 10U);
    EXPECT_EQ(report.counts.handled, 10U);
    EXPECT_EQ(report.latency_ns(0.5, 0, 10'000 * kMs), 5 * kMs);
    EXPECT_EQ(report.latency_ns(0.5, 0, 10'000 * kMs, 11), -1);
    EXPECT_EQ(report.longest_gap_ns("p", 105 * kMs, 1005 * kMs), 100 * kMs);
    EXPECT_EQ(report.longest_wait_ns("p", 0, 10'000 * kMs), 5 * kMs);
    EXPECT_EQ(report.longest_wait_ns("p", 0, 100 * kMs), 0) << "before the first";
    EXPECT_EQ(report.longest_gap_ns("p", 105 * kMs, 2005 * kMs), 1000 * kMs);
}

TEST_F(LedgerTest, AConfirmedMessageThatIsNeverHandledIsLost) {
    drop(10);
    EXPECT_EQ(classes(check()), (Classes{{"lost", 1}}));
    published_["p"][9].confirmed_ns = 0;
    EXPECT_EQ(classes(check()), Classes{}) << "never confirmed: never promised";
    published_["q"].push_back({1, 1, 1, 99});
    EXPECT_EQ(classes(check()), (Classes{{"lost", 1}})) << "a partition nobody handled";
    options_.complete = false;
    const LedgerReport report = check();
    EXPECT_EQ(classes(report), Classes{}) << "the run ended too early to say";
    EXPECT_EQ(report.counts.undelivered, 1U);
}

TEST_F(LedgerTest, AFailedHandlingIsNone) {
    drop(10);
    add(0, 10, 1005, 0, HandlingResult::failure);
    EXPECT_EQ(classes(check()), (Classes{{"lost", 1}}));
    add(0, 10, 1020);
    const LedgerReport report = check();
    EXPECT_EQ(classes(report), Classes{});
    EXPECT_EQ(report.counts.failures, 1U);
}

TEST_F(LedgerTest, ASecondHandlingNeedsAReason) {
    add(1, 10, 1100);
    EXPECT_EQ(classes(check()), (Classes{{"dup", 1}}));
    disturb(Disturbance::Kind::process_killed, 1012, 1012, "two");
    EXPECT_EQ(classes(check()), (Classes{{"dup", 1}})) << "the other's death explains nothing";
    disturb(Disturbance::Kind::process_killed, 1012, 1012);
    EXPECT_EQ(classes(check()), (Classes{{"unacked", 1}}));
}

TEST_F(LedgerTest, ADisturbanceLongAfterExplainsNothing) {
    add(1, 10, 2500);
    disturb(Disturbance::Kind::process_killed, 2400, 2400);
    EXPECT_EQ(classes(check()), (Classes{{"dup", 1}}));
}

TEST_F(LedgerTest, AnOldMessageAgainIsOutOfOrderWithOneInFlight) {
    add(1, 8, 1100);
    disturb(Disturbance::Kind::process_killed, 1012, 1012);
    EXPECT_EQ(classes(check()), (Classes{{"unacked", 1}, {"reordered", 1}})) << "8 had been acknowledged when 9 was delivered";
    options_.in_order = false;
    EXPECT_EQ(classes(check()), (Classes{{"unacked", 1}}));
}

TEST_F(LedgerTest, AMessageOvertakenIsOutOfOrder) {
    drop(4);
    add(0, 4, 555);
    EXPECT_EQ(classes(check()), (Classes{{"reordered", 1}}));
    disturb(Disturbance::Kind::server_crashed, 530, 540);
    EXPECT_EQ(classes(check()), (Classes{{"reordered", 1}})) << "a crash lets messages come again, not late";
}

TEST_F(LedgerTest, AServerCrashReplaysInOrderAndOnlyWhatIsYoung) {
    disturb(Disturbance::Kind::server_crashed, 1012, 1200);
    for (const std::uint64_t s : {7U, 8U, 9U, 10U}) add(1, s, 1300 + static_cast<int>(s) * 10);
    const LedgerReport report = check();
    EXPECT_EQ(classes(report), (Classes{{"replayed", 4}}));
    EXPECT_TRUE(report.violations.empty());
    add(1, 7, 1500);  // back again without another crash
    EXPECT_EQ(classes(check()), (Classes{{"replayed", 4}, {"reordered", 1}, {"dup", 1}}));
}

TEST_F(LedgerTest, AServerCrashDoesNotExplainOldMessages) {
    disturb(Disturbance::Kind::server_crashed, 3100, 3150);
    add(1, 10, 3200);
    EXPECT_EQ(classes(check()), (Classes{{"dup", 1}}));
}

TEST_F(LedgerTest, AServerThatForgetsAWholeDurableIsAClassOfItsOwn) {
    options_.replay_window_ns = 500 * kMs;
    options_.ack_window_ns = 100 * kMs;
    disturb(Disturbance::Kind::server_crashed, 1012, 1100);
    for (std::uint64_t s = 1; s <= 10; ++s) add(1, s, 1200 + static_cast<int>(s) * 10);
    LedgerReport report = check();
    EXPECT_EQ(report.counts.replayed, 5U) << "6 to 10 are within the window";
    EXPECT_EQ(report.counts.forgotten, 5U);
    EXPECT_EQ(report.counts.duplicates, 0U);
    EXPECT_EQ(report.violations.size(), 5U);
    options_.allow_forgotten = true;
    report = check();
    EXPECT_EQ(report.counts.forgotten, 5U);
    EXPECT_TRUE(report.violations.empty());
    auto again = std::exchange(processes_[1].handlings, {});
    processes_[0].handlings.insert(processes_[0].handlings.end(), again.begin(), again.end());
    report = check();
    EXPECT_EQ(report.counts.forgotten, 5U);
    EXPECT_EQ(report.violations.size(), 5U) << "the owner had acknowledged them itself, and has to know";
    for (Handling& h : processes_[0].handlings) h.fence.version += h.begin_ns > 1000 * kMs ? 1 : 0;
    EXPECT_TRUE(check().violations.empty()) << "it had lost the partition meanwhile, and with it what it knew";
    std::erase_if(processes_[0].handlings, [](const Handling& h) { return h.sequence == 1 && h.begin_ns > 1000 * kMs; });
    report = check();
    EXPECT_EQ(report.counts.duplicates, 4U) << "not from the first message on: no such excuse";
}

// 10 is delivered for the third time, handled, and its owner's lease ends 200 ms later.
TEST_F(LedgerTest, AServerThatLosesItsPlaceIsAClassOfItsOwn) {
    const auto set_up = [this] {
        options_.allow_misplaced = true;
        options_.owners["p"] = {{"one", 0, 1210 * kMs, true}, {"two", 1400 * kMs, 5000 * kMs}};
        processes_[0].handlings.back().delivered = 3;
        processes_[1].handlings.clear();
        add(1, 10, 1500);
        processes_[1].handlings.back().fence.version = 2;
    };
    set_up();
    LedgerReport report = check();
    EXPECT_EQ(report.counts.misplaced, 1U);
    EXPECT_EQ(classes(report), Classes{});
    EXPECT_TRUE(report.violations.empty());
    const auto blamed = [&](const std::function<void()>& change) {
        set_up();
        change();
        return classes(check()) == Classes{{"dup", 1}};
    };
    EXPECT_TRUE(blamed([&] { options_.allow_misplaced = false; })) << "another server";
    EXPECT_TRUE(blamed([&] { processes_[0].handlings.back().delivered = 2; })) << "nothing of it had gone astray";
    EXPECT_TRUE(blamed([&] { options_.owners["p"][0].lapsed = false; })) << "an owner that hands over looks at the durable first";
    EXPECT_TRUE(blamed([&] { options_.owners["p"][0].end_ns = 2100 * kMs; })) << "an owner that lives on acknowledges it again";
    EXPECT_TRUE(blamed([&] { options_.owners.clear(); })) << "nobody knows who owned it";
    EXPECT_TRUE(blamed([&] {
        processes_[1].label = "one";
        processes_[1].handlings.back().fence = {};
    })) << "the same grant: its owner remembers what it acknowledged";
}

TEST_F(LedgerTest, AHandlerThatRunsWhenTheLeaseEndsIsNotAcknowledgedInTime) {
    options_.owners["p"] = {{"one", 0, 1008 * kMs, true}, {"two", 1100 * kMs, 5000 * kMs}};
    add(1, 10, 1200);
    EXPECT_EQ(classes(check()), (Classes{{"unacked", 1}}));
    options_.owners["p"][0].end_ns = 1010 * kMs;
    EXPECT_EQ(classes(check()), (Classes{{"dup", 1}})) << "it had returned by then";
    options_.owners["p"][0] = {"one", 0, 1008 * kMs, false};
    EXPECT_EQ(classes(check()), (Classes{{"dup", 1}})) << "a handover waits for it";
}

TEST_F(LedgerTest, AnExcessGapIsWhatAHandoffAddsToThePublishersPause) {
    EXPECT_EQ(check().longest_excess_gap_ns("p", 0, 2000 * kMs), 0) << "100 ms between two messages and between their handlings";
    for (Handling& h : processes_[0].handlings) {
        if (h.sequence >= 6) h.begin_ns += 40 * kMs;
        if (h.sequence >= 6) h.end_ns += 40 * kMs;
    }
    const LedgerReport report = check();
    EXPECT_EQ(report.longest_excess_gap_ns("p", 0, 2000 * kMs), 40 * kMs);
    EXPECT_EQ(report.longest_excess_gap_ns("p", 550 * kMs, 2000 * kMs), 0) << "late all the time is no gap";
    EXPECT_EQ(report.longest_excess_gap_ns("q", 0, 2000 * kMs), 0);
}

TEST_F(LedgerTest, AnAckThatMetAServerThatWasAwayIsUnacked) {
    disturb(Disturbance::Kind::server_away, 1007, 1100);
    add(0, 10, 1200);
    EXPECT_EQ(classes(check()), (Classes{{"unacked", 1}}));
}

TEST_F(LedgerTest, TwoHandlersAtOnceAreSeen) {
    drop(10);
    add(0, 10, 1005, 1050);
    add(1, 10, 1020, 1030);
    EXPECT_EQ(classes(check()), (Classes{{"overlap", 1}, {"dup", 1}}));
    disturb(Disturbance::Kind::process_stopped, 1008, 1045);
    EXPECT_EQ(classes(check()), (Classes{{"unacked", 1}})) << "it was stopped in the middle of it";
}

TEST_F(LedgerTest, AHandlerWithoutOwnershipIsSeen) {
    options_.check_owners = true;
    options_.owners["p"] = {{"one", 0, 900 * kMs}, {"two", 901 * kMs, 2000 * kMs}};
    EXPECT_EQ(classes(check()), (Classes{{"not_owned", 2}})) << "9 and 10";
    disturb(Disturbance::Kind::process_stopped, 890, 1000);
    EXPECT_EQ(classes(check()), (Classes{{"late", 2}}));
    options_.owners.clear();
    disturbances_.clear();
    EXPECT_EQ(check().counts.not_owned, 10U) << "nobody ever owned it";
}

TEST_F(LedgerTest, WhatNobodyPublishedIsForeign) {
    add(0, 11, 1205);
    EXPECT_EQ(classes(check()), (Classes{{"foreign", 1}}));
    published_["p"].push_back({1200 * kMs, 0, 0, 0});
    EXPECT_EQ(classes(check()), (Classes{{"foreign", 1}})) << "its publication was dropped";
    published_.erase("p");
    EXPECT_EQ(check().counts.foreign, 11U);
}

TEST_F(LedgerTest, AMessageStoredTwiceIsThePublishersAffair) {
    processes_[0].handlings.push_back(processes_[0].handlings.back());
    Handling& again = processes_[0].handlings.back();
    again.stream_sequence = 11;
    again.begin_ns += 100 * kMs;
    again.end_ns += 100 * kMs;
    EXPECT_EQ(classes(check()), (Classes{{"twice", 1}}));
}

TEST_F(LedgerTest, WhatTheHandlerRefusedItselfIsCounted) {
    add(1, 10, 1100, 0, HandlingResult::stale);
    EXPECT_EQ(classes(check()), (Classes{{"stale", 1}}));
}

TEST_F(LedgerTest, LinesSurviveWritingAndReading) {
    Handling h = processes_[0].handlings[3];
    h.fence = {2, 7};
    h.delivered = 3;
    h.result = HandlingResult::failure;
    const auto read = parse_handlings("h", to_line(h) + to_line(processes_[0].handlings[0]), false);
    ASSERT_TRUE(read) << read.error();
    ASSERT_EQ(read->size(), 2U);
    EXPECT_EQ(to_line(read->front()), to_line(h));
    EXPECT_EQ(read->front().fence, h.fence);
}

TEST_F(LedgerTest, AMalformedLineIsNamed) {
    const std::string good = "H 1 2 p 1 1 1 1 1 s\n";
    ASSERT_TRUE(parse_handlings("h", good, false));
    for (const std::string bad :
         {"H 1 2 p 1 1 1 1 1\n", "H 1 2 p 1 1 1 1 1 s s\n", "H 2 1 p 1 1 1 1 1 s\n", "H 1 2 p x 1 1 1 1 s\n",
          "H 1 2 p 1 1 1 1 1 y\n", "h 1 2 p 1 1 1 1 1 s\n", "H 1 2  1 1 1 1 1 s\n", "\n", "H 1 2 p 1 1"}) {
        const auto read = parse_handlings("h", good + bad, false);
        ASSERT_FALSE(read) << bad;
        EXPECT_NE(read.error().find("h:2:"), std::string::npos) << read.error();
    }
    const auto cut = parse_handlings("h", good + "H 1 2 p 1 1", true);
    ASSERT_TRUE(cut) << "a kill cuts a line off";
    EXPECT_EQ(cut->size(), 1U);
}

TEST(OwnersOfATimeline, SayWhoseLeaseEndedBeforeTheRelease) {
    using Kind = HistoryEvent::Kind;
    const auto event = [](Kind kind, std::int64_t t_ns, const std::string& partition = {}) {
        HistoryEvent e;
        e.kind = kind;
        e.t_ns = t_ns;
        e.session = "s";
        e.number = 1;
        e.incarnation = 1;
        e.deadline_ns = 1000;
        e.grant = partition == "p.a" ? 1 : 2;
        e.partition = partition;
        e.fence = {1, 1};
        return e;
    };
    ProcessHistory process;
    process.label = "one";
    process.events = {event(Kind::session, 10),       event(Kind::grant, 20, "p.a"),   event(Kind::grant, 20, "p.b"),
                      event(Kind::revoke, 30, "p.a"), event(Kind::release, 40, "p.a"), event(Kind::session_end, 50),
                      event(Kind::revoke, 60, "p.b"), event(Kind::release, 70, "p.b")};
    const Owners owners = owners_of(check_history({process}));
    ASSERT_EQ(owners.at("p.a").size(), 1U);
    EXPECT_EQ(owners.at("p.a")[0].end_ns, 40);
    EXPECT_FALSE(owners.at("p.a")[0].lapsed);
    ASSERT_EQ(owners.at("p.b").size(), 1U);
    EXPECT_EQ(owners.at("p.b")[0].end_ns, 50);
    EXPECT_TRUE(owners.at("p.b")[0].lapsed);
}

}  // namespace
}  // namespace parti::test
