#include "soak_watch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string>

#include "testutil/memory_probe.h"

namespace parti::stress {

test::Outcome<void> SoakWatch::sample(test::Fleet& fleet, double at_s) {
    double anon = 0, live = 0, running = 0, open = 0;
    for (const std::size_t i : fleet.alive()) {
        test::WorkerProcess& process = fleet.process(i);
        const auto heap = process.memory();
        if (!heap) return test::failure(heap.error());
        const auto memory = test::read_memory(process.pid(), test::Detail::status);
        if (!memory) return test::failure(memory.error());
        const auto descriptors = test::count_fds(process.pid());
        if (!descriptors) return test::failure(descriptors.error());
        live += static_cast<double>(heap->live_bytes);
        anon += static_cast<double>(memory->rss_anon);
        running += static_cast<double>(memory->threads);
        open += static_cast<double>(*descriptors);
    }
    const auto of_server = test::read_memory(fleet.server().pid(), test::Detail::status);
    if (!of_server) return test::failure(of_server.error());
    rss_anon.push_back({at_s, anon});
    live_heap.push_back({at_s, live});
    threads.push_back({at_s, running});
    fds.push_back({at_s, open});
    server.push_back({at_s, static_cast<double>(of_server->rss_anon)});
    return {};
}

Trends judge_growth(const SoakWatch& watch, double skip) {
    Trends trends;
    for (const Watched& watched : kWatched) {
        const report::TrendRule rule{.floor = watched.floor, .floor_relative = watched.floor_relative};
        const report::Trend t = report::judge_trend(watch.*watched.points, rule, skip, skip > 0);
        std::printf("  %-16s median %12.0f  slope %+10.1f /min (at least %+.1f)  floor %.0f  first %.0f %% left out  %s%s\n",
                    watched.name, t.median, t.slope * 60, t.lower * 60, t.floor, t.skipped * 100, t.suspect ? "SUSPECT: " : "",
                    t.why.c_str());
        EXPECT_GE(t.bins, 16U) << watched.name << ": too few samples to judge";
        trends.suspect = trends.suspect || (t.suspect && watched.gate);
        trends.each.push_back(t);
    }
    std::fflush(stdout);
    return trends;
}

SoakWatch between(const SoakWatch& watch, double from_s, double to_s) {
    SoakWatch part;
    for (const Watched& watched : kWatched) {
        std::copy_if((watch.*watched.points).begin(), (watch.*watched.points).end(), std::back_inserter(part.*watched.points),
                     [&](const report::Point& p) { return p.x >= from_s && p.x < to_s; });
    }
    return part;
}

}  // namespace parti::stress
