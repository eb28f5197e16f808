#include "overhead.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "testutil/run_folder.h"

namespace parti::stress {

std::vector<OverheadTest::Point> OverheadTest::reused(const Size& size) const {
    const auto run = report::run_of_this_process();
    if (!run) return {};
    const std::string name =
        "TestMemoryBenchmark_IsolatedParti/" + name_of({.workers = size.workers, .partitions = size.partitions});
    const auto result = report::read_result(run->folder / report::result_file_name(name));
    if (!result || result->run != run->id || result->status != report::TestStatus::passed || result->protocol.window != window())
        return {};
    const report::Metric* anonymous = result->find("rss_anon");
    const report::Metric* live = result->find("live_heap");
    if (anonymous == nullptr || live == nullptr || anonymous->launches.size() != live->launches.size()) return {};
    std::vector<Point> points;
    for (std::size_t i = 0; i < live->launches.size(); ++i) {
        points.push_back({size.x, anonymous->launches[i] * 1024, live->launches[i] * 1024});  // they are in kB
    }
    return points;
}

bool OverheadTest::measure(std::vector<Size> sizes, std::uint64_t rounds, double seconds_each) {
    rounds_.resize(rounds);
    for (auto size = sizes.begin(); size != sizes.end();) {
        const auto points = measures() ? reused(*size) : std::vector<Point>();
        if (points.size() < rounds) {
            ++size;
            continue;
        }
        std::printf("  %s: %zu launches of TestMemoryBenchmark_IsolatedParti are taken\n",
                    name_of({.workers = size->workers, .partitions = size->partitions}).c_str(), points.size());
        for (std::uint64_t round = 0; round < rounds; ++round) rounds_[round].push_back(points[round]);
        size = sizes.erase(size);
    }
    print_budget(rounds * sizes.size(), seconds_each);
    for (auto& round : rounds_) {
        std::shuffle(sizes.begin(), sizes.end(), random());
        for (const Size& size : sizes) {
            const auto launched = launch({.workers = size.workers, .partitions = size.partitions}, Subject::memory);
            if (!launched) return false;
            const LaunchSample& s = launched->sample;
            round.push_back({size.x, s.window.rss_anon.median, static_cast<double>(s.live_bytes)});
            if (!threads_) threads_ = s.threads;
            EXPECT_EQ(*threads_, s.threads) << "threads depend on the size: " << text_of(s.threads);
            record_count("threads", static_cast<double>(s.thread_count));
        }
    }
    for (const auto& round : rounds_) all_.insert(all_.end(), round.begin(), round.end());
    return true;
}

report::Line OverheadTest::fit(const std::string& metric, const std::string& what, double Point::*value) {
    const auto points_of = [&](const std::vector<Point>& points) {
        std::vector<report::Point> out;
        for (const Point& point : points) out.push_back({point.x, point.*value});
        return out;
    };
    for (const auto& round : rounds_) {
        const report::Line line = report::theil_sen(points_of(round));
        report::Metric slope;
        slope.name = metric + "_per_" + what;
        slope.unit = report::Unit::bytes;
        slope.kind = report::Kind::anon_memory;
        slope.stat = "Theil-Sen slope of a round";
        slope.floor = what == "worker" ? 1024 : 32;
        record(slope, std::max(line.slope, 0.0));
        report::Metric first;
        first.name = metric + "_first_" + what;
        first.unit = report::Unit::kB;
        first.kind = report::Kind::anon_memory;
        first.stat = "intercept + slope";
        record(first, kilobytes(line.intercept + line.slope));
    }
    const std::vector<report::Point> points = points_of(all_);
    const report::Line line = report::theil_sen(points);
    // A partition costs some bytes, a worker some kilobytes.
    const bool kilobyte = what == "worker";
    record_fit(report::fit_of(metric, what + "s", kilobyte ? report::Unit::kB : report::Unit::bytes, points, line,
                              kilobyte ? kilobytes(1) : 1));
    record_companion(metric + "_per_" + what + "_low", report::Unit::ratio, line.lower,
                     "bytes; lower end of the 95 % interval, all launches");
    record_companion(metric + "_per_" + what + "_high", report::Unit::ratio, line.upper, "bytes; upper end");
    record_companion(metric + "_intercept", report::Unit::kB, kilobytes(line.intercept), "of the line: a process without any");
    record_companion(metric + "_residual", report::Unit::ratio, line.max_residual, "largest, relative to the median");
    std::printf(
        "%s: %.1f bytes for each further %s (95 %%: %.1f to %.1f), %.0f kB without any; largest residual %.1f %%, %zu launches\n",
        metric.c_str(), line.slope, what.c_str(), line.lower, line.upper, kilobytes(line.intercept), line.max_residual * 100,
        line.points);
    return line;
}

void OverheadTest::conclude(const std::string& what) {
    anonymous_line_ = fit("rss_anon", what, &Point::anonymous);
    live_line_ = fit("live_heap", what, &Point::live);
    std::fflush(stdout);
}

}  // namespace parti::stress
