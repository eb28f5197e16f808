#include "testutil/details_file.h"

#include <charconv>
#include <cmath>

namespace parti::report {
namespace {

Json numbers(const std::vector<double>& values) {
    Json list = Json::array();
    for (const double value : values) list.push_back(json_number(value));
    return list;
}

Unit read_unit(Fields& fields) {
    const std::string text = fields.text("unit");
    const auto unit = unit_of(text);
    if (!unit && !fields.failed()) fields.fail("unit", "'" + text + "' must be one of kB us ms ns count bytes per_s ratio");
    return unit.value_or(Unit::count);
}

Curve read_series(Fields& fields) {
    Curve series;
    series.name = fields.text("name");
    series.unit = read_unit(fields);
    series.times_ms = fields.numbers("times");
    series.values = fields.numbers("values");
    series.note = fields.text_or("note", "");
    return series;
}

Fit read_fit(Fields& fields) {
    Fit fit;
    fit.name = fields.text("name");
    fit.x = fields.text("x");
    fit.unit = read_unit(fields);
    for (const Json& point : fields.array("points")) {
        if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_number()) {
            fields.fail("points", "must hold pairs of numbers [x, y], holds " + point.dump());
            break;
        }
        fit.points.emplace_back(point[0].get<double>(), point[1].get<double>());
    }
    fit.intercept = fields.number("intercept");
    fit.slope = fields.number("slope");
    if (fields.has("bound")) fit.bound = fields.number("bound");
    fit.residual = fields.number("residual");
    return fit;
}

Distribution read_distribution(Fields& fields) {
    Distribution distribution;
    distribution.name = fields.text("name");
    distribution.unit = read_unit(fields);
    distribution.n = fields.whole_or("n", 0);
    for (const auto& [key, value] : fields.object("percentiles").items()) {
        double percent = 0;
        const auto parsed = std::from_chars(key.data(), key.data() + key.size(), percent);
        if (key.empty() || parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || !std::isfinite(percent)) {
            fields.fail("percentiles", "'" + key + "' must be a number of per cent, as 50 or 99.9");
        } else if (!value.is_number()) {
            fields.fail("percentiles." + key, "must be a number, is " + value.dump());
        } else {
            distribution.percentiles[percent] = value.get<double>();
        }
    }
    distribution.note = fields.text_or("note", "");
    return distribution;
}

Anomaly read_anomaly(Fields& fields) { return {fields.text("time"), fields.text("text"), fields.text_or("excerpt", "")}; }

template <class T>
std::string twice(const std::vector<T>& items, const T& item) {
    if constexpr (!std::is_same_v<T, Anomaly>) {
        for (const T& other : items) {
            if (other.name == item.name) return "name: '" + item.name + "' must be unique";
        }
    }
    return {};
}

template <class T>
void read_list(Fields& details, const char* key, T (*read)(Fields&), std::vector<T>& into) {
    if (!details.has(key)) return;
    std::size_t index = 0;
    for (const Json& item : details.array(key)) {
        const std::string place = std::string(key) + "[" + std::to_string(index++) + "]";
        if (!item.is_object()) return details.fail(place, "must be an object");
        std::optional<Problem> problem;
        Fields fields(item, details.path(place), problem);
        T value = read(fields);
        if (problem) return details.fail_with(std::move(*problem));
        std::string broken = check(value);
        if (broken.empty()) broken = twice(into, value);
        if (!broken.empty()) return details.fail(place, broken);
        into.push_back(std::move(value));
    }
}

Json json_of(const Curve& s) {
    Json json{{"name", s.name}, {"unit", name(s.unit)}, {"times", numbers(s.times_ms)}, {"values", numbers(s.values)}};
    if (!s.note.empty()) json["note"] = s.note;
    return json;
}

Json json_of(const Fit& f) {
    Json json{{"name", f.name},
              {"x", f.x},
              {"unit", name(f.unit)},
              {"intercept", json_number(f.intercept)},
              {"slope", json_number(f.slope)},
              {"residual", json_number(f.residual)},
              {"points", Json::array()}};
    for (const auto& [x, y] : f.points) json["points"].push_back(numbers({x, y}));
    if (f.bound) json["bound"] = json_number(*f.bound);
    return json;
}

Json json_of(const Distribution& d) {
    Json json{{"name", d.name}, {"unit", name(d.unit)}, {"n", d.n}, {"percentiles", Json::object()}};
    for (const auto& [percent, value] : d.percentiles) json["percentiles"][json_number(percent).dump()] = json_number(value);
    if (!d.note.empty()) json["note"] = d.note;
    return json;
}

Json json_of(const Anomaly& a) {
    Json json{{"time", a.time}, {"text", a.text}};
    if (!a.excerpt.empty()) json["excerpt"] = a.excerpt;
    return json;
}

template <class T>
void write_list(Json& details, const char* key, const std::vector<T>& items) {
    for (const T& item : items) details[key].push_back(json_of(item));
}

}  // namespace

Details read_details(Fields fields) {
    Details details;
    check_schema(fields, kDetailsSchema);
    if (fields.failed()) return details;
    read_list(fields, "series", read_series, details.series);
    read_list(fields, "fits", read_fit, details.fits);
    read_list(fields, "distributions", read_distribution, details.distributions);
    read_list(fields, "anomalies", read_anomaly, details.anomalies);
    if (fields.has("environment")) details.environment = read_texts(fields.inside("environment"));
    return details;
}

Json json_of(const Details& details) {
    Json json{{"schema", kDetailsSchema}};
    write_list(json, "series", details.series);
    write_list(json, "fits", details.fits);
    write_list(json, "distributions", details.distributions);
    write_list(json, "anomalies", details.anomalies);
    if (!details.environment.empty()) json["environment"] = details.environment;
    return json;
}

}  // namespace parti::report
