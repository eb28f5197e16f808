#include "folder_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "testutil/pidfd.h"

namespace parti::launcher {
namespace {

constexpr int watcher_socket = 3;

void detach_from_parent(int socket) {
    ::setsid();
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);  // only the closed socket (or SIGKILL) ends the watcher
    ::prctl(PR_SET_NAME, "nats-watcher");
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
    ::dup2(socket, watcher_socket);
    ::close_range(watcher_socket + 1, ~0U, 0);
    if (::chdir("/") != 0) ::_exit(1);
}

void remove_folder(const std::string& folder) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::seconds(10);
    std::error_code error;
    do {
        std::filesystem::remove_all(folder, error);
        if (!std::filesystem::exists(folder, error)) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // something still writes into it
    } while (Clock::now() < deadline);
}

[[noreturn]] void run_watcher(const std::string& folder, bool keep) {
    int result = ::mkdir(folder.c_str(), 0700) == 0 ? 0 : errno;
    if (::send(watcher_socket, &result, sizeof result, MSG_NOSIGNAL) < 0 && result == 0) result = EPIPE;
    int server = -1;
    while (result == 0) {
        pid_t pid = 0;
        const ssize_t n = ::recv(watcher_socket, &pid, sizeof pid, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n != sizeof pid) break;  // 0: the launcher has gone
        if (server >= 0) ::close(server);
        server = test::open_pidfd(pid);
    }
    if (result != 0 && result != EPIPE) ::_exit(0);  // no folder was made
    if (server >= 0) {
        test::send_pidfd_signal(server, SIGKILL);
        pollfd item{server, POLLIN, 0};
        ::poll(&item, 1, 5000);
    }
    if (!keep) remove_folder(folder);
    ::_exit(0);
}

}  // namespace

Outcome<FolderGuard> FolderGuard::make(const std::string& folder, bool keep) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return test::failure(std::string("socketpair: ") + std::strerror(errno));
    }
    const pid_t between = ::fork();
    if (between == 0) {
        ::close(ends[0]);
        if (::fork() != 0) ::_exit(0);  // the watcher is nobody's child
        detach_from_parent(ends[1]);
        run_watcher(folder, keep);
    }
    ::close(ends[1]);
    if (between < 0) {
        ::close(ends[0]);
        return test::failure(std::string("fork: ") + std::strerror(errno));
    }
    while (::waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
    }
    FolderGuard guard(folder, ends[0]);
    int result = ECHILD;
    if (::recv(ends[0], &result, sizeof result, 0) != sizeof result) result = ECHILD;
    if (result != 0) return test::failure("cannot make the folder '" + folder + "': " + std::strerror(result));
    return guard;
}

FolderGuard::FolderGuard(FolderGuard&& other) noexcept
    : folder_(std::move(other.folder_)), socket_(std::exchange(other.socket_, -1)) {}

FolderGuard::~FolderGuard() {
    if (socket_ < 0) return;
    ::shutdown(socket_, SHUT_WR);
    char none = 0;
    while (::recv(socket_, &none, 1, 0) < 0 && errno == EINTR) {  // 0: the watcher has ended
    }
    ::close(socket_);
}

void FolderGuard::watch(pid_t server) {
    // A watcher that is gone is not worth a crash: PR_SET_PDEATHSIG ends the server all the same.
    (void)::send(socket_, &server, sizeof server, MSG_NOSIGNAL);
}

}  // namespace parti::launcher
