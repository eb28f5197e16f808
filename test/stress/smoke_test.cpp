// TestStressSmoke: the suite's whole machinery in a few seconds, as part of `make test`.
#include <gtest/gtest.h>

#include <cstdio>

#include "stress_test.h"
#include "testutil/memory_probe.h"

namespace parti::stress {
namespace {

using test::Milliseconds;

constexpr Milliseconds kDeadline{20000};
constexpr std::uint32_t kPartitions = 20;

class TestStressSmoke : public StressTest {
protected:
    TestStressSmoke() : StressTest(false) {}

    void add(const std::string& label, std::uint32_t workers, std::size_t& index) {
        test::WorkerProcessOptions options;
        options.label = label;
        options.workers = workers;
        options.expected_workers = 3;
        const auto added = fleet_->add(options);
        ASSERT_TRUE(added) << added.error();
        index = *added;
        const auto started = fleet_->process(index).start_workers(0);
        ASSERT_TRUE(started) << started.error();
    }

    void expect_balanced(std::uint64_t workers) {
        const auto balance = fleet_->wait_balanced(kDeadline, workers);
        ASSERT_TRUE(balance) << balance.error();
        expect_covered(*fleet_);
    }

    std::unique_ptr<test::Fleet> fleet_;
};

TEST_F(TestStressSmoke, LeaveAndCrash) {
    fleet_ = new_fleet({.partitions = kPartitions});
    ASSERT_TRUE(fleet_);
    std::size_t two = 0, one = 0;
    ASSERT_NO_FATAL_FAILURE(add("two", 2, two));
    ASSERT_NO_FATAL_FAILURE(add("one", 1, one));
    ASSERT_NO_FATAL_FAILURE(expect_balanced(3));
    const auto memory = test::read_memory(fleet_->process(two).pid());
    ASSERT_TRUE(memory) << memory.error();
    if (measures()) {
        std::printf("2 workers: RssAnon %.0f kB\n", static_cast<double>(memory->rss_anon) / 1024);
    } else {
        std::printf("2 workers: memory not measured\n");
    }

    const auto asked = fleet_->process(two).stop_workers(1);
    ASSERT_TRUE(asked) << asked.error();
    ASSERT_NO_FATAL_FAILURE(expect_balanced(2));

    const auto status = fleet_->kill(one);
    EXPECT_EQ(status.signal, 9) << status.text();
    ASSERT_NO_FATAL_FAILURE(expect_balanced(1));
    const std::int64_t killed_ns = fleet_->process(one).told_ns();

    const test::Timeline timeline = end_fleet(std::move(fleet_));
    const auto succession = timeline.succession(one, killed_ns);
    EXPECT_EQ(succession.partitions, kPartitions / 2);
    ASSERT_TRUE(succession.all_owned_ns) << "what the killed process owned was never owned again";
    std::printf("crash: owned again after %.0f ms\n", static_cast<double>(*succession.all_owned_ns - killed_ns) / 1e6);
    EXPECT_EQ(timeline.sessions.size(), 3U) << "a session was lost and claimed anew";
}

}  // namespace
}  // namespace parti::stress
