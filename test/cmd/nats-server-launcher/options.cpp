#include "options.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "testutil/process.h"

namespace parti::launcher {
namespace {

using test::ChildProcess;
using test::failure;
using test::Milliseconds;

Outcome<std::uint64_t> parse_bytes(const std::string& option, const std::string& text) {
    std::uint64_t value = 0;
    const auto end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    constexpr std::uint64_t least = 1ULL << 20U;
    constexpr std::uint64_t most = 1ULL << 40U;
    if (result.ec != std::errc() || result.ptr != end || value < least || value > most) {
        return failure(option + " '" + text + "' must be a number of bytes from " + std::to_string(least) + " to " +
                       std::to_string(most));
    }
    return value;
}

// The output of a short command; its exit code must be 0.
Outcome<std::string> output_of(const std::string& path, std::vector<std::string> args) {
    test::ProcessOptions options;
    options.path = path;
    options.args = std::move(args);
    options.stdin_pipe = false;
    auto child = ChildProcess::start(std::move(options));
    if (!child) return failure(child.error());
    std::string text;
    while (true) {
        const auto read = child->read_line(Milliseconds(10000));
        if (read.state == test::ReadState::timeout) return failure("'" + path + "' gives no answer");
        if (read.state == test::ReadState::end) break;
        text += read.text + "\n";
    }
    const auto status = child->wait(Milliseconds(5000));
    if (!status || status->code != 0) return failure("'" + path + "' failed: " + (status ? status->text() : "still running"));
    return text;
}

Outcome<std::string> locate() {
    static const std::string install = "; install it with: apt-get install nats-server";
    const char* given = std::getenv("PARTI_NATS_SERVER");
    if (given != nullptr && *given != '\0') {
        auto path = test::find_program(given);
        if (!path) return failure("no nats-server: PARTI_NATS_SERVER: " + path.error() + install);
        return path;
    }
    auto path = test::find_program("nats-server");
    if (!path) path = test::find_program("/usr/sbin/nats-server");  // not in the PATH of a user who is not root
    if (!path) return failure("no nats-server in PATH or /usr/sbin" + install);
    return path;
}

}  // namespace

const char* const usage =
    "usage: nats-server-launcher [--no-jetstream] [--store file|memory] [--max-file BYTES] [--max-mem BYTES]\n"
    "                            [--config-extra FILE] [--keep]\n"
    "Starts a private nats-server on loopback, prints NATS_URL=... and NATS_READY=true, and takes commands on stdin, one a "
    "line:\n"
    "stop, halt, kill, restart, pause, resume, snapshot NAME, restore NAME, wipe, status. The end of stdin stops everything.\n"
    "PARTI_NATS_SERVER names another server binary. Exit codes: 0 orderly end, 100 set-up failed, 104 bad option.\n";

Outcome<Options> parse_options(const std::vector<std::string>& args) {
    Options options;
    for (std::size_t i = 0; i < args.size(); ++i) {
        const std::string& name = args[i];
        const bool takes_value = name == "--store" || name == "--max-file" || name == "--max-mem" || name == "--config-extra";
        if (takes_value && i + 1 == args.size()) return failure("option " + name + " needs a value");
        const std::string value = takes_value ? args[++i] : "";
        if (name == "--help" || name == "-h") {
            options.help = true;
        } else if (name == "--no-jetstream") {
            options.jetstream = false;
        } else if (name == "--keep") {
            options.keep = true;
        } else if (name == "--store") {
            if (value != "file" && value != "memory") return failure("--store '" + value + "' must be file or memory");
            options.store_in_memory = value == "memory";
        } else if (name == "--config-extra") {
            if (value.empty()) return failure("--config-extra '' must be a file");
            options.config_extra = value;
        } else if (takes_value) {
            auto bytes = parse_bytes(name, value);
            if (!bytes) return failure(bytes.error());
            (name == "--max-file" ? options.max_file_bytes : options.max_memory_bytes) = *bytes;
        } else {
            return failure("unknown option '" + name + "'");
        }
    }
    return options;
}

Outcome<Binary> find_server() {
    auto path = locate();
    if (!path) return failure(path.error());
    std::error_code error;
    Binary binary;
    binary.path = std::filesystem::canonical(*path, error).string();
    if (error) return failure("'" + *path + "': " + error.message());
    auto version = output_of(binary.path, {"--version"});  // "nats-server: v2.9.10"
    if (!version) return failure(version.error());
    static const std::string mark = "nats-server: v";
    if (version->rfind(mark, 0) != 0)
        return failure("'" + binary.path + "' is not a nats-server, it says '" + version->substr(0, version->find('\n')) + "'");
    binary.version = version->substr(mark.size(), version->find('\n') - mark.size());
    auto sum = output_of("sha256sum", {"--", binary.path});
    if (!sum) return failure(sum.error());
    binary.sha256 = sum->substr(0, sum->find(' '));
    if (binary.sha256.size() != 64) return failure("sha256sum says '" + *sum + "'");
    return binary;
}

}  // namespace parti::launcher
