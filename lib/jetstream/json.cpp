#include "jetstream/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>

#include <nlohmann/json.hpp>

namespace parti::jetstream {
namespace {

using Json = nlohmann::json;

Json parse(std::string_view text) { return Json::parse(text.begin(), text.end(), nullptr, false); }

const Json* member(const Json& object, const char* name) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(name);
    return found == object.end() ? nullptr : &*found;
}
std::string text_of(const Json& object, const char* name) {
    const Json* value = member(object, name);
    return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}
std::uint64_t unsigned_of(const Json& object, const char* name) {
    const Json* value = member(object, name);
    return value != nullptr && value->is_number_unsigned() ? value->get<std::uint64_t>() : 0;
}
std::int64_t signed_of(const Json& object, const char* name, std::int64_t otherwise) {
    const Json* value = member(object, name);
    return value != nullptr && value->is_number_integer() ? value->get<std::int64_t>() : otherwise;
}
bool true_of(const Json& object, const char* name) {
    const Json* value = member(object, name);
    return value != nullptr && value->is_boolean() && value->get<bool>();
}

std::optional<ApiError> error_in(const Json& answer) {
    if (!answer.is_object()) return ApiError{0, 0, "the answer is not a JSON object"};
    const Json* error = member(answer, "error");
    if (error == nullptr || error->is_null()) return std::nullopt;
    return ApiError{static_cast<int>(signed_of(*error, "code", 0)), static_cast<int>(signed_of(*error, "err_code", 0)),
                    text_of(*error, "description")};
}

// "wrong last sequence: 17" -> 17
std::uint64_t number_at_end(std::string_view description) {
    const std::size_t last = description.find_last_not_of("0123456789");
    const std::string_view digits = last == std::string_view::npos ? description : description.substr(last + 1);
    return parse_number(digits).value_or(0);
}

// The value of a header in a raw header block ("NATS/1.0\r\nName: value\r\n\r\n").
bool has_header(std::string_view block, std::string_view name) {
    for (std::size_t at = block.find(name); at != std::string_view::npos; at = block.find(name, at + 1)) {
        const bool line_start = at >= 2 && block.substr(at - 2, 2) == "\r\n";
        const std::size_t colon = at + name.size();
        if (line_start && colon < block.size() && block[colon] == ':') return true;
    }
    return false;
}

// A key is deleted when its last message is a marker of the KV convention or of the server (2.11).
bool is_marker(std::string_view block) { return has_header(block, "KV-Operation") || has_header(block, "Nats-Marker-Reason"); }

class Comparison {
public:
    explicit Comparison(const Json& config) : config_(config) {}

    void number(const char* name, std::int64_t wanted, std::int64_t otherwise) {
        const std::int64_t found = signed_of(config_, name, otherwise);
        if (found != wanted) add(name, std::to_string(found), std::to_string(wanted));
    }
    // The server writes "no limit" as -1 or, in older versions, as 0 or not at all.
    void unlimited(const char* name) {
        const std::int64_t found = signed_of(config_, name, -1);
        if (found > 0) add(name, std::to_string(found), "-1 (no limit)");
    }
    void flag(const char* name, bool wanted) {
        const bool found = true_of(config_, name);
        if (found != wanted) add(name, found ? "true" : "false", wanted ? "true" : "false");
    }
    void word(const char* name, std::string_view wanted) {
        const std::string found = text_of(config_, name);
        if (found != wanted) add(name, '"' + found + '"', '"' + std::string(wanted) + '"');
    }
    void value(const char* name, const Json& wanted) {
        const Json* found = member(config_, name);
        if (found == nullptr || *found != wanted) add(name, found == nullptr ? "absent" : dump(*found), dump(wanted));
    }
    void absent(const char* name) {
        const Json* found = member(config_, name);
        if (found != nullptr && !found->is_null() && !(found->is_array() && found->empty())) add(name, dump(*found), "absent");
    }
    std::vector<std::string> take() { return std::move(lines_); }

private:
    static std::string dump(const Json& value) { return value.dump(-1, ' ', true, Json::error_handler_t::replace); }
    void add(const char* name, const std::string& found, const std::string& wanted) {
        lines_.push_back(std::string(name) + " is " + found + " and must be " + wanted);
    }
    const Json& config_;
    std::vector<std::string> lines_;
};

const char* storage_word(Storage storage) { return storage == Storage::file ? "file" : "memory"; }

}  // namespace

Error to_error(const ApiError& error, std::string_view subject) {
    Errc code = Errc::internal;
    switch (error.code) {
        case kApiConsumerNotFound:
        case kApiMessageNotFound:
        case kApiStreamNotFound: code = Errc::not_found; break;
        case kApiNotEnabledForAccount:
        case kApiNotEnabled:
        case kApiReplicasNotSupported: code = Errc::unsupported_server; break;
        case kApiWrongLastSequence: code = Errc::wrong_revision; break;
        case kApiStreamNameInUse: code = Errc::bucket_mismatch; break;
        case 10023:                                  // insufficient resources
        case 10026:                                  // consumers of the account
        case 10027:                                  // streams of the account
        case 10028:                                  // memory
        case 10047:                                  // storage
        case 10077: code = Errc::overloaded; break;  // the store refused the message
        default:
            if (error.status == 503 ||
                (error.code == kApiNoSuitablePeers && error.description.find("offline") != std::string::npos)) {
                code = Errc::not_ready;
            } else if (error.status == 404) {
                code = Errc::not_found;
            } else if (error.status >= 400 && error.status < 500) {
                code = Errc::invalid_argument;
            }
    }
    std::string detail(subject);
    detail += ": ";
    detail += error.description.empty() ? "error without a description" : error.description;
    if (error.code != 0) detail += " (" + std::to_string(error.code) + ")";
    return {code, std::move(detail)};
}

std::optional<ApiError> api_error(std::string_view answer) { return error_in(parse(answer)); }

PutAnswer parse_pub_ack(std::string_view answer, std::string_view stream) {
    const Json json = parse(answer);
    if (const auto error = error_in(json)) {
        PutAnswer put{PutResult::no_information, 0, to_error(*error, stream)};
        if (error->code == kApiWrongLastSequence) {
            put.result = PutResult::wrong_revision;
            put.revision = number_at_end(error->description);
        }
        return put;
    }
    const std::uint64_t sequence = unsigned_of(json, "seq");
    const std::string by = text_of(json, "stream");
    if (by != stream || sequence == 0) {
        return {PutResult::no_information,
                0,
                {Errc::internal, "answer to a put is from stream \"" + by + "\" with seq " + std::to_string(sequence) +
                                     ", expected stream \"" + std::string(stream) + "\" and a seq above 0"}};
    }
    return {PutResult::done, sequence, {}};
}

Result<StreamState> parse_stream_info(std::string_view answer) {
    const Json json = parse(answer);
    if (const auto error = error_in(json)) return tl::unexpected<Error>(to_error(*error, "stream"));
    StreamState state;
    state.created = text_of(json, "created");
    const Json* counts = member(json, "state");
    if (state.created.empty() || counts == nullptr)
        return fail(Errc::internal, "answer to a stream request lacks created or state");
    state.last_sequence = unsigned_of(*counts, "last_seq");
    // What a server writes about a stream that another request is still creating.
    if (state.created.rfind("0001-01-01", 0) == 0) return fail(Errc::not_ready, "the stream is being created");
    const Json* cluster = member(json, "cluster");
    state.has_leader = cluster == nullptr || member(*cluster, "name") == nullptr || !text_of(*cluster, "leader").empty();
    return state;
}

Result<RawEntry> parse_stored_message(std::string_view answer, std::string_view subject_prefix, std::string_view key) {
    RawEntry entry;
    entry.key = std::string(key);
    const Json json = parse(answer);
    if (const auto error = error_in(json)) {
        if (error->code == kApiMessageNotFound) return entry;
        return tl::unexpected<Error>(to_error(*error, std::string(subject_prefix) + std::string(key)));
    }
    const Json* message = member(json, "message");
    if (message == nullptr) return fail(Errc::internal, "answer to a stored-message request lacks message");
    entry.revision = unsigned_of(*message, "seq");
    const auto headers = decode_base64(text_of(*message, "hdrs"));
    auto bytes = decode_base64(text_of(*message, "data"));
    const std::string subject = text_of(*message, "subject");
    if (entry.revision == 0 || !headers || !bytes || subject != std::string(subject_prefix) + std::string(key)) {
        return fail(Errc::internal, "stored message of \"" + subject + "\" is not readable or not the one asked for");
    }
    if (is_marker(*headers)) {
        entry.kind = EntryKind::marker;
    } else {
        entry.kind = EntryKind::value;
        entry.bytes = std::move(*bytes);
    }
    return entry;
}

Result<ConsumerState> parse_consumer_created(std::string_view answer) {
    const Json json = parse(answer);
    if (const auto error = error_in(json)) return tl::unexpected<Error>(to_error(*error, "consumer"));
    const Json* delivered = member(json, "delivered");
    if (delivered == nullptr) return fail(Errc::internal, "answer to a consumer request lacks delivered");
    return ConsumerState{unsigned_of(json, "num_pending") + unsigned_of(*delivered, "consumer_seq")};
}

std::string stream_config_json(const BucketSpec& spec) {
    return Json{{"name", "KV_" + spec.name},
                {"subjects", {"$KV." + spec.name + ".>"}},
                {"retention", "limits"},
                {"max_consumers", -1},
                {"max_msgs", -1},
                {"max_bytes", -1},
                {"max_msg_size", -1},
                {"max_age", 0},
                {"max_msgs_per_subject", 1},
                {"discard", "new"},
                {"storage", storage_word(spec.storage)},
                {"num_replicas", spec.replicas},
                {"duplicate_window", 120'000'000'000},
                {"deny_delete", true},
                {"deny_purge", true},
                {"allow_rollup_hdrs", false},
                {"allow_direct", false}}
        .dump();
}

std::vector<std::string> contradictions(const BucketSpec& spec, std::string_view answer) {
    const Json json = parse(answer);
    const Json* config = member(json, "config");
    if (config == nullptr) return {"config is absent in the server's answer"};
    Comparison compare(*config);
    compare.word("storage", storage_word(spec.storage));
    compare.number("num_replicas", spec.replicas, 1);
    compare.value("subjects", Json::array({"$KV." + spec.name + ".>"}));
    compare.number("max_msgs_per_subject", 1, -1);
    compare.number("max_age", 0, 0);
    compare.unlimited("max_msgs");
    compare.unlimited("max_bytes");
    compare.unlimited("max_msg_size");
    compare.unlimited("max_consumers");
    compare.word("retention", "limits");
    compare.word("discard", "new");
    compare.flag("deny_delete", true);
    compare.flag("deny_purge", true);
    compare.flag("allow_rollup_hdrs", false);
    compare.flag("sealed", false);
    compare.flag("no_ack", false);
    compare.absent("mirror");
    compare.absent("sources");
    compare.absent("subject_transform");
    return compare.take();
}

std::string consumer_create_json(const ConsumerSpec& spec) {
    return Json{{"stream_name", spec.stream},
                {"config",
                 {{"name", spec.name},
                  {"deliver_subject", spec.deliver_subject},
                  {"deliver_policy", "last_per_subject"},
                  {"ack_policy", "none"},
                  {"max_deliver", 1},
                  {"filter_subject", spec.filter_subject},
                  {"replay_policy", "instant"},
                  {"flow_control", true},
                  {"idle_heartbeat", spec.heartbeat.count()},
                  {"inactive_threshold", spec.inactive_threshold.count()},
                  {"mem_storage", true},
                  {"headers_only", spec.headers_only},
                  {"num_replicas", 1}}}}
        .dump();
}

std::string last_by_subject_json(std::string_view subject) { return Json{{"last_by_subj", subject}}.dump(); }

int parse_api_level(std::string_view answer) {
    const Json json = parse(answer);
    const Json* api = member(json, "api");
    return api == nullptr ? 0 : static_cast<int>(signed_of(*api, "level", 0));
}

std::string parse_greeting_version(std::string_view json) { return text_of(parse(json), "version"); }

std::optional<Delivery> parse_delivery(std::string_view reply) {
    if (reply.substr(0, 8) != "$JS.ACK.") return std::nullopt;
    std::array<std::string_view, 12> tokens;
    std::size_t count = 0;
    for (std::size_t begin = 0; begin <= reply.size(); ++count) {
        if (count == tokens.size()) return std::nullopt;
        const std::size_t end = std::min(reply.find('.', begin), reply.size());
        tokens[count] = reply.substr(begin, end - begin);
        begin = end + 1;
    }
    if (count != 9 && count < 11) return std::nullopt;
    // With domain and account hash everything stands two places further; a last random token may follow.
    const std::size_t shift = count == 9 ? 0 : 2;
    const auto delivered = parse_number(tokens[4 + shift]);
    const auto stream = parse_number(tokens[5 + shift]);
    const auto consumer = parse_number(tokens[6 + shift]);
    const auto time = parse_number(tokens[7 + shift]);
    const auto pending = parse_number(tokens[8 + shift]);
    if (!delivered || !stream || !consumer || !time || !pending) return std::nullopt;
    return Delivery{tokens[3 + shift], *stream, *consumer, *time, *pending, *delivered};
}

std::optional<std::string> decode_base64(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    const auto digit = [](char c) -> int {
        if (c >= 'A' && c <= 'Z') return c - 'A';
        if (c >= 'a' && c <= 'z') return c - 'a' + 26;
        if (c >= '0' && c <= '9') return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
    };
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    while (!text.empty() && text.size() >= 4) {
        const bool last = text.size() == 4;
        const std::size_t padding = !last || text[3] != '=' ? 0 : text[2] == '=' ? 2 : 1;
        std::uint32_t word = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const int value = i >= 4 - padding ? 0 : digit(text[i]);
            if (value < 0) return std::nullopt;
            word = word << 6U | static_cast<std::uint32_t>(value);
        }
        for (std::size_t i = 0; i < 3 - padding; ++i) bytes.push_back(static_cast<char>(word >> (16U - 8U * i) & 0xffU));
        text.remove_prefix(4);
    }
    return bytes;
}

std::optional<std::uint64_t> parse_number(std::string_view digits) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

bool valid_bucket_name(std::string_view name) {
    if (name.empty() || name.size() > 200) return false;
    for (const char c : name) {
        const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!good) return false;
    }
    return true;
}

bool valid_key(std::string_view key, bool pattern) {
    if (key.empty() || key.size() > 1000 || key.front() == '.' || key.back() == '.') return false;
    for (std::size_t i = 0; i < key.size(); ++i) {
        const char c = key[i];
        const bool starts = i == 0 || key[i - 1] == '.';
        const bool ends = i + 1 == key.size();
        const bool wild = pattern && starts && ((c == '*' && (ends || key[i + 1] == '.')) || (c == '>' && ends));
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                           c == '/' || c == '=' || (c == '.' && !starts);
        if (!plain && !wild) return false;
    }
    return true;
}

bool valid_stream_name(std::string_view name) {
    if (name.empty() || name.size() > 255) return false;
    for (const char c : name) {
        const auto u = static_cast<unsigned char>(c);
        if (u <= 0x20 || u == 0x7f || c == '.' || c == '*' || c == '>' || c == '/' || c == '\\') return false;
    }
    return true;
}

bool valid_filter(std::string_view filter) {
    if (filter.empty() || filter.size() > 1000 || filter.front() == '.' || filter.back() == '.') return false;
    for (std::size_t i = 0; i < filter.size(); ++i) {
        const char c = filter[i];
        const auto u = static_cast<unsigned char>(c);
        const bool starts = i == 0 || filter[i - 1] == '.';
        const bool ends = i + 1 == filter.size();
        if (u <= 0x20 || u == 0x7f || (c == '.' && starts)) return false;
        if (c == '*' && !(starts && (ends || filter[i + 1] == '.'))) return false;
        if (c == '>' && !(starts && ends)) return false;
    }
    return true;
}

}  // namespace parti::jetstream
