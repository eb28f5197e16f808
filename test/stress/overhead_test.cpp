// TestMemoryBenchmark_PerPartitionOverhead: what one more partition costs a process.
#include <gtest/gtest.h>

#include "overhead.h"

namespace parti::stress {
namespace {

class TestMemoryBenchmark_PerPartitionOverhead : public OverheadTest {};

const Budget of_partitions("TestMemoryBenchmark_PerPartitionOverhead.Slope", {.standard = 115, .nightly = 115});

// With 10 workers, as IsolatedParti has them: its launches of 100 and 500 partitions count here too.
TEST_F(TestMemoryBenchmark_PerPartitionOverhead, Slope) {
    constexpr std::uint32_t kWorkers = 10;
    constexpr double kLeastLivePerPartition = 16;  // bytes; a partition that costs less is not there
    set_window(std::to_string(window_renewals()) + " renewals");
    std::vector<Size> sizes;
    for (const std::uint32_t partitions : {50U, 100U, 200U, 500U, 1000U, 10'000U}) {
        sizes.push_back({kWorkers, partitions, static_cast<double>(partitions)});
    }
    ASSERT_TRUE(measure(sizes, launches(5), 4.8));
    if (!measures()) return;
    conclude("partition");
    EXPECT_GT(live_line().lower, kLeastLivePerPartition) << "implausible: a further partition costs nothing";
}

}  // namespace
}  // namespace parti::stress
