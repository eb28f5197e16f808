// The simulated server and client under the contract that the real ones keep.
#include <array>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "testutil/kv_contract.h"
#include "testutil/sim_client.h"

namespace parti::testutil {
namespace {

class SimContractWorld final : public ContractWorld {
public:
    explicit SimContractWorld(std::uint64_t seed) : network_(scheduler_, store_, seed) {}
    ~SimContractWorld() override {
        for (auto& client : clients_) {
            if (client) client->stop([] {});
        }
        while (scheduler_.step()) {
        }
        for (auto& client : clients_) client.reset();
        scheduler_.clear();
    }
    SimContractWorld(const SimContractWorld&) = delete;
    SimContractWorld& operator=(const SimContractWorld&) = delete;

    jetstream::Client& client(std::size_t index) override {
        auto& client = clients_[index];
        if (!client) client = std::make_unique<SimClient>(network_, scheduler_.add_lane(), jetstream::ClientOptions{});
        return *client;
    }
    bool run_until(const std::function<bool()>& condition, Duration limit) override {
        const Nanos end = scheduler_.now() + limit.count();
        while (!condition()) {
            if (scheduler_.next_time() > end) return false;
            scheduler_.step();
        }
        return true;
    }

    void lose_next_put_answer(std::size_t index) override {
        client(index);
        clients_[index]->lose_next_answer();
    }
    std::size_t delete_watch_consumers(const std::string& bucket) override { return store_.end_subscriptions(bucket); }
    std::size_t watch_consumers(const std::string& bucket) override { return store_.subscriptions(bucket); }

    void server_down() override { network_.server_down(); }
    void server_up() override { network_.server_start(); }
    void wipe_store() override {
        network_.server_down();
        for (const std::string& bucket : store_.buckets()) store_.remove(bucket);
        network_.server_start();
    }
    void take_snapshot() override {
        copies_.clear();
        for (const std::string& bucket : store_.buckets()) copies_.push_back(store_.snapshot(bucket));
    }
    void restore_snapshot() override {
        network_.server_down();
        for (const std::string& bucket : store_.buckets()) store_.remove(bucket);
        for (const SimStore::Stream& copy : copies_) store_.restore(copy);
        network_.server_start();
    }

    void make_loose_bucket(const std::string& bucket) override { store_.create(bucket); }
    void vanish_key(const std::string& bucket, const std::string& key) override { store_.erase(bucket, key); }
    void put_marker(const std::string& bucket, const std::string& key, MarkerKind) override { store_.mark(bucket, key); }

private:
    SimScheduler scheduler_;
    SimStore store_;
    SimNetwork network_;
    std::array<std::unique_ptr<SimClient>, 2> clients_;
    std::vector<SimStore::Stream> copies_;
};

std::unique_ptr<ContractWorld> make_simulated(std::uint64_t seed) { return std::make_unique<SimContractWorld>(seed); }

}  // namespace

INSTANTIATE_TEST_SUITE_P(Simulated, KvContract, testing::Values(ContractKind{"simulated", make_simulated}), contract_name);

}  // namespace parti::testutil
