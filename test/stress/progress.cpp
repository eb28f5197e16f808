#include "progress.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include <nlohmann/json.hpp>

#include "testutil/memory_probe.h"
#include "testutil/results.h"

namespace parti::stress {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kSample{1};
constexpr int kSamplesPerLine = 5;
constexpr std::string_view kMeasured = "worker-host";

double seconds_since(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

// Anonymous memory of the measured processes; nothing when there is none just now.
std::optional<double> memory_kb() {
    std::optional<double> sum;
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
        std::ifstream children(task.path() / "children");
        for (pid_t pid = 0; children >> pid;) {
            std::ifstream comm("/proc/" + std::to_string(pid) + "/comm");
            std::string name;
            if (!std::getline(comm, name) || name != kMeasured) continue;
            if (const auto memory = test::read_memory(pid, test::Detail::status)) {
                sum = sum.value_or(0) + static_cast<double>(memory->rss_anon) / 1024;
            }
        }
    }
    return sum;
}

}  // namespace

struct Progress::Impl {
    std::mutex mutex;
    std::condition_variable wake;
    bool running = false, print = true, measures = true;
    std::string test, phase, what;
    std::optional<double> budget;
    std::uint64_t stable = 0, all = 0, count = 0, count_before = 0;
    Clock::time_point begun, counted_before;
    std::optional<double> rate, memory;
    std::function<std::uint64_t()> counter;
    std::filesystem::path file;
    std::thread thread;

    void write(const nlohmann::json& line) {
        if (file.empty()) return;
        std::ofstream out(file, std::ios::app | std::ios::binary);
        out << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";  // one write
    }

    nlohmann::json line(const char* event) const {
        nlohmann::json json{{"event", event},
                            {"time", report::utc_now()},
                            {"test", test},
                            {"elapsed_s", std::round(seconds_since(begun) * 10) / 10}};
        if (!phase.empty()) json["phase"] = phase;
        if (all > 0) json["workers"] = all, json["stable"] = stable;
        if (memory) json["memory_kb"] = std::round(*memory);
        if (rate) json["rate_per_s"] = std::round(*rate * 10) / 10, json["rate_of"] = what;
        if (budget) json["left_s"] = std::round(std::max(0.0, *budget - seconds_since(begun)));
        return json;
    }

    void print_line() const {
        char text[64];
        std::snprintf(text, sizeof text, "  [%4.0f s]", seconds_since(begun));
        std::string out = text;
        const auto add = [&](const std::string& part) { out += (out.back() == ']' ? " " : ", ") + part; };
        if (!phase.empty()) add(phase);
        if (all > 0) add(std::to_string(stable) + " of " + std::to_string(all) + " workers stable");
        if (!measures) {
            add("memory not measured");
        } else if (memory) {
            std::snprintf(text, sizeof text, "memory %.0f kB", *memory);
            add(text);
        }
        if (rate) {
            std::snprintf(text, sizeof text, "%.1f %s/s", *rate, what.c_str());
            add(text);
        }
        if (budget) {
            const double left = *budget - seconds_since(begun);
            std::snprintf(text, sizeof text, left >= 0 ? "about %.0f s left" : "%.0f s over its budget", std::abs(left));
            add(text);
        }
        std::printf("%s\n", out.c_str());
        std::fflush(stdout);
    }

    void sample() {
        memory = measures ? memory_kb() : std::nullopt;
        if (counter) count = counter();
        const double since = seconds_since(counted_before);
        if (!what.empty() && since > 0.5) {
            rate = count >= count_before ? std::optional(static_cast<double>(count - count_before) / since) : std::nullopt;
            count_before = count;
            counted_before = Clock::now();
        }
        write(line("sample"));
    }

    void loop() {
        std::unique_lock lock(mutex);
        for (int n = 1; !wake.wait_for(lock, kSample, [this] { return !running; }); ++n) {
            sample();
            if (print && n % kSamplesPerLine == 0) print_line();
        }
    }
};

Progress::Progress() : impl_(std::make_unique<Impl>()) {}
Progress::~Progress() { end("unfinished"); }

void Progress::begin(const std::string& test, const std::filesystem::path& folder, bool memory) {
    end("unfinished");
    const char* const wanted = std::getenv("PARTI_STRESS_PROGRESS");
    const std::string mode = wanted == nullptr || *wanted == '\0' ? "both" : wanted;
    if (mode == "0") return;
    auto fresh = std::make_unique<Impl>();
    fresh->print = mode == "both";
    fresh->measures = memory;
    fresh->test = test;
    if (!folder.empty()) fresh->file = folder / "progress.ndjson";
    fresh->begun = fresh->counted_before = Clock::now();
    fresh->running = true;
    impl_ = std::move(fresh);
    impl_->write(impl_->line("begin"));
    impl_->thread = std::thread([impl = impl_.get()] { impl->loop(); });
}

void Progress::end(const std::string& status) {
    {
        const std::lock_guard lock(impl_->mutex);
        if (!impl_->running) return;
        impl_->running = false;
        auto line = impl_->line("end");
        line["status"] = status;
        line.erase("left_s");
        impl_->write(line);
    }
    impl_->wake.notify_all();
    impl_->thread.join();
}

void Progress::phase(const std::string& text) {
    const std::lock_guard lock(impl_->mutex);
    impl_->phase = text;
}

void Progress::budget(double seconds) {
    const std::lock_guard lock(impl_->mutex);
    impl_->budget = seconds;
}

void Progress::workers(std::uint64_t stable, std::uint64_t all) {
    const std::lock_guard lock(impl_->mutex);
    impl_->stable = stable;
    impl_->all = all;
}

void Progress::counted(const std::string& what, std::uint64_t so_far) {
    const std::lock_guard lock(impl_->mutex);
    if (what != impl_->what || so_far < impl_->count) {  // something else, or a new launch: its rate begins here
        impl_->what = what;
        impl_->count_before = so_far;
        impl_->counted_before = Clock::now();
        impl_->rate.reset();
    }
    impl_->count = so_far;
}

Progress::Counter::Counter(Progress& progress, std::string what, std::function<std::uint64_t()> so_far) : progress_(progress) {
    Impl& impl = *progress_.impl_;
    const std::lock_guard lock(impl.mutex);
    impl.what = std::move(what);
    impl.count = impl.count_before = so_far();
    impl.counted_before = Clock::now();
    impl.rate.reset();
    impl.counter = std::move(so_far);
}

Progress::Counter::~Counter() {
    Impl& impl = *progress_.impl_;
    const std::lock_guard lock(impl.mutex);
    impl.counter = nullptr;
    impl.what.clear();
    impl.rate.reset();
}

Progress& progress() {
    static Progress one;
    return one;
}

}  // namespace parti::stress
