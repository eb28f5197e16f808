// TcpText, RawNats, http_get: blocking text over loopback TCP, with a deadline for every step.
//
// Role      How the launcher and the tests talk with a nats-server without the client library that is under test.
// Model     TcpText is one connection. RawNats speaks the NATS core protocol: CONNECT, PING, PUB, one request at a time. http_get
//           is one HTTP/1.0 exchange with the server's monitor.
// Units     Timeouts in milliseconds, per call.
// Errors    Outcome. After any error the connection is useless.
// Threads   One thread at a time per object.
// Lifetime  The destructor closes the socket.
// Cost      One socket; Asio stays in tcp_text.cpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "outcome.h"

namespace parti::test {

struct Endpoint {
    std::string host;  // numeric
    std::uint16_t port = 0;
};
// "nats://127.0.0.1:4222", "http://127.0.0.1:8222", "tls://..."; a host must be numeric or "localhost", a port 1..65535.
Outcome<Endpoint> parse_url(const std::string& url);

class TcpText {
public:
    static Outcome<TcpText> connect(const Endpoint& to, std::chrono::milliseconds timeout);
    TcpText(TcpText&&) noexcept;
    TcpText& operator=(TcpText&&) noexcept;
    ~TcpText();

    Outcome<void> send(const std::string& bytes, std::chrono::milliseconds timeout);
    Outcome<std::string> read_line(std::chrono::milliseconds timeout);  // without CR LF
    Outcome<std::string> read_bytes(std::size_t count, std::chrono::milliseconds timeout);
    Outcome<std::string> read_to_end(std::chrono::milliseconds timeout);

private:
    struct Impl;
    explicit TcpText(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

struct HttpAnswer {
    int status = 0;
    std::string body;
};
// `base` is a URL without a path.
Outcome<HttpAnswer> http_get(const std::string& base, const std::string& path, std::chrono::milliseconds timeout);

class RawNats {
public:
    // Reads INFO only; login() or ping() make it a NATS client.
    static Outcome<RawNats> connect(const std::string& url, std::chrono::milliseconds timeout);

    const std::string& info() const { return info_; }  // the server's INFO as JSON
    bool needs_more() const;                           // TLS or credentials, which this client does not have
    Outcome<void> ping(std::chrono::milliseconds timeout);
    Outcome<void> publish(const std::string& subject, const std::string& payload, std::chrono::milliseconds timeout);
    // The payload of the first answer; "503" without a payload (no responders) is an error.
    Outcome<std::string> request(const std::string& subject, const std::string& payload, std::chrono::milliseconds timeout);

private:
    RawNats(TcpText connection, std::string info) : connection_(std::move(connection)), info_(std::move(info)) {}
    Outcome<void> introduce(std::chrono::milliseconds timeout);
    Outcome<std::string> read_message(const std::string& first_line, std::chrono::milliseconds timeout);

    TcpText connection_;
    std::string info_;
    bool introduced_ = false;
    std::uint64_t next_sid_ = 1;
};

}  // namespace parti::test
