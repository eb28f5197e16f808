#include <nats/nats.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <random>
#include <set>

#include <nlohmann/json.hpp>

#include "bench.h"
#include "testutil/load_generator.h"
#include "testutil/nats_server.h"
#include "testutil/results.h"
#include "testutil/statistics.h"
#include "testutil/tcp_text.h"
#include "testutil/worker_process.h"

namespace parti::bench {
namespace {

using nlohmann::json;
using test::ChildProcess;
using test::failure;
using test::NatsServer;

constexpr Milliseconds kPatience{60000};
constexpr std::size_t kMessageBytes = 128;

struct Shape {
    std::string name;
    std::uint32_t partitions = 1;
    std::uint32_t pending = 1;
    std::vector<std::uint32_t> threads;  // of the reference, the best of which counts
    bool latency = false;
};
const std::vector<Shape>& shapes() {
    static const std::vector<Shape> all = {{"ordered/1", 1, 1, {1}, true},
                                           {"pipelined/1", 1, 1000, {1}, true},
                                           {"ordered/100", 100, 1, {1, 16}, false},
                                           {"pipelined/100", 100, 1000, {1, 16}, false},
                                           {"ordered/1000", 1000, 1, {1, 16}, false}};
    return all;
}

struct Reading {
    double per_s = 0, p50_us = 0, p99_us = 0, rss_anon_kb = 0;
    double own_ns = 0, server_ns = 0;  // processor time a message
    std::uint64_t count = 0;
};

struct Best {
    std::uint32_t batch = 1, threads = 1;
    double value = 0;
};

// One server with one store, from which every measurement starts.
class Bench {
public:
    explicit Bench(const DriverOptions& options) : options_(options), random_(options.seed) {}

    Outcome<void> prepare(std::uint32_t partitions, std::uint64_t messages) {
        partitions_ = partitions;
        messages_ = messages;
        server_.reset();
        test::NatsServerOptions server;
        server.binary = options_.server;
        auto started = NatsServer::start(std::move(server));
        if (!started) return failure(started.error());
        server_.emplace(std::move(*started));
        auto nats = test::RawNats::connect(server_->url(), kPatience);
        if (!nats) return failure(nats.error());
        const json stream = {{"name", kStream}, {"subjects", {"bench.*"}}, {"storage", "file"}};
        auto made = nats->request(std::string("$JS.API.STREAM.CREATE.") + kStream, stream.dump(), kPatience);
        if (!made) return failure(made.error());
        if (made->find("\"error\"") != std::string::npos) return failure("the stream: " + *made);
        if (auto ok = server_->snapshot("empty"); !ok) return ok;
        if (auto ok = fill(); !ok) return ok;
        return server_->snapshot("filled");
    }

    const NatsServer& server() const { return *server_; }

    Outcome<Reading> throughput(ChildOptions child) {
        if (auto ok = server_->restore("filled"); !ok) return failure(ok.error());
        child.url = server_->url();
        child.partitions = partitions_;
        child.expected = messages_;
        child.server_pid = static_cast<std::uint32_t>(server_->pid());
        auto process = start(child);
        if (!process) return failure(process.error());
        return finish(*process, child);
    }

    Outcome<Reading> latency(ChildOptions child, double rate, Milliseconds duration) {
        if (auto ok = server_->restore("empty"); !ok) return failure(ok.error());
        child.url = server_->url();
        child.partitions = partitions_;
        child.latency = true;
        auto process = start(child);
        if (!process) return failure(process.error());
        if (auto ok = expect(*process, "CONSUMING"); !ok) return failure(ok.error());
        test::LoadOptions load;
        load.url = server_->url();
        load.plan.seed = options_.seed;
        load.plan.partitions = partitions_;
        load.plan.phases = {{duration, rate, rate}};
        load.message_bytes = kMessageBytes;
        for (std::uint32_t i = 0; i < partitions_; ++i) {
            load.partitions.push_back(partition_name(i));
            load.subjects.push_back(subject_name(i));
        }
        auto generator = test::LoadGenerator::start(std::move(load));
        if (!generator) return failure(generator.error());
        const test::LoadReport report = generator->finish();
        if (!report.on_time()) std::printf("    the generator was late (doubtful): %s\n", test::describe(report).c_str());
        const std::int64_t from = report.start_ns + std::chrono::nanoseconds(duration).count() / 4;
        if (auto ok = process->send_line("stop " + std::to_string(from)); !ok) return failure(ok.error());
        return finish(*process, child);
    }

    std::mt19937_64& random() { return random_; }

private:
    Outcome<void> fill() {
        natsConnection* connection = nullptr;
        jsCtx* js = nullptr;
        jsOptions options;
        jsOptions_Init(&options);
        options.PublishAsync.MaxPending = 4000;
        options.PublishAsync.StallWait = 30000;
        natsStatus status = natsConnection_ConnectTo(&connection, server_->url().c_str());
        if (status == NATS_OK) status = natsConnection_JetStream(&js, connection, &options);
        std::vector<std::uint64_t> sequences(partitions_);
        for (std::uint64_t i = 0; i < messages_ && status == NATS_OK; ++i) {
            const auto partition = static_cast<std::uint32_t>(i % partitions_);
            std::string payload = std::to_string(++sequences[partition]) + ' ' + std::to_string(test::boot_now_ns()) + ' ';
            payload.resize(kMessageBytes, '.');
            status =
                js_PublishAsync(js, subject_name(partition).c_str(), payload.data(), static_cast<int>(payload.size()), nullptr);
        }
        if (status == NATS_OK) status = js_PublishAsyncComplete(js, nullptr);
        jsCtx_Destroy(js);
        natsConnection_Destroy(connection);
        if (status != NATS_OK) return failure(std::string("filling the stream: ") + natsStatus_GetText(status));
        return {};
    }

    static Outcome<void> expect(ChildProcess& process, const std::string& wanted) {
        const test::LineRead read = process.read_line(kPatience);
        if (read.state == test::ReadState::line && read.text == wanted) return {};
        return failure("the child said '" + read.text + "' instead of " + wanted);
    }

    Outcome<ChildProcess> start(const ChildOptions& child) {
        test::ProcessOptions process;
        process.path = "/proc/self/exe";
        process.args = {"child",        child.library,
                        "--url",        child.url,
                        "--partitions", std::to_string(child.partitions),
                        "--pending",    std::to_string(child.pending),
                        "--batch",      std::to_string(child.batch),
                        "--threads",    std::to_string(child.threads),
                        "--warmup",     std::to_string(child.warmup.count()),
                        "--window",     std::to_string(child.window.count()),
                        "--expected",   std::to_string(child.expected),
                        "--server-pid", std::to_string(child.server_pid)};
        if (child.latency) process.args.emplace_back("--latency");
        auto started = ChildProcess::start(std::move(process));
        if (!started) return started;
        if (auto ok = expect(*started, "READY"); !ok) return failure(ok.error());
        if (auto ok = started->send_line("go"); !ok) return failure(ok.error());
        return started;
    }

    static Outcome<Reading> finish(ChildProcess& process, const ChildOptions& child) {
        const test::LineRead read = process.read_line(kPatience);
        const json said = json::parse(read.text, nullptr, false);
        if (!said.is_object()) return failure("the child of " + child.library + " answered '" + read.text + "'");
        const auto status = process.wait(kPatience);
        if (!status || status->code != 0) return failure("the child of " + child.library + " did not end well");
        Reading reading;
        reading.per_s = said.value("per_s", 0.0);
        reading.p50_us = said.value("p50", 0.0);
        reading.p99_us = said.value("p99", 0.0);
        reading.own_ns = said.value("own_ns", 0.0);
        reading.server_ns = said.value("server_ns", 0.0);
        reading.rss_anon_kb = said.value("rss_anon_kb", 0.0);
        reading.count = said.value("count", said.value("n", std::uint64_t{0}));
        return reading;
    }

    const DriverOptions& options_;
    std::mt19937_64 random_;
    std::uint32_t partitions_ = 1;
    std::uint64_t messages_ = 0;
    std::optional<NatsServer> server_;
};

class Run {
public:
    explicit Run(const DriverOptions& options) : options_(options), bench_(options), out_("TestBenchmark_Consume") {}

    Outcome<void> go() {
        std::printf("consume-bench: seed %llu, %u repeats of %lld ms\n", static_cast<unsigned long long>(options_.seed),
                    repeats(), static_cast<long long>(options_.window.count()));
        std::uint32_t prepared = 0;
        for (const Shape& shape : shapes()) {
            if (!wanted(shape)) continue;
            if (shape.partitions != prepared) {
                if (auto ok = bench_.prepare(shape.partitions, options_.quick ? 20'000 : 250'000); !ok) return ok;
                prepared = shape.partitions;
                std::printf("%u partitions, nats-server %s\n", prepared, bench_.server().version().c_str());
                out_.set_versions({{"nats_server", bench_.server().version()}, {"nats_server_sha256", bench_.server().sha256()}});
            }
            if (auto ok = measure(shape); !ok) return failure(shape.name + ": " + ok.error());
        }
        out_.set_protocol({repeats(), std::to_string(options_.window.count()) + " ms", options_.seed, "prod",
                           "consume-bench run --seed " + std::to_string(options_.seed)});
        if (auto written = out_.finish(true); !written) return failure(written.error().text);
        std::printf("results: %s\n", out_.file().string().c_str());
        return {};
    }

private:
    std::uint32_t repeats() const { return options_.quick ? 1 : options_.repeats; }
    bool wanted(const Shape& shape) const {
        return options_.shapes.empty() ||
               std::find(options_.shapes.begin(), options_.shapes.end(), shape.name) != options_.shapes.end();
    }
    ChildOptions child_of(const Shape& shape, const char* library, const Best& best) const {
        ChildOptions child;
        child.library = library;
        child.pending = shape.pending;
        child.batch = best.batch;
        child.threads = library == std::string("parti") ? 2 : best.threads;
        child.window = options_.window;
        return child;
    }

    Outcome<void> measure(const Shape& shape) {
        auto best = best_throughput(shape);
        if (!best) return failure(best.error());
        std::printf("  %s: reference's best batch %u on %u threads\n", shape.name.c_str(), best->batch, best->threads);
        std::vector<double> reference, subject, ratios, memory;
        std::vector<double> own[2], server[2];  // processor time a message: parti's, the reference's
        for (std::uint32_t i = 0; i < repeats(); ++i) {
            const bool reference_first = bench_.random()() % 2 == 0;
            for (const bool turn : {reference_first, !reference_first}) {
                if (!turn && options_.reference_only) continue;
                const auto reading = bench_.throughput(child_of(shape, turn ? "reference" : "parti", *best));
                if (!reading) return failure(reading.error());
                (turn ? reference : subject).push_back(reading->per_s);
                own[turn ? 1 : 0].push_back(reading->own_ns);
                server[turn ? 1 : 0].push_back(reading->server_ns);
                if (!turn) memory.push_back(reading->rss_anon_kb);
            }
            if (!subject.empty()) ratios.push_back(subject.back() / reference.back());
        }
        note(shape, "reference", report::Unit::per_s, reference);
        note(shape, "parti", report::Unit::per_s, subject);
        note(shape, "ratio", report::Unit::ratio, ratios);
        note(shape, "rss_anon", report::Unit::kB, memory);
        note(shape, "cpu_reference", report::Unit::ns, own[1]);
        note(shape, "cpu_parti", report::Unit::ns, own[0]);
        note(shape, "server_cpu_reference", report::Unit::ns, server[1]);
        note(shape, "server_cpu_parti", report::Unit::ns, server[0]);
        if (!shape.latency) return {};
        return measure_latency(shape, report::median(reference) / 2);
    }

    // The batch and the number of threads with the highest throughput, over short windows.
    Outcome<Best> best_throughput(const Shape& shape) {
        Best best;
        for (const std::uint32_t threads : shape.threads) {
            for (const std::uint32_t batch : batches()) {
                ChildOptions child = child_of(shape, "reference", {batch, threads});
                child.window = Milliseconds(700);
                const auto reading = bench_.throughput(child);
                if (!reading) return failure(reading.error());
                std::printf("    batch %3u, %2u threads: %8.0f /s\n", batch, threads, reading->per_s);
                if (reading->per_s > best.value) best = {batch, threads, reading->per_s};
            }
        }
        if (!(best.value > 0)) return failure("the reference consumed nothing");
        return best;
    }
    std::vector<std::uint32_t> batches() const {
        return options_.quick ? std::vector<std::uint32_t>{1} : std::vector<std::uint32_t>{1, 16, 100, 256};
    }

    Outcome<void> measure_latency(const Shape& shape, double rate) {
        Best best{0, 1, 0};  // the batch with the lowest median
        for (const std::uint32_t batch : batches()) {
            const auto reading = bench_.latency(child_of(shape, "reference", {batch, 1}), rate, Milliseconds(1000));
            if (!reading) return failure(reading.error());
            if (reading->count == 0) continue;
            std::printf("    batch %3u at %.0f /s: p50 %.0f us\n", batch, rate, reading->p50_us);
            if (best.batch == 0 || reading->p50_us < best.value) best = {batch, 1, reading->p50_us};
        }
        if (best.batch == 0) return failure("the reference handled nothing in time");
        std::vector<double> reference50, subject50, ratio50, reference99, subject99;
        for (std::uint32_t i = 0; i < repeats(); ++i) {
            for (const bool turn : {true, false}) {
                if (!turn && options_.reference_only) continue;
                const auto reading = bench_.latency(child_of(shape, turn ? "reference" : "parti", best), rate, options_.window);
                if (!reading) return failure(reading.error());
                (turn ? reference50 : subject50).push_back(reading->p50_us);
                (turn ? reference99 : subject99).push_back(reading->p99_us);
            }
            if (!subject50.empty()) ratio50.push_back(subject50.back() / std::max(1.0, reference50.back()));
        }
        note(shape, "latency_p50_reference", report::Unit::us, reference50);
        note(shape, "latency_p50_parti", report::Unit::us, subject50);
        note(shape, "latency_p50_ratio", report::Unit::ratio, ratio50);
        note(shape, "latency_p99_reference", report::Unit::us, reference99);
        note(shape, "latency_p99_parti", report::Unit::us, subject99);
        return {};
    }

    void note(const Shape& shape, const std::string& what, report::Unit unit, const std::vector<double>& values) {
        if (values.empty()) return;
        std::printf("  %-14s %-22s median %10.2f %s  (", shape.name.c_str(), what.c_str(), report::median(values),
                    std::string(report::name(unit)).c_str());
        for (const double v : values) std::printf(" %.2f", v);
        std::printf(" )\n");
        std::fflush(stdout);
        report::Metric metric;
        metric.name = shape.name + "/" + what;
        metric.unit = unit;
        metric.gate = false;  // both libraries share two cores with whoever else is there; the ratio is what is read
        const bool latency = what.rfind("latency", 0) == 0 || what.find("cpu_") != std::string::npos;
        metric.direction = unit == report::Unit::kB || latency ? report::Direction::lower : report::Direction::higher;
        metric.launches = values;
        out_.add_metric(std::move(metric));
    }

    const DriverOptions& options_;
    Bench bench_;
    report::ResultWriter out_;
};

}  // namespace

int run_driver(const DriverOptions& options) {
    if (auto ok = Run(options).go(); !ok) {
        std::fprintf(stderr, "consume-bench: %s\n", ok.error().c_str());
        return 1;
    }
    return 0;
}

}  // namespace parti::bench
