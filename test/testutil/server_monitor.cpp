#include "server_monitor.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "tcp_text.h"

namespace parti::test {
namespace {

using Json = nlohmann::json;

// Reads fields of one object; the first one that is missing or of another type is kept as the error.
class Reader {
public:
    Reader(const Json& object, std::string page) : object_(object), page_(std::move(page)) {}
    void number(const char* key, std::uint64_t& value) {
        const auto found = object_.find(key);
        if (found != object_.end() && found->is_number_unsigned()) {
            value = found->get<std::uint64_t>();
        } else {
            miss(key, "a whole number");
        }
    }
    void real(const char* key, double& value) {
        const auto found = object_.find(key);
        if (found != object_.end() && found->is_number()) {
            value = found->get<double>();
        } else {
            miss(key, "a number");
        }
    }
    void text(const char* key, std::string& value) {
        const auto found = object_.find(key);
        if (found != object_.end() && found->is_string()) {
            value = found->get<std::string>();
        } else {
            miss(key, "a text");
        }
    }
    const std::string& error() const { return error_; }

private:
    void miss(const char* key, const char* kind) {
        if (error_.empty()) error_ = page_ + ": field '" + key + "' must be " + kind;
    }
    const Json& object_;
    std::string page_;
    std::string error_;
};

Outcome<Json> parse_page(const char* page, const std::string& text) {
    Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return failure(std::string(page) + ": must be a JSON object, is '" + text.substr(0, 80) + "'");
    return json;
}

const Json& part(const Json& object, const char* key) {
    static const Json none = Json::array();
    const auto found = object.find(key);
    return found != object.end() && found->is_array() ? *found : none;
}

std::string parse_streams(const Json& jsz, ServerStats& stats) {
    for (const Json& account : part(jsz, "account_details")) {
        for (const Json& detail : part(account, "stream_detail")) {
            StreamInfo stream;
            Reader head(detail, "/jsz stream");
            head.text("name", stream.name);
            Reader(account, "/jsz account").text("name", stream.account);
            const Json state = detail.value("state", Json::object());
            Reader reader(state, "/jsz stream state");
            reader.number("messages", stream.messages);
            reader.number("bytes", stream.bytes);
            reader.number("first_seq", stream.first_sequence);
            reader.number("last_seq", stream.last_sequence);
            reader.number("consumer_count", stream.consumers);
            for (const std::string& error : {head.error(), reader.error()}) {
                if (!error.empty()) return error;
            }
            for (const Json& one : part(detail, "consumer_detail")) {
                stats.consumers.push_back({stream.name, one.value("name", std::string())});
            }
            stats.streams.push_back(std::move(stream));
        }
    }
    return {};
}

std::string parse_jsz(const Json& jsz, ServerStats& stats) {
    if (jsz.value("disabled", false)) return {};
    stats.jetstream = true;
    Reader reader(jsz, "/jsz");
    reader.number("consumers", stats.consumer_count);
    reader.number("streams", stats.stream_count);
    reader.number("messages", stats.message_count);
    reader.number("memory", stats.store_memory);
    reader.number("storage", stats.store_file);
    const Json calls = jsz.value("api", Json::object());
    Reader api(calls, "/jsz api");
    api.number("total", stats.api_total);
    api.number("errors", stats.api_errors);
    if (!reader.error().empty()) return reader.error();
    if (!api.error().empty()) return api.error();
    return parse_streams(jsz, stats);
}

Outcome<std::string> page(const std::string& url, const std::string& path, std::chrono::milliseconds timeout) {
    auto answer = http_get(url, path, timeout);
    if (!answer) return failure(path + ": " + answer.error());
    if (answer->status != 200) return failure(url + path + ": status " + std::to_string(answer->status));
    return answer->body;
}

}  // namespace

const StreamInfo* ServerStats::stream(const std::string& name) const {
    for (const StreamInfo& one : streams) {
        if (one.name == name) return &one;
    }
    return nullptr;
}

static Outcome<ServerStats> parse_pages(const std::string& varz, const std::string& jsz, const std::string& connz) {
    auto var = parse_page("/varz", varz);
    auto js = parse_page("/jsz", jsz);
    auto conn = parse_page("/connz", connz);
    for (const auto* one : {&var, &js, &conn}) {
        if (!*one) return failure(one->error());
    }
    ServerStats stats;
    Reader reader(*var, "/varz");
    reader.text("version", stats.version);
    reader.number("in_msgs", stats.in_msgs);
    reader.number("out_msgs", stats.out_msgs);
    reader.number("in_bytes", stats.in_bytes);
    reader.number("out_bytes", stats.out_bytes);
    reader.number("slow_consumers", stats.slow_consumers);
    reader.number("connections", stats.connections);
    reader.number("subscriptions", stats.subscriptions);
    reader.number("mem", stats.mem);
    reader.real("cpu", stats.cpu);
    if (!reader.error().empty()) return failure(reader.error());
    for (const Json& one : part(*conn, "connections")) {
        ConnectionInfo client;
        Reader fields(one, "/connz connection");
        fields.number("cid", client.cid);
        fields.number("pending_bytes", client.pending_bytes);
        fields.number("in_msgs", client.in_msgs);
        fields.number("out_msgs", client.out_msgs);
        fields.number("subscriptions", client.subscriptions);
        if (!fields.error().empty()) return failure(fields.error());
        client.name = one.value("name", std::string());
        stats.clients.push_back(std::move(client));
    }
    if (const std::string error = parse_jsz(*js, stats); !error.empty()) return failure(error);
    return stats;
}

Outcome<ServerStats> parse_server_stats(const std::string& varz, const std::string& jsz, const std::string& connz) {
    try {
        return parse_pages(varz, jsz, connz);
    } catch (const Json::exception& e) {  // a field of another type where a default was asked for
        return failure(std::string("malformed monitor page: ") + e.what());
    }
}

Outcome<ServerStats> read_server_stats(const std::string& monitor_url, std::chrono::milliseconds timeout) {
    auto varz = page(monitor_url, "/varz", timeout);
    if (!varz) return failure(varz.error());
    auto jsz = page(monitor_url, "/jsz?streams=1&consumers=1", timeout);
    if (!jsz) return failure(jsz.error());
    auto connz = page(monitor_url, "/connz", timeout);
    if (!connz) return failure(connz.error());
    return parse_server_stats(*varz, *jsz, *connz);
}

Outcome<void> wait_for_consumers(const std::string& monitor_url, std::uint64_t count, std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        auto stats = read_server_stats(monitor_url);
        if (!stats) return failure(stats.error());
        if (stats->consumer_count == count) return {};
        if (std::chrono::steady_clock::now() >= deadline) {
            std::string names;
            for (const ConsumerInfo& one : stats->consumers) names += " " + one.stream + "/" + one.name;
            return failure("the server has " + std::to_string(stats->consumer_count) + " consumers instead of " +
                           std::to_string(count) + ":" + names);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // between two looks
    }
}

}  // namespace parti::test
