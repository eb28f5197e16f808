// ExactLeakTest: whole lives of all workers of a process, one after the other, in the exact mode; what was read after each.
//
// Model     One fleet, one process (by default of 10 workers and 100 partitions), allocator pinned (testutil/leak.h). A cycle:
//           start, Stable and covered, stop, joined, nothing under way.
// Errors    GoogleTest failures; run() then returns nothing.
#pragma once

#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

#include "stress_test.h"
#include "testutil/leak.h"
#include "testutil/memory_probe.h"

namespace parti::stress {

class ExactLeakTest : public StressTest {
protected:
    static constexpr int kCycles = 12;
    struct Size {
        std::uint32_t workers = 10, partitions = 100;
    };

    explicit ExactLeakTest(bool records = true) : StressTest(records) {}

    // Empty: it failed.
    std::vector<report::CycleReading> run(int count, test::Milliseconds rest, std::uint64_t inject_leak) {
        return run({}, count, rest, inject_leak);
    }
    std::vector<report::CycleReading> run(Size size, int count, test::Milliseconds rest, std::uint64_t inject_leak) {
        auto fleet = new_fleet({.partitions = size.partitions});
        if (!fleet) return {};
        test::WorkerProcessOptions options;
        options.workers = size.workers;
        options.expected_workers = size.workers;
        options.env = report::exact_mode_environment();
        if (inject_leak > 0) options.args = {"--inject-leak", std::to_string(inject_leak)};
        std::vector<report::CycleReading> readings;
        const auto index = fleet->add(options);
        if (!index) ADD_FAILURE() << index.error();
        for (int i = 0; index && i < count && !HasFailure(); ++i) {
            auto reading = one(fleet->process(*index), rest);
            if (!reading) ADD_FAILURE() << "cycle " << i + 1 << ": " << reading.error();
            if (reading) readings.push_back(*reading);
        }
        static_cast<void>(end_fleet(std::move(fleet)));
        return HasFailure() ? std::vector<report::CycleReading>() : readings;
    }

    static void print(const std::vector<report::CycleReading>& readings) {
        std::printf("  cycle  live heap  change  RssAnon  threads  fds\n");
        std::uint64_t before = readings.front().live_bytes;
        for (std::size_t i = 0; i < readings.size(); ++i) {
            const report::CycleReading& r = readings[i];
            std::printf("  %5zu  %7" PRIu64 " B  %+4lld B  %4" PRIu64 " kB  %7" PRIu64 "  %3" PRIu64 "\n", i + 1, r.live_bytes,
                        static_cast<long long>(r.live_bytes) - static_cast<long long>(before), r.rss_anon / 1024, r.threads,
                        r.fds);
            before = r.live_bytes;
        }
        std::fflush(stdout);
    }

private:
    static test::Outcome<report::CycleReading> one(test::WorkerProcess& process, test::Milliseconds rest) {
        const auto live = process.cycle(rest, test::Milliseconds(45000));
        if (!live) return test::failure(live.error());
        const auto memory = test::read_memory(process.pid(), test::Detail::status);
        if (!memory) return test::failure(memory.error());
        const auto fds = test::count_fds(process.pid());
        if (!fds) return test::failure(fds.error());
        return report::CycleReading{*live, memory->rss_anon, memory->threads, *fds};
    }
};

}  // namespace parti::stress
