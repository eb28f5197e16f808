// NatsServer: a real nats-server for one test, started and guarded by nats-server-launcher.
//
// Role      Gives tests a server they can kill, stop, restart, pause and set back, on a port nobody chose beforehand.
// Model     One launcher process a server. Every command waits for the launcher's answer, so that after restart() the server is
//           ready. URL and store stay the same over restarts; the pid does not.
// Errors    Outcome with the launcher's sentence. No nats-server on the machine: the error contains the line that installs it.
// Threads   One thread at a time per object.
// Lifetime  The destructor stops server and launcher and leaves nothing behind; when this process is killed -9, both die and the
//           store is removed all the same.
// Cost      Two processes and a watcher; about 100 ms to start.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "log_scan.h"
#include "outcome.h"
#include "process.h"

namespace parti::test {

struct NatsServerOptions {
    bool jetstream = true;
    bool store_in_memory = false;  // the store folder on /dev/shm
    std::uint64_t max_file_bytes = 1ULL << 30U;
    std::uint64_t max_memory_bytes = 256ULL << 20U;
    std::string extra_config;  // text appended to the server's configuration: users, TLS ...
    // another nats-server than the machine's; empty: $PARTI_NATS_SERVER, else what is in PATH
    std::string binary{};
    std::map<std::string, std::string> env;  // GOMAXPROCS, GOMEMLIMIT ...
};

// A nats-server newer than the machine's, for what 2.9 cannot do: $PARTI_NEW_NATS_SERVER, else what tools/fetch-nats-server.sh
// left in the build folder. Errors: none is there; the text is the reason to skip with.
Outcome<std::string> newer_nats_server();

class NatsServer {
public:
    static Outcome<NatsServer> start(NatsServerOptions options = {});
    NatsServer(NatsServer&&) noexcept = default;
    NatsServer& operator=(NatsServer&&) noexcept = default;
    ~NatsServer();

    const std::string& url() const { return value("NATS_URL"); }
    const std::string& monitor_url() const { return value("NATS_MONITOR"); }
    const std::string& store() const { return value("NATS_STORE"); }
    const std::string& log_path() const { return value("NATS_LOG"); }  // gone after stop(); log_text() is not
    const std::string& binary() const { return value("NATS_SERVER"); }
    const std::string& version() const { return value("VERSION"); }
    const std::string& sha256() const { return value("SHA256"); }
    pid_t pid() const;  // of the server; 0 while it is down
    pid_t launcher_pid() const { return launcher_.pid(); }

    Outcome<void> kill();     // SIGKILL; stays down until restart()
    Outcome<void> halt();     // graceful; stays down until restart()
    Outcome<void> restart();  // same port, same store; stops it first when it runs
    Outcome<void> pause();    // SIGSTOP
    Outcome<void> resume();
    Outcome<void> snapshot(const std::string& name);  // the server is down for a moment (graceful stop, copy, start)
    Outcome<void> restore(const std::string& name);   // SIGKILL, store := the copy, start
    Outcome<void> wipe();                             // SIGKILL, store emptied, start
    Outcome<void> stop();                             // graceful end of everything; nothing can follow

    std::string log_text() const;  // of all starts so far
    std::vector<LogFinding> scan_log(const std::vector<Allowance>& allowed = {}) const;

private:
    explicit NatsServer(ChildProcess launcher) : launcher_(std::move(launcher)) {}
    Outcome<void> read_until_ready();
    Outcome<void> command(const std::string& line);
    Outcome<std::string> ask(const std::string& line);
    bool take_value(const std::string& line);
    const std::string& value(const std::string& key) const;

    ChildProcess launcher_;
    std::map<std::string, std::string> values_;
    std::string final_log_;
    bool up_ = false;
    bool stopped_ = false;
};

}  // namespace parti::test
