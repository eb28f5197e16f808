// StressTest: the frame of every test of the suite: seed, replay line, results, and the oracles.
//
// Role      A test starts fleets through new_fleet() and ends each with end_fleet(), which judges it; TearDown judges what is
//           left on the machine and writes the results. A fleet that was not ended is ended, and judged, by TearDown.
// Model     record() collects one value a launch; every metric is declared at its first use. In a build whose memory and times
//           say nothing (sanitizers, Debug) values of kinds other than exact are written as "not measured".
// Random    One 64-bit seed, printed with the line that repeats the test; PARTI_SEED sets it.
// Launches  PARTI_STRESS_LAUNCHES, else the test's default; 1 in a build that does not measure, and in profile smoke.
// Variants  PARTI_STRESS_STORE (file, memory) and PARTI_STRESS_STRATEGY reach every fleet; the results and the replay line say
//           so, nothing gates, and what only the default strategy promises is not expected.
// Criteria  Those of the run with abort_on_fail are judged at every record(); a broken one fails the test at once, and the tests
//           after it in the same run are skipped.
// Errors    Everything wrong is a GoogleTest failure; fail_because() adds what the suite's exit code shall say (98 leak, 102 left
//           behind). On a failure the histories and logs of the fleet are kept and their folder named.
// Threads   The test's main thread.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "testutil/budget.h"
#include "testutil/criteria.h"
#include "testutil/oracles.h"
#include "testutil/results.h"
#include "testutil/server_watch.h"

namespace parti::stress {

class StressTest : public testing::Test {
protected:
    // `records`: writes a result file (the tests of label stress).
    explicit StressTest(bool records = true) : records_(records) {}
    void SetUp() override;
    void TearDown() override;

    std::uint64_t seed() const { return seed_; }
    std::mt19937_64& random() { return random_; }
    std::uint64_t launches(std::uint64_t by_default) const;
    // Of every worker, in a launch's window: 10, and in the long profiles as many as fit into the 60 s of the suite's ancestor.
    std::uint64_t window_renewals() const { return profile() >= Profile::nightly ? 200 : 10; }
    bool measures() const { return not_measured_.empty(); }
    // "budget: 5 launches x 6 s = 30 s"
    void print_budget(std::uint64_t launches, double seconds_each);

    // nullptr: it did not start, and the test has failed.
    std::unique_ptr<test::Fleet> new_fleet(test::FleetOptions options);
    // What the fleets' strategy promises: every worker its share to one partition; and, as the default does, no needless move.
    bool evens_out() const;
    bool moves_least() const;
    // Ends and judges; the timeline of the whole life of the fleet.
    test::Timeline end_fleet(std::unique_ptr<test::Fleet> fleet, const test::OracleOptions& options = {});
    // Judges while the fleet lives: every partition has exactly one owner just now.
    void expect_covered(const test::Fleet& fleet);

    void record(report::Metric metric, double value);
    void record_memory(const std::string& name, report::Unit unit, double value, bool gate);
    void record_duration(const std::string& name, double milliseconds, bool gate = true);
    void record_count(const std::string& name, double value);  // exact, gated
    void record_companion(const std::string& name, report::Unit unit, double value, const std::string& note = {});
    // A metric that this launch could not measure, because ...: in the results it is "not measured" with the reason, unless
    // another launch measured it. Nothing vanishes, and no criterion is judged by it.
    void not_measured(report::Metric metric, const std::string& why);
    void not_measured(const std::string& name, report::Unit unit, const std::string& why);  // of a companion
    // A failure with a cause of its own. The cause counts when nothing else failed before.
    void fail_because(report::ExitCode cause, const std::string& text);
    // That, with the cause and the program's exit code "a leak was found" (98).
    void fail_as_leak(const std::string& text);
    double median_of(const std::string& name) const;  // 0: never recorded
    // For the report, beside the metrics (testutil/details.h). The first series, fit or distribution of a name counts; nothing is
    // kept in a build that does not measure, except anomalies.
    void record_series(report::Curve series);
    void record_fit(report::Fit fit);
    void record_distribution(report::Distribution distribution);
    void note_anomaly(const std::string& text, const std::string& excerpt = {});
    void set_window(const std::string& window) { window_ = window; }
    const std::string& window() const { return window_; }
    void set_mode(const std::string& mode) { mode_ = mode; }  // "exact": the measured process has a pinned allocator
    std::string result_name() const;                          // "TestScale_SmallCluster/3w_100p"

private:
    std::string replay_line() const;
    void read_limits();
    void judge_live();
    void keep_files(const test::Fleet& fleet);
    void begin_records();
    void write_results();
    void print_time() const;
    std::string cool_down();
    void record_server();

    const bool records_;
    std::chrono::steady_clock::time_point begin_{};
    std::uint64_t seed_ = 0;
    std::mt19937_64 random_;
    std::string not_measured_;
    std::string window_ = "none";
    std::string mode_ = "prod";
    std::uint64_t launches_made_ = 1;
    report::Versions versions_;
    std::vector<report::Metric> metrics_;
    std::unique_ptr<report::ResultWriter> writer_;
    std::unique_ptr<test::ServerWatch> server_watch_;  // of the fleet that lives
    report::Criteria limits_;
    report::ExitCode cause_ = report::ExitCode::test_failed;
    bool aborted_ = false;
};

}  // namespace parti::stress
