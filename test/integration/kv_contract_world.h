// NatsWorld: the contract's world around the real client, a real nats-server and real time.
//
// Role      ContractWorld over NatsServer. Clients share one io_context that runs on the test's thread inside run_until(); each
//           has a connection of its own. Operators' acts go over short connections of their own.
// Errors    std::runtime_error with the sentence of what failed: gtest makes it a failure.
//           PARTI_TEST_LOG set prints what the clients log.
// Threads   One, and nats.c's.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "testutil/kv_contract.h"
#include "testutil/nats_server.h"

struct __natsConnection;

namespace parti::testutil {

struct ConnectionDeleter {
    void operator()(__natsConnection* connection) const;
};
using Connection = std::unique_ptr<__natsConnection, ConnectionDeleter>;

// A connection with the options of the runtime: reconnects for ever, shared delivery pool of one thread, no buffering while it is
// down.
Connection connect(const std::string& url, const std::string& user = {}, const std::string& password = {});

class NatsWorld final : public ContractWorld {
public:
    explicit NatsWorld(std::uint64_t seed, test::NatsServerOptions options = {});
    ~NatsWorld() override;
    NatsWorld(const NatsWorld&) = delete;
    NatsWorld& operator=(const NatsWorld&) = delete;

    jetstream::Client& client(std::size_t index) override;
    bool run_until(const std::function<bool()>& condition, Duration limit) override;
    void lose_next_put_answer(std::size_t client) override;
    std::size_t delete_watch_consumers(const std::string& bucket) override;
    std::size_t watch_consumers(const std::string& bucket) override;
    void server_down() override;
    void server_up() override;
    void wipe_store() override;
    void take_snapshot() override;
    void restore_snapshot() override;
    void make_loose_bucket(const std::string& bucket) override;
    void vanish_key(const std::string& bucket, const std::string& key) override;
    void put_marker(const std::string& bucket, const std::string& key, MarkerKind kind) override;

    test::NatsServer& server() { return server_; }
    boost::asio::io_context& io() { return io_; }
    // One request over a short connection; the answer's bytes.
    std::string ask(const std::string& subject, const std::string& body, const std::string& header = {},
                    const std::string& value = {});
    // Options of clients that are made from now on.
    jetstream::ClientOptions options;

private:
    struct Member {
        Connection connection;
        std::shared_ptr<jetstream::Client> client;
        bool lose_put = false;
    };
    std::vector<std::string> consumer_names(const std::string& bucket);

    boost::asio::io_context io_;
    test::NatsServer server_;
    std::array<Member, 2> members_;
};

}  // namespace parti::testutil
