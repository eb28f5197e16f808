#include "nats_server.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "proc_text.h"
#include "sweep.h"

namespace parti::test {
namespace {

constexpr Milliseconds answer_timeout{45000};  // a command may stop (5 s), copy, and start (10 s) the server

std::string launcher_path() {
    const char* given = std::getenv("PARTI_LAUNCHER");
    return given != nullptr && *given != '\0' ? given : PARTI_LAUNCHER_PATH;
}

Outcome<void> write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (!file) return failure("cannot write '" + path + "'");
    return {};
}

}  // namespace

Outcome<std::string> newer_nats_server() {
    const char* given = std::getenv("PARTI_NEW_NATS_SERVER");
    const bool named = given != nullptr && *given != '\0';
    std::string path = named ? given : PARTI_NEW_NATS_SERVER_PATH;
    if (::access(path.c_str(), X_OK) == 0) return path;
    return failure("no newer nats-server: " + std::string(named ? "PARTI_NEW_NATS_SERVER='" : "'") + path +
                   "' is not an executable file; fetch one with: tools/fetch-nats-server.sh");
}

Outcome<NatsServer> NatsServer::start(NatsServerOptions options) {
    auto scratch = TempFolder::make("server-start");  // until the server is ready; the launcher keeps its own copies
    if (!scratch) return failure(scratch.error());
    ProcessOptions process;
    process.path = launcher_path();
    process.env = std::move(options.env);
    if (!options.binary.empty()) process.env["PARTI_NATS_SERVER"] = options.binary;
    process.stderr_file = scratch->path() + "/stderr";
    process.args = {"--max-file", std::to_string(options.max_file_bytes), "--max-mem", std::to_string(options.max_memory_bytes)};
    if (!options.jetstream) process.args.emplace_back("--no-jetstream");
    if (options.store_in_memory) process.args.insert(process.args.end(), {"--store", "memory"});
    if (!options.extra_config.empty()) {
        const std::string path = scratch->path() + "/extra.conf";
        if (auto ok = write_file(path, options.extra_config); !ok) return failure(ok.error());
        process.args.insert(process.args.end(), {"--config-extra", path});
    }
    auto launcher = ChildProcess::start(std::move(process));
    if (!launcher) return failure(launcher.error());
    NatsServer server(std::move(*launcher));
    if (auto ok = server.read_until_ready(); !ok) {
        const auto status = server.launcher_.terminate();
        std::string said = proc::read_text(scratch->path() + "/stderr").value_or("");
        return failure("nats-server-launcher: " + ok.error() + " (" + status.text() + ")\n" + said);
    }
    return server;
}

NatsServer::~NatsServer() {
    if (launcher_.valid() && !stopped_) (void)stop();  // the launcher's own end, by ChildProcess, covers every other case
}

bool NatsServer::take_value(const std::string& line) {
    const auto equals = line.find('=');
    if (line.rfind("NATS_", 0) != 0 || equals == std::string::npos) return false;
    if (line.rfind("NATS_SERVER=", 0) == 0) {  // NATS_SERVER=<path> VERSION=<v> SHA256=<hex>; the path may contain blanks
        const auto hash = line.rfind(" SHA256=");
        const auto version = line.rfind(" VERSION=", hash);
        if (version == std::string::npos || hash == std::string::npos) return false;
        values_["NATS_SERVER"] = line.substr(12, version - 12);
        values_["VERSION"] = line.substr(version + 9, hash - version - 9);
        values_["SHA256"] = line.substr(hash + 8);
        return true;
    }
    values_[line.substr(0, equals)] = line.substr(equals + 1);
    return true;
}

const std::string& NatsServer::value(const std::string& key) const {
    static const std::string none;
    const auto found = values_.find(key);
    return found == values_.end() ? none : found->second;
}

pid_t NatsServer::pid() const { return up_ ? proc::number<pid_t>(value("NATS_PID")).value_or(0) : 0; }

Outcome<void> NatsServer::read_until_ready() {
    while (true) {
        LineRead read = launcher_.read_line(answer_timeout);
        if (read.state == ReadState::timeout) return failure("not ready in time");
        if (read.state == ReadState::end) return failure("ended before the server was ready");
        take_value(read.text);
        if (read.text == "NATS_READY=true") {
            up_ = true;
            return {};
        }
    }
}

Outcome<void> NatsServer::command(const std::string& line) {
    auto answer = ask(line);
    if (answer) return {};
    // A command that failed half way may have left the server down.
    const auto status = ask("status");
    up_ = status && status->rfind("OK status down", 0) != 0;
    return failure(answer.error());
}

Outcome<std::string> NatsServer::ask(const std::string& line) {
    if (auto ok = launcher_.send_line(line); !ok) return failure(ok.error());
    while (true) {
        LineRead read = launcher_.read_line(answer_timeout);
        if (read.state == ReadState::timeout) return failure("no answer to '" + line + "'");
        if (read.state == ReadState::end) return failure("the launcher ended before it answered '" + line + "'");
        if (read.text.rfind("OK ", 0) == 0) return read.text;
        if (read.text.rfind("ERROR ", 0) == 0) return failure(read.text.substr(6));
        take_value(read.text);
        if (read.text == "NATS_READY=true") up_ = true;
    }
}

Outcome<void> NatsServer::kill() {
    auto ok = command("kill");
    if (ok) up_ = false;
    return ok;
}

Outcome<void> NatsServer::halt() {
    auto ok = command("halt");
    if (ok) up_ = false;
    return ok;
}

Outcome<void> NatsServer::restart() { return command("restart"); }
Outcome<void> NatsServer::pause() { return command("pause"); }
Outcome<void> NatsServer::resume() { return command("resume"); }
Outcome<void> NatsServer::snapshot(const std::string& name) { return command("snapshot " + name); }
Outcome<void> NatsServer::restore(const std::string& name) { return command("restore " + name); }
Outcome<void> NatsServer::wipe() { return command("wipe"); }

Outcome<void> NatsServer::stop() {
    if (stopped_) return {};
    if (up_) {
        if (auto ok = halt(); !ok) return ok;
    }
    final_log_ = proc::read_text(log_path()).value_or("");
    if (auto ok = command("stop"); !ok) return ok;
    stopped_ = true;
    const auto status = launcher_.wait(Milliseconds(20000));
    if (!status) return failure("the launcher did not end after 'stop'");
    if (status->code != 0) return failure("the launcher ended with " + status->text());
    return {};
}

std::string NatsServer::log_text() const {
    if (stopped_) return final_log_;
    return proc::read_text(log_path()).value_or("");
}

std::vector<LogFinding> NatsServer::scan_log(const std::vector<Allowance>& allowed) const {
    const std::string text = log_text();
    if (text.empty()) return {{log_path(), 0, "this log cannot be read or is empty"}};
    return scan_log_text(log_path(), text, allowed);
}

}  // namespace parti::test
