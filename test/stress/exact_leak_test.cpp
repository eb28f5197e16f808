// TestMemoryBenchmark_ExactLeak: nothing is kept by workers that have ended, to the byte.
//
// Exit code 98 when a leak was found. PARTI_STRESS_INJECT_LEAK=16: every start of a worker leaks so many bytes.
#include <gtest/gtest.h>

#include <cstdlib>

#include "exact_leak.h"

namespace parti::stress {
namespace {

class TestMemoryBenchmark_ExactLeak : public ExactLeakTest {};

const Budget of_cycles("TestMemoryBenchmark_ExactLeak.Cycles", {.standard = 40, .nightly = 40});

TEST_F(TestMemoryBenchmark_ExactLeak, Cycles) {
    set_mode("exact");
    set_window("12 cycles");
    // Longer than any request's time limit: then no timer is left whose memory is there in one cycle and not in the next.
    constexpr test::Milliseconds kRest{2300};
    print_budget(kCycles, 2.8);
    const char* injected = std::getenv("PARTI_STRESS_INJECT_LEAK");
    const auto readings = run(kCycles, kRest, injected == nullptr ? 0 : std::strtoull(injected, nullptr, 10));
    ASSERT_FALSE(readings.empty());
    print(readings);
    if (!measures()) return;  // the allocator of a sanitizer does not count
    const auto judged = report::judge_cycles(readings);
    std::printf("%s: %s\n", std::string(report::name(judged.verdict)).c_str(), judged.why.c_str());
    if (judged.verdict == report::ExactVerdict::leak) fail_as_leak(judged.why);
    else EXPECT_EQ(judged.verdict, report::ExactVerdict::constant) << judged.why;
    record_count("threads", static_cast<double>(readings.back().threads));
    record_count("fds", static_cast<double>(readings.back().fds));
    record_companion("bytes_per_cycle", report::Unit::bytes, judged.bytes_per_cycle, "median change of the live heap");
    record_companion("live_heap_spread", report::Unit::bytes, static_cast<double>(judged.spread),
                     "over the cycles after the third");
    record_companion("live_heap_at_rest", report::Unit::bytes, static_cast<double>(readings.back().live_bytes),
                     "no worker, one connection");
}

}  // namespace
}  // namespace parti::stress
