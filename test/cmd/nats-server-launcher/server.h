// Server: one nats-server with a private store, over any number of starts.
//
// Role      What the commands of the launcher do.
// Model     States: running, paused, down. The first start lets the server choose its ports; every later one asks for the same.
//           Ready = ports file + PONG on the client port + an answer of $JS.API.INFO; when the server wants TLS or credentials,
//           which the probe does not have: INFO on the client port + the monitor's /healthz.
// Units     A start has 10 s, a graceful end 5 s.
// Errors    Outcome: a sentence with the reason and the end of the server's log. After a failed start the server is down.
// Threads   From main only.
// Lifetime  The destructor ends the server (SIGINT, 5 s, SIGKILL).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "folder_guard.h"
#include "options.h"
#include "testutil/process.h"

namespace parti::launcher {

class Server {
public:
    Server(Options options, Binary binary, FolderGuard& guard);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    Outcome<void> write_config();  // once, before the first start
    Outcome<void> start();         // when it runs: stops it first
    Outcome<void> halt();          // graceful
    Outcome<void> kill();
    Outcome<void> pause();
    Outcome<void> resume();
    Outcome<void> snapshot(const std::string& name);
    Outcome<void> restore(const std::string& name);
    Outcome<void> wipe();

    // The exit status of a server that ended without being told; once per end.
    std::optional<test::ExitStatus> unexpected_end();
    int exit_fd() const { return child_ ? child_->exit_fd() : -1; }

    std::string status() const;
    pid_t pid() const { return child_ ? child_->pid() : 0; }
    std::string url() const;
    std::string monitor_url() const;
    std::string store() const { return guard_.folder() + "/store"; }
    std::string log() const { return guard_.folder() + "/nats-server.log"; }

private:
    using Deadline = std::chrono::steady_clock::time_point;
    Outcome<void> launch();
    Outcome<void> await_ready(Deadline deadline);
    bool read_ports();
    Outcome<void> probe(Deadline deadline) const;
    Outcome<std::string> snapshot_folder(const std::string& name) const;
    Outcome<void> replace_store(const std::string& from);
    std::string log_tail() const;

    Options options_;
    Binary binary_;
    FolderGuard& guard_;
    std::optional<test::ChildProcess> child_;
    bool paused_ = false;
    std::uint16_t client_port_ = 0;  // 0: not known yet
    std::uint16_t monitor_port_ = 0;
};

}  // namespace parti::launcher
