#include "testutil/memory_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace parti::test {
namespace {

const char* const status_text =
    "Name:\tworker-host\nState:\tS (sleeping)\nVmHWM:\t   9000 kB\nVmRSS:\t    8000 kB\nRssAnon:\t    1234 kB\nRssFile:\t 6766 "
    "kB\n"
    "Threads:\t7\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t3\n";

TEST(MemoryProbe, ReadsStatus) {
    const auto sample = parse_status(status_text);
    ASSERT_TRUE(sample) << sample.error();
    EXPECT_EQ(sample->rss_anon, 1234U * 1024);
    EXPECT_EQ(sample->rss, 8000U * 1024);
    EXPECT_EQ(sample->hwm, 9000U * 1024);
    EXPECT_EQ(sample->threads, 7U);
    EXPECT_EQ(sample->voluntary_switches, 42U);
    EXPECT_EQ(sample->involuntary_switches, 3U);
    EXPECT_FALSE(sample->pss);
    EXPECT_FALSE(sample->uss());
}

TEST(MemoryProbe, RefusesAStatusWithoutMemory) {
    EXPECT_FALSE(parse_status("Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n"));
    EXPECT_FALSE(parse_status("Name:\tkthread\nState:\tS\nThreads:\t1\n"));
    EXPECT_FALSE(parse_status("VmHWM:\t9 kB\nVmRSS:\t8 MB\nRssAnon:\t1 kB\nThreads:\t1\n")) << "another unit";
    EXPECT_FALSE(parse_status(""));
}

TEST(MemoryProbe, ReadsRollup) {
    MemorySample sample;
    ASSERT_TRUE(
        parse_rollup("5500-7ffe ---p 00000000 00:00 0    [rollup]\nRss:  100 kB\nPss:   60 kB\nPss_Dirty: 40 kB\n"
                     "Pss_Anon:  30 kB\nPrivate_Clean: 5 kB\nPrivate_Dirty:  25 kB\n",
                     sample));
    EXPECT_EQ(sample.pss.value_or(0), 60U * 1024);
    EXPECT_EQ(sample.pss_anon.value_or(0), 30U * 1024);
    EXPECT_EQ(sample.private_dirty.value_or(0), 25U * 1024);
    EXPECT_EQ(sample.uss().value_or(0), 30U * 1024);
    EXPECT_FALSE(parse_rollup("Rss: 100 kB\n", sample));
}

TEST(MemoryProbe, ReadsCpuTimeBehindAnAwkwardName) {
    const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto cpu = parse_stat_cpu("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1\n");
    ASSERT_TRUE(cpu) << cpu.error();
    EXPECT_DOUBLE_EQ(*cpu, 200 * tick);
    EXPECT_FALSE(parse_stat_cpu("12 (a) S 1 2"));
    EXPECT_FALSE(parse_stat_cpu("nothing"));
}

TEST(MemoryProbe, ReadsTheCpuTimeOfOneThread) {
    EXPECT_DOUBLE_EQ(parse_schedstat("1500000000 12 3\n").value_or(0), 1.5);
    EXPECT_FALSE(parse_schedstat(""));
    EXPECT_FALSE(parse_schedstat("x 1 2"));
    const auto own = read_thread_cpu(::getpid(), ::getpid());
    ASSERT_TRUE(own) << own.error();
    EXPECT_GT(*own, 0);
    EXPECT_FALSE(read_thread_cpu(::getpid(), 1));
}

TEST(MemoryProbe, ReadsPressure) {
    const auto pressure =
        parse_pressure("some avg10=1.50 avg60=2.25 avg300=0.00 total=123456\nfull avg10=0.10 avg60=0.20 avg300=0.30 total=99\n");
    ASSERT_TRUE(pressure) << pressure.error();
    EXPECT_DOUBLE_EQ(pressure->some.avg10, 1.5);
    EXPECT_DOUBLE_EQ(pressure->some.avg60, 2.25);
    EXPECT_EQ(pressure->some.total_us, 123456U);
    EXPECT_DOUBLE_EQ(pressure->full.avg300, 0.3);
    EXPECT_EQ(pressure->full.total_us, 99U);
    EXPECT_FALSE(parse_pressure("some avg10=x avg60=0 avg300=0 total=0\n"));
    EXPECT_FALSE(parse_pressure("full avg10=0 avg60=0 avg300=0 total=0\n"));
    EXPECT_FALSE(parse_pressure(""));
}

TEST(MemoryProbe, ReadsStolenTime) {
    const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto times = parse_machine_times("cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
    ASSERT_TRUE(times) << times.error();
    EXPECT_NEAR(times->total_seconds, 360 * tick, 1e-9);  // guest times are part of user and nice
    EXPECT_NEAR(times->idle_seconds, 90 * tick, 1e-9);
    EXPECT_NEAR(times->steal_seconds, 80 * tick, 1e-9);
    EXPECT_FALSE(parse_machine_times("cpu 1 2 3\n"));
    EXPECT_FALSE(parse_machine_times("intr 1 2 3 4 5 6 7 8\n"));
}

TEST(MemoryProbe, TheSpreadOfNothingHasNoCount) {
    EXPECT_EQ(spread_of({}).count, 0U);
    const Spread odd = spread_of({5, 1, 3});
    EXPECT_EQ(odd.minimum, 1);
    EXPECT_EQ(odd.median, 3);
    EXPECT_EQ(odd.maximum, 5);
    EXPECT_EQ(spread_of({4, 1, 2, 3}).median, 2.5);
}

TEST(MemoryProbe, AWindowTakesTheUsualThreadCountAndSaysWhenItChanged) {
    std::vector<MemorySample> samples(5);
    for (std::size_t i = 0; i < samples.size(); ++i) {
        samples[i].rss_anon = 100 * (i + 1);
        samples[i].threads = i == 0 ? 3 : 4;
        samples[i].hwm = 1000 + i;
    }
    samples[2].pss = 7;
    const Window window = window_of(samples);
    EXPECT_EQ(window.samples, 5U);
    EXPECT_EQ(window.rss_anon.median, 300);
    EXPECT_EQ(window.threads, 4U);
    EXPECT_FALSE(window.threads_constant);
    EXPECT_EQ(window.hwm, 1004U);
    EXPECT_EQ(window.pss.count, 1U);
    EXPECT_EQ(window.uss.count, 0U);
    EXPECT_EQ(window_of({}).samples, 0U);
}

}  // namespace
}  // namespace parti::test
