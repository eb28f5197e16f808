#include "testutil/metric.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

namespace parti::report {
namespace {

template <class Enum, std::size_t N>
std::optional<Enum> find_name(const std::array<Enum, N>& all, std::string_view wanted) {
    const auto* const found = std::find_if(all.begin(), all.end(), [&](Enum value) { return name(value) == wanted; });
    if (found == all.end()) return std::nullopt;
    return *found;
}

bool unit_fits(Kind kind, Unit unit) {
    const bool memory = unit == Unit::kB || unit == Unit::bytes;
    const bool time = unit == Unit::us || unit == Unit::ms || unit == Unit::ns;
    switch (kind) {
        case Kind::exact: return unit == Unit::count || memory;
        case Kind::anon_memory: return memory;
        case Kind::duration:
        case Kind::latency:
        case Kind::cpu_time: return time;
        case Kind::throughput: return unit == Unit::per_s;
        case Kind::advisory: return true;
    }
    return false;
}

std::string check_launches(const Metric& metric) {
    for (const double value : metric.launches) {
        char text[64];
        std::snprintf(text, sizeof text, "%.17g", value);
        if (!std::isfinite(value)) return "launch value " + std::string(text) + " must be a finite number";
        if (is_whole(metric.unit) && value != std::floor(value)) {
            return "launch value " + std::string(text) + " must be a whole number of " + std::string(name(metric.unit));
        }
        if (value < 0 && metric.kind != Kind::exact && metric.kind != Kind::advisory) {
            return "launch value " + std::string(text) + " must not be negative for kind " + std::string(name(metric.kind));
        }
    }
    return {};
}

}  // namespace

std::string_view name(Unit unit) {
    switch (unit) {
        case Unit::kB: return "kB";
        case Unit::us: return "us";
        case Unit::ms: return "ms";
        case Unit::ns: return "ns";
        case Unit::count: return "count";
        case Unit::bytes: return "bytes";
        case Unit::per_s: return "per_s";
        case Unit::ratio: return "ratio";
    }
    return "?";
}

std::string_view name(Direction direction) { return direction == Direction::lower ? "lower" : "higher"; }

std::string_view name(Kind kind) {
    switch (kind) {
        case Kind::exact: return "exact";
        case Kind::anon_memory: return "anon-memory";
        case Kind::duration: return "duration";
        case Kind::latency: return "latency";
        case Kind::throughput: return "throughput";
        case Kind::cpu_time: return "cpu-time";
        case Kind::advisory: return "advisory";
    }
    return "?";
}

std::optional<Unit> unit_of(std::string_view wanted) { return find_name(kAllUnits, wanted); }
std::optional<Kind> kind_of(std::string_view wanted) { return find_name(kAllKinds, wanted); }
std::optional<Direction> direction_of(std::string_view wanted) {
    return find_name(std::array{Direction::lower, Direction::higher}, wanted);
}

bool is_whole(Unit unit) { return unit != Unit::ns && unit != Unit::per_s && unit != Unit::ratio; }

std::string check_name(std::string_view text) {
    constexpr std::string_view kOthers = "_-./:<>=,()+*";
    if (text.empty()) return "name must not be empty";
    if (text.front() == '/' || text.back() == '/') return "name '" + std::string(text) + "' must not begin or end with /";
    for (const char c : text) {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 || kOthers.find(c) != std::string_view::npos) continue;
        return "name '" + std::string(text) + "' must consist of letters, digits and " + std::string(kOthers);
    }
    return {};
}

std::string check(const Metric& metric) {
    if (auto bad = check_name(metric.name); !bad.empty()) return bad;
    if (!unit_fits(metric.kind, metric.unit)) {
        return "unit " + std::string(name(metric.unit)) + " does not fit kind " + std::string(name(metric.kind)) +
               " (memory: kB bytes; times: us ms ns; throughput: per_s; exact: count kB bytes)";
    }
    if (metric.kind == Kind::throughput && metric.direction != Direction::higher)
        return "kind throughput must have direction higher";
    if (metric.floor && (!std::isfinite(*metric.floor) || *metric.floor < 0)) return "floor must be a finite number >= 0";
    if (metric.launches.empty() && metric.note.empty()) return "a metric without launches must say in its note why";
    return check_launches(metric);
}

std::string format_value(double value, Unit unit) {
    char text[64];
    if (value == std::floor(value) && std::fabs(value) < 1e15) {
        std::snprintf(text, sizeof text, "%.0f", value);
    } else {
        std::snprintf(text, sizeof text, std::fabs(value) < 10 ? "%.3f" : "%.1f", value);
    }
    if (unit == Unit::count || unit == Unit::ratio) return text;
    return std::string(text).append(" ").append(unit == Unit::per_s ? "/s" : name(unit));
}

}  // namespace parti::report
