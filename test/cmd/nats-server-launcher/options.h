// Options of nats-server-launcher, and the server binary they lead to.
//
// Role      Command line and environment to values; nothing is started here but "nats-server --version" and sha256sum.
// Errors    parse_options: a sentence naming the option and the rule. find_server: one ending with the line that installs the
//           server.
// Threads   Free functions, from main.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "testutil/outcome.h"

namespace parti::launcher {

template <class T>
using Outcome = test::Outcome<T>;

struct Options {
    bool help = false;
    bool jetstream = true;
    bool store_in_memory = false;  // the private folder on /dev/shm instead of $TMPDIR or /tmp
    std::uint64_t max_file_bytes = 1ULL << 30U;
    std::uint64_t max_memory_bytes = 256ULL << 20U;
    std::string config_extra;  // file whose text is appended to the configuration
    bool keep = false;         // leave the private folder behind
};

extern const char* const usage;

Outcome<Options> parse_options(const std::vector<std::string>& args);

struct Binary {
    std::string path;     // absolute, links resolved
    std::string version;  // "2.9.10"
    std::string sha256;
};
// PARTI_NATS_SERVER, else nats-server in PATH, else where Debian puts it.
Outcome<Binary> find_server();

}  // namespace parti::launcher
