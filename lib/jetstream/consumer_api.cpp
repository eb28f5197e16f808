#include "jetstream/consumer_api.h"

#include <chrono>
#include <cstdio>
#include <limits>

#include <nlohmann/json.hpp>

namespace parti::jetstream {
namespace {

using Json = nlohmann::json;

template <class T>
T value_of(const Json& object, const char* name, T otherwise) {
    if (!object.is_object()) return otherwise;
    const auto found = object.find(name);
    if (found == object.end()) return otherwise;
    if constexpr (std::is_same_v<T, std::string>) {
        return found->is_string() ? found->get<std::string>() : otherwise;
    } else if constexpr (std::is_same_v<T, bool>) {
        return found->is_boolean() ? found->get<bool>() : otherwise;
    } else if constexpr (std::is_unsigned_v<T>) {
        return found->is_number_unsigned() ? found->get<T>() : otherwise;
    } else {
        return found->is_number_integer() ? found->get<T>() : otherwise;
    }
}

const Json& part(const Json& object, const char* name) {
    static const Json kNone = Json::object();
    if (!object.is_object()) return kNone;
    const auto found = object.find(name);
    return found == object.end() ? kNone : *found;
}

// nats-server 2.9.10 counts down from a place that it has lost (consume/feed.h), and once below zero says 2^64 - 1: taken for an
// ack floor, that would make every message one that was acknowledged.
std::uint64_t stream_sequence(const Json& of) {
    const auto said = value_of<std::uint64_t>(of, "stream_seq", 0);
    return said > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ? 0 : said;
}

std::vector<std::string> texts(const Json& list) {
    std::vector<std::string> out;
    if (!list.is_array()) return out;
    for (const Json& item : list) {
        if (item.is_string()) out.push_back(item.get<std::string>());
    }
    return out;
}

Result<Json> object_in(std::string_view answer, const char* required) {
    Json json = Json::parse(answer.begin(), answer.end(), nullptr, false);
    if (!json.is_object() || !part(json, required).is_object() || !json.contains(required))
        return fail(Errc::internal, std::string("the server's answer lacks \"") + required + '"');
    return json;
}

}  // namespace

std::string durable_create_subject(const DurableSpec& spec) {
    return (spec.filters.size() == 1 ? "CONSUMER.DURABLE.CREATE." : "CONSUMER.CREATE.") + spec.stream + "." + spec.durable;
}

std::string durable_create_json(const DurableSpec& spec) {
    Json config{{"durable_name", spec.durable},
                {"ack_policy", "explicit"},
                {"ack_wait", spec.ack_wait.count()},
                {"max_ack_pending", spec.max_ack_pending},
                {"max_deliver", -1},
                {"replay_policy", "instant"},
                {"deliver_policy", spec.start_sequence ? "by_start_sequence" : "all"}};
    if (spec.start_sequence) config["opt_start_seq"] = *spec.start_sequence;
    if (spec.filters.size() == 1) {
        config["filter_subject"] = spec.filters.front();
    } else {
        config["name"] = spec.durable;
        config["filter_subjects"] = spec.filters;
    }
    return Json{{"stream_name", spec.stream}, {"config", std::move(config)}}.dump();
}

std::string durable_update_json(const DurableSpec& spec, std::string_view info) {
    const auto json = object_in(info, "config");
    Json config = json ? part(*json, "config") : Json::object();
    config["ack_wait"] = spec.ack_wait.count();
    config["max_ack_pending"] = spec.max_ack_pending;
    config["max_deliver"] = -1;
    return Json{{"stream_name", spec.stream}, {"config", std::move(config)}}.dump();
}

std::int64_t parse_utc(std::string_view text) {
    constexpr std::size_t whole = 19;
    const std::string seconds(text.substr(0, whole));
    int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, end = 0;
    if (std::sscanf(seconds.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &s, &end) != 6 || end != int{whole})
        return 0;
    if (text.size() <= whole || text.back() != 'Z') return 0;
    std::string_view digits = text.substr(whole, text.size() - whole - 1);
    std::int64_t ns = 0;
    if (!digits.empty()) {
        if (digits.front() != '.' || digits.size() < 2 || digits.size() > 10) return 0;
        digits.remove_prefix(1);
        if (digits.find_first_not_of("0123456789") != std::string_view::npos) return 0;
        for (std::size_t i = 0; i < 9; ++i) ns = ns * 10 + (i < digits.size() ? digits[i] - '0' : 0);
    }
    const std::chrono::year_month_day date{std::chrono::year(y), std::chrono::month(static_cast<unsigned>(mo)),
                                           std::chrono::day(static_cast<unsigned>(d))};
    if (!date.ok() || y < 1970 || y > 2200 || h > 23 || mi > 59 || s > 60) return 0;
    const auto at = std::chrono::sys_days(date) + std::chrono::hours(h) + std::chrono::minutes(mi) + std::chrono::seconds(s);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count() + ns;
}

Result<DurableState> parse_durable(std::string_view answer) {
    const auto json = object_in(answer, "config");
    if (!json) return tl::unexpected<Error>(json.error());
    const Json& config = part(*json, "config");
    DurableState state;
    state.ack_floor = stream_sequence(part(*json, "ack_floor"));
    state.delivered = stream_sequence(part(*json, "delivered"));
    state.ack_pending = value_of<std::uint64_t>(*json, "num_ack_pending", 0);
    state.pending = value_of<std::uint64_t>(*json, "num_pending", 0);
    state.max_ack_pending =
        static_cast<std::uint32_t>(std::max<std::int64_t>(0, value_of<std::int64_t>(config, "max_ack_pending", 0)));
    state.ack_wait = Duration(value_of<std::int64_t>(config, "ack_wait", 0));
    state.max_deliver = value_of<std::int64_t>(config, "max_deliver", -1);
    state.pull = value_of<std::string>(config, "deliver_subject", "").empty();
    state.explicit_ack = value_of<std::string>(config, "ack_policy", "") == "explicit";
    state.created_ns = parse_utc(value_of<std::string>(*json, "created", ""));
    state.filters = texts(part(config, "filter_subjects"));
    const std::string filter = value_of<std::string>(config, "filter_subject", "");
    if (state.filters.empty() && !filter.empty()) state.filters.push_back(filter);
    return state;
}

Result<StreamFacts> parse_stream_facts(std::string_view answer) {
    const auto json = object_in(answer, "config");
    if (!json) return tl::unexpected<Error>(json.error());
    const Json& config = part(*json, "config");
    const Json& state = part(*json, "state");
    StreamFacts facts;
    facts.retention = value_of<std::string>(config, "retention", "limits");
    facts.subjects = texts(part(config, "subjects"));
    facts.consumers_max = value_of<std::int64_t>(config, "max_consumers", -1);
    facts.no_ack = value_of<bool>(config, "no_ack", false);
    facts.created = value_of<std::string>(*json, "created", "");
    facts.first_sequence = value_of<std::uint64_t>(state, "first_seq", 0);
    facts.last_sequence = value_of<std::uint64_t>(state, "last_seq", 0);
    return facts;
}

Result<NamesPage> parse_consumer_names(std::string_view answer) {
    const Json json = Json::parse(answer.begin(), answer.end(), nullptr, false);
    if (!json.is_object()) return fail(Errc::internal, "the list of consumers is not a JSON object");
    return NamesPage{texts(part(json, "consumers")), value_of<std::uint64_t>(json, "total", 0)};
}

std::string page_json(std::uint64_t offset) { return Json{{"offset", offset}}.dump(); }

}  // namespace parti::jetstream
