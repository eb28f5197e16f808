// JSON of JetStream's API, as values: everything that is read from a server or written to it is parsed and composed here.
//
// Role      Pure functions over bytes; keeps nlohmann::json out of the files that include Asio.
// Errors    Total: whatever the bytes are, the answer is a value or an Error; nothing throws. An answer's `error` is looked at
//           before anything else, because an error reply carries "seq":0 too.
// Source    ADR-1 (JSON API), ADR-8 (KV), nats-server's server/errors.json for the codes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jetstream/client.h"

namespace parti::jetstream {

// Codes of nats-server's errors.json that decide something here.
enum ApiCode : int {
    kApiNoSuitablePeers = 10005,  // for good, or while a server of the cluster is offline, which only the text tells
    kApiConsumerNotFound = 10014,
    kApiMessageNotFound = 10037,
    kApiNotEnabledForAccount = 10039,
    kApiStreamNameInUse = 10058,
    kApiStreamNotFound = 10059,
    kApiSubjectsOverlap = 10065,
    kApiWrongLastSequence = 10071,
    kApiReplicasNotSupported = 10074,
    kApiNotEnabled = 10076,
};

struct ApiError {
    int status = 0;  // as HTTP: 400, 404, 503
    int code = 0;    // ApiCode
    std::string description;
};
Error to_error(const ApiError& error, std::string_view subject);

// Absent: the answer is no error. An answer that is no JSON object is an error with code 0.
std::optional<ApiError> api_error(std::string_view answer);

PutAnswer parse_pub_ack(std::string_view answer, std::string_view stream);

struct StreamState {
    std::string created;
    std::uint64_t last_sequence = 0;
    bool has_leader = true;  // false: a replicated stream without a leader
};
Result<StreamState> parse_stream_info(std::string_view answer);

// The answer to STREAM.MSG.GET. 10037 is EntryKind::absent.
Result<RawEntry> parse_stored_message(std::string_view answer, std::string_view subject_prefix, std::string_view key);

struct ConsumerState {
    std::uint64_t initial = 0;  // messages that were there at creation: pending and delivered ones
};
Result<ConsumerState> parse_consumer_created(std::string_view answer);

std::string stream_config_json(const BucketSpec& spec);
// Every setting of a stream (answer to STREAM.INFO or STREAM.CREATE) that contradicts the specification, with both values.
std::vector<std::string> contradictions(const BucketSpec& spec, std::string_view answer);

struct ConsumerSpec {
    std::string stream;
    std::string name;
    std::string deliver_subject;
    std::string filter_subject;
    Duration heartbeat{};
    Duration inactive_threshold{};
    bool headers_only = false;
};
std::string consumer_create_json(const ConsumerSpec& spec);
std::string last_by_subject_json(std::string_view subject);

// From $JS.API.INFO: the API level (servers from 2.11 on say it), 0 when it is not said.
int parse_api_level(std::string_view answer);
// From the INFO line a server greets with: its version, empty when it is not said.
std::string parse_greeting_version(std::string_view json);

// $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or the longer form with domain and
// account.
struct Delivery {
    std::string_view consumer;  // a part of the reply
    std::uint64_t stream_sequence = 0;
    std::uint64_t consumer_sequence = 0;
    std::uint64_t time = 0;  // when the stream stored it, by the server's clock; only compared for equality
    std::uint64_t pending = 0;
    std::uint64_t delivered = 0;  // how often, this time included
};
std::optional<Delivery> parse_delivery(std::string_view reply);

// Standard alphabet with padding. Absent: not base64.
std::optional<std::string> decode_base64(std::string_view text);
std::optional<std::uint64_t> parse_number(std::string_view digits);

bool valid_bucket_name(std::string_view name);
// A key (`pattern` false) or a filter such as "worker.*" or ">".
bool valid_key(std::string_view key, bool pattern);
// What a server takes: no '.', '*', '>', '/', '\', blank or control character.
bool valid_stream_name(std::string_view name);
// A subject, with wildcards as whole tokens.
bool valid_filter(std::string_view filter);

}  // namespace parti::jetstream
