#include "testutil/worker_contract.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "testutil/history.h"
#include "testutil/sweep.h"

namespace parti::test {
namespace {

using Json = nlohmann::json;

constexpr std::uint32_t kWorkers = 3;
constexpr std::uint32_t kPartitions = 20;
constexpr const char* kUnknownOption = "--no-such-option";
constexpr const char* kVariable = "PARTI_STRESS_WORKER";

class Check {
public:
    Check(std::string program, std::string url, std::string folder, ContractDeadlines deadlines)
        : program_(std::move(program)), url_(std::move(url)), folder_(std::move(folder)), deadlines_(deadlines) {}

    std::vector<ContractFinding> run() {
        auto worker = start("all");
        if (keep("ready", worker ? Outcome<void>() : failure(worker.error()))) talk(*worker);
        if (worker) worker.value().kill();
        bad_option();
        if (findings_.front().broken.empty()) raw();
        return std::move(findings_);
    }

private:
    bool keep(const std::string& rule, const Outcome<void>& outcome) {
        findings_.push_back({rule, outcome ? std::string() : outcome.error()});
        return outcome.has_value();
    }

    Outcome<WorkerProcess> start(const std::string& label) const {
        WorkerProcessOptions options;
        options.label = label;
        options.workers = kWorkers;
        options.partitions = kPartitions;
        const char* before = std::getenv(kVariable);
        const std::string kept = before == nullptr ? "" : before;
        ::setenv(kVariable, program_.c_str(), 1);
        auto worker = WorkerProcess::start(url_, "contract-" + label, folder_, options);
        before == nullptr ? ::unsetenv(kVariable) : ::setenv(kVariable, kept.c_str(), 1);
        return worker;
    }

    // Everything that one life of the program shows.
    void talk(WorkerProcess& worker) {
        if (!keep("start", started(worker, 1, 1)) || !keep("start", started(worker, 0, kWorkers))) return;
        keep("status", status(worker));
        keep("ownership", complete(worker, kWorkers));
        const auto so_far = history(worker, false);
        keep("stats", stats(worker));
        keep("memory", memory(worker));
        keep("stop", stop(worker));
        if (keep("quit", quit(worker))) keep("history", so_far ? history(worker, true) : so_far);
    }

    Outcome<void> started(WorkerProcess& worker, std::uint32_t count, std::uint32_t running) const {
        if (auto sent = worker.start_workers(count); !sent) return sent;
        for (const char* event : {"all_stable", "covered"}) {
            const auto milestone = worker.wait_milestone(event, deadlines_.settle);
            if (!milestone) return failure(milestone.error());
            if (milestone->workers != running) {
                return failure("'" + std::string(event) + "' counts " + std::to_string(milestone->workers) + " workers; " +
                               std::to_string(running) + " run");
            }
            if (!(milestone->ms > 0))
                return failure("'" + std::string(event) + "' lacks 'ms', the time since the command, above 0");
        }
        return {};
    }

    Outcome<void> status(WorkerProcess& worker) const {
        const auto status = worker.status(deadlines_.answer);
        if (!status) return failure(status.error());
        std::set<std::string> ids;
        std::set<std::uint32_t> numbers;
        std::uint64_t owned = 0, leaders = 0;
        for (const WorkerStatus& w : status->workers) {
            ids.insert(w.id);
            if (w.number) numbers.insert(*w.number);
            owned += w.owned;
            leaders += w.leader ? 1U : 0U;
        }
        if (status->workers.size() != kWorkers || status->stable != kWorkers) {
            return failure("'status' lists " + std::to_string(status->workers.size()) + " workers, " +
                           std::to_string(status->stable) + " of them stable; " + std::to_string(kWorkers) + " are");
        }
        if (ids.size() != kWorkers || ids.count("") != 0 || numbers.size() != kWorkers) {
            return failure("'status' must give every stable worker an 'id' and a 'number' of its own");
        }
        if (owned != kPartitions)
            return failure("'owned' of all workers add up to " + std::to_string(owned) + " instead of " +
                           std::to_string(kPartitions));
        if (leaders != 1) return failure("'leader' is true for " + std::to_string(leaders) + " workers instead of one");
        return {};
    }

    Outcome<void> complete(WorkerProcess& worker, std::size_t workers) const {
        const auto all = worker.ownership(deadlines_.answer);
        if (!all) return failure(all.error());
        std::multiset<std::string> names;
        for (const WorkerOwnership& one : *all) names.insert(one.partitions.begin(), one.partitions.end());
        if (all->size() != workers)
            return failure("'ownership' lists " + std::to_string(all->size()) + " workers; " + std::to_string(workers) + " run");
        for (std::uint32_t i = 0; i < kPartitions; ++i) {
            char name[16];
            std::snprintf(name, sizeof name, "part.%05u", i);
            if (names.count(name) != 1)
                return failure("'ownership' names " + std::string(name) + " " + std::to_string(names.count(name)) +
                               " times instead of once");
        }
        if (names.size() != kPartitions)
            return failure("'ownership' names partitions there are not; they are part.00000 .. part.00019");
        return {};
    }

    Outcome<void> stats(WorkerProcess& worker) const {
        const auto deadline = std::chrono::steady_clock::now() + deadlines_.settle;
        std::optional<std::uint64_t> first;
        while (true) {
            const auto stats = worker.stats(deadlines_.answer);
            if (!stats) return failure(stats.error());
            for (const char* key : {"renewals", "partitions_gained", "partitions_lost"}) {
                if (stats->count(key) == 0) return failure("'stats' lacks the whole number '" + std::string(key) + "'");
            }
            const std::uint64_t now = stats->at("renewals");
            if (!first) first = now;
            if (now > *first) return {};
            if (std::chrono::steady_clock::now() > deadline)
                return failure("'renewals' of 'stats' stands still: nothing can be measured in renewals");
            worker.listen_for(Milliseconds(50));
        }
    }

    Outcome<void> memory(WorkerProcess& worker) const {
        const auto memory = worker.memory(deadlines_.answer);
        return memory ? Outcome<void>() : failure(memory.error());
    }

    // The others take over what the one that leaves gives back.
    Outcome<void> stop(WorkerProcess& worker) const {
        if (auto sent = worker.stop_workers(1); !sent) return sent;
        const auto deadline = std::chrono::steady_clock::now() + deadlines_.settle;
        while (true) {
            auto now = complete(worker, kWorkers - 1);
            if (now || std::chrono::steady_clock::now() > deadline) return now;
            worker.listen_for(Milliseconds(50));
        }
    }

    Outcome<void> quit(WorkerProcess& worker) const {
        if (auto asked = worker.request_quit(); !asked) return asked;
        const auto exit = worker.wait_exit(deadlines_.end);
        if (!exit) return failure(exit.error());
        if (exit->code != 0) return failure("after 'quit' it ended with " + exit->text() + " instead of exit 0");
        // A line that breaks the contract was reported when it came.
        const auto errors = worker.error_events();
        const auto other = std::find_if(errors.begin(), errors.end(), [](const std::string& e) {
            return e.find("breaks the worker contract") == std::string::npos;
        });
        if (other != errors.end()) return failure("it reported " + *other);
        return {};
    }

    static Outcome<void> history(const WorkerProcess& worker, bool ended) {
        std::ifstream file(worker.history_path());
        if (!file) return failure("there is no " + worker.history_path());
        std::ostringstream text;
        text << file.rdbuf();
        auto events = parse_history(worker.label(), text.str(), !ended);
        if (!events) return failure(events.error());
        ProcessHistory process;
        process.label = worker.label();
        process.events = std::move(*events);
        if (ended) process.died_ns = worker.died_ns();
        const Timeline timeline = check_history({process});
        auto violations = timeline.violations;
        if (!ended) {
            const auto holes = check_coverage(timeline, boot_now_ns(), kPartitions);
            violations.insert(violations.end(), holes.begin(), holes.end());
        }
        return violations.empty() ? Outcome<void>() : failure(describe(violations, 3));
    }

    Outcome<ChildProcess> child(const std::string& label, const std::vector<std::string>& more) const {
        ProcessOptions process;
        process.path = program_;
        process.stderr_file = folder_ + "/" + label + ".log";
        process.args = {"--url",   url_,           "--group", label,       "--workers",
                        "1",       "--partitions", "1",       "--history", folder_ + "/" + label + ".history",
                        "--label", label};
        process.args.insert(process.args.end(), more.begin(), more.end());
        return ChildProcess::start(std::move(process));
    }

    void bad_option() {
        auto started = child("bad_option", {kUnknownOption, "1"});
        if (!started) {
            keep("bad_option", failure(started.error()));
            return;
        }
        const LineRead read = started->read_line(deadlines_.answer);
        const Json json = Json::parse(read.text, nullptr, false);
        const auto exit = started->wait(deadlines_.answer);
        if (!exit || exit->code != 104) {
            keep("bad_option", failure(std::string("an unknown option must end it with exit 104; it ") +
                                       (exit ? "ended with " + exit->text() : std::string("goes on")) +
                                       (read.text.empty() ? "" : ", after: " + read.text)));
        } else if (!json.is_object() || json.value("event", "") != "error" ||
                   read.text.find(kUnknownOption) == std::string::npos) {
            keep("bad_option", failure("an unknown option must be named by an 'error' event; it said: '" + read.text + "'"));
        } else {
            keep("bad_option", {});
        }
    }

    // What a driver never does: a command there is not, and the end of stdin while it runs.
    void raw() {
        auto started = child("raw", {});
        if (!started) {
            keep("unknown_command", failure(started.error()));
            return;
        }
        const LineRead ready = started->read_line(deadlines_.end);
        keep("unknown_command", ready.state == ReadState::line ? unknown_command(*started) : failure("it did not start again"));
        started->close_stdin();
        const auto exit = started->wait(deadlines_.orphan);
        if (!exit) {
            keep("orphan", failure("the end of stdin must end it within " + std::to_string(deadlines_.orphan.count()) + " ms"));
        } else if (exit->code != 102) {
            keep("orphan", failure("the end of stdin must end it with exit 102, not " + exit->text()));
        } else {
            keep("orphan", {});
        }
    }

    Outcome<void> unknown_command(ChildProcess& process) const {
        for (const auto& [command, event] : {std::pair{"no_such_command", "error"}, {"status", "status"}}) {
            if (auto sent = process.send_line(command); !sent) return sent;
            const LineRead read = process.read_line(deadlines_.answer);
            const Json json = Json::parse(read.text, nullptr, false);
            const bool right =
                json.is_object() && json.value("event", "") == event && (std::string(event) != "error" || json.contains("error"));
            if (!right)
                return failure("'" + std::string(command) + "' must be answered by '" + event + "'; it said: '" + read.text +
                               "'");
        }
        return {};
    }

    const std::string program_, url_, folder_;
    const ContractDeadlines deadlines_;
    std::vector<ContractFinding> findings_;
};

}  // namespace

std::vector<ContractFinding> check_worker_contract(const std::string& program, const std::string& url,
                                                   ContractDeadlines deadlines) {
    auto folder = TempFolder::make("contract");
    if (!folder) return {{"ready", folder.error()}};
    return Check(program, url, folder->path(), deadlines).run();
}

bool keeps_contract(const std::vector<ContractFinding>& findings) {
    return !findings.empty() && std::all_of(findings.begin(), findings.end(), [](const auto& f) { return f.broken.empty(); });
}

std::string describe(const std::vector<ContractFinding>& findings) {
    std::string text;
    for (const auto& f : findings)
        text += (f.broken.empty() ? "kept    " : "BROKEN  ") + f.rule + (f.broken.empty() ? "" : ": " + f.broken) + "\n";
    return text;
}

}  // namespace parti::test
