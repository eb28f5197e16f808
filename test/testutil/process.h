// ChildProcess: starts a program, talks with it line by line, and makes sure that it is gone afterwards.
//
// Role      The only place that knows Boost.Process (hidden in process.cpp, whatever the version of Boost).
// Model     Every child is forked by one thread that lives as long as this process, so that PR_SET_PDEATHSIG means "when the
//           parent process dies" and not "when some thread ends". A child gets: SIGKILL when the parent dies, its own process
//           group, only stdin, stdout and stderr, default signals, and PARTI_TEST_TAG in its environment, which its own children
//           inherit: see sweep.h.
// Units     Timeouts in milliseconds; 0 = look once, do not wait.
// Errors    Outcome; a child that ended is not an error. Writing to a child that is gone is an error, never a SIGPIPE.
// Threads   One thread at a time per object; different objects from any thread.
// Lifetime  The destructor terminates (SIGTERM, 5 s, SIGKILL) and reaps. A dead child stays a zombie, its pid not reused, until
//           wait().
// Cost      One fork and exec; one thread for all children of the process; a pidfd and up to two pipes a child.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "outcome.h"

namespace parti::test {

using Milliseconds = std::chrono::milliseconds;

enum class StdoutTo : std::uint8_t { pipe, inherit, null };

struct ProcessOptions {
    std::string path;                        // with a slash: that file; else looked up in PATH
    std::vector<std::string> args;           // without argv[0]
    std::map<std::string, std::string> env;  // on top of this process's environment
    std::string working_dir;                 // empty: inherited
    bool stdin_pipe = true;                  // false: /dev/null
    StdoutTo stdout_to = StdoutTo::pipe;
    std::string stderr_file;          // appended to; empty: inherited
    bool stdout_with_stderr = false;  // stdout into stderr_file too; stdout_to does not count then
};

struct ExitStatus {
    std::optional<int> code;    // exited by itself
    std::optional<int> signal;  // killed by
    std::string text() const;   // "exit 1", "signal 9"
    bool operator==(const ExitStatus&) const = default;
};

enum class ReadState : std::uint8_t { line, timeout, end };
struct LineRead {
    ReadState state = ReadState::timeout;
    std::string text;  // without the line end; a last line without one counts as a line
};

class ChildProcess {
public:
    // Errors: the program cannot be found or executed, too many descriptors.
    static Outcome<ChildProcess> start(ProcessOptions options);

    ChildProcess(ChildProcess&&) noexcept;
    ChildProcess& operator=(ChildProcess&&) noexcept;  // ends the process held so far
    ~ChildProcess();

    bool valid() const { return impl_ != nullptr; }  // false once moved from; nothing else may be called then
    pid_t pid() const;
    bool running();         // false once it ended; does not block
    int exit_fd() const;    // readable when the process has ended (pidfd)
    int stdout_fd() const;  // to poll many children at once; read only through the functions below; -1: no pipe

    Outcome<void> send_line(const std::string& line);
    void close_stdin();
    LineRead read_line(Milliseconds timeout);
    std::vector<std::string> take_lines();  // what is there now; does not block

    std::optional<ExitStatus> wait(Milliseconds timeout);                                       // nullopt: still running
    ExitStatus terminate(int first_signal = SIGTERM, Milliseconds grace = Milliseconds(5000));  // signal, grace, SIGKILL, reap
    ExitStatus kill_now();  // SIGKILL to this process alone (not to its group), reap
    Outcome<void> signal(int number);
    Outcome<void> pause();  // SIGSTOP; returns when the kernel says it is stopped
    Outcome<void> resume();

private:
    struct Impl;
    explicit ChildProcess(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// This test process's tag: PARTI_TEST_TAG when it was started with one, else drawn once.
const std::string& test_tag();
inline constexpr const char* test_tag_variable = "PARTI_TEST_TAG";

// Full path of a program, as the shell would find it.
Outcome<std::string> find_program(const std::string& name);

}  // namespace parti::test
