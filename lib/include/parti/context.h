// Context: one connection, one io thread and one callback pool, shared by all workers of a process.
//
// Role      Make one per process (or per NATS account), give it to every Worker. Threads do not grow with the number of workers.
// Threads   Handles are cheap to copy; all functions from any thread.
// Lifetime  The last handle (a Worker holds one) closes the connection and joins the threads; not from inside a callback. A
//           thread that is still in a user's callback after 2 s is left behind.
// Cost      One nats.c connection, the threads of docs/ARCHITECTURE.md. (*) Refused twice by one server: workers end, link_down.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <parti/log.h>
#include <parti/types.h>

namespace parti {

// Every member has a default, so that {.urls = {...}} compiles without -Wmissing-field-initializers.
struct ConnectOptions {
    std::vector<std::string> urls = {"nats://127.0.0.1:4222"};  // nats:// or tls://; credentials in them count as a way below
    std::string name = "parti";                                 // connection name, shown by the server
    // At most one way to authenticate.
    std::string user{}, password{};
    std::string token{};
    std::string credentials_file{};  // .creds
    std::string nkey_public{}, nkey_seed_file{};
    // TLS is used when the URL says tls:// or any of these is set.
    std::string tls_ca_file{};
    std::string tls_certificate_file{}, tls_key_file{};
    std::string tls_hostname{};    // expected name, when it differs from the URL's
    bool tls_skip_verify = false;  // for tests only
    // Durations: 1 ms..24 h.
    Duration connect_timeout = std::chrono::seconds(2);
    Duration ping_interval = std::chrono::seconds(2);  // lost links are noticed after three of these; keep it within ttl / 3
    Duration reconnect_wait = std::chrono::milliseconds(100);  // doubled with jitter, up to 2 s; for ever (*)
    std::uint32_t callback_threads = 1;                        // 1..64
    LogSink log{};                                             // absent = silent

    Result<void> validate() const;
};

namespace runtime {
class ContextImpl;
}

class Context {
public:
    // Blocks until connected or connect_timeout is over for every URL. With credentials_file or an NKey a refusal counts when
    // three in a row come: nats.c 3.4.1 leaves out one signature in 256.
    // Errors: invalid_config, link_down, permission, internal (no thread or socket can be had).
    static Result<Context> connect(ConnectOptions options);

    bool connected() const;
    // Blocks up to 4 s the first time. Empty: unknown (a server that begins with TLS), or asked on the io thread.
    std::string server_version() const;

    explicit Context(std::shared_ptr<runtime::ContextImpl> impl) : impl_(std::move(impl)) {}
    const std::shared_ptr<runtime::ContextImpl>& impl() const { return impl_; }

private:
    std::shared_ptr<runtime::ContextImpl> impl_;
};

}  // namespace parti
