// LargeGroup: groups of very many partitions or workers on a real nats-server.
//
// Role      What large_test (small enough for sanitizers) and large_stress_test (the full sizes, alone on the machine) share.
// Model     Every wait is a condition with a deadline; figures are printed, and judged by nobody.
// Threads   The test's thread.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "raw_nats.h"
#include "testutil/server_monitor.h"
#include "worker_fixture.h"

namespace parti::test {
inline constexpr std::size_t kMany = 100'000;
inline constexpr Milliseconds kLong{90'000};

class LargeGroup : public WorkerTest {
protected:
    using Clock = std::chrono::steady_clock;

    static std::int64_t ms_since(Clock::time_point begin) {
        return std::chrono::duration_cast<Milliseconds>(Clock::now() - begin).count();
    }
    static std::size_t resident_bytes() {
        std::ifstream in("/proc/self/statm");
        std::size_t pages = 0;
        in >> pages >> pages;
        return pages * 4096;
    }
    // What worker-host makes of --id-bytes 40: ids that hardly compress.
    static std::shared_ptr<StaticSource> many(std::size_t count) {
        constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
        std::vector<Partition> out;
        base::Rng rng(40);
        for (std::size_t i = 0; i < count; ++i) {
            std::string id(40, ' ');
            for (char& c : id) c = kLetters[rng.below(kLetters.size())];
            out.push_back(*Partition::from_id(id));
        }
        return *StaticSource::make(std::move(out));
    }
    // Slow enough for a busy machine and a hundred thousand callbacks' worth of work.
    Config slow() const {
        Config c = config();
        c.timing.heartbeat = std::chrono::milliseconds(800);
        c.timing.ttl = std::chrono::seconds(4);
        c.timing.margin = std::chrono::milliseconds(800);
        c.timing.stop_budget = std::chrono::milliseconds(500);
        c.timing.drain_timeout = std::chrono::seconds(5);
        c.timing.shutdown_timeout = std::chrono::seconds(20);
        c.timing.grant_timeout = std::chrono::seconds(20);
        c.timing.leader_publish_timeout = std::chrono::seconds(15);
        return c;
    }
    // The longest record of a worker as stored: its own message.
    std::size_t record_bytes() {
        auto raw = RawNats::connect(server_->url());
        std::size_t out = 0;
        for (int n = 0; raw && n < 64; ++n) {
            if (auto bytes = raw->get("parti_g_assignment", "worker." + std::to_string(n))) out = std::max(out, bytes->size());
        }
        return out;
    }
    static std::uint64_t owned(Host& h) {
        const auto status = h.ask("status", "status");
        return !status || status->at("workers").empty() ? 0 : status->at("workers")[0].at("owned").get<std::uint64_t>();
    }
    // One worker owns everything; a second joins; a third joins, and the leader's process dies while partitions move.
    void hand_over_everything(std::size_t count) {
        const auto list = many(count);
        auto begin = Clock::now();
        const Timing t = slow().timing;
        const auto text = [](Duration d) { return std::to_string(std::chrono::duration_cast<Milliseconds>(d).count()) + "ms"; };
        const nlohmann::json timing = {{"heartbeat", text(t.heartbeat)},
                                       {"ttl", text(t.ttl)},
                                       {"margin", text(t.margin)},
                                       {"stop_budget", text(t.stop_budget)},
                                       {"drain_timeout", text(t.drain_timeout)},
                                       {"shutdown_timeout", text(t.shutdown_timeout)},
                                       {"grant_timeout", text(t.grant_timeout)},
                                       {"leader_publish_timeout", text(t.leader_publish_timeout)}};
        Host a = host({"--workers", "1", "--partitions", std::to_string(count), "--id-bytes", "40", "--autostart", "--config",
                       nlohmann::json({{"timing", timing}}).dump()});
        ASSERT_TRUE(a.wait("covered", kLong));
        std::printf("one worker owns %zu partitions after %lld ms; record %zu bytes\n", count,
                    static_cast<long long>(ms_since(begin)), record_bytes());
        begin = Clock::now();
        Context context_b = connect();
        Worker b = worker(context_b, list, slow());
        b.start();
        ASSERT_TRUE(eventually([&] { return b.stats().owned == count / 2; }, kLong)) << notes_.text();
        ASSERT_TRUE(eventually([&] { return owned(a) == count / 2; }, kLong));
        std::printf("a second one owns its half after %lld ms; resident %zu MB\n", static_cast<long long>(ms_since(begin)),
                    resident_bytes() >> 20U);
        Context context_c = connect();
        Worker c = worker(context_c, list, slow());
        c.start();
        ASSERT_TRUE(eventually([&] { return b.stats().owned < count / 2; }, kLong)) << notes_.text();  // they move
        begin = Clock::now();
        a.process().kill_now();
        ASSERT_TRUE(eventually([&] { return b.stats().owned == count / 2 && c.stats().owned == count / 2; }, kLong))
            << notes_.text();
        EXPECT_TRUE(covered({&b, &c}, count));
        std::printf("without the leader, which was killed meanwhile, the two others own all after %lld ms; resident %zu MB\n",
                    static_cast<long long>(ms_since(begin)), resident_bytes() >> 20U);
        EXPECT_TRUE(c.stop());
        EXPECT_TRUE(eventually([&] { return b.stats().owned == count; }, kLong));
        EXPECT_TRUE(covered({&b}, count));
        EXPECT_TRUE(b.stop());
        for (const Error& error : notes_.errors()) EXPECT_NE(error.code, Errc::malformed_record) << error.message();
    }
    // `count` workers in this process and one in a process of its own, which leads and is killed once everything is at rest. In
    // the end everybody owns five.
    void share_and_lose_the_leader(std::uint32_t count) {
        const std::uint32_t partitions = 5 * count;
        Host lead = host(
            {"--workers", "1", "--partitions", std::to_string(partitions), "--autostart", "--config",
             R"({"number_max":4000,"timing":{"heartbeat":"2000ms","ttl":"6000ms","margin":"600ms","stop_budget":"1000ms"}})"});
        ASSERT_TRUE(lead.wait("covered", kLong));
        Config c = config();
        c.timing.heartbeat = std::chrono::seconds(2);
        c.timing.ttl = std::chrono::seconds(6);
        c.timing.margin = std::chrono::milliseconds(600);
        c.timing.stop_budget = std::chrono::seconds(1);
        c.number_max = 4000;
        std::vector<Partition> list;
        for (std::uint32_t i = 0; i < partitions; ++i) {
            std::array<char, 16> name{};
            std::snprintf(name.data(), name.size(), "part.%05u", i);
            list.push_back(*Partition::from_id(name.data()));
        }
        const auto shared = *StaticSource::make(std::move(list));
        Context context = connect();
        const std::size_t before = resident_bytes();
        auto begin = Clock::now();
        std::vector<Worker> workers;
        std::vector<Worker*> all;
        for (std::uint32_t i = 0; i < count; ++i) workers.push_back(worker(context, shared, c));
        for (Worker& w : workers) {
            all.push_back(&w);
            w.start();
        }
        const auto stable = [&] {
            return std::all_of(workers.begin(), workers.end(), [](const Worker& w) { return w.state() == State::stable; });
        };
        ASSERT_TRUE(eventually(stable, kLong)) << notes_.text();
        std::printf("%u workers are Stable after %lld ms\n", count, static_cast<long long>(ms_since(begin)));
        const auto counts = [&](std::size_t low, std::size_t high, std::size_t total) {
            std::size_t sum = 0;
            for (const Worker& w : workers) {
                const std::size_t owned_now = w.stats().owned;
                if (owned_now < low || owned_now > high) return false;
                sum += owned_now;
            }
            return sum == total;
        };
        ASSERT_TRUE(eventually([&] { return owned(lead) <= 5 && counts(4, 5, partitions - owned(lead)); }, kLong));
        std::printf("balanced after %lld ms; %zu KB resident a worker\n", static_cast<long long>(ms_since(begin)),
                    (resident_bytes() - before) / 1024 / count);
        begin = Clock::now();
        lead.process().kill_now();
        ASSERT_TRUE(eventually([&] { return counts(5, 5, partitions); }, kLong)) << notes_.text();
        std::printf("the killed leader's partitions are owned again after %lld ms\n", static_cast<long long>(ms_since(begin)));
        EXPECT_TRUE(covered(all, partitions));
        EXPECT_TRUE(stable());
        std::uint64_t leaders = 0;
        for (const Worker& w : workers) leaders += w.is_leader() ? 1U : 0U;
        EXPECT_EQ(leaders, 1U);
        // One process: its watches do not depend on the number of its workers (R-8).
        const auto stats = read_server_stats(server_->monitor_url());
        ASSERT_TRUE(stats) << stats.error();
        EXPECT_LE(stats->consumer_count, 8U);
        for (Worker& w : workers) w.request_stop();
    }
};

}  // namespace parti::test
