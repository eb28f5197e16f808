// StatusPage: what the process is doing just now, as JSON over HTTP on loopback.
//
// Model     GET / : {"health": ..., "pid", "label", "t_ns", "workers", "states", "counters", "memory", "threads"}. health is
//           "stopped" (no worker runs), "starting" (some are not Stable) or "stable". GET /health: the same word alone, with 200
//           when stable and 503 when not. Anything else: 404.
// Units     Bytes; counts since the start of the workers that run now.
// Errors    open(): the port cannot be had.
// Threads   One of its own ("status"), none without a page. It takes the fleet's short lock.
// Lifetime  Must end before the fleet.
// Cost      Nothing between requests. Off in measured launches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <parti/result.h>

namespace parti::test {
class HttpServer;
}

namespace parti::host {

class Fleet;

class StatusPage {
public:
    static Result<std::unique_ptr<StatusPage>> open(std::uint16_t port, std::string label, const Fleet& fleet);
    ~StatusPage();
    StatusPage(const StatusPage&) = delete;
    StatusPage& operator=(const StatusPage&) = delete;

    std::string url() const;

private:
    StatusPage() = default;
    std::unique_ptr<test::HttpServer> server_;
};

}  // namespace parti::host
