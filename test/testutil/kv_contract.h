// The contract of a KV client: one suite, run by the real client over a real server and by the simulated one, so that the
// simulation is known to be true.
//
// Role      ContractWorld is what a case needs around its clients: time, and what operators and faults do to the server. The
//           cases (kv_contract*.cpp, suite KvContract) speak to jetstream::Client and to the world only.
// How       Link parti_kvcontract into a gtest binary and register a world:
//             INSTANTIATE_TEST_SUITE_P(Simulated, KvContract, testing::Values(ContractKind{"simulated", make_it}),
//             contract_name);
// Threads   One: the test's. Handlers run inside run_until().
// Seeds     contract_seed() is drawn once per process, or taken from PARTI_TEST_SEED; a failing case prints the line that replays
//           it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "jetstream/client.h"

namespace parti::testutil {

enum class MarkerKind : std::uint8_t { deleted, purged };

class ContractWorld {
public:
    virtual ~ContractWorld() = default;

    // Clients 0 and 1, each with a link of its own, made when first asked for. The world stops them before it ends.
    virtual jetstream::Client& client(std::size_t index) = 0;
    // Lets time pass and handlers run until the condition holds; false when `limit` is over first.
    virtual bool run_until(const std::function<bool()>& condition, Duration limit) = 0;

    // The next answer to a put of this client is thrown away after the server has acted.
    virtual void lose_next_put_answer(std::size_t client) = 0;
    // Deletes all consumers of the bucket, as an operator would; how many there were.
    virtual std::size_t delete_watch_consumers(const std::string& bucket) = 0;
    virtual std::size_t watch_consumers(const std::string& bucket) = 0;  // on the server now

    virtual void server_down() = 0;       // all links break
    virtual void server_up() = 0;         // same address, what was stored is there
    virtual void wipe_store() = 0;        // the server comes back without any bucket
    virtual void take_snapshot() = 0;     // of everything stored
    virtual void restore_snapshot() = 0;  // the server comes back with what was stored then: same buckets, shorter histories

    // A bucket from which keys can vanish without a marker (its stream lets itself be purged).
    virtual void make_loose_bucket(const std::string& bucket) = 0;
    virtual void vanish_key(const std::string& bucket, const std::string& key) = 0;
    // What `nats kv del` and `nats kv purge` leave behind: the key's last message is a marker.
    virtual void put_marker(const std::string& bucket, const std::string& key, MarkerKind kind) = 0;
};

struct ContractKind {
    std::string name;  // letters only
    std::function<std::unique_ptr<ContractWorld>(std::uint64_t seed)> make;
};

std::uint64_t contract_seed();

class KvContract : public testing::TestWithParam<ContractKind> {
protected:
    void SetUp() override;
    void TearDown() override;

    jetstream::Client& client(std::size_t index) { return world_->client(index); }
    jetstream::BucketInfo ensure(const std::string& bucket, std::size_t index = 0);
    jetstream::PutAnswer put(const std::string& bucket, const std::string& key, const std::string& bytes, std::uint64_t expected,
                             std::size_t index = 0, Duration timeout = std::chrono::seconds(5));
    jetstream::RawEntry get(const std::string& bucket, const std::string& key, std::size_t index = 0);
    // A put that must succeed; its revision.
    std::uint64_t write(const std::string& bucket, const std::string& key, const std::string& bytes, std::uint64_t expected = 0);
    bool run_until(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(20)) {
        return world_->run_until(condition, limit);
    }

    std::unique_ptr<ContractWorld> world_;
};

inline std::string contract_name(const testing::TestParamInfo<ContractKind>& info) { return info.param.name; }
// So that names do not end in the bytes of the parameter.
inline void PrintTo(const ContractKind& kind, std::ostream* out) { *out << kind.name; }

}  // namespace parti::testutil
