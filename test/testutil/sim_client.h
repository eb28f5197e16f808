// SimClient: the jetstream::Client of one simulated process, over a SimStore, in virtual time, with faults.
//
// Role      What lib/jetstream's client does over a real server, as lib/jetstream/client.h promises it; the contract suite runs
//           on both.
// Model     SimNetwork is one server and the ways to it. A request takes a latency to the server, acts there at one instant, and
//           its answer takes a latency back; each may be lost, late or refused by a draw. Requests overtake each other. A watch
//           is a consumer on the server that pushes in order with its own delay; it can be stalled (everything later, in order),
//           or deleted behind the client's back: the client notices after missed heartbeats, re-creates it with back-off and
//           re-reads. A server that goes down takes all links and all consumers with it.
// Lanes     What happens on the server runs in the world's lane, what happens in the process in the process's lane: a paused
//           process neither sends nor hears, a crashed one never hears again, and what it sent still arrives.
// Threads   One.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "jetstream/client.h"
#include "testutil/sim_scheduler.h"
#include "testutil/sim_store.h"

namespace parti::testutil {

// Rates are in parts per million of requests.
struct SimRates {
    std::uint32_t request_lost = 0;
    std::uint32_t request_late = 0;
    std::uint32_t answer_lost = 0;
    std::uint32_t answer_late = 0;
    std::uint32_t refused = 0;  // "temporarily unavailable": nothing stored, and the answer says nothing
    Nanos late_min = 50 * kMilli;
    Nanos late_max = 2500 * kMilli;
};
struct SimCounts {
    std::uint64_t requests_lost = 0;
    std::uint64_t requests_late = 0;
    std::uint64_t answers_lost = 0;
    std::uint64_t answers_late = 0;
    std::uint64_t refused = 0;
    std::uint64_t watches_lost = 0;  // consumers that died, for whatever reason
};

class SimClient;

class SimNetwork {
public:
    SimNetwork(SimScheduler& time, SimStore& stored, std::uint64_t seed) : scheduler(time), store(stored), rng(seed) {}

    SimScheduler& scheduler;
    SimStore& store;
    base::Rng rng;
    SimRates rates;
    SimCounts counts;
    Nanos latency_min = 200 * kMicro;
    Nanos latency_max = 3 * kMilli;
    std::size_t payload_bytes_max = 1U << 20U;
    // For a script: a put that it says yes to waits on its way to the server for let_go(), also when its process is no more.
    std::function<bool(const SimClient& from, const std::string& bucket, const std::string& key)> hold;
    std::size_t held() const { return held_.size(); }
    void let_go();

    bool server_up() const { return server_up_; }
    void server_down();  // every link and every consumer goes
    void server_start();

    Nanos latency() { return rng.between(latency_min, latency_max); }
    bool draw(std::uint32_t per_million) { return per_million != 0 && rng.below(1'000'000) < per_million; }

private:
    friend class SimClient;
    bool server_up_ = true;
    std::vector<std::function<void()>> held_;
    std::vector<SimClient*> clients_;
};

namespace sim_detail {
struct Link;
struct Request;
struct WatchState;
}  // namespace sim_detail

class SimClient final : public jetstream::Client {
public:
    // on_link hears of the link's changes, in the client's lane. The network must outlive the client.
    SimClient(SimNetwork& network, SimScheduler::Lane lane, jetstream::ClientOptions options,
              std::function<void(bool up)> on_link = {});
    ~SimClient() override;
    SimClient(const SimClient&) = delete;
    SimClient& operator=(const SimClient&) = delete;

    void ensure_bucket(const jetstream::BucketSpec& spec, Duration timeout,
                       std::function<void(Result<jetstream::BucketInfo>)> handler) override;
    void put(const std::string& bucket, const std::string& key, std::string_view bytes, std::uint64_t expected, Duration timeout,
             std::function<void(jetstream::PutAnswer)> handler) override;
    std::size_t value_bytes_max() const override { return network_.payload_bytes_max; }
    void get(const std::string& bucket, const std::string& key, Duration timeout,
             std::function<void(Result<jetstream::RawEntry>)> handler) override;
    std::unique_ptr<jetstream::Watch> watch(const std::string& bucket, const std::string& pattern,
                                            jetstream::WatchHandlers handlers) override;
    // Not simulated: answers unsupported_server.
    void api(const std::string& subject, std::string_view body, Duration timeout,
             std::function<void(Result<std::string>)> handler) override;
    void stop(std::function<void()> done) override;
    jetstream::ClientStats stats() const override;

    // ---- faults -------------------------------------------------------------------------------------------------------------
    bool link_up() const;
    void disconnect();  // until connect(); answers on their way are gone, what was sent arrives
    void connect();
    void stall_watches(Nanos until);  // what would be delivered before is delivered then, in order
    std::size_t delete_consumers();   // behind the client's back; how many
    void lose_next_answer() { lose_answers_ += 1; }
    void lose_answers(Nanos until) { deaf_until_ = std::max(deaf_until_, until); }  // what is asked arrives all the same

private:
    friend class SimNetwork;
    void link_changes(bool up);
    void submit(std::shared_ptr<sim_detail::Request> request, Duration timeout);
    void finish(const std::shared_ptr<sim_detail::Request>& request);

    SimNetwork& network_;
    SimScheduler::Lane lane_;
    jetstream::ClientOptions options_;
    std::function<void(bool)> on_link_;
    bool connected_ = true;
    bool stopped_ = false;
    std::uint32_t lose_answers_ = 0;
    Nanos deaf_until_ = 0;
    std::shared_ptr<sim_detail::Link> link_;
    std::vector<std::shared_ptr<sim_detail::Request>> pending_;  // by slot
    std::vector<std::size_t> free_slots_;
    std::vector<std::weak_ptr<sim_detail::WatchState>> watches_;
    std::shared_ptr<jetstream::ClientStats> stats_;
};

}  // namespace parti::testutil
