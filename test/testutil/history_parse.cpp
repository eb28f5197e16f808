#include <nlohmann/json.hpp>

#include "testutil/history.h"

namespace parti::test {
namespace {

using Json = nlohmann::json;
using Kind = HistoryEvent::Kind;

std::optional<Kind> kind_of(const std::string& name) {
    static const std::map<std::string, Kind> kinds = {
        {"session", Kind::session}, {"extend", Kind::extend}, {"session_end", Kind::session_end},
        {"grant", Kind::grant},     {"revoke", Kind::revoke}, {"release", Kind::release},
    };
    const auto found = kinds.find(name);
    return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

template <class T>
T required(const Json& line, const char* key) {
    const auto found = line.find(key);
    if (found == line.end()) throw std::string("lacks '") + key + "'";
    if constexpr (std::is_same_v<T, std::string>) {
        if (!found->is_string()) throw std::string("'") + key + "' must be a string";
    } else {
        if (!found->is_number_integer()) throw std::string("'") + key + "' must be a whole number";
    }
    return found->get<T>();
}

HistoryEvent read_event(const Json& line) {
    if (!line.is_object()) throw std::string("is not a JSON object");
    HistoryEvent event;
    const auto name = required<std::string>(line, "event");
    const auto kind = kind_of(name);
    if (!kind) throw "has the unknown event '" + name + "'";
    event.kind = *kind;
    event.t_ns = required<std::int64_t>(line, "t");
    event.worker = required<std::uint64_t>(line, "worker");
    event.session = required<std::string>(line, "session");
    if (*kind == Kind::session) {
        event.number = required<std::uint32_t>(line, "number");
        event.incarnation = required<std::uint64_t>(line, "incarnation");
    }
    if (*kind == Kind::session || *kind == Kind::extend) event.deadline_ns = required<std::int64_t>(line, "deadline");
    if (*kind == Kind::grant || *kind == Kind::revoke || *kind == Kind::release) {
        event.grant = required<std::uint64_t>(line, "grant");
        event.partition = required<std::string>(line, "partition");
    }
    if (*kind == Kind::grant) {
        event.fence.epoch = required<std::uint64_t>(line, "epoch");
        event.fence.version = required<std::uint64_t>(line, "version");
    }
    return event;
}

}  // namespace

Outcome<std::vector<HistoryEvent>> parse_history(const std::string& file, std::string_view text, bool cut_off) {
    std::vector<HistoryEvent> events;
    std::size_t number = 0;
    while (!text.empty()) {
        ++number;
        const auto end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        const bool complete = end != std::string_view::npos;
        text.remove_prefix(complete ? end + 1 : text.size());
        if (!complete && cut_off) break;  // the kill came in the middle of it
        const auto where = file + ":" + std::to_string(number) + ": ";
        if (!complete) return failure(where + "the last line has no end");
        const Json json = Json::parse(line, nullptr, false);
        if (json.is_discarded()) return failure(where + "is not JSON: " + std::string(line));
        try {
            events.push_back(read_event(json));
        } catch (const std::string& why) {
            return failure(where + why + ": " + std::string(line));
        }
    }
    return events;
}

}  // namespace parti::test
