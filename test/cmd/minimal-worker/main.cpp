// minimal-worker: the smallest program that keeps the worker contract (docs/WORKER-CONTRACT.md, version 1), over parti's public
// API alone.
//
// Copy it to start a worker program of your own: what is parti's are `begin`, `let_go` and the three callbacks; the rest is the
// pipe.
// History   The public API tells fences, but neither lease deadlines nor incarnations: a session lasts until its end, and the
//           time at which it began counts the holders of a number.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <deque>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <parti/parti.h>

namespace {

constexpr int kSetUpFailed = 100, kParentGone = 102, kBadOption = 104;

std::string ns() {
    timespec t{};
    ::clock_gettime(CLOCK_BOOTTIME, &t);
    return std::to_string(std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec);
}

std::string json_quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20) {
            out += ' ';
            continue;
        }
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

// One write(2) a line: nothing of it is lost, and lines of different threads do not mix.
void append(int fd, const std::string& line) {
    if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(kSetUpFailed);
}
void say(const std::string& event, const std::string& fields = {}) {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    append(STDOUT_FILENO, "{\"event\":\"" + event + "\",\"t_ns\":" + ns() + (fields.empty() ? "" : "," + fields) + "}\n");
}
int complain(int code, const std::string& why) {
    std::fprintf(stderr, "minimal-worker: %s\n", why.c_str());
    say("error", "\"error\":" + json_quoted(why));
    return code;
}

class History {
public:
    explicit History(int fd) : fd_(fd) {}
    void add(const std::string& event, const std::string& fields) {
        const std::lock_guard lock(mutex_);  // times of one file do not go back
        append(fd_, "{\"t\":" + ns() + ",\"e\":\"" + event + "\"," + fields + "}\n");
    }

private:
    std::mutex mutex_;
    const int fd_;
};

struct Fleet;

// One worker and what its history knows of it. Callbacks are serial per worker; stop() comes after the last of them.
struct Slot {
    Fleet* fleet = nullptr;
    std::size_t index = 0;
    std::optional<parti::Worker> worker;
    std::atomic<bool> running{false};
    std::atomic<parti::State> state{parti::State::init};
    std::atomic<std::size_t> owned{0};
    std::string session;  // empty: none lives
    std::uint64_t grants = 0;
    std::map<std::string, std::pair<std::string, std::uint64_t>> held;  // partition -> session, grant

    void begin();
    void end(const std::string& reason);
    void gain(std::span<const parti::Ownership> gained);
    void let_go(std::span<const parti::Ownership> lost);
};

struct Fleet {
    parti::Context context;
    parti::Config config;
    std::shared_ptr<parti::Source> source;
    std::size_t partitions;
    History& history;
    std::deque<Slot> slots;
    std::vector<Slot*> order;  // those that run, oldest first
    std::atomic<std::uint64_t> sessions{0};
    std::mutex milestones;
    bool want_stable = false, want_covered = false;
    std::chrono::steady_clock::time_point since;

    void look();
    bool start(std::size_t count);
    bool stop(std::size_t count);
};

void Slot::begin() {
    const auto number = worker->number();
    if (!session.empty() || !number) return;
    session = std::to_string(::getpid()) + "." + std::to_string(++fleet->sessions);
    fleet->history.add("session", "\"s\":\"" + session + "\",\"w\":" + std::to_string(index) +
                                      ",\"n\":" + std::to_string(number->value) + ",\"i\":" + ns() +
                                      ",\"until\":" + std::to_string(INT64_MAX));
}

void Slot::end(const std::string& reason) {
    if (session.empty()) return;
    fleet->history.add("end", "\"s\":\"" + session + "\",\"reason\":\"" + reason + "\"");
    session.clear();
}

void Slot::gain(std::span<const parti::Ownership> gained) {
    begin();
    for (const parti::Ownership& o : gained) {
        if (session.empty() || !o.valid()) continue;  // was lost before this callback had its turn
        held[o.partition().id()] = {session, ++grants};
        fleet->history.add("grant", "\"s\":\"" + session + "\",\"g\":" + std::to_string(grants) + ",\"p\":\"" +
                                        o.partition().id() + "\",\"f\":[" + std::to_string(o.fence().epoch.value) + "," +
                                        std::to_string(o.fence().version) + "]");
    }
    owned = held.size();
    fleet->look();
}

// A real worker ends its work between the two lines.
void Slot::let_go(std::span<const parti::Ownership> lost) {
    for (const parti::Ownership& o : lost) {
        const auto found = held.find(o.partition().id());
        if (found == held.end()) continue;
        const std::string what = "\"s\":\"" + found->second.first + "\",\"g\":" + std::to_string(found->second.second) +
                                 ",\"p\":\"" + found->first + "\"";
        fleet->history.add("revoke", what);
        fleet->history.add("release", what);
        held.erase(found);
    }
    owned = held.size();
}

parti::Callbacks callbacks_of(Slot& slot) {
    parti::Callbacks c;
    c.on_assigned = [&slot](auto gained) { slot.gain(gained); };
    c.on_revoked = [&slot](auto lost, const parti::RevokeDone& done) {
        slot.let_go(lost);
        done();  // only now another worker may be granted them
    };
    c.on_state = [&slot](parti::State, parti::State to) {
        slot.state = to;
        if (to == parti::State::waiting_assignment || to == parti::State::stable) slot.begin();
        if (to == parti::State::fenced || to == parti::State::stopped) slot.end(std::string(to_string(to)));
        slot.fleet->look();
    };
    c.on_error = [](const parti::Error& error) { say("error", "\"error\":" + json_quoted(error.message())); };
    return c;
}

void Fleet::look() {
    const std::lock_guard lock(milestones);
    std::size_t running = 0, stable = 0, owned = 0;
    for (const Slot& slot : slots) {
        if (!slot.running) continue;
        ++running;
        stable += slot.state == parti::State::stable ? 1U : 0U;
        owned += slot.owned;
    }
    const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - since;
    const std::string fields = "\"workers\":" + std::to_string(running) + ",\"ms\":" + std::to_string(passed.count());
    if (want_stable && stable == running) {
        want_stable = false;
        say("all_stable", fields);
    }
    if (!want_stable && want_covered && owned == partitions) {
        want_covered = false;
        say("covered", fields);
    }
}

bool Fleet::start(std::size_t count) {
    std::vector<Slot*> chosen;
    for (Slot& slot : slots) {
        if (!slot.running && chosen.size() < count) chosen.push_back(&slot);
    }
    for (Slot* slot : chosen) {
        auto made = parti::Worker::make(context, config, source, parti::sticky(), callbacks_of(*slot));
        if (!made) return complain(0, made.error().message()) != 0;
        slot->state = parti::State::init;
        slot->worker.emplace(std::move(*made));
        slot->running = true;
        order.push_back(slot);
    }
    {
        const std::lock_guard lock(milestones);
        want_stable = want_covered = true;
        since = std::chrono::steady_clock::now();
    }
    for (Slot* slot : chosen) slot->worker->start();
    return true;
}

bool Fleet::stop(std::size_t count) {
    std::vector<Slot*> chosen;
    while (chosen.size() < count && !order.empty()) {
        chosen.push_back(order.back());
        order.pop_back();
    }
    for (Slot* slot : chosen) slot->worker->request_stop();
    for (Slot* slot : chosen) {
        if (auto ok = slot->worker->stop(); !ok) complain(0, ok.error().message());
        slot->worker.reset();
        slot->running = false;
        slot->end("stopped");
    }
    say("stopped", "\"workers\":" + std::to_string(chosen.size()));
    return true;
}

void say_workers(const Fleet& fleet, bool names) {
    std::string list;
    std::size_t stable = 0;
    for (const Slot* slot : fleet.order) {
        const parti::Worker& w = *slot->worker;
        const auto number = w.number();
        stable += w.state() == parti::State::stable ? 1U : 0U;
        list += (list.empty() ? "{" : ",{") + ("\"index\":" + std::to_string(slot->index)) + ",\"id\":" + json_quoted(w.id());
        std::string partitions;
        const auto owned = w.assignment();
        for (const parti::Ownership& o : owned) partitions += (partitions.empty() ? "" : ",") + json_quoted(o.partition().id());
        list += names ? ",\"partitions\":[" + partitions + "]}"
                      : ",\"number\":" + (number ? std::to_string(number->value) : "null") +
                            ",\"state\":" + json_quoted(std::string(to_string(w.state()))) +
                            ",\"leader\":" + (w.is_leader() ? "true" : "false") + ",\"owned\":" + std::to_string(owned.size()) +
                            "}";
    }
    const std::string workers = "\"workers\":[" + list + "]";
    names ? say("ownership", workers) : say("status", "\"stable\":" + std::to_string(stable) + "," + workers);
}

void say_stats(const Fleet& fleet) {
    parti::WorkerStats sum;
    for (const Slot* slot : fleet.order) {
        const auto one = slot->worker->stats();
        sum.renewals += one.renewals;
        sum.partitions_gained += one.partitions_gained;
        sum.partitions_lost += one.partitions_lost;
    }
    say("stats", "\"renewals\":" + std::to_string(sum.renewals) + ",\"partitions_gained\":" +
                     std::to_string(sum.partitions_gained) + ",\"partitions_lost\":" + std::to_string(sum.partitions_lost));
}

// Exit code of the program.
int serve(Fleet& fleet) {
    for (std::string line; std::getline(std::cin, line);) {
        const auto blank = line.find(' ');
        const std::string name = line.substr(0, blank);
        const std::size_t count = blank == std::string::npos ? SIZE_MAX : std::strtoull(line.c_str() + blank, nullptr, 10);
        const struct mallinfo2 heap = ::mallinfo2();
        if (name == "start") {
            fleet.start(count);
        } else if (name == "stop") {
            fleet.stop(count);
        } else if (name == "status" || name == "ownership") {
            say_workers(fleet, name == "ownership");
        } else if (name == "stats") {
            say_stats(fleet);
        } else if (name == "memory") {
            say("memory", "\"live_bytes\":" + std::to_string(heap.uordblks + heap.hblkhd) +
                              ",\"arena_bytes\":" + std::to_string(heap.arena));
        } else if (name == "quit") {
            fleet.stop(SIZE_MAX);
            return 0;
        } else {
            complain(0, "unknown command '" + line + "'");
        }
    }
    ::_exit(kParentGone);
}

int run(std::map<std::string, std::string>& given) {
    std::vector<parti::Partition> partitions;
    for (unsigned long i = 0, n = std::strtoul(given["--partitions"].c_str(), nullptr, 10); i < n; ++i) {
        char name[32];
        std::snprintf(name, sizeof name, "part.%05lu", i);
        partitions.push_back(parti::Partition::from_id(name).value());
    }
    parti::Config config;
    config.group = given["--group"];
    config.timing = parti::fast_test_timing();
    config.number_max = 20'000;
    config.expected_workers = static_cast<std::uint32_t>(std::strtoul(given["--expected-workers"].c_str(), nullptr, 10));
    const int fd = ::open(given["--history"].c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return complain(kSetUpFailed, "--history '" + given["--history"] + "' cannot be opened");
    auto context = parti::Context::connect({.urls = {given["--url"]}});
    if (!context) return complain(kSetUpFailed, context.error().message());
    History history(fd);
    history.add("open", "\"pid\":" + std::to_string(::getpid()) + ",\"label\":" + json_quoted(given["--label"]));
    Fleet fleet{
        *context, config, parti::StaticSource::make(partitions).value(), partitions.size(), history, {}, {}, {}, {}, false,
        false,    {}};
    for (unsigned long i = 0, n = std::strtoul(given["--workers"].c_str(), nullptr, 10); i < n; ++i) {
        Slot& slot = fleet.slots.emplace_back();
        slot.fleet = &fleet;
        slot.index = i;
    }
    say("ready", "\"contract\":1,\"program\":\"minimal-worker\",\"pid\":" + std::to_string(::getpid()) +
                     ",\"label\":" + json_quoted(given["--label"]));
    return serve(fleet);
}

}  // namespace

int main(int argc, char** argv) {
    std::map<std::string, std::string> given{
        {"--url", ""},     {"--group", ""}, {"--workers", "1"},         {"--partitions", "0"},
        {"--history", ""}, {"--label", ""}, {"--expected-workers", "0"}};
    for (int i = 1; i < argc; i += 2) {
        const auto option = given.find(argv[i]);
        if (option == given.end() || i + 1 == argc)
            return complain(kBadOption, std::string("unknown option, or no value: '") + argv[i] + "'");
        option->second = argv[i + 1];
    }
    const int code = run(given);
    if (code == 0) say("bye");
    return code;
}
