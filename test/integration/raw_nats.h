// RawNats: a plain nats.c connection, for what a test does behind parti's back.
//
// Errors    Outcome with nats.c's text.
// Threads   The test's.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "testutil/outcome.h"

struct __natsConnection;

namespace parti::test {

class RawNats {
public:
    static Outcome<RawNats> connect(const std::string& url);
    RawNats(RawNats&& other) noexcept;
    RawNats& operator=(RawNats&&) = delete;
    ~RawNats();

    __natsConnection* get() const { return connection_; }
    Outcome<std::string> request(const std::string& subject, const std::string& body);
    Outcome<nlohmann::json> api(const std::string& subject,
                                const nlohmann::json& body = nlohmann::json::object());  // $JS.API.<subject>
    // Stores bytes under a key, whatever is there; the answer's sequence.
    Outcome<std::uint64_t> put(const std::string& bucket, const std::string& key, const std::string& bytes);
    // Writes a marker, as `nats kv del` (operation "DEL") or `nats kv purge` ("PURGE": what was before goes too).
    Outcome<void> mark(const std::string& bucket, const std::string& key, const std::string& operation);
    // Without waiting for an answer; flush() waits until the server has read everything.
    Outcome<void> publish(const std::string& subject, const std::string& bytes);
    Outcome<void> flush();
    // A plain KV bucket, as `nats kv add` makes it.
    Outcome<nlohmann::json> make_bucket(const std::string& bucket);
    // The last message of a key.
    Outcome<std::string> get(const std::string& bucket, const std::string& key);

private:
    explicit RawNats(__natsConnection* connection) : connection_(connection) {}
    __natsConnection* connection_;
};

}  // namespace parti::test
