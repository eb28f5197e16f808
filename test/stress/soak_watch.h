// SoakWatch: what a long run is watched for, one sample a second, and how its growth is judged.
//
// Model     Sums over the fleet's processes that are alive; the server beside them. kWatched names each series, the least growth
//           that counts, and whether it can fail a test. The judgement is testutil/trend.h's.
// Errors    sample(): what could not be read. judge_growth(): a series too short to judge is a GoogleTest failure.
// Threads   The test's.
// Cost      A request to each process and three files of /proc a sample.
#pragma once

#include <vector>

#include "testutil/fleet.h"
#include "testutil/metric.h"
#include "testutil/trend.h"

namespace parti::stress {

struct SoakWatch {
    std::vector<report::Point> rss_anon, live_heap, threads, fds, server;  // x: seconds
    test::Outcome<void> sample(test::Fleet& fleet, double at_s);
};

struct Watched {
    const char* name;
    std::vector<report::Point> SoakWatch::*points;
    double floor;  // bytes, or a count
    double floor_relative;
    bool gate;
    report::Unit unit() const { return floor > 1 ? report::Unit::bytes : report::Unit::count; }  // per hour as well
};
inline constexpr Watched kWatched[] = {
    {"rss_anon", &SoakWatch::rss_anon, 1 << 20, 0.05, true},
    {"live_heap", &SoakWatch::live_heap, 64 << 10, 0.05, true},
    {"threads", &SoakWatch::threads, 1, 0, true},
    {"fds", &SoakWatch::fds, 1, 0, true},
    {"server_rss_anon", &SoakWatch::server, 4 << 20, 0.1, false},
};

struct Trends {
    std::vector<report::Trend> each;  // as kWatched
    bool suspect = false;             // a gated one is
};
// Prints one line per series. `skip`: the share of the time to leave out at the beginning; above 0 it may become more.
Trends judge_growth(const SoakWatch& watch, double skip);
// The samples from one time to another.
SoakWatch between(const SoakWatch& watch, double from_s, double to_s);

}  // namespace parti::stress
