#include "process.h"

#include "pidfd.h"

#include <boost/version.hpp>
#if BOOST_VERSION >= 108600
#include <boost/process/v1/args.hpp>
#include <boost/process/v1/child.hpp>
#include <boost/process/v1/error.hpp>
#include <boost/process/v1/exe.hpp>
#include <boost/process/v1/extend.hpp>
#include <boost/process/v1/posix.hpp>
#include <boost/process/v1/start_dir.hpp>
namespace bp = boost::process::v1;
#else
#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/error.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <boost/process/posix.hpp>
#include <boost/process/start_dir.hpp>
namespace bp = boost::process;
#endif

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>
#include <utility>

namespace parti::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t line_bytes_max = 16U << 20U;

std::string errno_text(int number) { return std::error_code(number, std::generic_category()).message(); }

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) reset(std::exchange(other.fd_, -1));
        return *this;
    }
    ~Fd() { reset(); }
    void reset(int fd = -1) {
        if (fd_ >= 0) ::close(fd_);
        fd_ = fd;
    }
    int get() const { return fd_; }

private:
    int fd_ = -1;
};

// Above 2, so that giving it to the child as 0, 1 or 2 really duplicates it and clears its close-on-exec flag.
Outcome<Fd> above_stdio(int fd, const std::string& what) {
    if (fd < 0) return failure(what + ": " + errno_text(errno));
    Fd first(fd);
    if (fd > 2) return first;
    Fd moved(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (moved.get() < 0) return failure(what + ": " + errno_text(errno));
    return moved;
}

Outcome<Fd> open_file(const std::string& path, int flags) {
    return above_stdio(::open(path.c_str(), flags | O_CLOEXEC, 0600), "cannot open '" + path + "'");
}

struct Pipe {
    Fd read, write;
};

Outcome<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return failure("pipe: " + errno_text(errno));
    auto read = above_stdio(fds[0], "pipe");
    auto write = above_stdio(fds[1], "pipe");
    if (!read) return failure(read.error());
    if (!write) return failure(write.error());
    return Pipe{std::move(*read), std::move(*write)};
}

// Runs jobs on one thread that never ends (a child dies when the thread that forked it ends) and has every signal blocked.
class Spawner {
public:
    static Spawner& instance() {
        static auto* spawner = new Spawner;  // never destroyed: children live as long as the process
        return *spawner;
    }
    Outcome<pid_t> run(std::function<Outcome<pid_t>()> job) {
        std::packaged_task<Outcome<pid_t>()> task(std::move(job));
        auto answer = task.get_future();
        {
            std::lock_guard lock(mutex_);
            jobs_.push_back(std::move(task));
        }
        wake_.notify_one();
        return answer.get();
    }

private:
    Spawner() {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        std::thread([this] { loop(); }).detach();
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    void loop() {
        pthread_setname_np(pthread_self(), "spawner");
        while (true) {
            std::packaged_task<Outcome<pid_t>()> task;
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [this] { return !jobs_.empty(); });
                task = std::move(jobs_.front());
                jobs_.pop_front();
            }
            task();
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::packaged_task<Outcome<pid_t>()>> jobs_;
};

// In the child, between fork and exec: async-signal-safe calls only.
void set_up_child(pid_t parent) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // the parent died before the line above took effect
    for (int number = 1; number < NSIG; ++number) {
        if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

struct ChildEnds {
    int in = -1, out = -1, err = -1;  // -1: inherited
};

// This process's environment with the options' entries and the tag in place of its own. (boost::process::environment of 1.74
// reads past the end of short entries, says AddressSanitizer.)
std::vector<std::string> environment_of(const ProcessOptions& options) {
    std::map<std::string, std::string> own = options.env;
    own[test_tag_variable] = test_tag();
    std::vector<std::string> entries;
    for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string text = *entry;
        if (own.count(text.substr(0, text.find('='))) == 0) entries.push_back(text);
    }
    for (const auto& item : own) entries.push_back(item.first + "=" + item.second);
    return entries;
}

Outcome<pid_t> spawn(const std::string& path, const ProcessOptions& options, ChildEnds ends) {
    const pid_t parent = ::getpid();
    std::vector<std::string> env = environment_of(options);
    std::vector<char*> env_pointers;
    for (std::string& entry : env) env_pointers.push_back(entry.data());
    env_pointers.push_back(nullptr);
    const std::string dir = options.working_dir.empty() ? "." : options.working_dir;
    std::error_code error;
    auto set_up = [parent, ends](auto&) {
        if (ends.in >= 0) ::dup2(ends.in, STDIN_FILENO);
        if (ends.out >= 0) ::dup2(ends.out, STDOUT_FILENO);
        if (ends.err >= 0) ::dup2(ends.err, STDERR_FILENO);
        set_up_child(parent);
    };
    auto set_env = [&env_pointers](auto& executor) { executor.env = env_pointers.data(); };
    try {
        bp::child child(bp::exe(path), bp::args(options.args), bp::start_dir(dir), bp::extend::on_setup(set_env),
                        bp::extend::on_exec_setup(set_up), error);
        if (error) return failure("cannot start '" + path + "': " + error.message());
        const pid_t pid = child.id();
        child.detach();  // from here on ours: waited for through the pidfd
        return pid;
    } catch (const std::exception& e) {
        return failure("cannot start '" + path + "': " + e.what());
    }
}

// write() without SIGPIPE: it is blocked for this thread, and taken away if it became pending by our write.
Outcome<void> write_all(int fd, const std::string& bytes) {
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    sigpending(&pending);
    const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    std::size_t done = 0;
    int error = 0;
    while (done < bytes.size() && error == 0) {
        const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
        if (n >= 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    if (error == EPIPE && !was_pending) {
        const timespec at_once{};
        sigtimedwait(&pipe_only, nullptr, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) return failure("cannot write to the child: " + errno_text(error));
    return {};
}

// True when fd is readable or hung up before the deadline.
bool wait_readable(int fd, Clock::time_point deadline) {
    while (true) {
        const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now());
        pollfd item{fd, POLLIN, 0};
        const int n = ::poll(&item, 1, static_cast<int>(std::max<Milliseconds::rep>(left.count(), 0)));
        if (n > 0) return true;
        if (n < 0 && errno == EINTR) continue;
        return false;
    }
}

}  // namespace

std::string ExitStatus::text() const {
    if (code) return "exit " + std::to_string(*code);
    if (signal) return "signal " + std::to_string(*signal);
    return "unknown end";
}

struct ChildProcess::Impl {
    pid_t pid = -1;
    std::string path;
    Fd exit_fd, in, out;
    std::string buffer;
    bool out_ended = false;
    std::optional<ExitStatus> status;

    std::optional<std::string> next_line() {
        const auto end = buffer.find('\n');
        if (end == std::string::npos && !(out_ended && !buffer.empty()) && buffer.size() < line_bytes_max) return std::nullopt;
        std::string line = buffer.substr(0, end);
        buffer.erase(0, end == std::string::npos ? end : end + 1);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        return line;
    }
    void fill() {  // one read; blocks unless readable
        char bytes[16384];
        const ssize_t n = ::read(out.get(), bytes, sizeof bytes);
        if (n > 0) buffer.append(bytes, static_cast<std::size_t>(n));
        if (n == 0 || (n < 0 && errno != EINTR)) out_ended = true;
    }
    ~Impl() {
        if (pid <= 0 || status) return;
        ::kill(pid, SIGTERM);
        ::kill(pid, SIGCONT);
        if (!reap(Milliseconds(5000))) {
            ::kill(-pid, SIGKILL);
            reap(Milliseconds(60000));
        }
    }
    bool reap(Milliseconds timeout) {
        if (status) return true;
        if (!wait_readable(exit_fd.get(), Clock::now() + timeout)) return false;
        int raw = 0;
        while (::waitpid(pid, &raw, 0) < 0) {
            if (errno == EINTR) continue;
            status = ExitStatus{};  // somebody else reaped it
            return true;
        }
        status = ExitStatus{};
        if (WIFEXITED(raw)) status->code = WEXITSTATUS(raw);
        if (WIFSIGNALED(raw)) status->signal = WTERMSIG(raw);
        return true;
    }
};

ChildProcess::ChildProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChildProcess::ChildProcess(ChildProcess&&) noexcept = default;
ChildProcess& ChildProcess::operator=(ChildProcess&&) noexcept = default;
ChildProcess::~ChildProcess() = default;

Outcome<ChildProcess> ChildProcess::start(ProcessOptions options) {
    auto path = find_program(options.path);
    if (!path) return failure(path.error());
    struct stat dir {};
    if (!options.working_dir.empty() && (::stat(options.working_dir.c_str(), &dir) != 0 || !S_ISDIR(dir.st_mode))) {
        return failure("working dir '" + options.working_dir + "' is not a folder");
    }
    auto impl = std::make_unique<Impl>();
    impl->path = *path;
    ChildEnds ends;
    Fd child_in, child_out, child_err;
    if (options.stdin_pipe) {
        auto in = make_pipe();
        if (!in) return failure(in.error());
        child_in = std::move(in->read);
        impl->in = std::move(in->write);
    } else {
        auto null = open_file("/dev/null", O_RDONLY);
        if (!null) return failure(null.error());
        child_in = std::move(*null);
    }
    if (!options.stderr_file.empty()) {
        auto file = open_file(options.stderr_file, O_WRONLY | O_CREAT | O_APPEND);
        if (!file) return failure(file.error());
        child_err = std::move(*file);
    }
    if (options.stdout_with_stderr) {
        ends.out = child_err.get() >= 0 ? child_err.get() : STDERR_FILENO;
    } else if (options.stdout_to == StdoutTo::pipe) {
        auto out = make_pipe();
        if (!out) return failure(out.error());
        child_out = std::move(out->write);
        impl->out = std::move(out->read);
        ends.out = child_out.get();
    } else if (options.stdout_to == StdoutTo::null) {
        auto null = open_file("/dev/null", O_WRONLY);
        if (!null) return failure(null.error());
        child_out = std::move(*null);
        ends.out = child_out.get();
    }
    ends.in = child_in.get();
    ends.err = child_err.get();
    auto pid = Spawner::instance().run([&] { return spawn(*path, options, ends); });
    if (!pid) return failure(pid.error());
    impl->pid = *pid;
    impl->exit_fd.reset(open_pidfd(*pid));
    if (impl->exit_fd.get() < 0) {
        const std::string why = errno_text(errno);
        ::kill(*pid, SIGKILL);
        ::waitpid(*pid, nullptr, 0);
        impl->pid = -1;
        return failure("pidfd_open: " + why);
    }
    return ChildProcess(std::move(impl));
}

pid_t ChildProcess::pid() const { return impl_->pid; }
int ChildProcess::exit_fd() const { return impl_->exit_fd.get(); }
int ChildProcess::stdout_fd() const { return impl_->out.get(); }
bool ChildProcess::running() { return !impl_->reap(Milliseconds(0)); }

Outcome<void> ChildProcess::send_line(const std::string& line) {
    if (impl_->in.get() < 0) return failure("the child's stdin is closed");
    if (line.find('\n') != std::string::npos) return failure("a line for the child contains a line end: '" + line + "'");
    return write_all(impl_->in.get(), line + "\n");
}

void ChildProcess::close_stdin() { impl_->in.reset(); }

LineRead ChildProcess::read_line(Milliseconds timeout) {
    if (impl_->out.get() < 0) return {ReadState::end, {}};
    const auto deadline = Clock::now() + timeout;
    while (true) {
        if (auto line = impl_->next_line()) return {ReadState::line, std::move(*line)};
        if (impl_->out_ended) return {ReadState::end, {}};
        if (!wait_readable(impl_->out.get(), deadline)) return {ReadState::timeout, {}};
        impl_->fill();
    }
}

std::vector<std::string> ChildProcess::take_lines() {
    std::vector<std::string> lines;
    while (true) {
        LineRead one = read_line(Milliseconds(0));
        if (one.state != ReadState::line) return lines;
        lines.push_back(std::move(one.text));
    }
}

std::optional<ExitStatus> ChildProcess::wait(Milliseconds timeout) {
    impl_->reap(timeout);
    return impl_->status;
}

ExitStatus ChildProcess::terminate(int first_signal, Milliseconds grace) {
    if (impl_->status) return *impl_->status;
    ::kill(impl_->pid, first_signal);
    ::kill(impl_->pid, SIGCONT);  // a stopped process takes no signal but this
    if (!impl_->reap(grace)) {
        ::kill(-impl_->pid, SIGKILL);
        impl_->reap(Milliseconds(60000));
    }
    return impl_->status.value_or(ExitStatus{});
}

ExitStatus ChildProcess::kill_now() {
    if (!impl_->status) {
        ::kill(impl_->pid, SIGKILL);
        impl_->reap(Milliseconds(60000));
    }
    return impl_->status.value_or(ExitStatus{});
}

Outcome<void> ChildProcess::signal(int number) {
    if (impl_->reap(Milliseconds(0))) return failure("'" + impl_->path + "' has ended: " + impl_->status->text());
    if (::kill(impl_->pid, number) != 0) return failure("kill: " + errno_text(errno));
    return {};
}

Outcome<void> ChildProcess::pause() {
    auto sent = signal(SIGSTOP);
    if (!sent) return sent;
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(impl_->pid), &info, WSTOPPED | WEXITED | WNOWAIT) != 0) {
        if (errno != EINTR) return failure("waitid: " + errno_text(errno));
    }
    if (info.si_code != CLD_STOPPED) return failure("'" + impl_->path + "' ended instead of stopping");
    return {};
}

Outcome<void> ChildProcess::resume() { return signal(SIGCONT); }

const std::string& test_tag() {
    static const std::string tag = [] {
        if (const char* given = std::getenv(test_tag_variable); given != nullptr && *given != '\0') return std::string(given);
        std::random_device random;
        char text[32];
        std::snprintf(text, sizeof text, "%08x%08x", static_cast<unsigned>(random()), static_cast<unsigned>(random()));
        return std::string(text);
    }();
    return tag;
}

Outcome<std::string> find_program(const std::string& name) {
    if (name.empty()) return failure("the name of a program is empty");
    const auto executable = [](const std::string& path) { return ::access(path.c_str(), X_OK) == 0; };
    if (name.find('/') != std::string::npos) {
        if (executable(name)) return name;
        return failure("'" + name + "' is not an executable file");
    }
    const char* path = std::getenv("PATH");
    const std::string rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
    for (std::size_t begin = 0; begin <= rest.size();) {
        const auto end = std::min(rest.find(':', begin), rest.size());
        if (end > begin) {
            std::string candidate = rest.substr(begin, end - begin) + "/" + name;
            if (executable(candidate)) return candidate;
        }
        begin = end + 1;
    }
    return failure("'" + name + "' is not in PATH");
}

}  // namespace parti::test
