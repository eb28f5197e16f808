#include <nlohmann/json.hpp>

#include "testutil/history.h"

namespace parti::test {
namespace {

using Json = nlohmann::json;
using Kind = HistoryEvent::Kind;

std::optional<Kind> kind_of(const std::string& name) {
    static const std::map<std::string, Kind> kinds = {
        {"session", Kind::session}, {"deadline", Kind::extend}, {"end", Kind::session_end},
        {"grant", Kind::grant},     {"revoke", Kind::revoke},   {"release", Kind::release},
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

FenceValue read_fence(const Json& line) {
    const auto found = line.find("f");
    const bool pair = found != line.end() && found->is_array() && found->size() == 2 && (*found)[0].is_number_unsigned() &&
                      (*found)[1].is_number_unsigned();
    if (!pair) throw std::string("'f' must be [epoch,version]");
    return {(*found)[0].get<std::uint64_t>(), (*found)[1].get<std::uint64_t>()};
}

// Nothing: the line that opens the file.
std::optional<HistoryEvent> read_event(const Json& line) {
    if (!line.is_object()) throw std::string("is not a JSON object");
    const auto name = required<std::string>(line, "e");
    if (name == "open") return std::nullopt;
    const auto kind = kind_of(name);
    if (!kind) throw "has the unknown event '" + name + "'";
    HistoryEvent event;
    event.kind = *kind;
    event.t_ns = required<std::int64_t>(line, "t");
    event.session = required<std::string>(line, "s");
    if (*kind == Kind::session) {
        event.worker = required<std::uint64_t>(line, "w");
        event.number = required<std::uint32_t>(line, "n");
        event.incarnation = required<std::uint64_t>(line, "i");
    }
    if (*kind == Kind::session || *kind == Kind::extend) event.deadline_ns = required<std::int64_t>(line, "until");
    if (*kind == Kind::grant || *kind == Kind::revoke || *kind == Kind::release) {
        event.grant = required<std::uint64_t>(line, "g");
        event.partition = required<std::string>(line, "p");
    }
    if (*kind == Kind::grant) event.fence = read_fence(line);
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
            if (auto event = read_event(json)) events.push_back(std::move(*event));
        } catch (const std::string& why) {
            return failure(where + why + ": " + std::string(line));
        }
    }
    return events;
}

}  // namespace parti::test
