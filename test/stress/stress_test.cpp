#include "stress_test.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "leak_exit.h"
#include "progress.h"
#include "testutil/environment.h"
#include "testutil/preflight.h"
#include "testutil/preflight_record.h"
#include "testutil/run_folder.h"
#include "testutil/statistics.h"

namespace parti::stress {

using report::Kind;
using report::Metric;
using report::Unit;
using test::Violation;

namespace {

std::optional<std::uint64_t> number_from_environment(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return std::nullopt;
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(text, &end, 0);
    if (*end != '\0') {
        ADD_FAILURE() << name << "='" << text << "' must be a whole number";
        return std::nullopt;
    }
    return value;
}

std::uint64_t draw_seed() {
    std::random_device entropy;
    return (std::uint64_t{entropy()} << 32U) | entropy();
}

std::string this_program() {
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    return error ? "/proc/self/exe" : program.string();
}

// The program that is measured, if it is not worker-host; its figures are nobody's baseline.
std::string foreign_worker() {
    const std::string program = std::filesystem::path(test::worker_program()).filename();
    return program == "worker-host" ? std::string() : program;
}

std::string setting(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string() : value;
}

// What makes this run another one than the suite's: ", store memory, strategy rendezvous, worker minimal-worker". Its figures are
// nobody's baseline.
std::string variant() {
    std::string text;
    for (const auto& [word, value] : {std::pair{"store", setting("PARTI_STRESS_STORE")},
                                      {"strategy", setting("PARTI_STRESS_STRATEGY")},
                                      {"worker", foreign_worker()}}) {
        if (!value.empty()) text += std::string(", ") + word + " " + value;
    }
    return text;
}

// Empty when it cannot be had; the result then says so by its absence.
std::string sha256_of(const std::string& path) {
    test::ProcessOptions options;
    options.path = "sha256sum";
    options.args = {path};
    auto child = test::ChildProcess::start(options);
    if (!child) return {};
    const auto read = child->read_line(test::Milliseconds(20000));
    child->wait(test::Milliseconds(5000));
    return read.state == test::ReadState::line ? read.text.substr(0, read.text.find(' ')) : std::string();
}

}  // namespace

std::string StressTest::result_name() const {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    const std::string test = info->name();
    const auto slash = test.find('/');
    return std::string(info->test_suite_name()) + (slash == std::string::npos ? "" : test.substr(slash));
}

std::string StressTest::replay_line() const {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    char seed[32];
    std::snprintf(seed, sizeof seed, "PARTI_SEED=0x%016" PRIx64 " ", seed_);
    std::string text = seed;
    for (const char* const name : {"PARTI_STRESS_STORE", "PARTI_STRESS_STRATEGY"}) {
        if (const std::string value = setting(name); !value.empty()) text.append(name).append("=").append(value).append(" ");
    }
    return text.append(this_program()).append(" --gtest_filter='") + info->test_suite_name() + "." + info->name() + "'";
}

void StressTest::SetUp() {
    begin_ = std::chrono::steady_clock::now();
    seed_ = number_from_environment("PARTI_SEED").value_or(draw_seed());
    random_.seed(seed_);
    not_measured_ = report::why_not_measured(report::local_fingerprint());
    std::printf("%s: seed 0x%016" PRIx64 "; replay: %s\n", result_name().c_str(), seed_, replay_line().c_str());
    if (!measures()) std::printf("memory not measured: %s; the oracles run, with 1 launch\n", not_measured_.c_str());
    std::fflush(stdout);
    // What an earlier, aborted test of this process left must not be counted against this one.
    const auto before = test::judge_leftovers(std::chrono::milliseconds(0));
    ASSERT_TRUE(before.empty()) << "not a clean start\n" << test::describe(before);
    if (records_) {
        const auto run = report::run_of_this_process();
        const std::string why = run ? report::why_aborted(run->folder) : "";
        // a criterion with abort_on_fail: nothing after it is worth its time
        if (!why.empty()) GTEST_SKIP() << "the run was aborted: " << why;
        if (run) read_limits();
    }
    const std::string busy = records_ && measures() ? cool_down() : "";
    if (records_) begin_records();
    if (!busy.empty()) note_anomaly(busy);
    progress().begin(result_name(), writer_ ? writer_->file().parent_path() : std::filesystem::path(), measures());
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    const auto declared = budget_of(std::string(info->test_suite_name()) + "." + info->name());
    if (declared && declared->of(profile()) > 0) progress().budget(declared->of(profile()));
}

void StressTest::begin_records() {
    writer_ = std::make_unique<report::ResultWriter>(result_name());
    const std::filesystem::path folder = writer_->file().parent_path();
    for (const auto& [fact, text] : report::read_environment(folder)) writer_->set_environment(fact, text);
    const auto preflight = report::read_preflight(folder);
    if (!preflight) ADD_FAILURE() << preflight.error().text;
    if (!preflight || !*preflight) return;  // there was none
    for (const auto& [fact, text] : (*preflight)->facts) writer_->set_environment(fact, text);
    if (!report::is_first_of_run(writer_->file())) return;  // the first test of a run tells what was found before it
    for (const std::string& finding : (*preflight)->findings)
        writer_->add_anomaly("preflight: " + finding, {}, (*preflight)->time);
}

void StressTest::TearDown() {
    server_watch_.reset();
    const auto left = test::judge_leftovers();
    if (!left.empty()) fail_because(report::ExitCode::orphan, test::describe(left));
    if (writer_) write_results();
    print_time();
    progress().end(HasFailure() ? "failed" : (IsSkipped() ? "skipped" : "passed"));
    if (HasFailure()) std::printf("replay: %s\n", replay_line().c_str());
}

void StressTest::print_time() const {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    const auto declared = budget_of(std::string(info->test_suite_name()) + "." + info->name());
    if (!declared) return;  // no test of the suite's: a smoke test
    const std::string profile_name(name(profile()));
    std::printf("%s took %.1f s; budget in profile %s: %d s%s\n", result_name().c_str(), took, profile_name.c_str(),
                declared->of(profile()), took > declared->of(profile()) ? " (exceeded)" : "");
}

// What ran before this test may still keep the machine busy; a machine that others keep busy is not waited for. What it was busy
// with in the end; empty: it became quiet.
std::string StressTest::cool_down() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    const auto declared = budget_of(std::string(info->test_suite_name()) + "." + info->name());
    const int share = declared ? declared->of(profile()) / 4 : 0;  // of the test's time, so that its TIMEOUT still holds
    const auto limit =
        std::chrono::seconds(profile() == Profile::smoke ? 1 : std::clamp(share, 5, profile() == Profile::standard ? 5 : 60));
    const test::Quiet quiet = test::quiet_within(limit);
    if (quiet.reached) return {};
    const std::string text =
        "the machine is not quiet after " + std::to_string(limit.count()) + " s: " + test::text_of(quiet.last);
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
    return text;
}

// Every fleet's server, as sampled beside it.
void StressTest::record_server() {
    if (!server_watch_) return;
    const test::ServerSeen seen = server_watch_->seen();
    server_watch_.reset();
    if (!records_ || seen.samples == 0) return;
    record_companion("server_slow_consumers", Unit::count, static_cast<double>(seen.slow_consumers));
    record_companion("server_api_calls", Unit::count, static_cast<double>(seen.api_calls));
    record_companion("server_consumers_max", Unit::count, static_cast<double>(seen.consumers));
    record_companion("server_connections_max", Unit::count, static_cast<double>(seen.connections));
    record_companion("server_pending_max", Unit::kB, static_cast<double>(seen.pending_bytes) / 1024);
    record_companion("server_store_max", Unit::kB, static_cast<double>(seen.store_bytes) / 1024);
    record_companion("server_memory_max", Unit::kB, static_cast<double>(seen.memory_bytes) / 1024);
    record_companion("server_cpu_max", Unit::ratio, seen.cpu / 100, "of one core, the server's own figure");
}

std::uint64_t StressTest::launches(std::uint64_t by_default) const {
    if (!measures()) return 1;
    if (profile() == Profile::smoke) by_default = 1;
    return std::max<std::uint64_t>(1, number_from_environment("PARTI_STRESS_LAUNCHES").value_or(by_default));
}

void StressTest::print_budget(std::uint64_t launches, double seconds_each) {
    launches_made_ = launches;
    std::printf("budget: %" PRIu64 " launches x %.1f s = %.0f s\n", launches, seconds_each,
                static_cast<double>(launches) * seconds_each);
    std::fflush(stdout);
}

std::unique_ptr<test::Fleet> StressTest::new_fleet(test::FleetOptions options) {
    options.storage = setting("PARTI_STRESS_STORE");
    options.strategy = setting("PARTI_STRESS_STRATEGY");
    auto fleet = test::Fleet::start(std::move(options));
    if (!fleet) {
        ADD_FAILURE() << fleet.error();
        return nullptr;
    }
    if (versions_.empty()) {
        versions_["nats_server"] = (*fleet)->server().version();
        versions_["nats_server_sha256"] = (*fleet)->server().sha256();
        versions_["worker_host_sha256"] = sha256_of(test::worker_program());
    }
    server_watch_ = std::make_unique<test::ServerWatch>((*fleet)->server().monitor_url());
    return std::move(*fleet);
}

bool StressTest::evens_out() const { return test::evens_out(setting("PARTI_STRESS_STRATEGY")); }

bool StressTest::moves_least() const {
    const std::string strategy = setting("PARTI_STRESS_STRATEGY");
    return strategy.empty() || strategy == "sticky";
}

test::Timeline StressTest::end_fleet(std::unique_ptr<test::Fleet> fleet, const test::OracleOptions& options) {
    record_server();
    const test::FleetRecord record = fleet->end();
    test::Judgement judgement = test::judge(record, options);
    if (!judgement.violations.empty()) ADD_FAILURE() << test::describe(judgement.violations);
    // A history that says nothing would satisfy every rule.
    EXPECT_EQ(judgement.timeline.partitions.size(), fleet->options().partitions + options.more_partitions)
        << "partitions ever owned";
    if (HasFailure()) {
        keep_files(*fleet);
        if (!judgement.violations.empty()) note_anomaly("an oracle found a violation", test::describe(judgement.violations));
    }
    return std::move(judgement.timeline);
}

void StressTest::expect_covered(const test::Fleet& fleet) {
    const std::int64_t now = test::boot_now_ns();
    const auto timeline = fleet.timeline();
    ASSERT_TRUE(timeline) << timeline.error();
    const auto violations = test::check_coverage(*timeline, now, fleet.options().partitions);
    EXPECT_TRUE(violations.empty()) << test::describe(violations);
}

void StressTest::keep_files(const test::Fleet& fleet) {
    namespace fs = std::filesystem;
    std::string name = result_name();
    for (char& c : name) c = c == '/' ? '.' : c;
    std::error_code error;
    const fs::path kept = fs::path(PARTI_STRESS_KEPT) / (name + "-" + std::to_string(test::boot_now_ns() / 1'000'000));
    fs::create_directories(kept, error);
    fs::copy(fleet.folder(), kept, fs::copy_options::recursive, error);
    std::printf("histories and logs: %s%s\n", kept.c_str(), error ? (" (" + error.message() + ")").c_str() : "");
}

void StressTest::read_limits() {
    const auto file = report::criteria_file(report::run_of_this_process()->folder);
    std::error_code error;
    if (!std::filesystem::exists(file, error)) return;
    auto limits = report::read_criteria(file);
    if (!limits) ADD_FAILURE() << limits.error().text;
    else limits_ = std::move(*limits);
}

void StressTest::judge_live() {
    if (aborted_ || !measures()) return;
    for (const auto& broken :
         report::evaluate_live(limits_, result_name(), metrics_, std::chrono::steady_clock::now() - begin_)) {
        aborted_ = true;
        const std::string why =
            result_name() + ": " + broken.expression + " is broken: " + report::format_value(*broken.value, broken.unit);
        fail_because(report::ExitCode::criterion, why);
        const auto aborted = report::abort_run(writer_->file().parent_path(), why);
        if (!aborted) ADD_FAILURE() << aborted.error().text;
    }
}

void StressTest::fail_because(report::ExitCode cause, const std::string& text) {
    if (!HasFailure()) cause_ = cause;
    ADD_FAILURE() << text;
}

void StressTest::fail_as_leak(const std::string& text) {
    end_with_leak_code();
    fail_because(report::ExitCode::leak, text);
}

void StressTest::record(Metric metric, double value) {
    if (report::is_whole(metric.unit)) value = std::round(value);
    const auto known =
        std::find_if(metrics_.begin(), metrics_.end(), [&](const Metric& other) { return other.name == metric.name; });
    if (known != metrics_.end()) {
        if (!metric.note.empty() || !known->measured()) known->note = metric.note;
        known->launches.push_back(value);
    } else {
        metric.launches.push_back(value);
        metrics_.push_back(std::move(metric));
    }
    if (records_) judge_live();
}

void StressTest::not_measured(Metric metric, const std::string& why) {
    if (std::any_of(metrics_.begin(), metrics_.end(), [&](const Metric& other) { return other.name == metric.name; })) return;
    metric.launches.clear();
    metric.note = why;
    metrics_.push_back(std::move(metric));
}

void StressTest::not_measured(const std::string& name, Unit unit, const std::string& why) {
    Metric metric;
    metric.name = name;
    metric.unit = unit;
    metric.gate = false;
    not_measured(std::move(metric), why);
}

void StressTest::record_memory(const std::string& name, Unit unit, double value, bool gate) {
    Metric metric;
    metric.name = name;
    metric.unit = unit;
    metric.kind = gate ? Kind::anon_memory : Kind::advisory;
    metric.gate = gate;
    record(std::move(metric), value);
}

void StressTest::record_duration(const std::string& name, double milliseconds, bool gate) {
    Metric metric;
    metric.name = name;
    metric.unit = Unit::ms;
    metric.kind = Kind::duration;
    metric.gate = gate;
    record(std::move(metric), milliseconds);
}

void StressTest::record_count(const std::string& name, double value) {
    Metric metric;
    metric.name = name;
    metric.unit = Unit::count;
    metric.kind = Kind::exact;
    record(std::move(metric), value);
}

void StressTest::record_companion(const std::string& name, Unit unit, double value, const std::string& note) {
    Metric metric;
    metric.name = name;
    metric.unit = unit;
    metric.gate = false;
    metric.note = note;
    record(std::move(metric), value);
}

double StressTest::median_of(const std::string& name) const {
    for (const Metric& metric : metrics_) {
        if (metric.name == name && metric.measured()) return report::median(metric.launches);
    }
    return 0;
}

namespace {
template <class T>
bool is_known(const std::vector<T>& items, const std::string& name) {
    return std::any_of(items.begin(), items.end(), [&](const T& item) { return item.name == name; });
}
}  // namespace

void StressTest::record_series(report::Curve series) {
    if (!writer_ || !measures() || is_known(writer_->result().details.series, series.name)) return;
    writer_->add_series(std::move(series));
}

void StressTest::record_fit(report::Fit fit) {
    if (!writer_ || !measures() || is_known(writer_->result().details.fits, fit.name)) return;
    writer_->add_fit(std::move(fit));
}

void StressTest::record_distribution(report::Distribution distribution) {
    if (!writer_ || !measures() || is_known(writer_->result().details.distributions, distribution.name)) return;
    writer_->add_distribution(std::move(distribution));
}

void StressTest::note_anomaly(const std::string& text, const std::string& excerpt) {
    if (writer_) writer_->add_anomaly(text, excerpt);
}

void StressTest::write_results() {
    writer_->set_versions(versions_);
    report::Protocol protocol;
    protocol.launches = launches_made_;
    protocol.window = window_;
    protocol.seed = seed_;
    protocol.mode = mode_;
    protocol.replay = replay_line();
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    protocol.filter = std::string(info->test_suite_name()) + "." + info->name();
    protocol.program = this_program();
    protocol.environment = report::suite_environment();
    writer_->set_cause(cause_);
    const std::string different = variant();
    protocol.mode += different;
    writer_->set_protocol(std::move(protocol));
    for (Metric& metric : metrics_) {
        metric.gate = metric.gate && different.empty();
        const double spread = report::coefficient_of_variation(metric.launches) * 100;
        const bool said = metric.measured() && (measures() || metric.kind == Kind::exact);
        std::printf("  %-28s %12s  CV %4.1f %%  n %zu%s\n", metric.name.c_str(),
                    said ? report::format_value(report::median(metric.launches), metric.unit).c_str() : "not measured",
                    said ? spread : 0.0, metric.launches.size(), metric.note.empty() ? "" : ("  " + metric.note).c_str());
        if (said) {
            writer_->add_metric(metric);
        } else {
            Metric unmeasured = metric;
            unmeasured.launches.clear();
            writer_->not_measured(std::move(unmeasured), measures() ? metric.note : not_measured_);
        }
    }
    const auto written = writer_->finish(!HasFailure());
    if (!written) {
        ADD_FAILURE() << written.error().text;
    } else {
        std::printf("results: %s\n", writer_->file().c_str());
    }
    writer_.reset();
}

}  // namespace parti::stress
