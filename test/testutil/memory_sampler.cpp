#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <thread>

#include "memory_probe.h"

namespace parti::test {

Spread spread_of(std::vector<double> values) {
    Spread spread;
    spread.count = values.size();
    if (values.empty()) return spread;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    spread.minimum = values.front();
    spread.maximum = values.back();
    spread.median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    return spread;
}

Window window_of(const std::vector<MemorySample>& samples) {
    Window window;
    std::vector<double> anon, rss, pss, pss_anon, uss;
    std::map<std::uint64_t, std::size_t> threads;
    for (const MemorySample& sample : samples) {
        anon.push_back(static_cast<double>(sample.rss_anon));
        rss.push_back(static_cast<double>(sample.rss));
        if (sample.pss) pss.push_back(static_cast<double>(*sample.pss));
        if (sample.pss_anon) pss_anon.push_back(static_cast<double>(*sample.pss_anon));
        if (const auto own = sample.uss()) uss.push_back(static_cast<double>(*own));
        ++threads[sample.threads];
        window.hwm = sample.hwm;
    }
    window.samples = samples.size();
    window.rss_anon = spread_of(std::move(anon));
    window.rss = spread_of(std::move(rss));
    window.pss = spread_of(std::move(pss));
    window.pss_anon = spread_of(std::move(pss_anon));
    window.uss = spread_of(std::move(uss));
    window.threads_constant = threads.size() == 1;
    std::size_t most = 0;
    for (const auto& entry : threads) {
        if (entry.second > most) {
            most = entry.second;
            window.threads = entry.first;
        }
    }
    return window;
}

struct Sampler::Impl {
    pid_t pid;
    SamplerOptions options;
    mutable std::mutex mutex;
    std::condition_variable wake;
    bool stopping = false;
    std::vector<MemorySample> samples;
    double cpu_seconds = 0;
    std::optional<std::string> error;
    std::thread thread;

    void loop() {
        auto next = std::chrono::steady_clock::now();
        for (std::uint64_t n = 0;; ++n) {
            const bool rollup = options.rollup_every != 0 && n % options.rollup_every == 0;
            auto sample = read_memory(pid, rollup ? Detail::rollup : Detail::status);
            timespec cpu{};
            ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
            std::unique_lock lock(mutex);
            cpu_seconds = static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9;
            if (!sample) {
                error = sample.error();
                return;
            }
            samples.push_back(*sample);
            next = std::max(next + options.interval, std::chrono::steady_clock::now());  // a missed turn is not made up for
            if (wake.wait_until(lock, next, [this] { return stopping; })) return;
        }
    }
};

Sampler::Sampler(pid_t pid, SamplerOptions options) : impl_(std::make_unique<Impl>()) {
    impl_->pid = pid;
    impl_->options = options;
    impl_->thread = std::thread([impl = impl_.get()] { impl->loop(); });
}

Sampler::~Sampler() { stop(); }

void Sampler::stop() {
    {
        std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    impl_->wake.notify_all();
    if (impl_->thread.joinable()) impl_->thread.join();
}

std::vector<MemorySample> Sampler::samples() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->samples;
}

Window Sampler::window(Time from, Time to) const {
    std::vector<MemorySample> inside;
    {
        std::lock_guard lock(impl_->mutex);
        for (const MemorySample& sample : impl_->samples) {
            if (sample.time >= from && sample.time <= to) inside.push_back(sample);
        }
    }
    return window_of(inside);
}

double Sampler::cpu_seconds() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->cpu_seconds;
}

std::optional<std::string> Sampler::error() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->error;
}

}  // namespace parti::test
