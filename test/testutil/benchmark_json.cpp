#include "testutil/benchmark_json.h"

#include <algorithm>
#include <map>

#include "testutil/json_file.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

Fingerprint fingerprint_of(Fields& context) {
    Fingerprint fingerprint;
    if (context.has("parti_fingerprint")) {
        const auto parsed = Json::parse(context.text("parti_fingerprint"), nullptr, false);
        if (!parsed.is_object()) {
            context.fail("parti_fingerprint", "must be the text that to_text(local_fingerprint()) gives");
            return fingerprint;
        }
        std::optional<Problem> problem;
        fingerprint = read_fingerprint(Fields(parsed, context.path("parti_fingerprint"), problem));
        if (problem) context.fail_with(std::move(*problem));
    } else if (context.has("num_cpus")) {
        fingerprint.set("nproc", std::to_string(context.whole_or("num_cpus", 0)));
    }
    return fingerprint;
}

double nanoseconds_per(const std::string& unit) {
    if (unit == "ns") return 1;
    if (unit == "us") return 1e3;
    if (unit == "ms") return 1e6;
    return unit == "s" ? 1e9 : 0;
}

// Names are free text in Google Benchmark; blanks and the like have no place in a key.
std::string metric_name(const std::string& benchmark) {
    std::string text;
    for (const char c : benchmark) text += check_name(std::string("x") + c + "x").empty() ? c : '_';
    return text + "/cpu_time";
}

void read_benchmark(Fields fields, std::map<std::string, Metric>& metrics, TestResult& result) {
    if (fields.text_or("run_type", "iteration") == "aggregate") return;
    const std::string benchmark = fields.has("run_name") ? fields.text("run_name") : fields.text("name");
    if (fields.has("error_occurred") && fields.flag("error_occurred")) {
        result.status = TestStatus::failed;
        return;
    }
    const double time = fields.number("cpu_time");
    const std::string unit = fields.text("time_unit");
    if (fields.failed()) return;
    const double factor = nanoseconds_per(unit);
    if (factor == 0) return fields.fail("time_unit", "'" + unit + "' must be ns, us, ms or s");
    Metric& metric = metrics[metric_name(benchmark)];
    metric.kind = Kind::cpu_time;
    metric.unit = Unit::ns;
    metric.stat = "mean_per_iteration";
    metric.launches.push_back(time * factor);
}

}  // namespace

bool is_benchmark_json(const fs::path& file) {
    const auto document = read_json(file);
    return document && document->contains("benchmarks");
}

Outcome<TestResult> read_benchmark_json(const fs::path& file) {
    const auto document = read_json(file);
    if (!document) return tl::unexpected<Problem>(document.error());
    std::optional<Problem> problem;
    Fields top(*document, file.string(), problem);
    Fields context = top.inside("context");
    const std::string program = fs::path(context.text("executable")).filename().string();
    TestResult result;
    result.status = TestStatus::passed;
    result.started = context.text("date");
    result.finished = result.started;
    result.run = result.started + "-" + program;
    result.test = "benchmark/" + program;
    result.fingerprint = fingerprint_of(context);
    std::map<std::string, Metric> metrics;
    for (const Json& item : top.array("benchmarks")) {
        if (!item.is_object()) top.fail("benchmarks", "must hold objects");
        if (problem) break;
        read_benchmark(Fields(item, top.path("benchmarks[]"), problem), metrics, result);
    }
    if (!problem && metrics.empty() && result.status == TestStatus::passed) top.fail("benchmarks", "holds no measured benchmark");
    for (auto& [metric_key, metric] : metrics) {
        metric.name = metric_key;
        if (const auto broken = check(metric); !broken.empty() && !problem) top.fail("benchmarks." + metric_key, broken);
        result.protocol.launches = std::max<std::uint64_t>(result.protocol.launches, metric.launches.size());
        result.metrics.push_back(std::move(metric));
    }
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return result;
}

}  // namespace parti::report
