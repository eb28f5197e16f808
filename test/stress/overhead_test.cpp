// TestMemoryBenchmark_PerWorkerOverhead and _PerPartitionOverhead: what one more worker, and one more partition, costs a process.
#include <gtest/gtest.h>

#include <cstdio>

#include "overhead.h"

namespace parti::stress {
namespace {

constexpr double kSecondsEach = 4.8;

class TestMemoryBenchmark_PerWorkerOverhead : public OverheadTest {};
class TestMemoryBenchmark_PerPartitionOverhead : public OverheadTest {};

// In profile standard, of 10, 25 and 50 workers IsolatedParti's launches are there already.
const Budget of_workers("TestMemoryBenchmark_PerWorkerOverhead.Slope", {.standard = 65, .nightly = 125});
const Budget of_partitions("TestMemoryBenchmark_PerPartitionOverhead.Slope", {.nightly = 145});

TEST_F(TestMemoryBenchmark_PerWorkerOverhead, Slope) {
    constexpr double kTarget = 24 * 1024;
    constexpr double kLeastLive = 512;  // bytes; a worker that costs less was not there
    const bool shared = profile() == Profile::standard;
    set_window(shared ? "10 renewals" : "10 renewals; 1, 5, 10, 20, 30 workers");  // another design: not compared with the other
    std::vector<Size> sizes;
    for (const std::uint32_t workers : {1U, 5U, 10U, shared ? 25U : 20U, shared ? 50U : 30U}) {
        sizes.push_back({workers, 500, static_cast<double>(workers)});
    }
    ASSERT_TRUE(measure(sizes, launches(5), kSecondsEach));
    if (!measures()) return;
    conclude("worker");
    const double slope = anonymous_line().slope;
    std::printf("target: at most %.0f kB of anonymous memory for each further worker: %s (%.1f kB)\n", kTarget / 1024,
                slope <= kTarget ? "reached" : "MISSED", slope / 1024);
    EXPECT_GT(live_line().lower, kLeastLive) << "implausible: a further worker costs nothing";
}

// Every launch is made here: the one profile that has this test gives IsolatedParti a longer window.
TEST_F(TestMemoryBenchmark_PerPartitionOverhead, Slope) {
    constexpr std::uint32_t kWorkers = 10;
    constexpr double kLeastLive = 16;  // bytes; a partition that costs less is not there
    set_window("10 renewals");
    std::vector<Size> sizes;
    for (const std::uint32_t partitions : {50U, 100U, 200U, 500U, 1000U, 10'000U}) {
        sizes.push_back({kWorkers, partitions, static_cast<double>(partitions)});
    }
    ASSERT_TRUE(measure(sizes, launches(5), kSecondsEach));
    if (!measures()) return;
    conclude("partition");
    EXPECT_GT(live_line().lower, kLeastLive) << "implausible: a further partition costs nothing";
}

}  // namespace
}  // namespace parti::stress
