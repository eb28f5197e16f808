#include "server.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "testutil/proc_text.h"
#include "testutil/tcp_text.h"

namespace parti::launcher {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using test::failure;
using test::Milliseconds;

constexpr Milliseconds start_time{10000};
constexpr Milliseconds grace{5000};
constexpr Milliseconds probe_time{1000};

std::string text_of(std::uint16_t port) { return port == 0 ? "-1" : std::to_string(port); }

Outcome<std::uint16_t> port_of(const nlohmann::json& ports, const char* kind) {
    const auto found = ports.find(kind);
    if (found == ports.end() || !found->is_array() || found->empty() || !found->front().is_string()) {
        return failure(std::string("no ") + kind + " port");
    }
    auto to = test::parse_url(found->front().get<std::string>());
    if (!to) return failure(to.error());
    return to->port;
}

Outcome<void> copy_folder(const std::string& from, const std::string& to) {
    std::error_code error;
    fs::remove_all(to, error);
    if (!error) fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::copy_symlinks, error);
    if (error) return failure("cannot copy '" + from + "' to '" + to + "': " + error.message());
    return {};
}

}  // namespace

Server::Server(Options options, Binary binary, FolderGuard& guard)
    : options_(std::move(options)), binary_(std::move(binary)), guard_(guard) {}

Server::~Server() {
    if (child_) child_->terminate(SIGINT, grace);
}

Outcome<void> Server::write_config() {
    const std::string& folder = guard_.folder();
    if (folder.find_first_of("\"\\\n") != std::string::npos) {
        return failure("the folder '" + folder + "' must not contain quotes, backslashes or line ends");
    }
    std::string config = "server_name: \"" + fs::path(folder).filename().string() + "\"\n";
    if (options_.jetstream) {
        config += "jetstream {\n  store_dir: \"" + store() + "\"\n  max_mem: " + std::to_string(options_.max_memory_bytes) +
                  "\n  max_file: " + std::to_string(options_.max_file_bytes) + "\n}\n";
    }
    if (!options_.config_extra.empty()) {
        const auto extra = test::proc::read_text(options_.config_extra);
        if (!extra) return failure("--config-extra '" + options_.config_extra + "' cannot be read");
        config += *extra + "\n";
    }
    std::error_code error;
    for (const char* name : {"store", "ports", "snapshots"}) fs::create_directory(fs::path(folder) / name, error);
    if (error) return failure("cannot make a folder in '" + folder + "': " + error.message());
    std::ofstream file(folder + "/nats-server.conf", std::ios::binary);
    file << config;
    file.close();
    if (!file) return failure("cannot write '" + folder + "/nats-server.conf'");
    return {};
}

std::string Server::url() const { return "nats://127.0.0.1:" + std::to_string(client_port_); }
std::string Server::monitor_url() const { return "http://127.0.0.1:" + std::to_string(monitor_port_); }

Outcome<void> Server::launch() {
    const std::string ports = guard_.folder() + "/ports";
    std::error_code error;
    for (const std::string& name : test::proc::list_folder(ports)) fs::remove(fs::path(ports) / name, error);
    test::ProcessOptions process;
    process.path = binary_.path;
    process.args = {"-a",
                    "127.0.0.1",
                    "-p",
                    text_of(client_port_),
                    "-m",
                    text_of(monitor_port_),
                    "--ports_file_dir",
                    ports,
                    "-c",
                    guard_.folder() + "/nats-server.conf"};
    process.stdin_pipe = false;
    process.stderr_file = log();
    process.stdout_with_stderr = true;
    auto child = test::ChildProcess::start(std::move(process));
    if (!child) return failure(child.error());
    child_.emplace(std::move(*child));
    paused_ = false;
    guard_.watch(child_->pid());
    return {};
}

// True when the ports file of this very process is there and whole.
bool Server::read_ports() {
    const std::string folder = guard_.folder() + "/ports";
    const std::string end = "_" + std::to_string(child_->pid()) + ".ports";
    for (const std::string& name : test::proc::list_folder(folder)) {
        if (name.size() <= end.size() || name.compare(name.size() - end.size(), end.size(), end) != 0) continue;
        const auto json = nlohmann::json::parse(test::proc::read_text(folder + "/" + name).value_or(""), nullptr, false);
        if (!json.is_object()) return false;  // half written
        const auto client = port_of(json, "nats");
        const auto monitor = port_of(json, "monitoring");
        if (!client || !monitor) return false;
        client_port_ = *client;
        monitor_port_ = *monitor;
        return true;
    }
    return false;
}

Outcome<void> Server::probe(Deadline deadline) const {
    const auto left = std::chrono::duration_cast<Milliseconds>(deadline - Clock::now());
    const auto timeout = std::clamp(left, Milliseconds(1), probe_time);
    auto nats = test::RawNats::connect(url(), timeout);
    if (!nats) return failure(nats.error());
    if (nats->needs_more()) {
        auto health = test::http_get(monitor_url(), options_.jetstream ? "/healthz?js-enabled-only=true" : "/healthz", timeout);
        if (!health) return failure(health.error());
        if (health->status != 200) return failure("the monitor's health is " + health->body);
        return {};
    }
    if (auto pong = nats->ping(timeout); !pong) return pong;
    if (!options_.jetstream) return {};
    auto answer = nats->request("$JS.API.INFO", "", timeout);
    if (!answer) return failure(answer.error());
    const auto json = nlohmann::json::parse(*answer, nullptr, false);
    if (!json.is_object() || json.contains("error")) return failure("JetStream answers " + answer->substr(0, 200));
    return {};
}

Outcome<void> Server::await_ready(Deadline deadline) {
    std::string why = "no ports file";
    bool ports_known = false;
    while (true) {
        if (auto ended = child_->wait(Milliseconds(0))) return failure("the server ended with " + ended->text());
        ports_known = ports_known || read_ports();
        if (ports_known) {
            auto ok = probe(deadline);
            if (ok) return {};
            why = ok.error();
        }
        if (Clock::now() >= deadline) return failure("not ready within " + std::to_string(start_time.count()) + " ms: " + why);
        child_->wait(Milliseconds(5));  // until the next look, or its end
    }
}

Outcome<void> Server::start() {
    if (auto ok = halt(); !ok) return ok;
    const auto deadline = Clock::now() + start_time;
    while (true) {
        if (auto ok = launch(); !ok) return ok;
        auto ready = await_ready(deadline);
        if (ready) return {};
        child_->terminate(SIGINT, grace);
        child_.reset();
        const std::string tail = log_tail();
        // On a later start somebody may hold our port for a moment, as the near end of a connection.
        const bool port_taken = client_port_ != 0 && tail.find("address already in use") != std::string::npos;
        if (!port_taken || Clock::now() >= deadline) return failure(ready.error() + "; end of its log: " + tail);
        // Between two tries, which are the looks: nothing tells when a stranger gives a port back. The deadline above ends them.
        std::this_thread::sleep_for(Milliseconds(50));
    }
}

Outcome<void> Server::halt() {
    if (!child_) return {};
    child_->terminate(SIGINT, grace);  // 0 on SIGINT; 2.9 exits 1 on SIGTERM
    child_.reset();
    paused_ = false;
    return {};
}

Outcome<void> Server::kill() {
    if (!child_) return failure("the server is down");
    child_->kill_now();
    child_.reset();
    paused_ = false;
    return {};
}

Outcome<void> Server::pause() {
    if (!child_) return failure("the server is down");
    auto ok = child_->pause();
    if (ok) paused_ = true;
    return ok;
}

Outcome<void> Server::resume() {
    if (!child_) return failure("the server is down");
    auto ok = child_->resume();
    if (ok) paused_ = false;
    return ok;
}

Outcome<std::string> Server::snapshot_folder(const std::string& name) const {
    static const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (name.empty() || name.size() > 64 || name.find_first_not_of(letters) != std::string::npos) {
        return failure("the name '" + name + "' must be 1 to 64 letters, digits, _ or -");
    }
    return guard_.folder() + "/snapshots/" + name;
}

Outcome<void> Server::snapshot(const std::string& name) {
    auto folder = snapshot_folder(name);
    if (!folder) return failure(folder.error());
    if (auto ok = halt(); !ok) return ok;  // only a closed store is a whole store
    auto copied = copy_folder(store(), *folder);
    if (auto ok = start(); !ok) return ok;
    return copied;
}

Outcome<void> Server::replace_store(const std::string& from) {
    if (child_) (void)kill();
    std::error_code error;
    fs::remove_all(store(), error);
    if (error) return failure("cannot empty '" + store() + "': " + error.message());
    if (!from.empty()) {
        if (auto ok = copy_folder(from, store()); !ok) return ok;
    } else {
        fs::create_directory(store(), error);
        if (error) return failure("cannot make '" + store() + "': " + error.message());
    }
    return start();
}

Outcome<void> Server::restore(const std::string& name) {
    auto folder = snapshot_folder(name);
    if (!folder) return failure(folder.error());
    std::error_code error;
    if (!fs::is_directory(*folder, error)) return failure("there is no snapshot '" + name + "'");
    return replace_store(*folder);
}

Outcome<void> Server::wipe() { return replace_store({}); }

std::optional<test::ExitStatus> Server::unexpected_end() {
    if (!child_) return std::nullopt;
    auto status = child_->wait(Milliseconds(0));
    if (status) child_.reset();
    return status;
}

std::string Server::status() const {
    if (!child_) return "down";
    return std::string(paused_ ? "paused" : "running") + " pid=" + std::to_string(child_->pid()) + " url=" + url();
}

std::string Server::log_tail() const {
    const std::string text = test::proc::read_text(log()).value_or("");
    std::string tail = text.substr(text.size() > 600 ? text.size() - 600 : 0);
    for (char& c : tail) {
        if (c == '\n') c = '|';  // an answer is one line
    }
    return tail;
}

}  // namespace parti::launcher
