// TestScale_RapidScaling: 1 -> 5 -> 10 -> 5 -> 1 worker processes, then a leave, a crash, a leader's crash and a rolling restart
// of all.
//
// Every process has one worker; a crash is SIGKILL. Times come from the histories, which also show that no partition ever had two
// owners.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "launch.h"
#include "stress_test.h"

namespace parti::stress {
namespace {

using test::Milliseconds;

constexpr std::uint32_t kPartitions = 100;
constexpr Milliseconds kBalanced{30000};
constexpr double kCrashTargetMs = 1000 + 200 + 100;  // ttl + margin of the test timing, and 100 ms
constexpr double kLeaderTargetMs = kCrashTargetMs + 100;
constexpr double kLeaveTargetMs = 100;  // and the drain, which takes no time here

// Something that was done to the fleet, to be found again in the history.
struct Step {
    std::string name;
    std::int64_t from_ns = 0, to_ns = 0;  // told, and seen balanced again
    std::optional<std::size_t> left;      // the process that left or was killed
    std::uint32_t fewest_grants = 0;      // what the change of size alone demands
};

class TestScale_RapidScaling : public StressTest {
protected:
    void cycle() {
        fleet_ = new_fleet({.partitions = kPartitions});
        ASSERT_TRUE(fleet_);
        steps_.clear();
        next_label_ = 0;
        const double busy = busy_probe();
        ASSERT_NO_FATAL_FAILURE(run_steps());
        expect_covered(*fleet_);
        const test::Timeline timeline = end_fleet(std::move(fleet_));
        for (const Step& step : steps_) judge_step(step, timeline);
        record_companion("busy", report::Unit::ratio, busy, "wall / cpu of a probe before the cycle; 1 is idle");
        std::fflush(stdout);
    }

    void run_steps() {
        for (const std::uint32_t size : {1U, 5U, 10U}) ASSERT_NO_FATAL_FAILURE(grow_to(size));
        for (const std::uint32_t size : {5U, 1U}) ASSERT_NO_FATAL_FAILURE(shrink_to(size));
        ASSERT_NO_FATAL_FAILURE(grow_to(5, "again"));
        ASSERT_NO_FATAL_FAILURE(take_away("leave", another_than_the_leader(), false));
        ASSERT_NO_FATAL_FAILURE(grow_to(5, "after_leave"));
        ASSERT_NO_FATAL_FAILURE(take_away("crash", another_than_the_leader(), true));
        ASSERT_NO_FATAL_FAILURE(grow_to(5, "after_crash"));
        ASSERT_NO_FATAL_FAILURE(take_away("leader_crash", leader(), true));
        ASSERT_NO_FATAL_FAILURE(grow_to(5, "after_leader_crash"));
        ASSERT_NO_FATAL_FAILURE(rolling_restart());
    }

    // Connected first, then started together.
    void add(std::uint32_t count) {
        std::vector<std::size_t> added;
        for (std::uint32_t i = 0; i < count; ++i) {
            test::WorkerProcessOptions options;
            options.label = "p" + std::to_string(next_label_++);
            const auto index = fleet_->add(options);
            ASSERT_TRUE(index) << index.error();
            added.push_back(*index);
        }
        begin_ns_ = test::boot_now_ns();
        for (const std::size_t index : added) {
            const auto started = fleet_->process(index).start_workers(1);
            ASSERT_TRUE(started) << started.error();
        }
    }

    void wait_balanced(Step step) {
        const auto balance = fleet_->wait_balanced(kBalanced, fleet_->alive().size());
        ASSERT_TRUE(balance) << step.name << ": " << balance.error();
        step.to_ns = test::boot_now_ns();
        steps_.push_back(std::move(step));
    }

    void grow_to(std::uint32_t size, const std::string& name = {}) {
        const auto before = static_cast<std::uint32_t>(fleet_->alive().size());
        ASSERT_NO_FATAL_FAILURE(add(size - before));
        Step step;
        step.name = name.empty() ? "to_" + std::to_string(size) + "_up" : "grow_" + name;
        step.from_ns = begin_ns_;
        step.fewest_grants = before == 0 ? kPartitions : kPartitions / size * (size - before);
        wait_balanced(step);
    }

    void shrink_to(std::uint32_t size) {
        std::vector<std::size_t> leaving = fleet_->alive();
        std::shuffle(leaving.begin(), leaving.end(), random());
        const auto before = static_cast<std::uint32_t>(leaving.size());
        leaving.resize(before - size);
        Step step;
        step.name = "to_" + std::to_string(size) + "_down";
        step.from_ns = test::boot_now_ns();
        step.fewest_grants = kPartitions / before * (before - size);
        const auto left = fleet_->leave_together(leaving, kBalanced);
        ASSERT_TRUE(left) << left.error();
        wait_balanced(step);
    }

    std::optional<std::size_t> leader() {
        const auto index = fleet_->leader(kBalanced);
        if (!index) ADD_FAILURE() << index.error();
        return index ? std::optional(*index) : std::nullopt;
    }

    std::optional<std::size_t> another_than_the_leader() {
        const auto leading = leader();
        std::vector<std::size_t> others = fleet_->alive();
        others.erase(std::remove(others.begin(), others.end(), leading.value_or(0)), others.end());
        if (!leading || others.empty()) return std::nullopt;
        return others[std::uniform_int_distribution<std::size_t>(0, others.size() - 1)(random())];
    }

    void take_away(const std::string& name, std::optional<std::size_t> index, bool kill) {
        ASSERT_TRUE(index) << name << ": nobody to take away";
        Step step;
        step.name = name;
        step.left = index;
        step.fewest_grants = kPartitions / static_cast<std::uint32_t>(fleet_->alive().size());
        if (kill) {
            fleet_->kill(*index);
        } else {
            const auto left = fleet_->leave(*index, kBalanced);
            ASSERT_TRUE(left) << left.error();
        }
        step.from_ns = fleet_->process(*index).told_ns();
        wait_balanced(step);
    }

    void rolling_restart() {
        Step all;
        all.name = "rolling_restart";
        all.from_ns = test::boot_now_ns();
        std::vector<std::size_t> old = fleet_->alive();
        std::shuffle(old.begin(), old.end(), random());
        for (const std::size_t index : old) {
            const auto left = fleet_->leave(index, kBalanced);
            ASSERT_TRUE(left) << left.error();
            ASSERT_NO_FATAL_FAILURE(add(1));
            const auto balance = fleet_->wait_balanced(kBalanced, old.size());
            ASSERT_TRUE(balance) << "rolling restart: " << balance.error();
        }
        all.to_ns = test::boot_now_ns();
        steps_.push_back(std::move(all));
    }

    void judge_step(const Step& step, const test::Timeline& timeline) {
        const auto last = timeline.last_grant_between(step.from_ns, step.to_ns);
        const auto grants = timeline.grants_between(step.from_ns, step.to_ns);
        ASSERT_TRUE(last) << step.name << ": nothing was granted";
        const double balanced = static_cast<double>(*last - step.from_ns) / 1e6;
        const double gap = static_cast<double>(timeline.longest_gap_ns(step.from_ns, step.to_ns)) / 1e6;
        if (step.left) return judge_departure(step, timeline, balanced, gap);
        record_duration(step.name, balanced);
        record_companion(step.name + "_longest_unowned", report::Unit::ms, gap);
        std::printf("  %-20s balanced after %6.0f ms, %3zu grants, longest unowned %5.1f ms\n", step.name.c_str(), balanced,
                    grants, gap);
        if (step.fewest_grants == 0) return;
        record_companion(step.name + "_moves", report::Unit::ratio, static_cast<double>(grants) / step.fewest_grants,
                         "grants against the fewest that the change of size demands");
        if (evens_out()) {
            EXPECT_GE(grants, step.fewest_grants) << step.name;
        }
        // Who comes or goes together is not seen together; still, a partition moves about as often as the fleet changes.
        if (moves_least()) {
            EXPECT_LE(grants, 3 * std::max(step.fewest_grants, kPartitions))
                << step.name << ": partitions are moved without need";
        }
    }

    void judge_departure(const Step& step, const test::Timeline& timeline, double balanced, double gap) {
        const auto succession = timeline.succession(*step.left, step.from_ns);
        if (evens_out()) {
            EXPECT_GE(succession.partitions, step.fewest_grants) << step.name << ": it owned less than its share";
        }
        ASSERT_TRUE(succession.all_owned_ns) << step.name << ": partitions were not owned again";
        const double owned = static_cast<double>(*succession.all_owned_ns - step.from_ns) / 1e6;
        const double target = step.name == "leave" ? kLeaveTargetMs : step.name == "crash" ? kCrashTargetMs : kLeaderTargetMs;
        record_duration(step.name + "_owned_again", owned);
        record_duration(step.name + "_balanced", balanced);
        record_companion(step.name + "_longest_unowned", report::Unit::ms, gap);
        record_companion(step.name + "_in_time", report::Unit::ratio, owned <= target ? 1 : 0,
                         "owned again within the target figure");
        std::printf("  %-20s %zu partitions owned again after %6.1f ms (target %.0f), balanced after %6.0f ms\n",
                    step.name.c_str(), succession.partitions, owned, target, balanced);
    }

    std::unique_ptr<test::Fleet> fleet_;
    std::vector<Step> steps_;
    std::uint32_t next_label_ = 0;
    std::int64_t begin_ns_ = 0;
};

const Budget budget("TestScale_RapidScaling.Cycles", {.smoke = 14, .standard = 60, .nightly = 60});

TEST_F(TestScale_RapidScaling, Cycles) {
    const std::uint64_t count = launches(5);
    set_window("one cycle");
    print_budget(count, 9);
    for (std::uint64_t i = 0; i < count && !HasFailure(); ++i) {
        std::printf("cycle %llu\n", static_cast<unsigned long long>(i + 1));
        cycle();
    }
    if (measures() && !HasFailure()) {
        std::printf("median: leave %.0f ms (target %.0f), crash %.0f ms (%.0f), leader's crash %.0f ms (%.0f)\n",
                    median_of("leave_owned_again"), kLeaveTargetMs, median_of("crash_owned_again"), kCrashTargetMs,
                    median_of("leader_crash_owned_again"), kLeaderTargetMs);
    }
}

}  // namespace
}  // namespace parti::stress
