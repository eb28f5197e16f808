// ServerWatch: what the nats-server of a fleet counted while the fleet lived, sampled beside it.
//
// Role      Every stress test has one for each fleet: slow consumers, API calls, consumers, connections, storage, memory, CPU.
// Model     A thread asks the server's monitor every interval and keeps the extremes; no sample is kept. While a server is down
//           on purpose its answers are missing: counted, not an error. Counters of a server that was restarted begin anew: what
//           grew is added up.
// Units     Bytes, counts; cpu in per cent of one core as the server writes it (an average of its last second).
// Threads   seen() from any thread. The destructor joins the thread.
// Cost      Three HTTP exchanges a sample, answered by the server, not by the measured process.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace parti::test {

struct ServerSeen {
    std::uint64_t samples = 0, missed = 0;
    std::uint64_t slow_consumers = 0;                           // counted by the server since its start, the most seen
    std::uint64_t api_calls = 0, api_errors = 0;                // since the first sample
    std::uint64_t consumers = 0, connections = 0, streams = 0;  // the most seen
    std::uint64_t store_bytes = 0;                              // files and memory, the most seen
    std::uint64_t memory_bytes = 0;                             // resident, the most seen
    std::uint64_t pending_bytes = 0;                            // of one connection, the most seen
    double cpu = 0;                                             // the most seen
};

class ServerWatch {
public:
    explicit ServerWatch(std::string monitor_url, std::chrono::milliseconds interval = std::chrono::milliseconds(1000));
    ~ServerWatch();
    ServerWatch(const ServerWatch&) = delete;
    ServerWatch& operator=(const ServerWatch&) = delete;

    ServerSeen seen() const;
    // One more sample now; for the end of a fleet.
    ServerSeen look();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::test
