// TestScale_ProcessFleet: one worker per process, 1 to 25 processes; and the same 25 workers as 1, 3 and 25 processes, side by
// side: memory, CPU, and what a kill -9 and a stop of one process cost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "launch_test.h"
#include "testutil/memory_probe.h"

namespace parti::stress {
namespace {

using report::Unit;
using test::Milliseconds;

constexpr std::uint32_t kPartitions = 100;
constexpr Milliseconds kPatience{30000};
constexpr Milliseconds kStopped{2500};  // longer than a lease of the test timing

struct Sizes {
    std::uint32_t workers = 0;
    std::vector<std::uint32_t> processes;  // arrangements, measured in turn
};
void PrintTo(const Sizes& s, std::ostream* out) { *out << s.workers << "w"; }

// Disturbed on purpose: what the victims and their neighbours say about it is right.
const test::OracleOptions kOracles{{"lease_lost", "link_down", "timeout"}};

struct Measured {
    double memory_kb = 0;  // sum over the processes
    double rss_kb = 0;     // of the largest process; resident memory is shared, so a sum would say nothing
    double cpu_ms_per_s = 0;
    double server_in = 0, server_out = 0;  // per second
    std::uint64_t threads = 0, connections = 0, consumers = 0;
    std::int64_t crashed_ns = 0, stopped_ns = 0, crash_to_ns = 0, stop_to_ns = 0;
    std::size_t crashed = 0, stopped = 0;
};

class TestScale_ProcessFleet : public StressTest, public testing::WithParamInterface<Sizes> {
protected:
    void add(std::uint32_t workers, std::size_t& index) {
        test::WorkerProcessOptions options;
        options.label = "p" + std::to_string(next_label_++);
        options.workers = workers;
        options.expected_workers = GetParam().workers;
        const auto added = fleet_->add(options);
        ASSERT_TRUE(added) << added.error();
        index = *added;
    }

    // 25 as 3: 9, 8 and 8.
    void start(std::uint32_t processes) {
        const std::uint32_t workers = GetParam().workers;
        fleet_ = new_fleet({.partitions = kPartitions});
        ASSERT_TRUE(fleet_);
        next_label_ = 0;
        for (std::uint32_t i = 0; i < processes; ++i) {
            std::size_t index = 0;
            ASSERT_NO_FATAL_FAILURE(add(workers / processes + (i < workers % processes ? 1 : 0), index));
        }
        for (const std::size_t index : fleet_->alive()) {
            const auto started = fleet_->process(index).start_workers(0);
            ASSERT_TRUE(started) << started.error();
        }
        ASSERT_NO_FATAL_FAILURE(wait_balanced("start"));
    }

    void wait_balanced(const char* after) {
        const auto balance = fleet_->wait_even(kPatience, GetParam().workers);
        ASSERT_TRUE(balance) << after << ": " << balance.error();
    }

    std::uint64_t sum_of(const char* what) {
        std::uint64_t sum = 0;
        for (const std::size_t i : fleet_->alive()) {
            const auto stats = fleet_->process(i).stats();
            EXPECT_TRUE(stats) << stats.error();
            if (stats && stats->count(what) != 0) sum += stats->at(what);
        }
        return sum;
    }

    void renewals_of(std::size_t process, std::uint64_t& out) {
        const auto stats = fleet_->process(process).stats();
        ASSERT_TRUE(stats && stats->count("renewals") != 0) << (stats ? "no count of renewals" : stats.error());
        out = stats->at("renewals");
    }

    // Until all workers together have renewed `times` each.
    void wait_renewals(std::uint64_t times) {
        const std::uint64_t target = sum_of("renewals") + times * GetParam().workers;
        const std::int64_t deadline = test::boot_now_ns() + std::chrono::nanoseconds(kPatience).count();
        while (sum_of("renewals") < target) {
            ASSERT_LT(test::boot_now_ns(), deadline) << "the workers do not renew";
            fleet_->process(fleet_->alive().front()).listen_for(Milliseconds(100));
        }
    }

    double cpu_seconds() {
        double sum = 0;
        for (const std::size_t i : fleet_->alive()) {
            const auto times = test::read_times(fleet_->process(i).pid());
            EXPECT_TRUE(times) << times.error();
            if (times) sum += times->cpu_seconds;
        }
        return sum;
    }

    // One pass over all processes: Pss_Anon, else RssAnon.
    double anonymous_kb(double& largest_rss_kb) {
        double sum = 0;
        for (const std::size_t i : fleet_->alive()) {
            const auto memory = test::read_memory(fleet_->process(i).pid());
            EXPECT_TRUE(memory) << memory.error();
            if (!memory) continue;
            sum += kilobytes(static_cast<double>(memory->pss_anon.value_or(memory->rss_anon)));
            largest_rss_kb = std::max(largest_rss_kb, kilobytes(static_cast<double>(memory->rss)));
        }
        return sum;
    }

    void measure_at_rest(Measured& m) {
        ASSERT_NO_FATAL_FAILURE(wait_renewals(2));
        const auto before = test::read_server_stats(fleet_->server().monitor_url());
        ASSERT_TRUE(before) << before.error();
        const double cpu = cpu_seconds();
        const std::int64_t from = test::boot_now_ns();
        std::vector<double> memory;
        for (int i = 0; i < 5; ++i) {
            ASSERT_NO_FATAL_FAILURE(wait_renewals(2));
            memory.push_back(anonymous_kb(m.rss_kb));
        }
        const double seconds = static_cast<double>(test::boot_now_ns() - from) / 1e9;
        m.memory_kb = test::spread_of(memory).median;
        m.cpu_ms_per_s = (cpu_seconds() - cpu) * 1000 / seconds;
        const auto after = test::read_server_stats(fleet_->server().monitor_url());
        ASSERT_TRUE(after) << after.error();
        m.server_in = static_cast<double>(after->in_msgs - before->in_msgs) / seconds;
        m.server_out = static_cast<double>(after->out_msgs - before->out_msgs) / seconds;
        m.connections = after->connections;
        m.consumers = after->consumer_count;
        for (const std::size_t i : fleet_->alive()) {
            const auto threads = test::read_threads(fleet_->process(i).pid());
            ASSERT_TRUE(threads) << threads.error();
            for (const auto& thread : *threads) m.threads += thread.second;
        }
    }

    std::size_t any_process() {
        const auto alive = fleet_->alive();
        return alive[std::uniform_int_distribution<std::size_t>(0, alive.size() - 1)(random())];
    }

    // As a supervisor does: what is killed is started again at once.
    void crash(Measured& m) {
        m.crashed = any_process();
        const std::uint32_t workers = fleet_->process(m.crashed).options().workers;
        EXPECT_EQ(fleet_->kill(m.crashed).signal, 9);
        m.crashed_ns = fleet_->process(m.crashed).told_ns();
        std::size_t index = 0;
        ASSERT_NO_FATAL_FAILURE(add(workers, index));
        const auto started = fleet_->process(index).start_workers(0);
        ASSERT_TRUE(started) << started.error();
        ASSERT_NO_FATAL_FAILURE(wait_balanced("kill -9"));
        m.crash_to_ns = test::boot_now_ns();
    }

    void stop_and_continue(Measured& m) {
        m.stopped = any_process();
        std::uint64_t renewals = 0;
        ASSERT_NO_FATAL_FAILURE(renewals_of(m.stopped, renewals));
        m.stopped_ns = test::boot_now_ns();
        ASSERT_TRUE(fleet_->process(m.stopped).pause());
        std::this_thread::sleep_for(kStopped);  // the fault itself is a time
        ASSERT_TRUE(fleet_->process(m.stopped).resume());
        // At first it says what it was before the pause: it has noticed when its workers have leases again, and renew them.
        const std::uint64_t target = renewals + fleet_->process(m.stopped).options().workers;
        const std::int64_t deadline = test::boot_now_ns() + std::chrono::nanoseconds(kPatience).count();
        for (std::uint64_t now = 0; now < target;) {
            ASSERT_LT(test::boot_now_ns(), deadline) << "the continued workers do not renew";
            fleet_->process(m.stopped).listen_for(Milliseconds(50));
            ASSERT_NO_FATAL_FAILURE(renewals_of(m.stopped, now));
        }
        ASSERT_NO_FATAL_FAILURE(wait_balanced("stop and continue"));
        m.stop_to_ns = test::boot_now_ns();
    }

    void judge(std::uint32_t processes, const Measured& m, const test::Timeline& timeline) {
        const std::string prefix = "in_" + std::to_string(processes) + "_";
        record_memory(prefix + "pss_anon", Unit::kB, m.memory_kb, true);
        record_count(prefix + "threads", static_cast<double>(m.threads));
        record_companion(prefix + "largest_rss", Unit::kB, m.rss_kb);
        record_companion(prefix + "cpu", Unit::ms, m.cpu_ms_per_s, "of all worker processes, per second at rest");
        record_companion(prefix + "server_in", Unit::per_s, m.server_in);
        record_companion(prefix + "server_out", Unit::per_s, m.server_out);
        record_companion(prefix + "connections", Unit::count, static_cast<double>(m.connections));
        record_companion(prefix + "consumers", Unit::count, static_cast<double>(m.consumers));
        const auto crash = timeline.succession(m.crashed, m.crashed_ns);
        const auto stop = timeline.succession(m.stopped, m.stopped_ns);
        ASSERT_TRUE(crash.all_owned_ns) << "what the killed process owned was not owned again";
        ASSERT_TRUE(stop.all_owned_ns) << "what the stopped process owned was not owned again";
        if (evens_out()) {
            EXPECT_GE(crash.partitions, kPartitions / GetParam().workers) << "it owned less than a worker's share";
        }
        const double crash_ms = static_cast<double>(*crash.all_owned_ns - m.crashed_ns) / 1e6;
        const double stop_ms = static_cast<double>(*stop.all_owned_ns - m.stopped_ns) / 1e6;
        record_duration(prefix + "crash_owned_again", crash_ms);
        record_duration(prefix + "stop_owned_again", stop_ms);
        record_companion(prefix + "crash_partitions", Unit::count, static_cast<double>(crash.partitions));
        std::printf(
            "  as %2u: %6.0f kB anonymous  %5.1f ms CPU/s  %3llu threads  %2llu connections  %3llu consumers  server in %4.0f "
            "out %4.0f /s"
            "  kill -9: %3zu partitions owned again after %4.0f ms  stop: %3zu after %4.0f ms\n",
            processes, m.memory_kb, m.cpu_ms_per_s, static_cast<unsigned long long>(m.threads),
            static_cast<unsigned long long>(m.connections), static_cast<unsigned long long>(m.consumers), m.server_in,
            m.server_out, crash.partitions, crash_ms, stop.partitions, stop_ms);
        std::fflush(stdout);
    }

    std::unique_ptr<test::Fleet> fleet_;
    std::uint32_t next_label_ = 0;
};

const Budget budget("TestScale_ProcessFleet.AtRestCrashAndStop/*w", {.nightly = 75});
const Budget of_25w("TestScale_ProcessFleet.AtRestCrashAndStop/25w_as_1_3_25", {.nightly = 240});

TEST_P(TestScale_ProcessFleet, AtRestCrashAndStop) {
    const std::uint64_t count = launches(4);
    std::vector<std::uint32_t> arrangements = GetParam().processes;
    set_window("10 renewals");
    print_budget(count * arrangements.size(), 14);
    std::printf("%u workers, %u partitions\n", GetParam().workers, kPartitions);
    for (std::uint64_t i = 0; i < count; ++i) {
        std::shuffle(arrangements.begin(), arrangements.end(), random());
        for (const std::uint32_t processes : arrangements) {
            Measured measured;
            ASSERT_NO_FATAL_FAILURE(start(processes));
            ASSERT_NO_FATAL_FAILURE(measure_at_rest(measured));
            ASSERT_NO_FATAL_FAILURE(crash(measured));
            ASSERT_NO_FATAL_FAILURE(stop_and_continue(measured));
            expect_covered(*fleet_);
            ASSERT_NO_FATAL_FAILURE(judge(processes, measured, end_fleet(std::move(fleet_), kOracles)));
        }
    }
    if (!measures() || arrangements.size() < 2) return;
    // What a process costs by itself is paid once in one process, and 25 times in 25.
    EXPECT_GT(median_of("in_25_pss_anon"), 2 * median_of("in_1_pss_anon")) << "implausible: 25 processes cost as much as one";
    EXPECT_GT(median_of("in_25_threads"), 20 * median_of("in_1_threads"));
}

std::string case_name(const testing::TestParamInfo<Sizes>& info) {
    std::string text = std::to_string(info.param.workers) + "w";
    if (info.param.processes.size() == 1) return text;
    text += "_as";
    for (const std::uint32_t processes : info.param.processes) text += "_" + std::to_string(processes);
    return text;
}
INSTANTIATE_TEST_SUITE_P(, TestScale_ProcessFleet,
                         testing::Values(Sizes{1, {1}}, Sizes{5, {5}}, Sizes{10, {10}}, Sizes{25, {1, 3, 25}}), case_name);

}  // namespace
}  // namespace parti::stress
