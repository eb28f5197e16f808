#include "server_watch.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "server_monitor.h"

namespace parti::test {
namespace {

// What a counter grew by; after a restart of the server it begins at 0.
std::uint64_t grown(std::uint64_t before, std::uint64_t now) { return now >= before ? now - before : now; }

}  // namespace

struct ServerWatch::Impl {
    const std::string url;
    const std::chrono::milliseconds interval;
    mutable std::mutex mutex;
    std::condition_variable stopping;
    bool stop = false;
    ServerSeen seen;
    std::optional<ServerStats> last;
    std::thread thread;

    Impl(std::string monitor_url, std::chrono::milliseconds every) : url(std::move(monitor_url)), interval(every) {}

    void sample() {
        auto now = read_server_stats(url, std::chrono::milliseconds(500));
        const std::lock_guard lock(mutex);
        if (!now) {
            ++seen.missed;
            return;
        }
        ++seen.samples;
        seen.slow_consumers = std::max(seen.slow_consumers, now->slow_consumers);
        if (last) {
            seen.api_calls += grown(last->api_total, now->api_total);
            seen.api_errors += grown(last->api_errors, now->api_errors);
        }
        seen.consumers = std::max(seen.consumers, now->consumer_count);
        seen.connections = std::max(seen.connections, now->connections);
        seen.streams = std::max(seen.streams, now->stream_count);
        seen.store_bytes = std::max(seen.store_bytes, now->store_file + now->store_memory);
        seen.memory_bytes = std::max(seen.memory_bytes, now->mem);
        for (const ConnectionInfo& client : now->clients) seen.pending_bytes = std::max(seen.pending_bytes, client.pending_bytes);
        seen.cpu = std::max(seen.cpu, now->cpu);
        last = std::move(*now);
    }

    void run() {
        std::unique_lock lock(mutex);
        while (!stop) {
            lock.unlock();
            sample();
            lock.lock();
            stopping.wait_for(lock, interval, [this] { return stop; });
        }
    }
};

ServerWatch::ServerWatch(std::string monitor_url, std::chrono::milliseconds interval)
    : impl_(std::make_unique<Impl>(std::move(monitor_url), interval)) {
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

ServerWatch::~ServerWatch() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stop = true;
    }
    impl_->stopping.notify_all();
    impl_->thread.join();
}

ServerSeen ServerWatch::seen() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->seen;
}

ServerSeen ServerWatch::look() {
    impl_->sample();
    return seen();
}

}  // namespace parti::test
