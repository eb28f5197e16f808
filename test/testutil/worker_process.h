// WorkerProcess: one worker-host (or another program that keeps its contract), driven over its pipe.
//
// Role      Hides the commands and events of worker-host behind typed calls.
// Model     Events that come while an answer is awaited are kept. kill() is SIGKILL to that one process.
// Units     Times are nanoseconds of CLOCK_BOOTTIME, which all processes of the machine share.
// Errors    Outcome; the text names the process, the command and what came instead. A deadline that passes is an error.
// Threads   One thread at a time per object.
// Lifetime  The destructor ends the process. Its history and log are files in the folder given; they stay.
// Cost      One process; an answer is one line each way.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "testutil/process.h"

namespace parti::test {

std::int64_t boot_now_ns();
// The program: PARTI_STRESS_WORKER, else the build's worker-host.
std::string worker_program();

struct WorkerProcessOptions {
    std::string label = "host";  // also the name of its files
    std::uint32_t workers = 1;
    std::uint32_t partitions = 0;
    std::uint32_t expected_workers = 0;  // 0: not set
    std::string strategy{};              // empty: the program's default
    std::string config{};                // JSON merged over the fast test timing; empty: none
    Milliseconds callback_delay{0};
    std::string inject_memory{};      // "15%"; empty: none
    std::vector<std::string> args{};  // further ones of the program, as they are
    std::map<std::string, std::string> env{};
};

struct WorkerStatus {
    std::uint64_t index = 0;
    std::string id, state, phase;
    std::optional<std::uint32_t> number;
    bool leader = false;
    std::uint64_t owned = 0;
    std::uint64_t epoch = 0;
};
struct ProcessStatus {
    std::int64_t t_ns = 0;
    std::uint64_t stable = 0;
    std::vector<WorkerStatus> workers;
};
struct WorkerOwnership {
    std::uint64_t index = 0;
    std::string id;
    std::vector<std::string> partitions;
};
struct ProcessMemory {
    std::uint64_t live_bytes = 0, arena_bytes = 0;  // 0 under AddressSanitizer, whose allocator does not count
};
struct Milestone {
    std::uint64_t workers = 0;
    double ms = 0;  // since the first start() of the last `start`
};

class WorkerProcess {
public:
    // Starts it and waits until it says that it is connected.
    static Outcome<WorkerProcess> start(const std::string& url, const std::string& group, const std::string& folder,
                                        const WorkerProcessOptions& options);
    WorkerProcess(WorkerProcess&&) noexcept = default;
    WorkerProcess& operator=(WorkerProcess&&) noexcept = default;

    const std::string& label() const { return options_.label; }
    const WorkerProcessOptions& options() const { return options_; }
    pid_t pid() const { return child_.pid(); }
    const std::string& history_path() const { return history_path_; }
    const std::string& log_path() const { return log_path_; }
    const std::string& ready_line() const { return ready_line_; }  // the event as it came
    std::string ready_value(const std::string& key) const;         // "nats_c", "server", "parti"; empty: not said
    bool alive() const { return !exit_; }

    Outcome<void> start_workers(std::uint32_t count);  // 0: all that remain; does not wait
    Outcome<void> stop_workers(std::uint32_t count);   // gracefully; does not wait
    Outcome<void> set_partitions(std::uint32_t count, Milliseconds timeout = Milliseconds(5000));  // of its source
    // The source changes; waits until its workers own so many. How long that took, in ms.
    Outcome<double> change_partitions(std::uint32_t count, Milliseconds timeout);
    Outcome<ProcessStatus> status(Milliseconds timeout = Milliseconds(5000));
    Outcome<std::vector<WorkerOwnership>> ownership(Milliseconds timeout = Milliseconds(5000));
    Outcome<ProcessMemory> memory(Milliseconds timeout = Milliseconds(5000));
    Outcome<std::map<std::string, std::uint64_t>> stats(Milliseconds timeout = Milliseconds(5000));
    // One whole life of all its workers, which must not run; the live heap afterwards, once it has not changed for `rest`.
    Outcome<std::uint64_t> cycle(Milliseconds rest, Milliseconds timeout);
    Outcome<std::string> consumed(Milliseconds timeout = Milliseconds(5000));  // the event as it came
    // "all_stable": every running worker is Stable. "covered": and all partitions are owned in this process. Each is reported
    // once after every `start`; a report that came earlier and was not taken yet counts.
    Outcome<Milestone> wait_milestone(const std::string& event, Milliseconds timeout);
    // Reads events for so long: how a poll waits between two questions.
    void listen_for(Milliseconds duration);
    std::vector<std::string> error_events() const { return errors_; }

    // Graceful end in two steps, so that several can leave together.
    Outcome<void> request_quit();
    Outcome<ExitStatus> wait_exit(Milliseconds timeout);
    ExitStatus kill();  // SIGKILL, reaped
    Outcome<void> pause() { return child_.pause(); }
    Outcome<void> resume() { return child_.resume(); }

    bool killed() const { return killed_; }
    std::optional<ExitStatus> exit() const { return exit_; }
    std::int64_t told_ns() const { return told_ns_; }  // just before it was killed or told to quit; 0: neither
    std::int64_t died_ns() const { return died_ns_; }  // just after it was seen dead; 0: not yet

private:
    explicit WorkerProcess(ChildProcess child) : child_(std::move(child)) {}
    Outcome<std::string> ask(const std::string& command, const std::string& answer, Milliseconds timeout);
    Outcome<std::string> await(const std::string& event, Milliseconds timeout, const std::string& why);
    std::string keep(const std::string& line);  // name of the event
    std::string says() const;
    tl::unexpected<std::string> problem(const std::string& what) const;

    ChildProcess child_;
    WorkerProcessOptions options_;
    std::string history_path_, log_path_, ready_line_;
    std::vector<std::string> errors_;
    std::map<std::string, std::vector<std::string>> milestones_;  // not taken yet
    std::optional<ExitStatus> exit_;
    bool killed_ = false;
    std::int64_t told_ns_ = 0, died_ns_ = 0;
};

}  // namespace parti::test
