// Details: what a result file may hold beside its metrics, for the report: curves, fits, distributions, anomalies, facts.
//
// Role      ResultWriter collects them; write_result() and read_result() keep them in the optional member `details`. Nothing in
//           here is judged: verdicts come from metrics only, so a value that matters is a metric too.
// Model     {"schema": "parti-stress-details/1", "series": [...], "fits": [...], "distributions": [...], "anomalies": [...],
//           "environment": {...}}; each part may be absent, and all of it: programs of an earlier date ignore `details`.
//           Series         one quantity over the time of one launch or run.
//           Fit            y = intercept + slope * x over points; bound: half width of the slope's 95 % interval (of its larger
//                          half); residual: the largest |y - fit| relative to |y|.
//           Distribution   percentiles of n observations. p99 needs n >= 1,000 and p99.9 n >= 10,000, else it says nothing.
//           Anomaly        something odd that a reader must know: when, what, and an excerpt of a log.
//           environment    facts about the machine and the pre-flight, name to text.
// Units     Times of series in ms from the start that the test names; values in `unit`; anomalies in UTC (utc_now()).
// Errors    check() names the value and the rule; read_details() names file, key and rule.
// Threads   Values.
// Cost      A series has at most kMostPoints points: thinned() keeps each stretch's lowest and highest value.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "testutil/metric.h"
#include "testutil/problem.h"
#include "testutil/trend.h"

namespace parti::report {

inline constexpr std::string_view kDetailsSchema = "parti-stress-details/1";
inline constexpr std::size_t kMostPoints = 2000;
inline constexpr std::size_t kMostExcerpt = 4000;  // bytes of an anomaly's excerpt

struct Curve {
    std::string name;  // "rss_anon"
    Unit unit = Unit::count;
    std::vector<double> times_ms;  // ascending
    std::vector<double> values;    // as many
    std::string note{};            // "launch 1 of 5; window from 1200 ms"
};

struct Fit {
    std::string name;         // "rss_anon"
    std::string x;            // what the points are at: "workers"
    Unit unit = Unit::count;  // of y
    std::vector<std::pair<double, double>> points;
    double intercept = 0, slope = 0;
    std::optional<double> bound{};
    double residual = 0;
};

struct Distribution {
    std::string name;  // "publish_to_handled"
    Unit unit = Unit::us;
    std::uint64_t n = 0;
    std::map<double, double> percentiles;  // per cent (50, 99.9, 100 = maximum) to value
    std::string note{};                    // what limits it
};

struct Anomaly {
    std::string time;  // UTC
    std::string text;
    std::string excerpt{};
};

using Environment = std::map<std::string, std::string>;

struct Details {
    std::vector<Curve> series;  // names unique, as those of fits and distributions
    std::vector<Fit> fits;
    std::vector<Distribution> distributions;
    std::vector<Anomaly> anomalies;
    Environment environment;

    bool empty() const {
        return series.empty() && fits.empty() && distributions.empty() && anomalies.empty() && environment.empty();
    }
};

// Empty when every rule is kept, else "VALUE ...: RULE".
std::string check(const Curve& series);
std::string check(const Fit& fit);
std::string check(const Distribution& distribution);
std::string check(const Anomaly& anomaly);

// At most `most` points: of each of most / 2 stretches the lowest and the highest, in their order.
Curve thinned(Curve series, std::size_t most = kMostPoints);
// The largest |y - fit| / |y| over the points; for `residual`.
double largest_residual(const std::vector<std::pair<double, double>>& points, double intercept, double slope);
// A line with the points it was fitted through, both in `unit`; of the points and the line's y given, 1 is `scale` of it.
Fit fit_of(std::string name, std::string x, Unit unit, const std::vector<Point>& points, const Line& line, double scale = 1);
// The smallest n that a percentile needs: 1 up to p95, 1,000 up to p99, 10,000 above; 1 for the maximum (100).
std::uint64_t fewest_for(double percent);
// "p50", "p99.9", "max"
std::string percentile_name(double percent);

}  // namespace parti::report
