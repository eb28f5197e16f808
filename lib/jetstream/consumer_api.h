// JSON of JetStream's consumer API, as values: what durables are made of and what the server says about them.
//
// Role      Pure functions over bytes, beside json.h.
// Errors    Total; nothing throws. An answer's `error` is looked at first, as an ApiError whose code decides.
// Source    ADR-1; nats-server's server/errors.json for the codes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jetstream/json.h"

namespace parti::jetstream {

enum ConsumerApiCode : int {
    kApiConsumerNameInUse = 10013,
    kApiConsumersMax = 10026,
    kApiWorkQueueNotUnfiltered = 10099,  // an unfiltered consumer is in the way
    kApiWorkQueueNotUnique = 10100,      // another consumer has this filter
    kApiConsumerExists = 10148,
};

struct DurableSpec {
    std::string stream, durable;
    std::vector<std::string> filters;  // at least one, always
    std::uint32_t max_ack_pending = 1;
    Duration ack_wait{};
    std::optional<std::uint64_t> start_sequence{};  // absent: all
    bool work_queue = false;                        // of the stream: what was acknowledged is gone, and only "all" is allowed
};
// For $JS.API.<subject>: one filter goes the way every server knows, several need 2.10.
std::string durable_create_subject(const DurableSpec& spec);
std::string durable_create_json(const DurableSpec& spec);

// The configuration of an existing durable (from its INFO), with max_ack_pending, ack_wait and max_deliver as in the
// specification.
std::string durable_update_json(const DurableSpec& spec, std::string_view info);

struct DurableState {
    std::uint64_t ack_floor = 0;  // stream sequence
    std::uint64_t delivered = 0;  // stream sequence
    std::uint64_t ack_pending = 0;
    std::uint64_t pending = 0;  // not yet delivered
    std::uint32_t max_ack_pending = 0;
    Duration ack_wait{};
    std::int64_t max_deliver = -1;
    bool pull = true;
    bool explicit_ack = true;
    std::vector<std::string> filters;
    // since 1970; 0: not said. nats-server 2.9.10 says another one after a restart, some microseconds later
    std::int64_t created_ns = 0;
};
// "2026-11-28T14:57:17.25Z" in ns since 1970; 0: it is something else.
std::int64_t parse_utc(std::string_view text);
// From an answer without error.
Result<DurableState> parse_durable(std::string_view answer);

struct StreamFacts {
    std::string retention;  // "limits", "interest", "workqueue"
    std::vector<std::string> subjects;
    std::int64_t consumers_max = -1;
    bool no_ack = false;
    std::string created;
    std::uint64_t first_sequence = 0;
    std::uint64_t last_sequence = 0;
};
Result<StreamFacts> parse_stream_facts(std::string_view answer);

struct NamesPage {
    std::vector<std::string> names;
    std::uint64_t total = 0;
};
Result<NamesPage> parse_consumer_names(std::string_view answer);
std::string page_json(std::uint64_t offset);

}  // namespace parti::jetstream
