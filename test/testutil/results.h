// TestResult, ResultWriter: what one stress test measured in one run, as a file.
//
// Model     A run is a folder with run.json; each test that runs in it owns one file. ResultWriter writes the file at once with
//           status `started` and again with `passed` or `failed`, so that a test that crashed differs from one that never ran. A
//           writer that goes out of scope without finish() writes `failed`.
//               ResultWriter out("TestScale_SmallCluster/3w_100p");
//               out.add_metric({.name = "rss_anon", .unit = Unit::kB, .kind = Kind::anon_memory, .launches = {...}});
//               out.not_measured({.name = "live_heap", .unit = Unit::bytes, .kind = Kind::anon_memory}, "sanitizer build");
//               out.add_series({.name = "rss_anon", .unit = Unit::kB, .times_ms = {...}, .values = {...}});
//               const auto written = out.finish(!HasFailure());
//           The run folder is $PARTI_STRESS_RUN_DIR (a run folder, or a root whose `current` names one), else a folder `manual`
//           of the build's stress-results that each process starts anew.
// Errors    The first broken rule is kept and returned by finish(), which then writes `failed`.
// Threads   One thread per object.
// Lifetime  The file stays; nothing else does.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "testutil/details.h"
#include "testutil/fingerprint.h"
#include "testutil/metric.h"
#include "testutil/problem.h"

namespace parti::report {

enum class TestStatus { started, passed, failed };
std::string_view name(TestStatus status);

// How the launches were made. Window and mode must agree with the baseline's before anything but an exact count gates.
struct Protocol {
    std::uint64_t launches = 0;
    std::string window;  // in operations: "10 renewals"
    std::uint64_t seed = 0;
    std::string mode = "prod";  // prod: allocator untouched; exact: caches pinned
    std::string replay;         // the line that repeats the test
    // The same for a program: what confirmation runs (empty: cannot be repeated).
    std::string program{}, filter{};                   // path; GoogleTest filter
    std::map<std::string, std::string> environment{};  // PARTI_* settings the test saw, but for seed, run folder and tag
    friend bool operator==(const Protocol&, const Protocol&) = default;
};

using Versions = std::map<std::string, std::string>;
// suite, nats_c and boost of this build. A test adds nats_server, nats_server_sha256 and worker_host_sha256.
Versions local_versions();

struct TestResult {
    std::string run;
    std::string test;
    TestStatus status = TestStatus::started;
    ExitCode cause = ExitCode::test_failed;  // why it failed: leak, criterion, orphan; else a plain failure
    std::string started, finished;           // UTC, 2026-11-20T20:40:00Z; finished is empty until then
    std::string commit = std::string(kUnknown);
    bool dirty = false;
    Fingerprint fingerprint;
    Versions versions;
    Protocol protocol;
    std::vector<Metric> metrics;  // names unique
    Details details;              // for the report; never judged

    std::chrono::seconds duration() const;  // 0: not known
    const Metric* find(std::string_view metric_name) const;
    std::string key(const Metric& metric) const { return test + "/" + metric.name; }
};

// The PARTI_* settings of this process that its measurements may depend on: all but seed, run folder and tag.
std::map<std::string, std::string> suite_environment();

Outcome<TestResult> read_result(const std::filesystem::path& file);
Outcome<void> write_result(const std::filesystem::path& file, const TestResult& result);
// "TestScale_SmallCluster/3w_100p" -> "TestScale_SmallCluster.3w_100p.json"
std::string result_file_name(std::string_view test);
std::string utc_now();

class ResultWriter {
public:
    explicit ResultWriter(std::string test);
    ~ResultWriter();
    ResultWriter(const ResultWriter&) = delete;
    ResultWriter& operator=(const ResultWriter&) = delete;

    void add_metric(Metric metric);
    void not_measured(Metric metric, std::string why);
    void set_protocol(Protocol protocol) { result_.protocol = std::move(protocol); }
    void set_versions(const Versions& versions);  // added to local_versions()
    void set_fingerprint(std::string_view key, std::string value) { result_.fingerprint.set(key, std::move(value)); }
    void set_cause(ExitCode cause) { result_.cause = cause; }
    // For the report. A series is thinned to kMostPoints; an excerpt is cut at kMostExcerpt.
    void add_series(Curve series);
    void add_fit(Fit fit);
    void add_distribution(Distribution distribution);
    void add_anomaly(std::string text, std::string excerpt = {}, std::string time = utc_now());
    void set_environment(const std::string& fact, std::string text) { result_.details.environment[fact] = std::move(text); }
    // Call it once, last.
    Outcome<void> finish(bool passed);

    const std::filesystem::path& file() const { return file_; }
    const TestResult& result() const { return result_; }

private:
    void keep(Problem problem);
    template <class T>
    void add_detail(T item, std::vector<T>& into);

    TestResult result_;
    std::filesystem::path file_;
    std::optional<Problem> first_problem_;
    bool finished_ = false;
};

}  // namespace parti::report
