// LaunchTest: a stress test made of launches; records what each measured.
//
// Model     launch() makes one fleet, runs the plan, judges the fleet and records. A launch whose figures are doubtful is made
//           again, at most twice, and six times in one test; what came out of the last one counts. Memory is doubtful under steal
//           or memory pressure and while it still drifts, times also on a busy machine. PARTI_STRESS_INJECT_MEMORY=15% is given
//           to worker-host, to show that the diff notices.
// Errors    GoogleTest failures; launch() then returns nothing.
#pragma once

#include <functional>
#include <optional>

#include "launch.h"
#include "stress_test.h"

namespace parti::stress {

struct Launched {
    LaunchSample sample;
    test::Timeline timeline;
};

enum class Subject : std::uint8_t { memory, times };

class LaunchTest : public StressTest {
protected:
    // `then` is called with the fleet once everything is measured, before it ends.
    std::optional<Launched> launch(LaunchPlan plan, Subject subject, const std::function<void(test::Fleet&)>& then = {});
    void print(const LaunchPlan& plan, const LaunchSample& sample) const;
    // Memory, companions, times and server counters, as SUITE.md section 3 lists them.
    void record_launch(const LaunchSample& sample);
    // What the server counts while nothing happens, over 10 s (2 s in profile smoke).
    void record_server_at_rest(test::Fleet& fleet);

private:
    void record_memory_series(const LaunchSample& sample);

    std::uint64_t repeats_ = 0, launches_begun_ = 0;
};

double kilobytes(double bytes);
std::string text_of(const test::ThreadNames& threads);

}  // namespace parti::stress
