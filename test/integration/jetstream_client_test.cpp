// What only the real client has: servers that cannot serve it, limits, a bounded hand-over, lost creations, threads.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "jetstream/nats_client.h"
#include "jetstream/server_version.h"
#include "kv_contract_world.h"
#include "raw_nats.h"
#include "testutil/server_monitor.h"

namespace parti::testutil {
namespace {

using jetstream::BucketInfo;
using jetstream::BucketSpec;
using jetstream::Client;
using jetstream::ClientHooks;
using jetstream::ClientOptions;
using jetstream::PutAnswer;
using jetstream::PutResult;
using jetstream::RawEntry;
using jetstream::WatchHandlers;
using std::chrono::milliseconds;
using std::chrono::seconds;

BucketSpec bucket(const std::string& name) {
    BucketSpec spec;
    spec.name = name;
    return spec;
}

// A further client over a connection of its own, with hooks; stopped at its end.
class Extra {
public:
    Extra(NatsWorld& world, Connection connection, ClientOptions options, ClientHooks hooks = {})
        : world_(world), connection_(std::move(connection)) {
        auto made = jetstream::make_nats_client(world_.io(), connection_.get(), std::move(options), std::move(hooks));
        if (!made) throw std::runtime_error(made.error().message());
        client_ = std::move(*made);
    }
    Extra(NatsWorld& world, ClientOptions options, ClientHooks hooks = {})
        : Extra(world, connect(world.server().url()), std::move(options), std::move(hooks)) {}
    ~Extra() {
        bool stopped = false;
        client_->stop([&] { stopped = true; });
        EXPECT_TRUE(world_.run_until([&] { return stopped; }, seconds(5)));
        client_.reset();
        connection_.reset();
    }
    Extra(const Extra&) = delete;
    Extra& operator=(const Extra&) = delete;
    Client* operator->() { return client_.get(); }
    Client& operator*() { return *client_; }

private:
    NatsWorld& world_;
    Connection connection_;
    std::shared_ptr<Client> client_;
};

Result<BucketInfo> ensure(NatsWorld& world, Client& client, const BucketSpec& spec, Duration timeout = seconds(5)) {
    std::optional<Result<BucketInfo>> answer;
    client.ensure_bucket(spec, timeout, [&](Result<BucketInfo> got) { answer = std::move(got); });
    EXPECT_FALSE(answer.has_value()) << "answered from inside the call";
    EXPECT_TRUE(world.run_until([&] { return answer.has_value(); }, timeout + seconds(2)));
    return answer.value_or(fail(Errc::internal, "the handler was not called"));
}

PutAnswer put(NatsWorld& world, Client& client, const std::string& key, const std::string& bytes, std::uint64_t expected = 0) {
    std::optional<PutAnswer> answer;
    client.put("b", key, bytes, expected, seconds(5), [&](PutAnswer got) { answer = std::move(got); });
    EXPECT_TRUE(world.run_until([&] { return answer.has_value(); }, seconds(10)));
    return answer.value_or(PutAnswer{});
}

std::size_t thread_count() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
    return count;
}

test::NatsServerOptions with_config(const std::string& text) {
    test::NatsServerOptions options;
    options.extra_config = text;
    return options;
}

TEST(JetStreamClient, AServerWithoutJetStreamIsNamedWithTheCure) {
    test::NatsServerOptions options;
    options.jetstream = false;
    NatsWorld world(contract_seed(), options);
    const auto answer = ensure(world, world.client(0), bucket("b"));
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::unsupported_server);
    EXPECT_NE(answer.error().detail.find("nats-server -js"), std::string::npos) << answer.error().message();
    const PutAnswer put_answer = put(world, world.client(0), "k", "x");
    EXPECT_EQ(put_answer.result, PutResult::no_information);
    EXPECT_EQ(put_answer.error.code, Errc::not_ready) << put_answer.error.message();
}

TEST(JetStreamClient, AnAccountWithoutJetStreamIsNamed) {
    NatsWorld world(contract_seed(), with_config(R"(accounts {
        with { jetstream: enabled, users: [{user: "w", password: "x"}] }
        plain { users: [{user: "p", password: "x"}] } }
        no_auth_user: "w")"));
    Extra plain(world, connect(world.server().url(), "p", "x"), world.options);
    const auto answer = ensure(world, *plain, bucket("b"));
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::unsupported_server);
    EXPECT_NE(answer.error().detail.find("account"), std::string::npos) << answer.error().message();
}

TEST(JetStreamClient, AMissingPermissionIsNamed) {
    NatsWorld world(contract_seed(), with_config(R"(authorization { users = [
        {user: "all", password: "x"},
        {user: "few", password: "x", permissions: {publish: {deny: ["$JS.API.STREAM.>"]}}}] }
        no_auth_user: "all")"));
    Extra few(world, connect(world.server().url(), "few", "x"), world.options);
    const auto answer = ensure(world, *few, bucket("b"));
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::permission) << answer.error().message();
    EXPECT_NE(answer.error().detail.find("STREAM.INFO.KV_b"), std::string::npos) << answer.error().message();
}

// The server may tell some of them that the subjects overlap with those of "an existing stream": the one another of them creates.
TEST(JetStreamClient, ManyCreateTheSameBucketsAtOnce) {
    NatsWorld world(contract_seed());
    std::vector<std::unique_ptr<Extra>> all;
    for (int i = 0; i < 8; ++i) all.push_back(std::make_unique<Extra>(world, ClientOptions{}));
    for (int round = 0; round < 40; ++round) {
        const BucketSpec spec = bucket("shared_" + std::to_string(round));
        std::vector<Result<BucketInfo>> answers;
        for (const auto& extra : all) {
            (*extra)->ensure_bucket(spec, seconds(5), [&](Result<BucketInfo> got) { answers.push_back(std::move(got)); });
        }
        ASSERT_TRUE(world.run_until([&] { return answers.size() == all.size(); }, seconds(10)));
        for (const auto& answer : answers) {
            ASSERT_TRUE(answer.has_value()) << answer.error().message();
            EXPECT_EQ(answer->created, answers.front()->created);
        }
    }
}

TEST(JetStreamClient, ABucketWhoseSubjectsAreAnotherStreamsIsAnErrorBeforeTheTimeIsUp) {
    NatsWorld world(contract_seed());
    auto raw = test::RawNats::connect(world.server().url());
    ASSERT_TRUE(raw) << raw.error();
    const auto made = raw->api("STREAM.CREATE.foreign", {{"name", "foreign"}, {"subjects", {"$KV.taken.>"}}});
    ASSERT_TRUE(made) << made.error();
    const auto before = test::read_server_stats(world.server().monitor_url());
    ASSERT_TRUE(before) << before.error();
    const auto answer = ensure(world, world.client(0), bucket("taken"), seconds(20));
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::invalid_argument);
    EXPECT_NE(answer.error().detail.find("taken: subjects overlap"), std::string::npos) << answer.error().detail;
    // It was looked at again, since it might have been the one another process was creating: a look and a creation, each refused.
    const auto after = test::read_server_stats(world.server().monitor_url());
    ASSERT_TRUE(after) << after.error();
    EXPECT_EQ(after->api_errors - before->api_errors, 8U);
}

TEST(JetStreamClient, EveryContradictionOfABucketIsReported) {
    NatsWorld world(contract_seed());
    world.make_loose_bucket("loose");
    const auto answer = ensure(world, world.client(0), bucket("loose"));
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::bucket_mismatch);
    for (const char* part : {"loose", "deny_delete is false and must be true", "deny_purge is false and must be true",
                             R"(discard is "old" and must be "new")"}) {
        EXPECT_NE(answer.error().detail.find(part), std::string::npos) << part << " in " << answer.error().detail;
    }
}

TEST(JetStreamClient, ReplicasTheServerCannotKeepAreRefused) {
    NatsWorld world(contract_seed());
    BucketSpec spec = bucket("b");
    spec.replicas = 2;
    const auto even = ensure(world, world.client(0), spec);
    ASSERT_FALSE(even.has_value());
    EXPECT_EQ(even.error().code, Errc::invalid_config);
    EXPECT_NE(even.error().detail.find("replicas (2) must be 1, 3 or 5"), std::string::npos) << even.error().detail;
    spec.replicas = 3;
    const auto three = ensure(world, world.client(0), spec);
    ASSERT_FALSE(three.has_value());
    EXPECT_EQ(three.error().code, Errc::unsupported_server) << three.error().message();
    const auto version = jetstream::parse_version(world.server().version());
    ASSERT_TRUE(version.has_value());
    if (*version < jetstream::Version{2, 9, 21}) {
        EXPECT_NE(three.error().detail.find(to_string(*version)), std::string::npos) << three.error().detail;
        EXPECT_NE(three.error().detail.find("replicas (3)"), std::string::npos) << three.error().detail;
    }
}

TEST(JetStreamClient, BadNamesAndTooMuchAreNamed) {
    NatsWorld world(contract_seed(), with_config("max_payload: 4096"));
    const auto bad_bucket = ensure(world, world.client(0), bucket("a.b"));
    ASSERT_FALSE(bad_bucket.has_value());
    EXPECT_EQ(bad_bucket.error().code, Errc::invalid_config);
    const auto info = ensure(world, world.client(0), bucket("b"));
    ASSERT_TRUE(info.has_value()) << info.error().message();
    EXPECT_EQ(info->payload_bytes_max, 4096U);
    const PutAnswer bad_key = put(world, world.client(0), "worker.*", "x");
    EXPECT_EQ(bad_key.error.code, Errc::invalid_argument);
    EXPECT_NE(bad_key.error.detail.find("worker.*"), std::string::npos);
    const PutAnswer large = put(world, world.client(0), "k", std::string(5000, 'x'));
    EXPECT_EQ(large.result, PutResult::no_information);
    EXPECT_EQ(large.error.code, Errc::invalid_argument);
    EXPECT_NE(large.error.detail.find("4096"), std::string::npos) << large.error.detail;
    ClientOptions hasty = world.options;
    hasty.watch_heartbeat = milliseconds(50);
    EXPECT_FALSE(jetstream::make_nats_client(world.io(), connect(world.server().url()).get(), hasty, {}).has_value());
}

TEST(JetStreamClient, AFullHandOverWaitsAndLosesNothing) {
    constexpr std::size_t kKeys = 1500;
    NatsWorld world(contract_seed());
    ASSERT_TRUE(ensure(world, world.client(0), bucket("b")).has_value());
    ClientOptions tight = world.options;
    tight.handover_messages_max = 3;
    tight.handover_bytes_max = 64U << 10U;
    Extra client(world, tight);
    std::set<std::string> seen;
    bool ended = false;
    WatchHandlers handlers;
    handlers.on_entry = [&](const RawEntry& entry) { EXPECT_TRUE(seen.insert(entry.key).second); };
    handlers.on_initial_done = [&] { ended = true; };
    handlers.on_lost = [](const std::string& why) { ADD_FAILURE() << why; };
    const auto watch = client->watch("b", ">", std::move(handlers));
    std::size_t done = 0;
    for (std::size_t i = 0; i < kKeys; ++i) {
        client->put("b", "worker." + std::to_string(i), std::string(2048, 'x'), 0, seconds(30),
                    [&](const PutAnswer& answer) { done += answer.result == PutResult::done ? 1U : 0U; });
    }
    ASSERT_TRUE(world.run_until([&] { return done == kKeys && seen.size() == kKeys && ended; }, seconds(30)));
    EXPECT_GT(client->stats().handover_waits, 0U);
    EXPECT_EQ(client->stats().answers_late, 0U);
}

TEST(JetStreamClient, StoppingReleasesAWaitingHandOver) {
    NatsWorld world(contract_seed());
    ASSERT_TRUE(ensure(world, world.client(0), bucket("b")).has_value());
    ClientOptions tight = world.options;
    tight.handover_messages_max = 1;
    auto connection = connect(world.server().url());
    auto client = jetstream::make_nats_client(world.io(), connection.get(), tight, {}).value();
    std::size_t answered = 0;
    for (int i = 0; i < 100; ++i) {
        client->put("b", "k." + std::to_string(i), "x", 0, seconds(30), [&](const PutAnswer&) { ++answered; });
    }
    // nats.c's thread waits while nobody takes; only then the client goes, without a stop.
    const auto deadline = std::chrono::steady_clock::now() + seconds(10);
    while (client->stats().handover_waits == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_GT(client->stats().handover_waits, 0U);
    client.reset();
    connection.reset();  // would wait for ever for its delivery thread
    EXPECT_TRUE(world.run_until([&] { return answered == 100; }, seconds(5))) << answered << " of 100 handlers were called";
}

TEST(JetStreamClient, ALostAnswerToACreationLeavesNoConsumer) {
    NatsWorld world(contract_seed());
    ASSERT_TRUE(ensure(world, world.client(0), bucket("b")).has_value());
    ASSERT_EQ(put(world, world.client(0), "k", "x").result, PutResult::done);
    int losses = 1;
    ClientHooks hooks;
    hooks.lose_answer = [&](std::string_view subject) {
        return subject.find("CONSUMER.CREATE") != std::string_view::npos && losses > 0 && losses-- > 0;
    };
    Extra client(world, world.options, std::move(hooks));
    int entries = 0;
    int ended = 0;
    WatchHandlers handlers;
    handlers.on_entry = [&](const RawEntry&) { ++entries; };
    handlers.on_initial_done = [&] { ++ended; };
    auto watch = client->watch("b", ">", std::move(handlers));
    ASSERT_TRUE(world.run_until([&] { return ended == 1; }, seconds(10)));
    EXPECT_EQ(losses, 0);
    EXPECT_EQ(entries, 1);
    EXPECT_TRUE(world.run_until([&] { return world.watch_consumers("b") == 1; }, seconds(5)));
    watch.reset();
    EXPECT_TRUE(world.run_until([&] { return world.watch_consumers("b") == 0; }, seconds(5)));

    // Ended while its creation is under way.
    losses = 1;
    for (int i = 0; i < 20; ++i) {
        watch = client->watch("b", ">", {});
        const auto before = client->stats().answers;
        const auto steps = static_cast<std::uint64_t>(i % 4);
        EXPECT_TRUE(world.run_until([&] { return client->stats().answers >= before + steps; }, seconds(5)));
        watch.reset();
    }
    EXPECT_TRUE(world.run_until([&] { return world.watch_consumers("b") == 0; }, seconds(5)));
}

TEST(JetStreamClient, APausedServerIsALossAndLeavesOneConsumer) {
    NatsWorld world(contract_seed());
    ASSERT_TRUE(ensure(world, world.client(0), bucket("b")).has_value());
    int lost = 0;
    int recovered = 0;
    bool ended = false;
    WatchHandlers handlers;
    handlers.on_initial_done = [&] { ended = true; };
    handlers.on_lost = [&](const std::string&) { ++lost; };
    handlers.on_recovered = [&] { ++recovered; };
    const auto watch = world.client(0).watch("b", ">", std::move(handlers));
    ASSERT_TRUE(world.run_until([&] { return ended; }, seconds(5)));
    ASSERT_TRUE(world.server().pause());
    EXPECT_TRUE(world.run_until([&] { return lost == 1; }, seconds(5)));
    ASSERT_TRUE(world.server().resume());
    EXPECT_TRUE(world.run_until([&] { return recovered == 1; }, seconds(10)));
    EXPECT_EQ(lost, 1);
    EXPECT_TRUE(world.run_until([&] { return world.watch_consumers("b") == 1; }, seconds(10)));
}

TEST(JetStreamClient, WatchesAndRequestsCostNoThread) {
    NatsWorld world(contract_seed());
    ASSERT_TRUE(ensure(world, world.client(0), bucket("b")).has_value());
    const std::size_t before = thread_count();
    std::size_t ended = 0;
    std::vector<std::unique_ptr<jetstream::Watch>> watches;
    for (int i = 0; i < 100; ++i) {
        WatchHandlers handlers;
        handlers.on_initial_done = [&] { ++ended; };
        watches.push_back(world.client(0).watch("b", "worker." + std::to_string(i), std::move(handlers)));
    }
    ASSERT_TRUE(world.run_until([&] { return ended == 100; }, seconds(20)));
    EXPECT_EQ(thread_count(), before);
}

TEST(JetStreamClient, TheApiIsReachable) {
    NatsWorld world(contract_seed());
    ASSERT_TRUE(ensure(world, world.client(0), bucket("b")).has_value());
    // One variable each: servers from 2.10 on work requests of the API off side by side, and may answer the later one first.
    std::optional<Result<std::string>> present;
    std::optional<Result<std::string>> absent;
    world.client(0).api("STREAM.INFO.KV_b", {}, seconds(5), [&](Result<std::string> answer) { present = std::move(answer); });
    world.client(0).api("STREAM.INFO.KV_none", {}, seconds(5), [&](Result<std::string> answer) { absent = std::move(answer); });
    ASSERT_TRUE(world.run_until([&] { return present && absent; }, seconds(10)));
    ASSERT_TRUE(present->has_value()) << present->error().message();
    const auto json = nlohmann::json::parse(**present);
    EXPECT_EQ(json["config"]["name"], "KV_b");
    EXPECT_EQ(json["config"]["max_msgs_per_subject"], 1);
    EXPECT_EQ(json["config"]["deny_purge"], true);
    ASSERT_FALSE(absent->has_value());
    EXPECT_EQ(absent->error().code, Errc::not_found);
}

// Figures, not a test: --gtest_also_run_disabled_tests --gtest_filter='*Measure*'
TEST(JetStreamClient, DISABLED_MeasurePipelinedPutsAndRoundTrips) {
    NatsWorld world(contract_seed());
    ASSERT_TRUE(ensure(world, world.client(0), bucket("b")).has_value());
    Client& client = world.client(0);
    for (const std::size_t window : {1U, 100U, 1000U}) {
        constexpr std::size_t kPuts = 20'000;
        const std::size_t total = window == 1 ? 3000 : kPuts;
        std::size_t sent = 0;
        std::size_t done = 0;
        std::vector<double> microseconds;
        std::function<void()> next = [&] {
            if (sent == total) return;
            const std::string key = "w" + std::to_string(window) + "." + std::to_string(sent++);
            const auto start = std::chrono::steady_clock::now();
            client.put("b", key, std::string(200, 'x'), 0, seconds(60), [&, start](const PutAnswer& answer) {
                ASSERT_EQ(answer.result, PutResult::done) << answer.error.message();
                microseconds.push_back(
                    std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
                ++done;
                next();
            });
        };
        const auto start = std::chrono::steady_clock::now();
        for (std::size_t i = 0; i < window; ++i) next();
        ASSERT_TRUE(world.run_until([&] { return done == total; }, seconds(120)));
        const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        std::sort(microseconds.begin(), microseconds.end());
        std::printf("window %4zu: %8.0f puts/s, answer after %.0f us (median), %.0f us (p99)\n", window,
                    static_cast<double>(total) / elapsed, microseconds[microseconds.size() / 2],
                    microseconds[microseconds.size() * 99 / 100]);
    }
    std::printf("threads: %zu\n", thread_count());
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(entry.path() / "comm"), name);
        std::printf("  %s\n", name.c_str());
    }
}

}  // namespace
}  // namespace parti::testutil
