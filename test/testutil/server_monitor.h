// server_monitor: what a nats-server counts itself, asked over its loopback monitor.
//
// Role      The server-side oracle (no consumer left, no slow consumer) and the companion figures (messages, API calls, memory).
// Model     /varz, /jsz?streams=1&consumers=1 and /connz, one request each, no connection kept.
// Units     Bytes, messages, calls; cpu in per cent of one core as the server writes it.
// Errors    Unreachable, not 200, or an answer that lacks a field: an error that names the page and the field.
// Threads   Free functions, any thread; they block up to the timeout.
// Cost      Three HTTP exchanges, some milliseconds. The server answers /varz's cpu and mem from its own sampler.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "outcome.h"

namespace parti::test {

struct ConsumerInfo {
    std::string stream, name;
};
struct StreamInfo {
    std::string account, name;
    std::uint64_t messages = 0, bytes = 0, first_sequence = 0, last_sequence = 0;
    std::uint64_t consumers = 0;
};
struct ConnectionInfo {
    std::uint64_t cid = 0;
    std::string name;
    std::uint64_t pending_bytes = 0, in_msgs = 0, out_msgs = 0, subscriptions = 0;
};

struct ServerStats {
    std::string version;
    std::uint64_t in_msgs = 0, out_msgs = 0, in_bytes = 0, out_bytes = 0;
    std::uint64_t slow_consumers = 0;
    std::uint64_t connections = 0, subscriptions = 0;
    std::uint64_t mem = 0;  // resident bytes of the server
    double cpu = 0;
    bool jetstream = false;  // the fields below are 0 without it
    std::uint64_t api_total = 0, api_errors = 0;
    std::uint64_t consumer_count = 0, stream_count = 0, message_count = 0;
    std::uint64_t store_memory = 0, store_file = 0;
    std::vector<StreamInfo> streams;
    std::vector<ConsumerInfo> consumers;
    std::vector<ConnectionInfo> clients;

    const StreamInfo* stream(const std::string& name) const;  // nullptr: none
};

// The pure part, over the three pages as text.
Outcome<ServerStats> parse_server_stats(const std::string& varz, const std::string& jsz, const std::string& connz);

Outcome<ServerStats> read_server_stats(const std::string& monitor_url,
                                       std::chrono::milliseconds timeout = std::chrono::milliseconds(2000));

// Waits until the server counts exactly this number of consumers; the error names those there are.
Outcome<void> wait_for_consumers(const std::string& monitor_url, std::uint64_t count, std::chrono::milliseconds timeout);

}  // namespace parti::test
