// Baseline: the stored figures that later runs are judged against. A file under review, never written by a run of the suite.
//
// Model     Merged from several runs, whose launches are kept apart and raw. Keys are sorted, so that a change reads well in
//           review. A folder may hold several, one per machine and build class; choose_baseline() takes the one under which most
//           kinds gate.
// Errors    A file that is cut off, of another schema, or with a metric that breaks a rule: bad_input naming file, key and rule.
// Threads   Values.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "testutil/problem.h"
#include "testutil/results.h"

namespace parti::report {

inline constexpr std::string_view kBaselineSchema = "parti-stress-baseline/1";
inline constexpr std::size_t kHistoryKept = 5;
inline constexpr std::size_t kFewestRunsForSpread = 5, kMostRunsForSpread = 10;

struct PastMedian {
    std::string created, commit;
    double median = 0;
};

struct BaselineMetric {
    std::string test;
    Metric head;                               // launches stays empty
    std::vector<std::vector<double>> runs;     // launches of each run; the order is that of the test's runs
    std::optional<double> relative_threshold;  // overrides the kind's; set by hand, in review
    std::vector<PastMedian> history;           // oldest first

    std::vector<double> launches() const;  // of all runs
    // How far the runs' medians lie apart, relative to theirs (1.4826 * MAD of the last ten); nothing with fewer than five runs.
    std::optional<double> between_runs() const;
};

struct BaselineTest {
    Protocol protocol;
    std::vector<std::string> runs;  // ids
};

struct Baseline {
    std::string label;  // the file's name, for messages
    std::string created, reason, commit;
    bool dirty = false;
    Fingerprint fingerprint;
    Versions versions;
    std::map<std::string, BaselineTest> tests;
    std::map<std::string, BaselineMetric> metrics;  // by "TEST/METRIC"
};

// Results used as the baseline of others: of a build beside another one, of an earlier Google Benchmark file. Requires: not
// empty.
Baseline baseline_of(const std::vector<TestResult>& results, const std::string& label);

Outcome<Baseline> read_baseline(const std::filesystem::path& file);
Outcome<void> write_baseline(const std::filesystem::path& file, const Baseline& baseline);

struct Choice {
    std::optional<Baseline> baseline;  // absent: the folder holds none
    std::string why;                   // one line for the reader
};
// Every *.json of the folder must be a valid baseline. Of those that may judge as much, the one that has most of the tests with
// the same window as the results: a profile's own, where there is one.
Outcome<Choice> choose_baseline(const std::filesystem::path& folder, const Fingerprint& current,
                                const std::vector<TestResult>& results = {});
// "x86_64-b8601e59.json"; of another profile than standard "x86_64-b8601e59-nightly.json".
std::string baseline_file_name(const TestResult& result);

}  // namespace parti::report
