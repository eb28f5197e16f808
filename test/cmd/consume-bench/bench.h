// bench: what consume-bench measures, and how a measured child and its driver talk.
//
// Role      The driver (driver.cpp) starts a server, fills a stream, and runs one child process a measurement: the reference
//           (reference.cpp: nats.c's js_PullSubscribe and Fetch) or parti's Consumer (subject.cpp), alternately, on the same
//           store.
// Model     Child: connects, says READY; reads "go"; consumes. A throughput child counts over its window, which begins after a
//           warm-up that begins when every durable is attached, and ends by itself; a latency child ends at "stop <ns>" and
//           judges the messages intended from then on. It answers one line of JSON. Every measurement starts from the same filled
//           store, set back by the launcher.
// Units     Messages/s, microseconds, kB.
// Threads   Tally: any.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/outcome.h"

namespace parti::bench {

using test::Outcome;
using Milliseconds = std::chrono::milliseconds;

inline constexpr const char* kStream = "BENCH";

// Partition i is "part.<i>", its messages go to "bench.<i>", five digits each.
std::string partition_name(std::uint32_t index);
std::string subject_name(std::uint32_t index);

struct ChildOptions {
    std::string library;  // "reference" or "parti"
    std::string url;
    std::uint32_t partitions = 1;
    std::uint32_t pending = 1;  // max_ack_pending of each durable
    std::uint32_t batch = 1;    // reference only
    std::uint32_t threads = 1;  // reference: that fetch; parti: callback threads
    Milliseconds warmup{300};
    Milliseconds window{2000};
    bool latency = false;
    std::uint64_t expected = 0;    // messages there are; a window ends early when they are through
    std::uint32_t server_pid = 0;  // whose processor time is told besides the child's own; 0: neither
};

// What the handlers report.
class Tally {
public:
    explicit Tally(bool latency) : latency_(latency) {}
    void taken(std::string_view payload);
    std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
    std::int64_t first_ns() const { return first_ns_.load(std::memory_order_relaxed); }
    std::int64_t last_ns() const { return last_ns_.load(std::memory_order_relaxed); }
    // "p50":..,"p99":..,"n":.. of messages intended from then on.
    std::string latencies_json(std::int64_t from_ns) const;

private:
    struct Sample {
        std::int64_t intended_ns = 0, taken_ns = 0;
    };
    const bool latency_;
    std::atomic<std::uint64_t> count_{0};
    std::atomic<std::int64_t> first_ns_{0}, last_ns_{0};
    mutable std::mutex mutex_;
    std::vector<Sample> samples_;
};

// One of the two libraries.
class Consuming {
public:
    virtual ~Consuming() = default;
    virtual Outcome<void> prepare(const ChildOptions& options, Tally& tally) = 0;  // connected
    virtual Outcome<void> go() = 0;  // returns when every durable is attached and pulled from
    virtual Outcome<void> stop() = 0;
};
std::unique_ptr<Consuming> make_reference();
std::unique_ptr<Consuming> make_subject();

int run_child(const ChildOptions& options);

struct DriverOptions {
    std::string server;               // binary; empty: the machine's
    std::vector<std::string> shapes;  // "ordered/1" ...; empty: all
    std::uint64_t seed = 0;
    std::uint32_t repeats = 5;
    Milliseconds window{2000};
    bool reference_only = false;
    bool quick = false;  // one batch, one repeat, small stores: shows that it works, measures nothing
};
int run_driver(const DriverOptions& options);

extern const char* const usage;

}  // namespace parti::bench
