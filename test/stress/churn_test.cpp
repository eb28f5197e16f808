// TestScale_StableIdChurn: worker processes join, leave and are killed every 2 s, by seed; numbers stay unique and dense.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "stress_test.h"

namespace parti::stress {
namespace {

using report::Unit;
using test::Milliseconds;

constexpr std::uint32_t kPartitions = 100;
constexpr Milliseconds kBalanced{30000};
constexpr std::int64_t kEvery_ns = 2'000'000'000;
constexpr std::size_t kFewest = 3, kFirst = 6, kMost = 12;
// A claim chooses among the first 8 free numbers (PROTOCOL.md R-4); a killed worker's number is free after ttl + margin of the
// test timing, as everybody's watch sees it.
constexpr std::uint32_t kChoice = 8;
constexpr std::int64_t kHeldAfterwards_ns = 3'000'000'000;

struct Change {
    const char* name = "";
    std::int64_t from_ns = 0, to_ns = 0;
    std::size_t before = 0, after = 0;  // workers
};

class TestScale_StableIdChurn : public StressTest {
protected:
    void add() {
        test::WorkerProcessOptions options;
        options.label = "p" + std::to_string(next_label_++);
        const auto index = fleet_->add(options);
        ASSERT_TRUE(index) << index.error();
        const auto started = fleet_->process(*index).start_workers(1);
        ASSERT_TRUE(started) << started.error();
    }

    // Answers what was asked meanwhile; returns at the time, or as soon as it has passed.
    void wait_until(std::int64_t due_ns) {
        for (std::int64_t now = test::boot_now_ns(); now < due_ns; now = test::boot_now_ns()) {
            const auto left = std::chrono::nanoseconds(due_ns - now);
            fleet_->process(fleet_->alive().front()).listen_for(std::chrono::duration_cast<Milliseconds>(left) + Milliseconds(1));
        }
    }

    void change() {
        const std::vector<std::size_t> alive = fleet_->alive();
        const std::size_t victim = alive[std::uniform_int_distribution<std::size_t>(0, alive.size() - 1)(random())];
        std::discrete_distribution<int> what{45, 35, 20};
        int action = what(random());
        if (alive.size() <= kFewest) action = 0;
        if (alive.size() >= kMost && action == 0) action = 1;
        Change change{action == 0 ? "join" : action == 1 ? "leave" : "kill", test::boot_now_ns(), 0, alive.size(), 0};
        if (action == 0) {
            ASSERT_NO_FATAL_FAILURE(add());
        } else if (action == 1) {
            const auto left = fleet_->leave(victim, kBalanced);
            ASSERT_TRUE(left) << left.error();
        } else {
            EXPECT_EQ(fleet_->kill(victim).signal, 9);
        }
        change.after = fleet_->alive().size();
        const auto balance = fleet_->wait_even(kBalanced, change.after);
        ASSERT_TRUE(balance) << change.name << ": " << balance.error();
        change.to_ns = test::boot_now_ns();
        changes_.push_back(change);
    }

    std::string numbers() {
        std::string text;
        for (const std::size_t i : fleet_->alive()) {
            const auto status = fleet_->process(i).status();
            EXPECT_TRUE(status) << status.error();
            if (status && !status->workers.empty() && status->workers[0].number)
                text += " " + std::to_string(*status->workers[0].number);
        }
        return text;
    }

    void judge_change(const Change& change, const test::Timeline& timeline) {
        const auto last = timeline.last_grant_between(change.from_ns, change.to_ns);
        ASSERT_TRUE(last) << change.name << ": nothing was granted";
        const std::size_t fewest = kPartitions / std::max(change.before, change.after);
        const std::size_t grants = timeline.grants_between(change.from_ns, change.to_ns);
        grants_ += grants;
        demanded_ += fewest;
        record_duration(std::string(change.name) + "_balanced", static_cast<double>(*last - change.from_ns) / 1e6, false);
        if (evens_out()) {
            EXPECT_GE(grants, fewest) << change.name << " of one of " << change.before;
        }
        if (moves_least()) {
            EXPECT_LE(grants, 3 * fewest + change.after) << change.name << ": partitions are moved without need";
        }
    }

    std::unique_ptr<test::Fleet> fleet_;
    std::vector<Change> changes_;
    std::uint32_t next_label_ = 0;
    std::size_t grants_ = 0, demanded_ = 0;
};

const Budget budget("TestScale_StableIdChurn.JoinsLeavesAndKills", {.standard = 45, .nightly = 140});

TEST_F(TestScale_StableIdChurn, JoinsLeavesAndKills) {
    const int count = profile() == Profile::standard ? 15 : 60;
    set_window(std::to_string(count) + " changes");
    fleet_ = new_fleet({.partitions = kPartitions});
    ASSERT_TRUE(fleet_);
    for (std::size_t i = 1; i <= kFirst; ++i) {  // one by one: those that claim together widen their choice
        ASSERT_NO_FATAL_FAILURE(add());
        const auto balance = fleet_->wait_even(kBalanced, i);
        ASSERT_TRUE(balance) << balance.error();
    }
    const std::int64_t begin = test::boot_now_ns();
    std::int64_t late_ns = 0;
    for (int i = 0; i < count; ++i) {
        const std::int64_t due = begin + kEvery_ns * i;
        wait_until(due);
        late_ns = std::max(late_ns, test::boot_now_ns() - due);
        ASSERT_NO_FATAL_FAILURE(change());
        const Change& c = changes_.back();
        std::printf("  %5.1f s %-5s %2zu -> %2zu workers, numbers%s\n", static_cast<double>(c.from_ns - begin) / 1e9, c.name,
                    c.before, c.after, numbers().c_str());
        std::fflush(stdout);
    }
    expect_covered(*fleet_);
    const test::Timeline timeline = end_fleet(std::move(fleet_));
    for (const Change& c : changes_) judge_change(c, timeline);
    const auto sparse = test::check_dense(timeline, {.first = 0, .choice = kChoice, .held_afterwards_ns = kHeldAfterwards_ns});
    EXPECT_TRUE(sparse.empty()) << test::describe(sparse);
    EXPECT_EQ(timeline.sessions.size(), next_label_) << "a session was lost and claimed anew";
    std::uint32_t highest = 0;
    for (const auto& session : timeline.sessions) highest = std::max(highest, session.number);
    std::printf("%u workers held the numbers 0 to %u; %.2f grants for each that the changes demand; latest change %.1f s late\n",
                next_label_, highest, static_cast<double>(grants_) / static_cast<double>(demanded_),
                static_cast<double>(late_ns) / 1e9);
    record_companion("sessions", Unit::count, static_cast<double>(timeline.sessions.size()));
    record_companion("highest_number", Unit::count, highest);
    record_companion("moves", Unit::ratio, static_cast<double>(grants_) / static_cast<double>(demanded_));
}

}  // namespace
}  // namespace parti::stress
