// TestScenario_Constrained: workers and server together on a small machine: 1 processor and 1 GB, 2 and 2 GB, 2 and 4 GB.
//
// Passes when every oracle holds, no lease is lost but the killed process's, and nothing was killed for want of memory.
#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "stress_test.h"
#include "testutil/limits.h"
#include "testutil/memory_probe.h"

namespace parti::stress {
namespace {

using report::Unit;
using test::Milliseconds;

constexpr const char* kWorkerVariable = "PARTI_STRESS_WORKER";
constexpr Milliseconds kDeadline{60000};
constexpr std::uint32_t kHosts = 2, kWorkersEach = 25, kPartitions = 500;
constexpr std::uint64_t kGigabyte = 1ULL << 30U;
constexpr std::uint64_t kRenewals = 10;  // of every worker, at rest, before one is killed

// One launch: balanced at once, ten renewals of 300 ms three times over, a crash, and the server's forgetting of the killed
// client.
const Budget budget("TestScenario_Constrained.*", {.nightly = 20});

struct Machine {
    unsigned cpus = 1, gigabytes = 1;
};
void PrintTo(const Machine& p, std::ostream* out) { *out << p.cpus << "cpu_" << p.gigabytes << "gb"; }

class TestScenario_Constrained : public StressTest, public testing::WithParamInterface<Machine> {
protected:
    void TearDown() override {
        fleet_.reset();
        group_.reset();  // its scripts are a temp folder
        ::unsetenv("PARTI_LAUNCHER");
        ::unsetenv(kWorkerVariable);
        StressTest::TearDown();
    }

    void add(const std::string& label, std::uint32_t workers) {
        const auto entered = group_->wrap(program_);
        ASSERT_TRUE(entered) << entered.error();
        test::WorkerProcessOptions options;
        options.label = label;
        options.workers = workers;
        options.expected_workers = kHosts * kWorkersEach + 1;
        ::setenv(kWorkerVariable, entered->c_str(), 1);
        const auto added = fleet_->add(options);
        ASSERT_TRUE(added) << added.error();
        EXPECT_TRUE(group_->holds(fleet_->process(*added).pid())) << label << " is not limited";
        const auto started = fleet_->process(*added).start_workers(0);
        ASSERT_TRUE(started) << started.error();
    }

    // Until every worker of every process has renewed so often: the limits must leave time for that.
    void rest() {
        for (const std::size_t i : fleet_->alive()) {
            auto& process = fleet_->process(i);
            const auto before = process.stats();
            ASSERT_TRUE(before) << before.error();
            const std::uint64_t target = before->at("renewals") + kRenewals * process.options().workers;
            const auto deadline = std::chrono::steady_clock::now() + kDeadline;
            for (auto now = before; now->at("renewals") < target; now = process.stats()) {
                ASSERT_LT(std::chrono::steady_clock::now(), deadline)
                    << process.label() << ": " << now->at("renewals") << " of " << target << " renewals";
                process.listen_for(Milliseconds(100));
            }
        }
    }

    void record_use(const test::LimitUse& use, std::uint64_t limit) {
        const std::string how = name(group_->method());
        if (use.peak_bytes) {
            const double share = static_cast<double>(*use.peak_bytes) / static_cast<double>(limit);
            record_companion("peak", Unit::kB, static_cast<double>(*use.peak_bytes) / 1024, how);
            record_companion("peak_of_limit", Unit::ratio, share, how);
            std::printf("  peak %.1f MB, %.1f %% of the limit (page cache of the store counts)\n",
                        static_cast<double>(*use.peak_bytes) / 1048576, share * 100);
            EXPECT_LT(share, 1.0);
        } else {
            unknown("peak", Unit::kB);
            unknown("peak_of_limit", Unit::ratio);
        }
        if (use.throttled_seconds) {
            record_companion("throttled", Unit::ms, *use.throttled_seconds * 1000, how);
            std::printf("  throttled for %.0f ms\n", *use.throttled_seconds * 1000);
        } else {
            unknown("throttled", Unit::ms);
        }
        if (use.oom_kills) {
            record_companion("oom_kills", Unit::count, static_cast<double>(*use.oom_kills), how);
            std::printf("  killed for want of memory: %" PRIu64 "\n", *use.oom_kills);
            EXPECT_EQ(*use.oom_kills, 0U) << "the limit does not suffice";
        } else {  // an allocation is refused instead, and its process then ends, which an oracle sees
            unknown("oom_kills", Unit::count);
        }
    }

    void unknown(const std::string& metric, Unit unit) {
        const std::string why = "limits by " + name(group_->method()) + " do not count it";
        not_measured(metric, unit, why);
        std::printf("  %s not measured: %s\n", metric.c_str(), why.c_str());
    }

    const std::string program_ = test::worker_program();
    std::unique_ptr<test::LimitedGroup> group_;  // outlives the fleet
    std::unique_ptr<test::Fleet> fleet_;
};

TEST_P(TestScenario_Constrained, RunsAndRecovers) {
    const test::Limits limits{static_cast<double>(GetParam().cpus), GetParam().gigabytes * kGigabyte};
    auto made = test::LimitedGroup::make(limits);
    ASSERT_TRUE(made) << made.error();
    group_ = std::make_unique<test::LimitedGroup>(std::move(*made));
    std::printf("limits: %u processors, %u GB for workers and server together, by %s%s%s\n", GetParam().cpus,
                GetParam().gigabytes, name(group_->method()).c_str(), group_->why().empty() ? "" : "; not by ",
                group_->why().c_str());
    print_budget(1, 15);
    const auto launcher = group_->wrap(PARTI_LAUNCHER_FILE);
    ASSERT_TRUE(launcher) << launcher.error();
    ::setenv("PARTI_LAUNCHER", launcher->c_str(), 1);
    fleet_ = new_fleet({.partitions = kPartitions});
    ASSERT_TRUE(fleet_);
    EXPECT_TRUE(group_->holds(fleet_->server().pid())) << "nats-server is not limited";
    const std::int64_t begin = test::boot_now_ns();
    for (std::uint32_t i = 0; i < kHosts; ++i) ASSERT_NO_FATAL_FAILURE(add("host" + std::to_string(i), kWorkersEach));
    ASSERT_NO_FATAL_FAILURE(add("victim", 1));
    const std::uint64_t workers = kHosts * kWorkersEach;
    auto balance = fleet_->wait_balanced(kDeadline, workers + 1);
    ASSERT_TRUE(balance) << balance.error();
    record_companion("balanced", Unit::ms, static_cast<double>(test::boot_now_ns() - begin) / 1e6,
                     "with the start of the processes");
    ASSERT_NO_FATAL_FAILURE(rest());
    const auto memory = test::read_memory(fleet_->process(0).pid());
    ASSERT_TRUE(memory) << memory.error();
    record_companion("rss_anon", Unit::kB, static_cast<double>(memory->rss_anon) / 1024, "of a process with 25 workers");

    fleet_->kill(kHosts);
    const std::int64_t killed_ns = fleet_->process(kHosts).told_ns();
    balance = fleet_->wait_balanced(kDeadline, workers);
    ASSERT_TRUE(balance) << balance.error();
    const test::Timeline timeline = end_fleet(std::move(fleet_));
    const auto succession = timeline.succession(kHosts, killed_ns);
    ASSERT_TRUE(succession.all_owned_ns) << "what the killed process owned was never owned again";
    record_companion("crash_owned_again", Unit::ms, static_cast<double>(*succession.all_owned_ns - killed_ns) / 1e6);
    EXPECT_EQ(timeline.sessions.size(), workers + 1) << "a lease was lost and claimed anew: the limits leave too little time";

    const auto use = group_->use();
    ASSERT_TRUE(use) << use.error();
    record_use(*use, limits.memory_bytes);
    const auto ended = group_->end();
    EXPECT_TRUE(ended) << ended.error();
}

INSTANTIATE_TEST_SUITE_P(, TestScenario_Constrained, testing::Values(Machine{1, 1}, Machine{2, 2}, Machine{2, 4}),
                         [](const testing::TestParamInfo<Machine>& param) {
                             return std::to_string(param.param.cpus) + "cpu_" + std::to_string(param.param.gigabytes) + "gb";
                         });

}  // namespace
}  // namespace parti::stress
