#include <parti/types.h>

#include <parti/source.h>
#include <parti/worker.h>

#include <algorithm>

#include "base/assert.h"
#include "base/utf8.h"

namespace parti {

namespace {

constexpr std::int64_t kWeightMax = 1'000'000'000;
constexpr std::size_t kIdBytesMax = 1024;

bool token_character(char c) {
    const auto u = static_cast<unsigned char>(c);
    return u > 0x20 && u != 0x7f && c != '.' && c != '*' && c != '>';
}

Result<void> check_key(std::string_view key) {
    if (key.empty()) return fail(Errc::invalid_argument, "partition key '' is empty; a key is a NATS subject token");
    if (!std::all_of(key.begin(), key.end(), token_character)) {
        return fail(Errc::invalid_argument,
                    "partition key '" + std::string(key) +
                        "' holds a character that a NATS subject token may not hold ('.', '*', '>', blank, control)");
    }
    if (!base::is_utf8(key)) return fail(Errc::invalid_argument, "a partition key is not UTF-8; records and subjects are");
    return {};
}

Result<void> check_weight(std::string_view id, std::int64_t weight) {
    if (weight >= 1 && weight <= kWeightMax) return {};
    return fail(Errc::invalid_argument,
                "partition '" + std::string(id) + "' has weight " + std::to_string(weight) + "; it must be in 1..1000000000");
}

}  // namespace

Result<Partition> Partition::make(const std::vector<std::string>& keys, std::int64_t weight) {
    if (keys.empty()) return fail(Errc::invalid_argument, "a partition has no keys; it needs at least one");
    std::string id;
    for (const std::string& key : keys) {
        if (auto ok = check_key(key); !ok) return tl::unexpected(ok.error());
        if (!id.empty()) id += '.';
        id += key;
    }
    return from_id(id, weight);
}

Result<Partition> Partition::from_id(std::string_view id, std::int64_t weight) {
    if (id.size() > kIdBytesMax) {
        return fail(Errc::invalid_argument, "partition id of " + std::to_string(id.size()) + " bytes; at most 1024 are allowed");
    }
    std::size_t begin = 0;
    for (;;) {
        const std::size_t end = std::min(id.find('.', begin), id.size());
        if (auto ok = check_key(id.substr(begin, end - begin)); !ok) return tl::unexpected(ok.error());
        if (end == id.size()) break;
        begin = end + 1;
    }
    if (auto ok = check_weight(id, weight); !ok) return tl::unexpected(ok.error());
    return Partition(std::string(id), weight);
}

std::vector<std::string> Partition::keys() const {
    std::vector<std::string> out;
    std::size_t begin = 0;
    for (;;) {
        const std::size_t end = std::min(id_.find('.', begin), id_.size());
        out.emplace_back(id_.substr(begin, end - begin));
        if (end == id_.size()) return out;
        begin = end + 1;
    }
}

Result<std::shared_ptr<const PartitionSet>> make_partition_set(std::vector<Partition> partitions) {
    if (partitions.size() > kPartitionsMax) {
        return fail(Errc::invalid_argument, std::to_string(partitions.size()) + " partitions; at most " +
                                                std::to_string(kPartitionsMax) + " are allowed");
    }
    std::size_t bytes = 0;
    for (const Partition& partition : partitions) bytes += partition.id().size();
    if (bytes > kPartitionBytesMax) {
        return fail(Errc::invalid_argument, "the ids of " + std::to_string(partitions.size()) + " partitions have " +
                                                std::to_string(bytes) + " bytes; at most " + std::to_string(kPartitionBytesMax) +
                                                " are allowed");
    }
    std::sort(partitions.begin(), partitions.end());
    const auto twice = std::adjacent_find(partitions.begin(), partitions.end());
    if (twice != partitions.end())
        return fail(Errc::invalid_argument, "partition '" + twice->id() + "' occurs twice; ids are unique");
    return std::make_shared<const PartitionSet>(std::move(partitions));
}

std::string to_string(const SessionId& id) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out(32, '0');
    for (std::size_t i = 0; i < 16; ++i) {
        const auto shift = static_cast<unsigned>(60U - 4U * i);
        out[i] = kDigits[(id.high >> shift) & 0xfU];
        out[i + 16] = kDigits[(id.low >> shift) & 0xfU];
    }
    return out;
}

Result<SessionId> parse_session(std::string_view hex) {
    const auto bad = [&] {
        return fail(Errc::malformed_record, "session '" + std::string(hex.substr(0, 64)) + "' is not 32 hex digits");
    };
    if (hex.size() != 32) return bad();
    SessionId out;
    for (std::size_t i = 0; i < 32; ++i) {
        const char c = hex[i];
        std::uint64_t digit = 0;
        if (c >= '0' && c <= '9') {
            digit = static_cast<std::uint64_t>(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = static_cast<std::uint64_t>(c - 'a') + 10;
        } else {
            return bad();
        }
        std::uint64_t& half = i < 16 ? out.high : out.low;
        half = (half << 4U) | digit;
    }
    return out;
}

std::string_view to_string(State state) {
    switch (state) {
        case State::init: return "Init";
        case State::claiming_id: return "ClaimingId";
        case State::waiting_assignment: return "WaitingAssignment";
        case State::stable: return "Stable";
        case State::degraded: return "Degraded";
        case State::draining: return "Draining";
        case State::fenced: return "Fenced";
        case State::stopped: return "Stopped";
    }
    return "Unknown";
}

std::string_view to_string(LeaderPhase phase) {
    switch (phase) {
        case LeaderPhase::idle: return "Idle";
        case LeaderPhase::sealing: return "Sealing";
        case LeaderPhase::settling: return "Settling";
        case LeaderPhase::rebalancing: return "Rebalancing";
        case LeaderPhase::emergency: return "Emergency";
        case LeaderPhase::frozen: return "Frozen";
    }
    return "Unknown";
}

std::string_view to_string(AlertLevel level) {
    switch (level) {
        case AlertLevel::none: return "none";
        case AlertLevel::info: return "info";
        case AlertLevel::warning: return "warning";
        case AlertLevel::error: return "error";
        case AlertLevel::critical: return "critical";
    }
    return "unknown";
}

std::string_view to_string(PlanReason reason) {
    switch (reason) {
        case PlanReason::orphans: return "orphans";
        case PlanReason::membership: return "membership";
        case PlanReason::partitions: return "partitions";
        case PlanReason::request: return "request";
        case PlanReason::step: return "step";
    }
    return "unknown";
}

std::string_view to_string(LeaseState state) {
    switch (state) {
        case LeaseState::live: return "live";
        case LeaseState::draining: return "draining";
        case LeaseState::released: return "released";
        case LeaseState::dead: return "dead";
        case LeaseState::evicted: return "evicted";
    }
    return "unknown";
}

std::string_view to_string(Policy policy) {
    switch (policy) {
        case Policy::relinquish: return "relinquish";
        case Policy::keep: return "keep";
    }
    return "unknown";
}

}  // namespace parti
