#include "testutil/baseline.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "testutil/json_file.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

void read_history(Fields& fields, BaselineMetric& metric) {
    if (!fields.has("history")) return;
    for (const Json& item : fields.array("history")) {
        if (!item.is_object()) return fields.fail("history", "must hold objects");
        std::optional<Problem> problem;
        Fields past(item, fields.path("history[]"), problem);
        metric.history.push_back({past.text("created"), past.text("commit"), past.number("median")});
        if (problem) return fields.fail_with(std::move(*problem));
    }
}

BaselineMetric read_baseline_metric(Fields fields, const std::string& key) {
    BaselineMetric metric;
    metric.test = fields.text("test");
    read_metric_head(fields, metric.head);
    for (const Json& run : fields.array("launches")) {
        if (!run.is_array() || !std::all_of(run.begin(), run.end(), [](const Json& v) { return v.is_number(); })) {
            fields.fail("launches", "must hold one array of numbers per run");
            return metric;
        }
        metric.runs.push_back(run.get<std::vector<double>>());
    }
    if (fields.has("threshold")) {
        metric.relative_threshold = fields.number("threshold");
        if (*metric.relative_threshold <= 0) fields.fail("threshold", "must be a fraction above 0, such as 0.1");
    }
    read_history(fields, metric);
    if (fields.failed()) return metric;
    if (metric.test.empty() || !key.starts_with(metric.test + "/")) {
        fields.fail("test", "'" + metric.test + "' must be the beginning of the metric's key");
        return metric;
    }
    metric.head.name = key.substr(metric.test.size() + 1);
    Metric whole = metric.head;
    whole.launches = metric.launches();
    if (whole.launches.empty()) fields.fail("launches", "must not be empty in a baseline");
    if (const auto broken = check(whole); !broken.empty()) fields.fail("launches", broken);
    return metric;
}

void read_tests(Fields fields, Baseline& baseline) {
    for (const auto& [test, value] : fields.whole().items()) {
        if (!value.is_object()) return fields.fail(test, "must be an object");
        std::optional<Problem> problem;
        Fields entry(value, fields.path(test), problem);
        BaselineTest stored;
        for (const Json& run : entry.array("runs")) {
            if (run.is_string()) stored.runs.push_back(run.get<std::string>());
            else entry.fail("runs", "must hold strings");
        }
        Fields protocol = entry.inside("protocol");
        stored.protocol.launches = protocol.whole_or("launches", 0);
        stored.protocol.seed = protocol.whole_or("seed", 0);
        stored.protocol.window = protocol.text("window");
        stored.protocol.mode = protocol.text("mode");
        if (problem) return fields.fail_with(std::move(*problem));
        baseline.tests[test] = std::move(stored);
    }
}

Json metric_to_json(const BaselineMetric& metric) {
    Json entry = metric_head(metric.head);
    const auto all = metric.launches();
    entry["test"] = metric.test;
    entry["launches"] = Json::array();
    for (const auto& run : metric.runs) {
        Json values = Json::array();
        for (const double value : run) values.push_back(json_number(value));
        entry["launches"].push_back(std::move(values));
    }
    entry["n"] = all.size();
    entry["median"] = json_number(median(all));
    entry["mad"] = json_number(median_absolute_deviation(all));
    entry["noise"] = std::round(relative_noise(all) * 1e6) / 1e6;
    if (metric.relative_threshold) entry["threshold"] = *metric.relative_threshold;
    entry["history"] = Json::array();
    for (const PastMedian& past : metric.history) {
        entry["history"].push_back({{"created", past.created}, {"commit", past.commit}, {"median", json_number(past.median)}});
    }
    return entry;
}

// Larger is a better match: how many kinds gate, then how many tests were run the same way, then how many keys agree, then the
// newest.
using Match = std::tuple<std::size_t, std::size_t, std::size_t, std::string>;
Match match(const Baseline& baseline, const Fingerprint& current, const std::vector<TestResult>& results) {
    std::size_t gating = 0;
    for (const Kind kind : kAllKinds) gating += disagreements(kind, baseline.fingerprint, current).empty() ? 1U : 0U;
    const std::size_t agreeing = kFingerprintKeys.size() - differing_keys(baseline.fingerprint, current).size();
    const auto alike = std::count_if(results.begin(), results.end(), [&](const TestResult& result) {
        const auto stored = baseline.tests.find(result.test);
        return stored != baseline.tests.end() && stored->second.protocol.window == result.protocol.window;
    });
    return {gating, static_cast<std::size_t>(alike), agreeing, baseline.created};
}

}  // namespace

std::vector<double> BaselineMetric::launches() const {
    std::vector<double> all;
    for (const auto& run : runs) all.insert(all.end(), run.begin(), run.end());
    return all;
}

std::optional<double> BaselineMetric::between_runs() const {
    std::vector<double> medians;
    for (auto run = runs.rbegin(); run != runs.rend() && medians.size() < kMostRunsForSpread; ++run) {
        if (!run->empty()) medians.push_back(median(*run));
    }
    if (medians.size() < kFewestRunsForSpread) return std::nullopt;
    return relative_noise(medians);
}

Baseline baseline_of(const std::vector<TestResult>& results, const std::string& label) {
    Baseline baseline;
    baseline.label = label;
    baseline.created = results.front().started;
    baseline.commit = results.front().commit;
    baseline.dirty = results.front().dirty;
    baseline.fingerprint = results.front().fingerprint;
    for (const TestResult& result : results) {
        baseline.tests[result.test] = BaselineTest{result.protocol, {result.run}};
        for (const auto& [key, value] : result.versions) baseline.versions[key] = value;
        for (const Metric& metric : result.metrics) {
            if (!metric.measured()) continue;
            BaselineMetric& stored = baseline.metrics[result.key(metric)];
            stored.test = result.test;
            stored.head = metric;
            stored.head.launches.clear();
            stored.head.note.clear();
            stored.runs = {metric.launches};
        }
    }
    return baseline;
}

Outcome<Baseline> read_baseline(const fs::path& file) {
    const auto document = read_json(file);
    if (!document) return tl::unexpected<Problem>(document.error());
    std::optional<Problem> problem;
    Fields top(*document, file.string(), problem);
    check_schema(top, kBaselineSchema);
    Baseline baseline;
    baseline.label = file.string();
    baseline.created = top.text("created");
    baseline.reason = top.text("reason");
    baseline.commit = top.text("commit");
    baseline.dirty = top.flag("dirty");
    baseline.fingerprint = read_fingerprint(top.inside("fingerprint"));
    baseline.versions = read_texts(top.inside("versions"));
    if (!problem) read_tests(top.inside("tests"), baseline);
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    for (const auto& [key, value] : top.object("metrics").items()) {
        if (!value.is_object()) top.fail("metrics." + key, "must be an object");
        if (problem) break;
        BaselineMetric metric = read_baseline_metric(Fields(value, top.path("metrics." + key), problem), key);
        if (!problem && baseline.tests.count(metric.test) == 0) top.fail("metrics." + key, "its test is not among the tests");
        if (problem) break;
        baseline.metrics[key] = std::move(metric);
    }
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return baseline;
}

Outcome<void> write_baseline(const fs::path& file, const Baseline& baseline) {
    Json tests = Json::object();
    for (const auto& [test, stored] : baseline.tests) {
        tests[test] = {{"runs", stored.runs},
                       {"protocol",
                        {{"launches", stored.protocol.launches},
                         {"seed", stored.protocol.seed},
                         {"window", stored.protocol.window},
                         {"mode", stored.protocol.mode}}}};
    }
    Json metrics = Json::object();
    for (const auto& [key, metric] : baseline.metrics) metrics[key] = metric_to_json(metric);
    return write_json(file, Json{{"schema", kBaselineSchema},
                                 {"class", class_name(baseline.fingerprint)},
                                 {"created", baseline.created},
                                 {"reason", baseline.reason},
                                 {"commit", baseline.commit},
                                 {"dirty", baseline.dirty},
                                 {"fingerprint", baseline.fingerprint.values()},
                                 {"versions", baseline.versions},
                                 {"tests", std::move(tests)},
                                 {"metrics", std::move(metrics)}});
}

std::string baseline_file_name(const TestResult& result) {
    const auto& settings = result.protocol.environment;
    const auto profile = settings.find("PARTI_STRESS_PROFILE");
    const bool standard = profile == settings.end() || profile->second.empty() || profile->second == "standard";
    return class_name(result.fingerprint) + (standard ? "" : "-" + profile->second) + ".json";
}

Outcome<Choice> choose_baseline(const fs::path& folder, const Fingerprint& current, const std::vector<TestResult>& results) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    if (error) return bad_input(folder.string() + ": cannot be read: " + error.message());
    std::sort(files.begin(), files.end());
    Choice choice;
    for (const fs::path& file : files) {
        auto baseline = read_baseline(file);
        if (!baseline) return tl::unexpected<Problem>(baseline.error());
        if (!choice.baseline || match(*baseline, current, results) > match(*choice.baseline, current, results))
            choice.baseline = std::move(*baseline);
    }
    if (!choice.baseline) {
        choice.why = folder.string() + " holds no baseline; make one with: stress-report promote";
        return choice;
    }
    const auto differing = differing_keys(choice.baseline->fingerprint, current);
    choice.why = choice.baseline->label + ", the best match of " + std::to_string(files.size());
    for (std::size_t i = 0; i < differing.size(); ++i) choice.why += (i == 0 ? "; differs in " : ", ") + differing[i];
    return choice;
}

}  // namespace parti::report
