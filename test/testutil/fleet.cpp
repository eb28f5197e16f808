#include "testutil/fleet.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

namespace parti::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Milliseconds kPoll{20};
constexpr Milliseconds kQuitTimeout{20000};

Outcome<std::string> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return failure("cannot read " + path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

Milliseconds left(Clock::time_point deadline) {
    return std::max(Milliseconds(0), std::chrono::duration_cast<Milliseconds>(deadline - Clock::now()));
}

}  // namespace

double Balance::max_over_mean() const {
    if (workers == 0 || partitions == 0) return 0;
    return static_cast<double>(most) * static_cast<double>(workers) / static_cast<double>(partitions);
}

Outcome<std::unique_ptr<Fleet>> Fleet::start(FleetOptions options) {
    const std::string& storage = options.storage;
    if (!storage.empty() && storage != "file" && storage != "memory")
        return failure("storage '" + storage + "' must be file or memory");
    auto folder = TempFolder::make("fleet");
    if (!folder) return failure(folder.error());
    auto server = NatsServer::start(options.server);
    if (!server) return failure(server.error());
    return std::unique_ptr<Fleet>(new Fleet(std::move(options), std::move(*server), std::move(*folder)));
}

Fleet::~Fleet() = default;

Outcome<std::size_t> Fleet::add(WorkerProcessOptions options) {
    options.partitions = options_.partitions;
    if (options.config.empty()) options.config = options_.config;
    if (options.strategy.empty()) options.strategy = options_.strategy;
    if (!options_.storage.empty()) {
        auto config = nlohmann::json::parse(options.config.empty() ? "{}" : options.config, nullptr, false);
        if (!config.is_object()) return failure("the config of " + options.label + " is no JSON object: " + options.config);
        config["storage"] = options_.storage;
        options.config = config.dump();
    }
    const bool taken =
        std::any_of(processes_.begin(), processes_.end(), [&](const auto& p) { return p.label() == options.label; });
    if (taken) return failure("the label " + options.label + " is taken");
    auto process = WorkerProcess::start(server_.url(), options_.group, folder_.path(), options);
    if (!process) return failure(process.error());
    processes_.push_back(std::move(*process));
    return processes_.size() - 1;
}

bool evens_out(std::string_view strategy) { return strategy.empty() || strategy == "sticky" || strategy == "round_robin"; }

std::vector<std::size_t> Fleet::alive() const {
    std::vector<std::size_t> indices;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
        if (processes_[i].alive()) indices.push_back(i);
    }
    return indices;
}

Outcome<void> Fleet::wait_all_stable(Milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    for (const std::size_t i : alive()) {
        while (true) {
            const auto status = processes_[i].status(std::max(left(deadline), kPoll));
            if (!status) return failure(status.error());
            if (!status->workers.empty() && status->stable == status->workers.size()) break;
            if (left(deadline).count() == 0) {
                return failure(processes_[i].label() + ": " + std::to_string(status->stable) + " of " +
                               std::to_string(status->workers.size()) + " workers are Stable after " +
                               std::to_string(timeout.count()) + " ms");
            }
            processes_[i].listen_for(kPoll);
        }
    }
    return {};
}

// An error says what is not balanced.
Outcome<Balance> Fleet::look(std::uint64_t workers) {
    Balance balance;
    balance.partitions = options_.partitions;
    balance.least = options_.partitions;
    std::uint64_t stable = 0;
    std::uint64_t leaders = 0;
    std::map<std::string, std::string> owner;
    std::string twice;
    for (const std::size_t i : alive()) {
        const auto status = processes_[i].status();
        if (!status) return failure(status.error());
        for (const WorkerStatus& worker : status->workers) leaders += worker.leader ? 1U : 0U;
        stable += status->stable;
        const auto owned = processes_[i].ownership();
        if (!owned) return failure(owned.error());
        for (const WorkerOwnership& worker : *owned) {
            if (worker.id.empty()) continue;  // has no number: started later, or stopped
            ++balance.workers;
            balance.least = std::min<std::uint64_t>(balance.least, worker.partitions.size());
            balance.most = std::max<std::uint64_t>(balance.most, worker.partitions.size());
            for (const std::string& partition : worker.partitions) {
                const bool fresh = owner.emplace(partition, worker.id).second;
                if (!fresh) twice = partition + " by " + owner[partition] + " and " + worker.id;
            }
        }
    }
    const std::string seen = std::to_string(stable) + " workers Stable, " + std::to_string(balance.workers) + " with a number, " +
                             std::to_string(leaders) + " leaders, " + std::to_string(owner.size()) + " of " +
                             std::to_string(options_.partitions) + " partitions owned, " + std::to_string(balance.least) +
                             " to " + std::to_string(balance.most) + " a worker";
    const std::uint64_t fair = workers == 0 ? 0 : (options_.partitions + workers - 1) / workers;
    if (!twice.empty()) return failure(seen + "; owned twice: " + twice);
    if (stable != workers || balance.workers != workers || leaders != 1) return failure(seen);
    if (owner.size() != options_.partitions || (evens_out() && balance.most > fair)) return failure(seen);
    return balance;
}

Outcome<Balance> Fleet::wait_balanced(Milliseconds timeout, std::uint64_t workers) {
    return wait_balance(timeout, workers, false);
}

Outcome<Balance> Fleet::wait_even(Milliseconds timeout, std::uint64_t workers) { return wait_balance(timeout, workers, true); }

Outcome<Balance> Fleet::wait_balance(Milliseconds timeout, std::uint64_t workers, bool even) {
    const auto deadline = Clock::now() + timeout;
    while (true) {
        auto balance = look(workers);
        if (balance && even && evens_out() && balance->least < options_.partitions / workers) {
            balance = failure("one worker owns " + std::to_string(balance->least) + " of " + std::to_string(options_.partitions) +
                              " partitions");
        }
        if (balance) return balance;
        const auto living = alive();
        if (living.empty() || left(deadline).count() == 0) {
            return failure("not balanced over " + std::to_string(workers) + " workers after " + std::to_string(timeout.count()) +
                           " ms: " + balance.error());
        }
        processes_[living.front()].listen_for(kPoll);
    }
}

Outcome<std::size_t> Fleet::leader(Milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    while (true) {
        std::vector<std::size_t> leading;
        for (const std::size_t i : alive()) {
            const auto status = processes_[i].status();
            if (!status) return failure(status.error());
            for (const WorkerStatus& worker : status->workers) {
                if (worker.leader) leading.push_back(i);
            }
        }
        if (leading.size() == 1) return leading.front();
        if (left(deadline).count() == 0 || alive().empty()) {
            return failure(std::to_string(leading.size()) + " workers lead after " + std::to_string(timeout.count()) + " ms");
        }
        processes_[alive().front()].listen_for(kPoll);
    }
}

ExitStatus Fleet::kill(std::size_t index) { return processes_[index].kill(); }

Outcome<ExitStatus> Fleet::leave(std::size_t index, Milliseconds timeout) {
    if (auto asked = processes_[index].request_quit(); !asked) return failure(asked.error());
    return processes_[index].wait_exit(timeout);
}

Outcome<void> Fleet::leave_together(const std::vector<std::size_t>& indices, Milliseconds timeout) {
    std::string problems;
    for (const std::size_t i : indices) {
        if (auto asked = processes_[i].request_quit(); !asked) problems += asked.error() + "; ";
    }
    for (const std::size_t i : indices) {
        if (auto ended = processes_[i].wait_exit(timeout); !ended) problems += ended.error() + "; ";
    }
    if (!problems.empty()) return failure(problems);
    return {};
}

Outcome<std::vector<ProcessHistory>> Fleet::histories() const {
    std::vector<ProcessHistory> all;
    for (const WorkerProcess& process : processes_) {
        const auto text = read_file(process.history_path());
        if (!text) return failure(text.error());
        // One that lives may be writing a line just now.
        auto events = parse_history(process.history_path(), *text, process.alive() || process.killed());
        if (!events) return failure(events.error());
        ProcessHistory history;
        history.label = process.label();
        if (!process.alive()) history.died_ns = process.died_ns();
        history.killed = process.killed();
        history.events = std::move(*events);
        all.push_back(std::move(history));
    }
    return all;
}

Outcome<Timeline> Fleet::timeline() const {
    const auto all = histories();
    if (!all) return failure(all.error());
    return check_history(*all);
}

void Fleet::ask_server(FleetRecord& record) {
    const auto gone = wait_for_consumers(server_.monitor_url(), 0, consumers_deadline_);
    const auto stats = read_server_stats(server_.monitor_url());
    if (!stats) {
        record.problems.push_back(stats.error());
        return;
    }
    record.slow_consumers = stats->slow_consumers;
    for (const ConsumerInfo& consumer : stats->consumers) record.consumers.push_back(consumer.stream + "/" + consumer.name);
    if (!gone && record.consumers.empty()) record.problems.push_back(gone.error());
}

FleetRecord Fleet::end(const std::vector<Allowance>& allowed) {
    FleetRecord record;
    if (auto left_all = leave_together(alive(), kQuitTimeout); !left_all) record.problems.push_back(left_all.error());
    for (WorkerProcess& process : processes_) {
        if (process.alive()) process.kill();  // already a problem of the record
    }
    for (const WorkerProcess& process : processes_) {
        ProcessRecord one;
        one.label = process.label();
        one.exit = process.exit();
        one.errors = process.error_events();
        one.log = scan_log_file(process.log_path(), allowed);
        one.history.label = process.label();
        one.history.died_ns = process.died_ns();
        one.history.killed = process.killed();
        const auto text = read_file(process.history_path());
        auto events = text ? parse_history(process.history_path(), *text, process.killed()) : failure(text.error());
        if (events) {
            one.history.events = std::move(*events);
        } else {
            one.problem = events.error();
        }
        record.processes.push_back(std::move(one));
    }
    ask_server(record);
    if (auto stopped = server_.stop(); !stopped) record.problems.push_back(stopped.error());
    record.server_log = server_.scan_log(allowed);
    return record;
}

}  // namespace parti::test
