// nats-server-launcher: starts and guards one private nats-server for a test; see `usage` in options.cpp.
//
// Protocol  stdout: NATS_SERVER=<path> VERSION=<v> SHA256=<hex>, NATS_MONITOR=, NATS_PID=, NATS_STORE=, NATS_LOG=, NATS_URL=, and
//           NATS_READY=true when the server answers. Every command on stdin is answered by "OK <command> ..." or
//           "ERROR <command> <why>"; a command that started the server prints NATS_PID= and NATS_READY=true before its OK.
//           NATS_EXIT=<status> says that the server ended by itself.
// Lifetime  Ends with its parent: end of stdin, and SIGUSR1 as parent-death signal (checked with getppid, because that signal
//           comes when the parent's *thread* ends, too) unless the parent has set its own. The server ends with the launcher:
//           SIGKILL as parent-death signal, and the watcher of FolderGuard.
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "folder_guard.h"
#include "options.h"
#include "server.h"
#include "testutil/sweep.h"

namespace {

using namespace parti::launcher;

constexpr int exit_setup = 100;
constexpr int exit_bad_option = 104;
constexpr std::size_t command_bytes_max = 4096;

// False: nobody reads any more.
bool say(const std::string& line) {
    const std::string bytes = line + "\n";
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t n = ::write(STDOUT_FILENO, bytes.data() + done, bytes.size() - done);
        if (n >= 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

int complain(int code, const std::string& why) {
    std::fprintf(stderr, "nats-server-launcher: %s\n", why.c_str());
    return code;
}

void say_ready(const Server& server) {
    say("NATS_PID=" + std::to_string(server.pid()));
    say("NATS_READY=true");
}

// Answers one command; false: the command was `stop`.
bool obey(Server& server, const std::string& line) {
    const auto blank = line.find(' ');
    const std::string verb = line.substr(0, blank);
    const std::string rest = blank == std::string::npos ? "" : line.substr(blank + 1);
    const bool named = verb == "snapshot" || verb == "restore";
    const pid_t before = server.pid();
    Outcome<void> done;
    if (!named && !rest.empty()) {
        done = parti::test::failure("takes no argument, was given '" + rest + "'");
    } else if (verb == "stop" || verb == "halt") {
        done = server.halt();
    } else if (verb == "kill") {
        done = server.kill();
    } else if (verb == "restart") {
        done = server.start();
    } else if (verb == "pause") {
        done = server.pause();
    } else if (verb == "resume") {
        done = server.resume();
    } else if (verb == "snapshot") {
        done = server.snapshot(rest);
    } else if (verb == "restore") {
        done = server.restore(rest);
    } else if (verb == "wipe") {
        done = server.wipe();
    } else if (verb != "status") {
        done =
            parti::test::failure("is not a command; there are stop halt kill restart pause resume snapshot restore wipe status");
    }
    if (server.pid() != 0 && server.pid() != before) say_ready(server);
    if (!done) {
        say("ERROR " + line.substr(0, 100) + " " + done.error());
        return true;
    }
    std::string answer = "OK " + line;
    if (verb == "status") answer.append(" ").append(server.status());
    say(answer);
    return verb != "stop";
}

class Loop {
public:
    Loop(Server& server, int signals, pid_t parent) : server_(server), signals_(signals), parent_(parent) {}

    void run() {
        while (!done_) {
            std::array<pollfd, 3> items = {pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signals_, POLLIN, 0},
                                           pollfd{server_.exit_fd(), POLLIN, 0}};  // -1 is left out by poll
            if (::poll(items.data(), items.size(), -1) < 0) continue;
            if (items[1].revents != 0) read_signal();
            if (items[2].revents != 0) {
                if (const auto status = server_.unexpected_end()) say("NATS_EXIT=" + status->text());
            }
            if (items[0].revents != 0 && !done_) read_commands();
        }
    }

private:
    void read_signal() {
        signalfd_siginfo info{};
        if (::read(signals_, &info, sizeof info) != sizeof info) return;
        if (info.ssi_signo == SIGUSR1 && ::getppid() == parent_) return;  // only a thread of the parent ended
        done_ = true;
    }
    void read_commands() {
        char bytes[1024];
        const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) return;
        if (n <= 0) {
            done_ = true;
            return;
        }
        buffer_.append(bytes, static_cast<std::size_t>(n));
        for (auto end = buffer_.find('\n'); end != std::string::npos && !done_; end = buffer_.find('\n')) {
            std::string line = buffer_.substr(0, end);
            buffer_.erase(0, end + 1);
            if (skipping_) line.clear();  // the end of a line that was refused
            skipping_ = false;
            while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
            if (!line.empty() && !obey(server_, line)) done_ = true;
        }
        if (buffer_.size() > command_bytes_max) {
            if (!skipping_) say("ERROR line of more than " + std::to_string(command_bytes_max) + " bytes");
            skipping_ = true;
            buffer_.clear();
        }
    }

    Server& server_;
    int signals_;
    pid_t parent_;
    std::string buffer_;
    bool skipping_ = false;  // up to the next line end
    bool done_ = false;
};

int serve(const Options& options, FolderGuard& guard, int signals, pid_t parent) {
    auto binary = find_server();
    if (!binary) return complain(exit_setup, binary.error());
    say("NATS_SERVER=" + binary->path + " VERSION=" + binary->version + " SHA256=" + binary->sha256);
    Server server(options, *binary, guard);
    if (auto ok = server.write_config(); !ok) return complain(exit_setup, ok.error());
    if (auto ok = server.start(); !ok) return complain(exit_setup, ok.error());
    say("NATS_MONITOR=" + server.monitor_url());
    say("NATS_STORE=" + server.store());
    say("NATS_LOG=" + server.log());
    say("NATS_URL=" + server.url());
    say_ready(server);
    Loop(server, signals, parent).run();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const pid_t parent = ::getppid();
    auto options = parse_options(std::vector<std::string>(argv + 1, argv + argc));
    if (!options) return complain(exit_bad_option, options.error() + "\n" + usage);
    if (options->help) {
        std::fputs(usage, stdout);
        return 0;
    }
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t handled;
    sigemptyset(&handled);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&handled, number);
    ::sigprocmask(SIG_BLOCK, &handled, nullptr);
    int death_signal = 0;
    if (::prctl(PR_GET_PDEATHSIG, &death_signal) == 0 && death_signal == 0) ::prctl(PR_SET_PDEATHSIG, SIGUSR1);
    const int signals = ::signalfd(-1, &handled, SFD_CLOEXEC);
    if (signals < 0) return complain(exit_setup, "signalfd failed");
    // Before anything that starts a thread.
    const std::string root = options->store_in_memory ? "/dev/shm" : parti::test::temp_root();
    auto guard = FolderGuard::make(parti::test::temp_folder_name(root, "nats"), options->keep);
    if (!guard) return complain(exit_setup, guard.error());
    return serve(*options, *guard, signals, parent);
}
