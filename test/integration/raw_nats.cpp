#include "raw_nats.h"

#include <nats/nats.h>

#include <utility>

namespace parti::test {

Outcome<RawNats> RawNats::connect(const std::string& url) {
    natsConnection* connection = nullptr;
    const natsStatus status = natsConnection_ConnectTo(&connection, url.c_str());
    if (status != NATS_OK) return failure("connect to " + url + ": " + natsStatus_GetText(status));
    return RawNats(connection);
}

RawNats::RawNats(RawNats&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}

RawNats::~RawNats() { natsConnection_Destroy(connection_); }

Outcome<std::string> RawNats::request(const std::string& subject, const std::string& body) {
    natsMsg* reply = nullptr;
    const natsStatus status =
        natsConnection_Request(&reply, connection_, subject.c_str(), body.data(), static_cast<int>(body.size()), 5000);
    if (status != NATS_OK) return failure(subject + ": " + natsStatus_GetText(status));
    std::string out(natsMsg_GetData(reply), static_cast<std::size_t>(natsMsg_GetDataLength(reply)));
    natsMsg_Destroy(reply);
    return out;
}

Outcome<nlohmann::json> RawNats::api(const std::string& subject, const nlohmann::json& body) {
    auto reply = request("$JS.API." + subject, body.empty() ? std::string() : body.dump());
    if (!reply) return failure(reply.error());
    auto json = nlohmann::json::parse(*reply, nullptr, false);
    if (!json.is_object() || json.contains("error")) return failure(subject + ": " + *reply);
    return json;
}

Outcome<std::uint64_t> RawNats::put(const std::string& bucket, const std::string& key, const std::string& bytes) {
    auto reply = request("$KV." + bucket + "." + key, bytes);
    if (!reply) return failure(reply.error());
    const auto json = nlohmann::json::parse(*reply, nullptr, false);
    if (!json.is_object() || json.contains("error")) return failure("put " + key + ": " + *reply);
    return json.value("seq", std::uint64_t{0});
}

Outcome<void> RawNats::mark(const std::string& bucket, const std::string& key, const std::string& operation) {
    natsMsg* message = nullptr;
    natsMsg* reply = nullptr;
    natsStatus status = natsMsg_Create(&message, ("$KV." + bucket + "." + key).c_str(), nullptr, "", 0);
    if (status == NATS_OK) status = natsMsgHeader_Set(message, "KV-Operation", operation.c_str());
    if (status == NATS_OK && operation == "PURGE") status = natsMsgHeader_Set(message, "Nats-Rollup", "sub");
    if (status == NATS_OK) status = natsConnection_RequestMsg(&reply, connection_, message, 5000);
    natsMsg_Destroy(message);
    if (status != NATS_OK) return failure(operation + ' ' + key + ": " + natsStatus_GetText(status));
    const std::string answer(natsMsg_GetData(reply), static_cast<std::size_t>(natsMsg_GetDataLength(reply)));
    natsMsg_Destroy(reply);
    if (answer.find("\"error\"") != std::string::npos) return failure(operation + ' ' + key + ": " + answer);
    return {};
}

Outcome<void> RawNats::publish(const std::string& subject, const std::string& bytes) {
    const natsStatus status = natsConnection_Publish(connection_, subject.c_str(), bytes.data(), static_cast<int>(bytes.size()));
    if (status != NATS_OK) return failure(subject + ": " + natsStatus_GetText(status));
    return {};
}

Outcome<void> RawNats::flush() {
    const natsStatus status = natsConnection_FlushTimeout(connection_, 10000);
    if (status != NATS_OK) return failure(std::string("flush: ") + natsStatus_GetText(status));
    return {};
}

Outcome<nlohmann::json> RawNats::make_bucket(const std::string& bucket) {
    return api("STREAM.CREATE.KV_" + bucket, {{"name", "KV_" + bucket},
                                              {"subjects", {"$KV." + bucket + ".>"}},
                                              {"max_msgs_per_subject", 1},
                                              {"storage", "file"},
                                              {"discard", "new"},
                                              {"allow_rollup_hdrs", true},
                                              {"deny_delete", true}});
}

Outcome<std::string> RawNats::get(const std::string& bucket, const std::string& key) {
    auto json = api("STREAM.MSG.GET.KV_" + bucket, {{"last_by_subj", "$KV." + bucket + "." + key}});
    if (!json) return failure(json.error());
    return json->at("message").dump();  // sequence, time and bytes: equal only when nothing was written
}

}  // namespace parti::test
