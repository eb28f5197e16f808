#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <thread>

#include "bench.h"
#include "testutil/load_generator.h"
#include "testutil/memory_probe.h"
#include "testutil/worker_process.h"

namespace parti::bench {
namespace {

std::string number_name(const char* prefix, std::uint32_t index) {
    char text[32];
    std::snprintf(text, sizeof text, "%s.%05u", prefix, index);
    return text;
}

void say(const std::string& line) { std::cout << line << std::endl; }

int complain(const std::string& why) {
    std::cerr << "consume-bench child: " << why << '\n';
    return 100;
}

// Waits until so many are through or the time is over; looks every millisecond.
void watch(const Tally& tally, std::uint64_t expected, Milliseconds time) {
    const std::int64_t end = test::boot_now_ns() + std::chrono::nanoseconds(time).count();
    while (test::boot_now_ns() < end && (expected == 0 || tally.count() < expected)) {
        std::this_thread::sleep_for(Milliseconds(1));  // the pause between two looks
    }
}

// Processor time so far, own and the server's; unlike a rate it says the same on a machine that others use.
struct Spent {
    double own = 0, server = 0;
};
Spent spent(const ChildOptions& options) {
    const auto of = [](pid_t pid) {
        const auto times = test::read_times(pid);
        return times ? times->cpu_seconds : 0;
    };
    if (options.server_pid == 0) return {};
    return {of(::getpid()), of(static_cast<pid_t>(options.server_pid))};
}

std::string throughput(const ChildOptions& options, const Tally& tally) {
    watch(tally, options.expected, options.warmup);
    // A store that is empty before the warm-up is over is judged from the first message to the last.
    const bool too_small = options.expected != 0 && tally.count() >= options.expected;
    const std::uint64_t before = too_small ? 1 : tally.count();
    const std::int64_t begin = too_small ? tally.first_ns() : test::boot_now_ns();
    const Spent at_begin = spent(options);
    watch(tally, options.expected, options.window);
    const std::uint64_t after = tally.count();
    const Spent at_end = spent(options);
    const bool ran_dry = options.expected != 0 && after >= options.expected;
    const double seconds = static_cast<double>((ran_dry ? tally.last_ns() : test::boot_now_ns()) - begin) / 1e9;
    const double rate = seconds > 0 ? static_cast<double>(after - before) / seconds : 0;
    const auto each_ns = [&](double total_s) {
        return std::to_string(total_s * 1e9 / static_cast<double>(std::max<std::uint64_t>(after - before, 1)));
    };
    return "\"count\":" + std::to_string(after - before) + ",\"seconds\":" + std::to_string(seconds) +
           ",\"per_s\":" + std::to_string(rate) + ",\"own_ns\":" + each_ns(at_end.own - at_begin.own) +
           ",\"server_ns\":" + each_ns(at_end.server - at_begin.server);
}

}  // namespace

std::string partition_name(std::uint32_t index) { return number_name("part", index); }
std::string subject_name(std::uint32_t index) { return number_name("bench", index); }

void Tally::taken(std::string_view payload) {
    const std::int64_t now = test::boot_now_ns();
    last_ns_.store(now, std::memory_order_relaxed);
    if (count_.fetch_add(1, std::memory_order_relaxed) == 0) first_ns_.store(now, std::memory_order_relaxed);
    if (!latency_) return;
    if (const auto content = test::parse_load_payload(payload)) {
        const std::lock_guard lock(mutex_);
        samples_.push_back({content->intended_ns, now - content->intended_ns});
    }
}

std::string Tally::latencies_json(std::int64_t from_ns) const {
    std::vector<std::int64_t> taken;
    const std::lock_guard lock(mutex_);
    for (const Sample& sample : samples_) {
        if (sample.intended_ns >= from_ns) taken.push_back(sample.taken_ns);
    }
    std::sort(taken.begin(), taken.end());
    const auto at = [&](double q) {
        return taken.empty() ? std::int64_t{0}
                             : taken[static_cast<std::size_t>(q * static_cast<double>(taken.size() - 1) + 0.5)] / 1000;
    };
    return "\"n\":" + std::to_string(taken.size()) + ",\"p50\":" + std::to_string(at(0.5)) +
           ",\"p99\":" + std::to_string(at(0.99)) + ",\"max\":" + std::to_string(at(1));
}

int run_child(const ChildOptions& options) {
    const auto consuming = options.library == "parti" ? make_subject() : make_reference();
    if (consuming == nullptr) return complain("this build has no parti::Consumer");
    Tally tally(options.latency);
    if (auto ok = consuming->prepare(options, tally); !ok) return complain(ok.error());
    say("READY");
    std::string line;
    if (!std::getline(std::cin, line) || line != "go") return complain("expected 'go', was told '" + line + "'");
    if (auto ok = consuming->go(); !ok) return complain(ok.error());
    std::string result;
    if (options.latency) {
        std::int64_t from = 0;
        say("CONSUMING");
        if (!std::getline(std::cin, line) || line.rfind("stop ", 0) != 0)
            return complain("expected 'stop <ns>', was told '" + line + "'");
        std::from_chars(line.data() + 5, line.data() + line.size(), from);
        result = tally.latencies_json(from);
    } else {
        result = throughput(options, tally);
    }
    const auto memory = test::read_memory(::getpid());
    if (memory) result += ",\"rss_anon_kb\":" + std::to_string(memory->rss_anon / 1024);
    if (auto ok = consuming->stop(); !ok) return complain(ok.error());
    say('{' + result + '}');
    return 0;
}

}  // namespace parti::bench
