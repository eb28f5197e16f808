// Metric: one measured quantity of one test: its unit, what "worse" means, which rule judges it, and the value of every launch.
//
// Model     A launch is one observation, however many samples were taken within it. A metric without launches was not measured;
//           its note says why. `exact` metrics are judged without statistics, `advisory` ones are recorded and never judged.
// Units     Base units only: kB, us, ms, ns, count, bytes, per_s, ratio. All but ns, per_s and ratio are whole numbers.
// Errors    check() names the value and the rule.
// Threads   Values.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/problem.h"

namespace parti::report {

enum class Unit { kB, us, ms, ns, count, bytes, per_s, ratio };
enum class Direction { lower, higher };  // which way is better
enum class Kind { exact, anon_memory, duration, latency, throughput, cpu_time, advisory };

inline constexpr std::array kAllUnits{Unit::kB, Unit::us, Unit::ms, Unit::ns, Unit::count, Unit::bytes, Unit::per_s, Unit::ratio};
inline constexpr std::array kAllKinds{Kind::exact,      Kind::anon_memory, Kind::duration, Kind::latency,
                                      Kind::throughput, Kind::cpu_time,    Kind::advisory};

std::string_view name(Unit unit);
std::string_view name(Direction direction);
std::string_view name(Kind kind);
std::optional<Unit> unit_of(std::string_view name);
std::optional<Direction> direction_of(std::string_view name);
std::optional<Kind> kind_of(std::string_view name);
bool is_whole(Unit unit);

struct Metric {
    std::string name;  // within its test: "rss_anon"; with parameters spelled, no blanks
    Unit unit = Unit::count;
    Direction direction = Direction::lower;
    Kind kind = Kind::advisory;
    bool gate = true;              // false: shown with a verdict, but never worse than WARN
    std::string stat = "median";   // what one launch's value is: median, p95, p99, max, slope ...
    std::optional<double> floor;   // a change smaller than this, in `unit`, is never a FAIL; absent: the kind's own (verdict.h)
    std::vector<double> launches;  // one value per launch; empty = not measured
    std::string note;              // required when launches is empty

    bool measured() const { return !launches.empty(); }
};

// Empty when the metric keeps every rule, else "VALUE ...: RULE".
std::string check(const Metric& metric);
// Characters a test or metric name may have: letters, digits and _ - . / : < > = , ( ) + *
std::string check_name(std::string_view name);
// "3700 kB", "12.5 ns", "7": without needless digits.
std::string format_value(double value, Unit unit);

}  // namespace parti::report
