#include "testutil/worker_process.h"

#include "testutil/worker_contract.h"

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

namespace parti::test {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr Milliseconds kReadyTimeout{20000};

Milliseconds left(Clock::time_point deadline) {
    return std::max(Milliseconds(0), std::chrono::duration_cast<Milliseconds>(deadline - Clock::now()));
}

// Missing or of another type: the given value. The program under test may be anybody's; absence is judged by the caller.
template <class T>
T get(const Json& json, const char* key, T otherwise) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return otherwise;
    if constexpr (std::is_same_v<T, std::string>) {
        return found->is_string() ? found->get<T>() : found->dump();
    } else if constexpr (std::is_same_v<T, bool>) {
        return found->is_boolean() ? found->get<T>() : otherwise;
    } else {
        return found->is_number() ? found->get<T>() : otherwise;
    }
}

// What breaks docs/WORKER-CONTRACT.md is an error in these words, and an error event of the process.
constexpr const char* kBreach = "breaks the worker contract (docs/WORKER-CONTRACT.md): ";

// Empty: the line is an event of version 1.
std::string breach_of_ready(const Json& json, std::int64_t pid) {
    const auto contract = json.find("contract");
    if (contract == json.end()) return "its 'ready' names no version of the contract: " + json.dump();
    if (*contract != kWorkerContract) {
        return "it speaks version " + contract->dump() + ", this suite speaks version " + std::to_string(kWorkerContract);
    }
    if (get<std::int64_t>(json, "pid", 0) != pid)
        return "its 'ready' must name its pid, which is measured, and names another: " + json.dump();
    return {};
}

const Json* workers_of(const Json& json) {
    const auto found = json.find("workers");
    return found != json.end() && found->is_array() ? &*found : nullptr;
}

}  // namespace

std::string worker_program() {
    const char* given = std::getenv("PARTI_STRESS_WORKER");
    return given != nullptr && *given != '\0' ? given : PARTI_WORKER_HOST_PATH;
}

std::int64_t boot_now_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_BOOTTIME, &t);
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

tl::unexpected<std::string> WorkerProcess::problem(const std::string& what) const { return failure(says() + what); }

std::string WorkerProcess::says() const { return options_.label + " (pid " + std::to_string(child_.pid()) + "): "; }

Outcome<WorkerProcess> WorkerProcess::start(const std::string& url, const std::string& group, const std::string& folder,
                                            const WorkerProcessOptions& options) {
    ProcessOptions process;
    process.path = worker_program();
    process.env = options.env;
    process.env.emplace("LC_ALL", "C");
    const std::string history = folder + "/" + options.label + ".history";
    process.stderr_file = folder + "/" + options.label + ".log";
    process.args = {"--url",        url,
                    "--group",      group,
                    "--workers",    std::to_string(options.workers),
                    "--partitions", std::to_string(options.partitions),
                    "--history",    history,
                    "--label",      options.label};
    const auto add = [&process](const char* name, const std::string& value) {
        process.args.emplace_back(name);
        process.args.push_back(value);
    };
    if (options.expected_workers != 0) add("--expected-workers", std::to_string(options.expected_workers));
    if (!options.strategy.empty()) add("--strategy", options.strategy);
    if (!options.config.empty()) add("--config", options.config);
    if (options.callback_delay.count() != 0) add("--callback-delay", std::to_string(options.callback_delay.count()));
    if (!options.inject_memory.empty()) add("--inject-memory", options.inject_memory);
    process.args.insert(process.args.end(), options.args.begin(), options.args.end());
    const std::string log = process.stderr_file;
    auto child = ChildProcess::start(std::move(process));
    if (!child) return failure(options.label + ": " + child.error());
    WorkerProcess worker(std::move(*child));
    worker.options_ = options;
    worker.history_path_ = history;
    worker.log_path_ = log;
    auto ready = worker.await("ready", kReadyTimeout, "being started");
    if (ready) {
        const std::string broken = breach_of_ready(Json::parse(*ready, nullptr, false), worker.pid());
        if (!broken.empty()) ready = worker.problem(kBreach + broken);
    }
    if (!ready) {
        std::ifstream file(log);
        std::ostringstream said;
        for (const std::string& event : worker.errors_) said << event << "\n";
        said << file.rdbuf();
        const auto status = worker.child_.terminate();
        return failure(ready.error() + " (" + status.text() + "); it said: " + said.str());
    }
    worker.ready_line_ = *ready;
    return worker;
}

std::string WorkerProcess::ready_value(const std::string& key) const {
    const Json json = Json::parse(ready_line_, nullptr, false);
    return json.is_object() ? get<std::string>(json, key.c_str(), "") : std::string();
}

std::string WorkerProcess::keep(const std::string& line) {
    const Json json = Json::parse(line, nullptr, false);
    const auto named = json.is_object() ? json.find("event") : json.end();
    if (!json.is_object() || named == json.end() || !named->is_string() || named->get<std::string>().empty()) {
        errors_.push_back(kBreach + ("a line is no JSON object with a text 'event': '" + line.substr(0, 200) + "'"));
        return {};
    }
    const auto event = named->get<std::string>();
    if (event == "error") errors_.push_back(line);
    if (event == "all_stable" || event == "covered") milestones_[event].push_back(line);
    return event;
}

Outcome<std::string> WorkerProcess::await(const std::string& event, Milliseconds timeout, const std::string& why) {
    const auto deadline = Clock::now() + timeout;
    while (true) {
        const LineRead read = child_.read_line(left(deadline));
        if (read.state == ReadState::end) return problem("ended while '" + event + "' was awaited after " + why);
        if (read.state == ReadState::timeout) {
            return problem("no '" + event + "' within " + std::to_string(timeout.count()) + " ms after " + why);
        }
        const std::string kept = keep(read.text);
        if (kept.empty()) return problem(errors_.back());
        if (kept == event) return read.text;
    }
}

Outcome<std::string> WorkerProcess::ask(const std::string& command, const std::string& answer, Milliseconds timeout) {
    if (!alive()) return problem("'" + command + "' cannot be asked, it has ended (" + exit_->text() + ")");
    if (auto sent = child_.send_line(command); !sent) return problem("'" + command + "': " + sent.error());
    return await(answer, timeout, "'" + command + "'");
}

Outcome<void> WorkerProcess::start_workers(std::uint32_t count) {
    return child_.send_line(count == 0 ? std::string("start") : "start " + std::to_string(count));
}

Outcome<void> WorkerProcess::stop_workers(std::uint32_t count) { return child_.send_line("stop " + std::to_string(count)); }

Outcome<void> WorkerProcess::set_partitions(std::uint32_t count, Milliseconds timeout) {
    const auto line = ask("partitions " + std::to_string(count), "partitions", timeout);
    if (!line) return failure(line.error());
    return {};
}

Outcome<double> WorkerProcess::change_partitions(std::uint32_t count, Milliseconds timeout) {
    const auto line = ask("partitions " + std::to_string(count), "changed", timeout);
    if (!line) return failure(line.error());
    return get<double>(Json::parse(*line, nullptr, false), "ms", 0);
}

Outcome<ProcessStatus> WorkerProcess::status(Milliseconds timeout) {
    const auto line = ask("status", "status", timeout);
    if (!line) return failure(line.error());
    const Json json = Json::parse(*line, nullptr, false);
    const Json* workers = workers_of(json);
    if (workers == nullptr) return problem("a status without workers: " + *line);
    ProcessStatus status;
    status.t_ns = get<std::int64_t>(json, "t_ns", 0);
    status.stable = get<std::uint64_t>(json, "stable", 0);
    for (const Json& worker : *workers) {
        WorkerStatus one;
        one.index = get<std::uint64_t>(worker, "index", 0);
        one.id = get<std::string>(worker, "id", "");
        one.state = get<std::string>(worker, "state", "");
        one.phase = get<std::string>(worker, "phase", "");
        const auto number = worker.find("number");
        if (number != worker.end() && number->is_number_unsigned()) one.number = number->get<std::uint32_t>();
        one.leader = get<bool>(worker, "leader", false);
        one.owned = get<std::uint64_t>(worker, "owned", 0);
        one.epoch = get<std::uint64_t>(worker, "epoch", 0);
        status.workers.push_back(std::move(one));
    }
    return status;
}

Outcome<std::vector<WorkerOwnership>> WorkerProcess::ownership(Milliseconds timeout) {
    const auto line = ask("ownership", "ownership", timeout);
    if (!line) return failure(line.error());
    const Json json = Json::parse(*line, nullptr, false);
    const Json* workers = workers_of(json);
    if (workers == nullptr) return problem("an ownership without workers: " + *line);
    std::vector<WorkerOwnership> all;
    for (const Json& worker : *workers) {
        WorkerOwnership one;
        one.index = get<std::uint64_t>(worker, "index", 0);
        one.id = get<std::string>(worker, "id", "");
        const auto partitions = worker.find("partitions");
        if (partitions == worker.end() || !partitions->is_array()) return problem("an ownership without partitions: " + *line);
        for (const Json& partition : *partitions) {
            if (!partition.is_string()) return problem("a partition that is not a text: " + partition.dump());
            one.partitions.push_back(partition.get<std::string>());
        }
        all.push_back(std::move(one));
    }
    return all;
}

Outcome<ProcessMemory> WorkerProcess::memory(Milliseconds timeout) {
    const auto line = ask("memory", "memory", timeout);
    if (!line) return failure(line.error());
    const Json json = Json::parse(*line, nullptr, false);
    ProcessMemory memory{get<std::uint64_t>(json, "live_bytes", 0), get<std::uint64_t>(json, "arena_bytes", 0)};
    if (!json.contains("live_bytes")) return problem("a memory report without live_bytes: " + *line);
    return memory;
}

Outcome<std::map<std::string, std::uint64_t>> WorkerProcess::stats(Milliseconds timeout) {
    const auto line = ask("stats", "stats", timeout);
    if (!line) return failure(line.error());
    const Json json = Json::parse(*line, nullptr, false);
    std::map<std::string, std::uint64_t> stats;
    for (const auto& item : json.items()) {
        if (item.value().is_number_unsigned()) stats[item.key()] = item.value().get<std::uint64_t>();
    }
    if (stats.count("renewals") == 0) return problem("stats without renewals: " + *line);
    return stats;
}

Outcome<std::uint64_t> WorkerProcess::cycle(Milliseconds rest, Milliseconds timeout) {
    const auto line = ask("cycle " + std::to_string(rest.count()), "cycle", timeout);
    if (!line) return failure(line.error());
    const Json json = Json::parse(*line, nullptr, false);
    if (!json.contains("live_bytes")) return problem("a cycle without live_bytes: " + *line);
    milestones_.clear();  // of the cycle's workers, which are gone
    return get<std::uint64_t>(json, "live_bytes", 0);
}

Outcome<std::string> WorkerProcess::consumed(Milliseconds timeout) { return ask("consumed", "consumed", timeout); }

Outcome<Milestone> WorkerProcess::wait_milestone(const std::string& event, Milliseconds timeout) {
    auto& waiting = milestones_[event];
    if (waiting.empty()) {
        if (auto line = await(event, timeout, "'start'"); !line) return failure(line.error());
    }
    const Json json = Json::parse(waiting.front(), nullptr, false);
    waiting.erase(waiting.begin());
    return Milestone{get<std::uint64_t>(json, "workers", 0), get<double>(json, "ms", 0)};
}

void WorkerProcess::listen_for(Milliseconds duration) {
    const auto deadline = Clock::now() + duration;
    while (alive()) {
        const LineRead read = child_.read_line(left(deadline));
        if (read.state != ReadState::line) return;
        keep(read.text);
    }
}

Outcome<void> WorkerProcess::request_quit() {
    told_ns_ = boot_now_ns();
    return child_.send_line("quit");
}

Outcome<ExitStatus> WorkerProcess::wait_exit(Milliseconds timeout) {
    if (exit_) return *exit_;
    const auto deadline = Clock::now() + timeout;
    // Its pipe is read to the end first: a full pipe would hold it.
    while (left(deadline).count() > 0) {
        const LineRead read = child_.read_line(left(deadline));
        if (read.state != ReadState::line) break;
        keep(read.text);
    }
    const auto status = child_.wait(left(deadline));
    if (!status) return problem("did not end within " + std::to_string(timeout.count()) + " ms");
    died_ns_ = boot_now_ns();
    exit_ = status;
    return *status;
}

ExitStatus WorkerProcess::kill() {
    if (exit_) return *exit_;
    killed_ = true;
    for (const std::string& line : child_.take_lines()) keep(line);
    told_ns_ = boot_now_ns();
    exit_ = child_.kill_now();
    died_ns_ = boot_now_ns();
    return *exit_;
}

}  // namespace parti::test
