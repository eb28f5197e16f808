// Fleet: a nats-server of its own and the worker processes on it, and at the end everything the oracles need to know about them.
//
// Role      What every stress test drives.
// Model     Waits poll with a deadline; times are taken from the histories afterwards, never from the polling. "Balanced" means:
//           every partition is owned exactly once over all processes, as many workers as expected are Stable, one worker leads,
//           and the busiest worker owns at most ceil(mean) partitions, where the strategy promises that (evens_out()).
//           A process that was killed stays in the list; its index stays valid.
// Errors    Outcome; a wait that fails says what was still missing.
// Threads   One thread at a time per object.
// Lifetime  end() once, last; the destructor ends whatever is left without judging it. Files live in a temp folder that goes with
//           the object.
// Cost      One server (about 100 ms) and a process a worker-host.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/history.h"
#include "testutil/log_scan.h"
#include "testutil/nats_server.h"
#include "testutil/server_monitor.h"
#include "testutil/sweep.h"
#include "testutil/worker_process.h"

namespace parti::test {

struct FleetOptions {
    std::string group = "stress";
    std::uint32_t partitions = 100;
    std::string config{};    // JSON for every process; empty: the fast test timing as it is
    std::string storage{};   // "file" or "memory", of the group's buckets, whatever the config says; empty: as it says
    std::string strategy{};  // of processes that name none; empty: the default
    NatsServerOptions server{};
};

struct ProcessRecord {
    std::string label;
    ProcessHistory history;
    std::optional<ExitStatus> exit;
    std::vector<LogFinding> log;
    std::vector<std::string> errors;  // error events, as they came
    std::string problem;              // not empty: history or log could not be had
};

struct FleetRecord {
    std::vector<ProcessRecord> processes;
    std::vector<LogFinding> server_log;
    std::uint64_t slow_consumers = 0;
    std::vector<std::string> consumers;  // left on the server after every process had gone
    std::vector<std::string> problems;   // what end() could not find out or do
};

// This strategy (empty: the default) balances equal partitions to one.
bool evens_out(std::string_view strategy);

struct Balance {
    std::uint64_t workers = 0, partitions = 0;
    std::uint64_t least = 0, most = 0;
    double max_over_mean() const;
};

class Fleet {
public:
    static Outcome<std::unique_ptr<Fleet>> start(FleetOptions options);
    ~Fleet();

    NatsServer& server() { return server_; }
    const FleetOptions& options() const { return options_; }
    bool evens_out() const { return test::evens_out(options_.strategy); }

    // A connected process whose workers are not started yet; partitions, and the fleet's config unless it has one, are filled in.
    // The label must be new.
    Outcome<std::size_t> add(WorkerProcessOptions options);
    WorkerProcess& process(std::size_t index) { return processes_[index]; }
    std::size_t size() const { return processes_.size(); }
    std::vector<std::size_t> alive() const;

    Outcome<void> wait_all_stable(Milliseconds timeout);
    Outcome<Balance> wait_balanced(Milliseconds timeout, std::uint64_t workers);
    // Balanced, and nobody owns less than floor(mean): also those that came last have their share.
    Outcome<Balance> wait_even(Milliseconds timeout, std::uint64_t workers);
    Outcome<std::size_t> leader(Milliseconds timeout);  // the process of the one worker that leads

    ExitStatus kill(std::size_t index);                                  // SIGKILL
    Outcome<ExitStatus> leave(std::size_t index, Milliseconds timeout);  // graceful, and waits for its end
    Outcome<void> leave_together(const std::vector<std::size_t>& indices, Milliseconds timeout);

    // The histories so far, of processes alive too.
    Outcome<Timeline> timeline() const;

    // Everybody leaves, the server is asked and stopped.
    FleetRecord end(const std::vector<Allowance>& allowed = {});
    // How long end() waits for the server to forget the last consumer.
    void set_consumers_deadline(Milliseconds timeout) { consumers_deadline_ = timeout; }
    // Where the files are while the object lives.
    const std::string& folder() const { return folder_.path(); }

private:
    Fleet(FleetOptions options, NatsServer server, TempFolder folder)
        : options_(std::move(options)), server_(std::move(server)), folder_(std::move(folder)) {}
    Outcome<Balance> look(std::uint64_t workers);
    Outcome<Balance> wait_balance(Milliseconds timeout, std::uint64_t workers, bool even);
    Outcome<std::vector<ProcessHistory>> histories() const;
    void ask_server(FleetRecord& record);

    FleetOptions options_;
    NatsServer server_;
    TempFolder folder_;
    Milliseconds consumers_deadline_{30000};  // a killed client's consumers are forgotten by the server, but not at once
    std::deque<WorkerProcess> processes_;
};

}  // namespace parti::test
