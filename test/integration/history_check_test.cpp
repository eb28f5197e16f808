// Real and simulated histories under one judge: what really ran is clean, and each forged promise is noticed in both kinds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "testutil/fleet.h"
#include "testutil/history_file.h"
#include "testutil/sim_scenario.h"

namespace parti::test {
namespace {

using Kind = HistoryEvent::Kind;
using testing::Contains;

constexpr Milliseconds kPatience{20000};

// The command's exit code and what it said.
std::pair<int, std::string> history_check(const std::vector<std::string>& files) {
    auto process =
        ChildProcess::start({.path = PARTI_HISTORY_CHECK_FILE, .args = files, .env = {}, .working_dir = {}, .stderr_file = {}});
    if (!process) return {-1, process.error()};
    std::string said;
    for (;;) {
        const LineRead line = process->read_line(kPatience);
        if (line.state != ReadState::line) break;
        said += line.text + "\n";
    }
    const auto status = process->wait(kPatience);
    return {status && status->code ? *status->code : -1, said};
}

std::vector<ProcessHistory> read_all(const std::vector<std::string>& files) {
    std::vector<ProcessHistory> out;
    for (const std::string& file : files) {
        auto process = read_process_history(file);
        EXPECT_TRUE(process) << process.error();
        if (process) out.push_back(std::move(*process));
    }
    return out;
}

std::vector<Oracle> fired(const std::vector<ProcessHistory>& processes) {
    std::vector<Oracle> out;
    for (const Violation& violation : check_history(processes).violations) out.push_back(violation.oracle);
    return out;
}

void insert(ProcessHistory& process, HistoryEvent event) {
    const auto at = std::upper_bound(process.events.begin(), process.events.end(), event,
                                     [](const HistoryEvent& a, const HistoryEvent& b) { return a.t_ns < b.t_ns; });
    process.events.insert(at, std::move(event));
}

// Another process's session that lives at that time.
const SessionInterval* other_session(const Timeline& timeline, std::size_t process, std::int64_t t_ns) {
    for (const SessionInterval& session : timeline.sessions) {
        if (session.process != process && session.begin_ns < t_ns && t_ns < session.end_ns) return &session;
    }
    return nullptr;
}

HistoryEvent forged_grant(const std::string& session, const std::string& partition, std::int64_t t_ns, FenceValue fence) {
    HistoryEvent event;
    event.kind = Kind::grant;
    event.t_ns = t_ns;
    event.session = session;
    event.partition = partition;
    event.grant = 999'999;
    event.fence = fence;
    return event;
}

// Breaks each promise of a clean history in turn.
void expect_forgeries_noticed(const std::vector<std::string>& files) {
    const std::vector<ProcessHistory> whole = read_all(files);
    const Timeline timeline = check_history(whole);
    ASSERT_THAT(describe(timeline.violations), "");
    const OwnershipInterval* owned = nullptr;  // one with a living session of another process in its middle
    const SessionInterval* other = nullptr;
    const OwnershipInterval* second = nullptr;  // one with an owner before it
    for (const auto& entry : timeline.partitions) {
        for (std::size_t i = 0; i < entry.second.size(); ++i) {
            const OwnershipInterval& o = entry.second[i];
            const SessionInterval* candidate = other_session(timeline, o.process, (o.begin_ns + o.end_ns) / 2);
            if (candidate != nullptr && owned == nullptr) {
                owned = &o;
                other = candidate;
            }
            if (i > 0) second = &o;
        }
    }
    ASSERT_TRUE(owned != nullptr && other != nullptr && second != nullptr) << "too little happened to forge anything";
    const std::int64_t middle = (owned->begin_ns + owned->end_ns) / 2;

    auto forged = whole;
    insert(forged[other->process], forged_grant(other->session, owned->partition, middle, {1'000'000, 1}));
    EXPECT_THAT(fired(forged), Contains(Oracle::one_owner)) << "a second owner";

    forged = whole;
    for (HistoryEvent& event : forged[other->process].events) {
        const auto holder = std::find_if(timeline.sessions.begin(), timeline.sessions.end(),
                                         [owned](const SessionInterval& s) { return s.session == owned->session; });
        if (event.kind == Kind::session && event.session == other->session) event.number = holder->number;
    }
    EXPECT_THAT(fired(forged), Contains(Oracle::unique_number)) << "a number held twice";

    forged = whole;
    insert(forged[owned->process], forged_grant(owned->session, "forged", middle, {0, 1}));
    EXPECT_THAT(fired(forged), Contains(Oracle::monotone_version)) << "back to an older assignment";

    forged = whole;
    for (HistoryEvent& event : forged[second->process].events) {
        if (event.kind == Kind::grant && event.session == second->session && event.partition == second->partition)
            event.fence = {0, 1};
    }
    EXPECT_THAT(fired(forged), Contains(Oracle::fence_order)) << "a token below its predecessor's";

    forged = whole;
    forged[owned->process].events.back().t_ns = 0;
    EXPECT_THAT(fired(forged), Contains(Oracle::history)) << "time that goes back";
}

TEST(HistoryCheck, JudgesARealFleetThatWasKilledAndStopped) {
    FleetOptions options;
    options.group = "history";
    options.partitions = 30;
    auto fleet = Fleet::start(options);
    ASSERT_TRUE(fleet) << fleet.error();
    Fleet& f = **fleet;
    for (const char* label : {"killed", "stopped", "whole"}) {
        WorkerProcessOptions process;
        process.label = label;
        process.workers = 2;
        const auto added = f.add(process);
        ASSERT_TRUE(added) << added.error();
        ASSERT_TRUE(f.process(*added).start_workers(0));
    }
    const auto balanced = f.wait_balanced(kPatience, 6);
    ASSERT_TRUE(balanced) << balanced.error();
    f.kill(0);
    ASSERT_TRUE(f.process(1).pause());
    // Everything must come to the process that is left: nobody waits for one that is stopped.
    std::size_t owned = 0;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (owned < options.partitions && std::chrono::steady_clock::now() < deadline) {
        const auto workers = f.process(2).ownership();
        ASSERT_TRUE(workers) << workers.error();
        owned = 0;
        for (const WorkerOwnership& worker : *workers) owned += worker.partitions.size();
        f.process(2).listen_for(Milliseconds(20));
    }
    EXPECT_EQ(owned, options.partitions);
    ASSERT_TRUE(f.process(1).resume());
    const auto again = f.wait_balanced(kPatience, 4);
    ASSERT_TRUE(again) << again.error();
    const FleetRecord record = f.end();
    EXPECT_THAT(record.problems, testing::IsEmpty());

    std::vector<std::string> files;
    for (std::size_t i = 0; i < f.size(); ++i) {
        const auto appended = append_death(f.process(i).history_path(), f.process(i).died_ns(), f.process(i).killed());
        ASSERT_TRUE(appended) << appended.error();
        files.push_back(f.process(i).history_path());
    }
    const auto [code, said] = history_check(files);
    EXPECT_EQ(code, 0) << said;
    EXPECT_THAT(said, testing::HasSubstr("3 processes"));
    expect_forgeries_noticed(files);
}

TEST(HistoryCheck, JudgesASimulatedFleetByTheSameRules) {
    auto folder = TempFolder::make("simhistory");
    ASSERT_TRUE(folder) << folder.error();
    {
        testutil::SimScenario::Options options;
        options.partitions = 12;
        options.history = folder->path();
        testutil::SimScenario scenario(options);
        for (const char* name : {"killed", "stopped", "whole"}) scenario.start(name);
        scenario.run_for(15 * testutil::kSecond);
        scenario.crash("killed");
        scenario.pause("stopped", 20 * testutil::kSecond);
        scenario.run_for(60 * testutil::kSecond);
    }
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder->path())) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    ASSERT_EQ(files.size(), 3U);
    const auto [code, said] = history_check(files);
    EXPECT_EQ(code, 0) << said;
    expect_forgeries_noticed(files);
}

TEST(HistoryCheck, RefusesWhatIsNoHistory) {
    EXPECT_EQ(history_check({"/nowhere.ndjson"}).first, 2);
    EXPECT_EQ(history_check({}).first, 2);
}

}  // namespace
}  // namespace parti::test
