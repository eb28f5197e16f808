#include "testutil/results.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <ctime>

#include <nats/version.h>
#include <unistd.h>
#include <boost/version.hpp>

#include "testutil/details_file.h"
#include "testutil/json_file.h"
#include "testutil/run_folder.h"

namespace parti::report {
namespace {

std::string boost_version() {
    return std::to_string(BOOST_VERSION / 100000) + "." + std::to_string(BOOST_VERSION / 100 % 1000) + "." +
           std::to_string(BOOST_VERSION % 100);
}

Metric read_metric(Fields fields, std::string metric_name) {
    Metric metric;
    metric.name = std::move(metric_name);
    read_metric_head(fields, metric);
    metric.launches = fields.numbers("launches");
    metric.note = fields.text_or("note", "");
    if (!fields.failed()) {
        if (const auto broken = check(metric); !broken.empty()) fields.fail("launches", broken);
    }
    return metric;
}

void read_metrics(Fields& top, TestResult& result) {
    const Json& metrics = top.object("metrics");
    const std::string prefix = result.test + "/";
    for (const auto& [key, value] : metrics.items()) {
        if (!key.starts_with(prefix)) return top.fail("metrics." + key, "must begin with the test's name '" + prefix + "'");
        if (!value.is_object()) return top.fail("metrics." + key, "must be an object");
        std::optional<Problem> problem;
        Metric metric = read_metric(Fields(value, top.path("metrics." + key), problem), key.substr(prefix.size()));
        if (problem) return top.fail_with(std::move(*problem));
        result.metrics.push_back(std::move(metric));
    }
}

Protocol read_protocol(Fields fields) {
    Protocol protocol;
    protocol.launches = fields.whole_or("launches", 0);
    protocol.window = fields.text_or("window", "");
    protocol.seed = fields.whole_or("seed", 0);
    protocol.mode = fields.text_or("mode", "prod");
    protocol.replay = fields.text_or("replay", "");
    protocol.program = fields.text_or("program", "");
    protocol.filter = fields.text_or("filter", "");
    if (fields.has("environment")) protocol.environment = read_texts(fields.inside("environment"));
    return protocol;
}

}  // namespace

std::string_view name(TestStatus status) {
    switch (status) {
        case TestStatus::started: return "started";
        case TestStatus::passed: return "passed";
        case TestStatus::failed: return "failed";
    }
    return "?";
}

Versions local_versions() {
    return {{"suite", PARTI_SUITE_VERSION}, {"nats_c", NATS_VERSION_STRING}, {"boost", boost_version()}};
}

std::chrono::seconds TestResult::duration() const {
    const auto seconds = [](const std::string& text) {
        std::tm parts{};
        return ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) == nullptr ? std::time_t{-1} : ::timegm(&parts);
    };
    const std::time_t from = seconds(started);
    const std::time_t to = seconds(finished);
    return std::chrono::seconds(from < 0 || to < from ? 0 : to - from);
}

const Metric* TestResult::find(std::string_view metric_name) const {
    for (const Metric& metric : metrics) {
        if (metric.name == metric_name) return &metric;
    }
    return nullptr;
}

std::map<std::string, std::string> suite_environment() {
    static constexpr std::array<std::string_view, 3> kOwn{"PARTI_SEED", "PARTI_STRESS_RUN_DIR", "PARTI_TEST_TAG"};
    std::map<std::string, std::string> settings;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const auto equals = text.find('=');
        const bool own = std::find(kOwn.begin(), kOwn.end(), text.substr(0, equals)) != kOwn.end();
        if (!text.starts_with("PARTI_") || equals == std::string_view::npos || own) continue;
        settings[std::string(text.substr(0, equals))] = text.substr(equals + 1);
    }
    return settings;
}

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

std::string result_file_name(std::string_view test) {
    std::string file;
    for (const char c : test) {
        const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
        file += plain ? c : (c == '/' ? '.' : '_');
    }
    return file + ".json";
}

Outcome<TestResult> read_result(const std::filesystem::path& file) {
    const auto document = read_json(file);
    if (!document) return tl::unexpected<Problem>(document.error());
    std::optional<Problem> problem;
    Fields top(*document, file.string(), problem);
    check_schema(top, kResultSchema);
    TestResult result;
    result.run = top.text("run");
    result.test = top.text("test");
    result.started = top.text("started");
    result.finished = top.text_or("finished", "");
    result.commit = top.text_or("commit", std::string(kUnknown));
    result.dirty = top.flag("dirty");
    const std::string status = top.text("status");
    const auto cause = top.whole_or("cause", static_cast<std::uint64_t>(ExitCode::test_failed));
    static constexpr std::array kCauses{ExitCode::test_failed, ExitCode::leak, ExitCode::criterion, ExitCode::setup,
                                        ExitCode::orphan};
    const auto* const known =
        std::find_if(kCauses.begin(), kCauses.end(), [&](ExitCode code) { return static_cast<std::uint64_t>(code) == cause; });
    if (known != kCauses.end()) result.cause = *known;
    else top.fail("cause", std::to_string(cause) + " must be one of 1, 98, 99, 100, 102");
    result.fingerprint = read_fingerprint(top.inside("fingerprint"));
    result.versions = read_texts(top.inside("versions"));
    result.protocol = read_protocol(top.inside("protocol"));
    if (!problem) {
        if (const auto broken = check_name(result.test); !broken.empty()) top.fail("test", broken);
        if (status == "passed") result.status = TestStatus::passed;
        else if (status == "failed") result.status = TestStatus::failed;
        else if (status != "started") top.fail("status", "'" + status + "' must be started, passed or failed");
    }
    if (!problem) read_metrics(top, result);
    if (!problem && top.has("details")) result.details = read_details(top.inside("details"));
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return result;
}

Outcome<void> write_result(const std::filesystem::path& file, const TestResult& result) {
    Json metrics = Json::object();
    for (const Metric& metric : result.metrics) {
        Json entry = metric_head(metric);
        entry["launches"] = Json::array();
        for (const double value : metric.launches) entry["launches"].push_back(json_number(value));
        entry["note"] = metric.note;
        metrics[result.key(metric)] = std::move(entry);
    }
    Json document{{"schema", kResultSchema},
                  {"run", result.run},
                  {"test", result.test},
                  {"status", name(result.status)},
                  {"started", result.started},
                  {"commit", result.commit},
                  {"dirty", result.dirty},
                  {"fingerprint", result.fingerprint.values()},
                  {"versions", result.versions},
                  {"protocol",
                   {{"launches", result.protocol.launches},
                    {"window", result.protocol.window},
                    {"seed", result.protocol.seed},
                    {"mode", result.protocol.mode},
                    {"replay", result.protocol.replay},
                    {"program", result.protocol.program},
                    {"filter", result.protocol.filter},
                    {"environment", result.protocol.environment}}},
                  {"metrics", std::move(metrics)}};
    if (!result.finished.empty()) document["finished"] = result.finished;
    if (result.cause != ExitCode::test_failed) document["cause"] = static_cast<int>(result.cause);
    if (!result.details.empty()) document["details"] = json_of(result.details);
    return write_json(file, document);
}

ResultWriter::ResultWriter(std::string test) {
    result_.test = std::move(test);
    result_.started = utc_now();
    result_.fingerprint = local_fingerprint();
    result_.versions = local_versions();
    if (const auto broken = check_name(result_.test); !broken.empty()) keep({ExitCode::bad_input, broken});
    const auto run = run_of_this_process();
    if (!run) {
        keep(run.error());
        return;
    }
    result_.run = run->id;
    result_.commit = run->commit;
    result_.dirty = run->dirty;
    file_ = run->folder / result_file_name(result_.test);
    if (const auto written = write_result(file_, result_); !written) keep(written.error());
}

ResultWriter::~ResultWriter() {
    if (finished_) return;
    const auto written = finish(false);
    if (!written) std::fprintf(stderr, "stress result of %s: %s\n", result_.test.c_str(), written.error().text.c_str());
}

void ResultWriter::keep(Problem problem) {
    if (!first_problem_) first_problem_ = std::move(problem);
}

void ResultWriter::add_metric(Metric metric) {
    const std::string key = result_.key(metric);
    if (const auto broken = check(metric); !broken.empty()) return keep({ExitCode::bad_input, key + ": " + broken});
    if (result_.find(metric.name) != nullptr)
        return keep({ExitCode::bad_input, key + ": a metric's name must be unique in its test"});
    result_.metrics.push_back(std::move(metric));
}

void ResultWriter::not_measured(Metric metric, std::string why) {
    metric.launches.clear();
    metric.note = std::move(why);
    add_metric(std::move(metric));
}

template <class T>
void ResultWriter::add_detail(T item, std::vector<T>& into) {
    const auto place = [&] {
        if constexpr (std::is_same_v<T, Anomaly>) return result_.test + ": an anomaly: ";
        else return result_.test + "/" + item.name + ": ";
    };
    std::string broken = check(item);
    if constexpr (!std::is_same_v<T, Anomaly>) {
        const bool twice = std::any_of(into.begin(), into.end(), [&](const T& other) { return other.name == item.name; });
        if (broken.empty() && twice) broken = "a name must be unique among its kind in its test";
    }
    if (!broken.empty()) return keep({ExitCode::bad_input, place() + broken});
    into.push_back(std::move(item));
}

void ResultWriter::add_series(Curve series) { add_detail(thinned(std::move(series)), result_.details.series); }
void ResultWriter::add_fit(Fit fit) { add_detail(std::move(fit), result_.details.fits); }
void ResultWriter::add_distribution(Distribution distribution) {
    add_detail(std::move(distribution), result_.details.distributions);
}

void ResultWriter::add_anomaly(std::string text, std::string excerpt, std::string time) {
    if (excerpt.size() > kMostExcerpt) excerpt.resize(kMostExcerpt);
    add_detail(Anomaly{std::move(time), std::move(text), std::move(excerpt)}, result_.details.anomalies);
}

void ResultWriter::set_versions(const Versions& versions) {
    for (const auto& [key, value] : versions) result_.versions[key] = value;
}

Outcome<void> ResultWriter::finish(bool passed) {
    if (finished_) return bad_input(result_.test + ": finish() was called twice");
    finished_ = true;
    result_.status = passed && !first_problem_ ? TestStatus::passed : TestStatus::failed;
    result_.finished = utc_now();
    if (!file_.empty()) {
        if (const auto written = write_result(file_, result_); !written) keep(written.error());
    }
    if (first_problem_) return tl::unexpected<Problem>(*first_problem_);
    return {};
}

}  // namespace parti::report
