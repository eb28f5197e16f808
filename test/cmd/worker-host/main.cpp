// worker-host: the process that is measured. N workers, a control pipe and nothing of the harness; see `usage` in options.cpp.
//
// Protocol  docs/WORKER-CONTRACT.md: commands on stdin, one JSON object a line on stdout.
// Lifetime  The end of stdin means that the parent is gone: the process ends at once, without leaving its group.
#include <malloc.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client_only.h"
#include "commands.h"
#include "fleet.h"
#include "history.h"
#include "memory.h"
#include "options.h"
#include "say.h"
#include "status_page.h"

namespace {

using namespace parti::host;

constexpr int exit_setup = 100;
constexpr int exit_orphan = 102;
constexpr int exit_bad_option = 104;

int complain(int code, const std::string& why) {
    std::fprintf(stderr, "worker-host: %s\n", why.c_str());
    Line("error").add("error", why).say();
    return code;
}

spdlog::level::level_enum level_of(parti::LogLevel level) {
    switch (level) {
        case parti::LogLevel::debug: return spdlog::level::debug;
        case parti::LogLevel::info: return spdlog::level::info;
        case parti::LogLevel::warning: return spdlog::level::warn;
        case parti::LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::err;
}

// Absent when nothing would be printed: then the library does not even format.
parti::LogSink log_sink(const std::string& level) {
    if (level == "off") return {};
    auto logger = std::make_shared<spdlog::logger>("worker-host", std::make_shared<spdlog::sinks::stderr_sink_st>());
    logger->set_level(spdlog::level::from_str(level));
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%f %l %v");
    logger->flush_on(spdlog::level::debug);
    return [logger](parti::LogLevel at, std::string_view line) { logger->log(level_of(at), line); };
}

struct Command {
    std::string name;
    std::optional<std::size_t> number;
};

parti::Result<Command> parse(const std::string& line) {
    const std::size_t blank = line.find(' ');
    Command out{line.substr(0, blank), std::nullopt};
    if (blank == std::string::npos) return out;
    const std::string rest = line.substr(blank + 1);
    std::size_t number = 0;
    const char* end = rest.data() + rest.size();
    const auto parsed = std::from_chars(rest.data(), end, number);
    if (rest.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
        return parti::fail(parti::Errc::invalid_argument, "command '" + line + "': '" + rest + "' is not a number");
    }
    out.number = number;
    return out;
}

// False: quit.
parti::Result<bool> execute(const Command& command, Fleet& fleet) {
    const auto going_on = [](const parti::Result<void>& result) -> parti::Result<bool> {
        if (!result) return tl::unexpected(result.error());
        return true;
    };
    if (command.name == "start") return going_on(fleet.start(command.number));
    if (command.name == "stop") return going_on(fleet.stop(command.number));
    if (command.name == "stop_worker" && command.number) return going_on(fleet.stop_worker(*command.number));
    if (command.name == "partitions" && command.number) return going_on(fleet.set_partitions(*command.number));
    if (command.name == "cycle") return going_on(fleet.cycle(std::chrono::milliseconds(command.number.value_or(100))));
    if (command.name == "quit") return false;
    if (command.name == "status") {
        fleet.say_status();
    } else if (command.name == "ownership") {
        fleet.say_ownership();
    } else if (command.name == "memory") {
        say_memory();
    } else if (command.name == "stats") {
        fleet.say_stats();
    } else if (command.name == "consumed") {
        fleet.say_consumed();
    } else if (command.name == "trim") {
        Line("trimmed").add("released", ::malloc_trim(0) == 1).say();
    } else {
        return parti::fail(parti::Errc::invalid_argument, "unknown command '" + command.name + "'");
    }
    return true;
}

int serve(Fleet& fleet) {
    std::string line;
    Commands commands;
    while (commands.next(line)) {
        const auto command = parse(line);
        const auto outcome = command ? execute(*command, fleet) : parti::Result<bool>(tl::unexpected(command.error()));
        if (!outcome) {
            Line("error").add("error", outcome.error().message()).say();
        } else if (!*outcome) {
            return 0;
        }
    }
    return exit_orphan;
}

int run(Options options) {
    options.connect.log = log_sink(options.log);
    auto source = parti::StaticSource::make(partitions_of(options.partitions, options.id_bytes));
    if (!source) return complain(exit_setup, source.error().message());
    std::shared_ptr<History> history;
    if (!options.history.empty()) {
        auto opened = History::open(options.history, options.label);
        if (!opened) return complain(exit_setup, opened.error().message());
        history = std::move(*opened);
    }
    std::shared_ptr<HandledLog> handled;
    if (!options.consume.config.stream.empty()) {
        auto opened = HandledLog::open(options.consume.handled);
        if (!opened) return complain(exit_setup, opened.error().message());
        handled = std::move(*opened);
    }
    auto context = parti::Context::connect(options.connect);
    if (!context) return complain(exit_setup, context.error().message());
    if (history) parti::runtime::set_observer(*context, history);
    ready_line(options.label).add("server", context->server_version()).add("parti", PARTI_VERSION).add("t_ns", now_ns()).say();
    Fleet fleet(*context, options, *source, handled);
    std::unique_ptr<StatusPage> page;  // ends before the fleet
    if (options.status_port) {
        auto opened = StatusPage::open(*options.status_port, options.label, fleet);
        if (!opened) return complain(exit_setup, opened.error().message());
        page = std::move(*opened);
        Line("status_at").add("url", page->url()).say();
    }
    if (options.autostart) {
        if (auto ok = fleet.start(std::nullopt); !ok) return complain(exit_setup, ok.error().message());
    }
    const int code = serve(fleet);
    if (code != 0) ::_exit(code);
    static_cast<void>(fleet.stop(std::nullopt));  // all there are: cannot be refused
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    auto options = parse_options({argv + 1, argv + argc});
    if (!options) return complain(exit_bad_option, options.error().message());
    if (options->help) {
        std::fputs(usage, stdout);
        return 0;
    }
    const int code = options->client_only ? run_client_only(*options) : run(std::move(*options));
    if (code == 0) Line("bye").say();  // the connection is closed: nothing is left on the server
    return code;
}
