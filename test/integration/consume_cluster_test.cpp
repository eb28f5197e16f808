// Consumers on three servers that are one: a server is killed under load, each in its turn, and nothing is lost or reordered
// (P-9, P-10).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <mutex>
#include <random>
#include <set>
#include <thread>

#include <parti/parti.h>

#include "testutil/load_generator.h"
#include "testutil/nats_cluster.h"
#include "testutil/tcp_text.h"
#include "testutil/worker_process.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::uint32_t kPartitions = 12;
constexpr std::uint32_t kReplicas = 3;
constexpr std::uint64_t kBetweenKills = 300;  // messages that are confirmed

std::string id_of(std::uint32_t i) { return "part." + std::to_string(1000 + i); }

// One worker with its consumer, in a context of its own; what it handled, for the ledger.
class Member {
public:
    Member(const std::string& label, const std::vector<std::string>& urls) {
        seen_.label = label;
        ConnectOptions connect;
        connect.urls = urls;
        context_.emplace(Context::connect(std::move(connect)).value());
        std::vector<Partition> partitions;
        for (std::uint32_t i = 0; i < kPartitions; ++i) partitions.push_back(Partition::from_id(id_of(i)).value());
        Config config;
        config.group = "cluster";
        config.replicas = kReplicas;
        config.timing = fast_test_timing();
        worker_.emplace(Worker::make(*context_, config, StaticSource::make(std::move(partitions)).value()).value());
        ConsumerConfig consume;
        consume.stream = "LOAD";
        consume.subject = "load.{1}";
        consumer_.emplace(Consumer::make(*worker_, consume, [this](Message& message) { return handle(message); }).value());
        if (const auto started = consumer_->start(); !started) throw std::runtime_error(started.error().message());
        worker_->start();
    }
    Result<void> stable() { return worker_->wait_for(State::stable, 60s); }
    Result<void> stop() { return worker_->stop(); }
    ConsumerStats stats() const { return consumer_->stats(); }
    ProcessHandlings seen() const {
        const std::lock_guard lock(mutex_);
        return seen_;
    }

private:
    Result<void> handle(Message& message) {
        Handling h;
        h.begin_ns = boot_now_ns();
        h.partition = message.ownership().partition().id();
        const auto payload = parse_load_payload(message.payload());
        h.sequence = payload ? payload->sequence : 0;
        h.stream_sequence = message.sequence();
        h.delivered = message.delivered();
        const Fence fence = message.ownership().fence();
        h.fence = {fence.epoch.value, fence.version};
        h.end_ns = boot_now_ns();
        const std::lock_guard lock(mutex_);
        seen_.handlings.push_back(std::move(h));
        return {};
    }

    mutable std::mutex mutex_;
    ProcessHandlings seen_;
    std::optional<Context> context_;
    std::optional<Worker> worker_;
    std::optional<Consumer> consumer_;
};

class ConsumeCluster : public testing::Test {
protected:
    void SetUp() override {
        const auto newer = newer_nats_server();
        // Replicated buckets need a server whose compare-and-set is safe (2.11).
        if (!newer) GTEST_SKIP() << newer.error();
        NatsServerOptions options;
        options.binary = *newer;
        auto started = NatsCluster::start(options);
        ASSERT_TRUE(started) << started.error();
        cluster_.emplace(std::move(*started));
        std::random_device entropy;
        const char* given = std::getenv("PARTI_SEED");
        seed_ = given != nullptr ? std::strtoull(given, nullptr, 0) : (std::uint64_t{entropy()} << 32U) | entropy();
        std::printf("PARTI_SEED=%llu consume_cluster_test\n", static_cast<unsigned long long>(seed_));
    }
    // Asks the servers in turn until one answers without error; JetStream may have no leader for a moment.
    Outcome<json> api(const std::string& subject, const json& body) {
        std::string why;
        const std::int64_t deadline = boot_now_ns() + 30'000'000'000;
        for (std::size_t i = 0; boot_now_ns() < deadline; ++i) {
            NatsServer& server = cluster_->server(i % NatsCluster::kServers);
            if (server.pid() == 0) continue;
            auto nats = RawNats::connect(server.url(), Milliseconds(2000));
            if (!nats) continue;
            const auto answer = nats->request("$JS.API." + subject, body.empty() ? "" : body.dump(), Milliseconds(5000));
            why = answer ? *answer : answer.error();
            const json parsed = answer ? json::parse(*answer, nullptr, false) : json();
            if (parsed.is_object() && !parsed.contains("error")) return parsed;
        }
        return failure(subject + ": " + why);
    }
    // Answered by the leader of the bucket's stream only: the group can be written again.
    bool buckets_have_leaders() {
        return api("STREAM.INFO.KV_parti_cluster_lease", json::object()) &&
               api("STREAM.INFO.KV_parti_cluster_assignment", json::object());
    }
    bool all_handled(const Published& published, const std::vector<std::unique_ptr<Member>>& members) {
        std::set<std::pair<std::string, std::uint64_t>> seen;
        for (const auto& member : members) {
            const ProcessHandlings handled = member->seen();
            for (const Handling& h : handled.handlings) seen.emplace(h.partition, h.sequence);
        }
        for (const auto& [partition, messages] : published) {
            for (std::size_t i = 0; i < messages.size(); ++i) {
                if (messages[i].confirmed_ns != 0 && seen.count({partition, i + 1}) == 0) return false;
            }
        }
        return true;
    }
    LoadOptions load_options() const {
        LoadOptions load;
        load.url = cluster_->urls().front();
        load.plan.seed = seed_;
        load.plan.partitions = kPartitions;
        load.plan.phases = {{240'000ms, 200, 200}};  // ended when every server has been killed
        for (std::uint32_t i = 0; i < kPartitions; ++i) {
            load.partitions.push_back(id_of(i));
            load.subjects.push_back("load." + std::to_string(1000 + i));
        }
        return load;
    }

    std::uint64_t seed_ = 0;
    std::optional<NatsCluster> cluster_;
};

TEST_F(ConsumeCluster, KillingEachOfThreeServersUnderLoadLosesAndReordersNothing) {
    ASSERT_TRUE(api("STREAM.CREATE.LOAD",
                    {{"name", "LOAD"}, {"subjects", {"load.*"}}, {"storage", "file"}, {"num_replicas", kReplicas}}));
    std::vector<std::unique_ptr<Member>> members;
    for (const char* label : {"one", "two"}) members.push_back(std::make_unique<Member>(label, cluster_->urls()));
    for (const auto& member : members) {
        const auto ready = member->stable();
        ASSERT_TRUE(ready) << ready.error().message();
    }
    auto load = LoadGenerator::start(load_options());
    ASSERT_TRUE(load) << load.error();
    std::vector<std::size_t> order{0, 1, 2};
    std::mt19937_64 random(seed_);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<Disturbance> disturbances;
    for (const std::size_t victim : order) {
        // A stream whose leader is killed refuses messages until there is another, which takes servers up to ten seconds.
        ASSERT_TRUE(load->wait_confirmed(load->confirmed() + kBetweenKills, 60s)) << "the stream takes no messages any more";
        const std::int64_t from = boot_now_ns();
        const auto killed = cluster_->server(victim).kill();
        ASSERT_TRUE(killed) << killed.error();
        load->wait_done(500ms);  // two of three carry on
        const auto up = cluster_->server(victim).restart();
        ASSERT_TRUE(up) << up.error();
        ASSERT_TRUE(api("STREAM.INFO.LOAD", json::object()));
        disturbances.push_back({Disturbance::Kind::server_crashed, "", from, boot_now_ns() + 2'000'000'000});
    }
    ASSERT_TRUE(load->wait_confirmed(load->confirmed() + kBetweenKills, 60s)) << "the stream takes no messages any more";
    load->stop();
    const LoadReport report = load->finish(10000ms);
    std::printf("load: %s\n", describe(report).c_str());
    const Published published = load->take_published();
    const std::int64_t deadline = boot_now_ns() + 60'000'000'000;
    while (!all_handled(published, members) && boot_now_ns() < deadline) std::this_thread::sleep_for(50ms);  // between two looks
    ASSERT_TRUE(buckets_have_leaders());
    for (const auto& member : members) {
        const auto ready = member->stable();  // it may have lost its lease with the server; leaving needs a group that answers
        EXPECT_TRUE(ready) << ready.error().message();
    }
    for (const auto& member : members) {
        const auto stopped = member->stop();
        EXPECT_TRUE(stopped) << stopped.error().message();
    }
    std::vector<ProcessHandlings> handled;
    for (const auto& member : members) handled.push_back(member->seen());
    const LedgerReport ledger = check_ledger(published, handled, disturbances);
    std::printf("ledger: %s\n", describe(ledger.counts).c_str());
    for (const Violation& v : ledger.violations) ADD_FAILURE() << v.text;
    EXPECT_EQ(ledger.counts.lost, 0U);
    EXPECT_EQ(ledger.counts.reordered, 0U);
    EXPECT_GE(ledger.counts.confirmed, kBetweenKills * (order.size() + 1));
    EXPECT_TRUE(api("STREAM.DELETE.LOAD", json::object()));
}

}  // namespace
}  // namespace parti::test
