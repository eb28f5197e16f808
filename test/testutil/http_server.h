// HttpServer: a few small answers over HTTP/1.1, on loopback only, and streams of server-sent events.
//
// Role      worker-host --status and stress-report dashboard. Never in a path that is measured unless it was asked for.
// Model     GET and HEAD. The answer to a path comes from the function given; one that is a stream stays open, begins with its
//           body, and gets what send_event() sends from then on.
// Limits    kMostConnections at once (more are closed unanswered), 8 kB of a request's head, no body, 10 s for a request, 1,000
//           unsent events of one stream (then it is closed: a reader that slow must ask again).
// Errors    start(): the port cannot be had. Bad requests are answered: 400 malformed, 403 a Host that is not loopback (so that a
//           page of another site cannot read it under a name of its own), 405 another method, 404 by the function, 500 when it
//           throws. Where no descriptor is free, a connection waits until one is.
// Threads   One of its own, which calls the function and what run() is given, one after the other. start(), run() and the
//           destructor from any other; send_event() from any.
// Lifetime  The destructor closes everything and joins.
// Cost      One thread; Beast stays in http_server.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "outcome.h"

namespace parti::test {

struct HttpReply {
    unsigned status = 200;
    std::string type = "text/plain; charset=utf-8";
    std::string body;
    bool stream = false;  // of events; `type` is not used, `body` holds whole events
};

class HttpServer {
public:
    using Answer = std::function<HttpReply(const std::string& path)>;
    static constexpr std::size_t kMostConnections = 32;

    // Port 0: any that is free; port() tells which. `thread_name`: at most 15 characters.
    static Outcome<std::unique_ptr<HttpServer>> start(std::uint16_t port, Answer answer, const std::string& thread_name = "http");
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    std::uint16_t port() const;
    std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }
    // `work` runs on the server's thread, between two answers: what it changes and sends with send_event() reaches a stream that
    // is opened meanwhile either in its body or as an event, never as both. Work that was not begun is dropped by the destructor.
    void run(std::function<void()> work);
    // To every stream that is open now; at once when called by run()'s work. `data` is one line.
    void send_event(const std::string& event, const std::string& data);
    static std::string event_text(const std::string& event, const std::string& data);

private:
    struct Impl;
    explicit HttpServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace parti::test
