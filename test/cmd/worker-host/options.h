// Options: worker-host's command line.
//
// Errors    A sentence that names the option, the value and the rule; main() makes it exit code 104.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <parti/config.h>
#include <parti/consumer.h>
#include <parti/context.h>
#include <parti/source.h>
#include <parti/strategy.h>

namespace parti::host {

struct ConsumeOptions {
    ConsumerConfig config;              // stream empty: nothing is consumed
    std::string handled;                // path of the file of handled messages
    std::chrono::microseconds work{0};  // every handler takes so long
    std::uint64_t fail_every = 0;       // messages whose sequence it divides fail at their first delivery; 0 = none
};

struct Options {
    ConnectOptions connect;
    Config config;
    std::uint32_t workers = 1;
    std::uint32_t partitions = 0;
    std::uint32_t id_bytes = 0;  // 0: short names
    std::shared_ptr<const Strategy> strategy;
    std::chrono::milliseconds callback_delay{0};  // every on_assigned and on_revoked takes so long
    std::string history;                          // path of the NDJSON history; empty = none
    std::uint64_t inject_leak = 0;                // bytes that every start of a worker and every change of the partitions leaks
    double inject_memory = 0;                     // share of the anonymous memory to waste once all are Stable
    ConsumeOptions consume;
    std::string label;
    std::string log = "warning";
    std::optional<std::uint16_t> status_port;  // of the loopback status page; nothing: none, and no thread for it
    bool autostart = false;
    bool client_only = false;
    bool help = false;
};

extern const char* const usage;

// Errors: invalid_config.
Result<Options> parse_options(const std::vector<std::string>& args);

// The sorted list of partitions every host with the same numbers uses: "part.00000" ..., or ids of so many letters and digits
// that hardly compress.
std::vector<Partition> partitions_of(std::uint32_t count, std::uint32_t id_bytes = 0);

}  // namespace parti::host
