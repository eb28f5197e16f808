// TestMemoryBenchmark_CompareWithEmbedded: three accounts of the same work, measured in one run.
//
//   client    a process with a nats.c connection and nothing of parti
//   isolated  the workers, in a process of their own
//   embedded  the workers and their server
//
// A nats-server cannot be linked into C++. What a process with both would hold is therefore measured as the sum of two processes,
// in anonymous memory (which no sharing of libraries changes) and in PSS: an estimate of a shared process, and named as one.
#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>

#include "configuration.h"
#include "launch_test.h"

namespace parti::stress {
namespace {

using test::Milliseconds;

constexpr double kSecondsEach = 5;

struct Accounts {
    test::MemorySample client, workers, server;
    std::uint64_t client_live = 0;
};

double anonymous(const test::MemorySample& sample) { return kilobytes(static_cast<double>(sample.rss_anon)); }
double proportional(const test::MemorySample& sample) { return kilobytes(static_cast<double>(sample.pss.value_or(0))); }

class TestMemoryBenchmark_CompareWithEmbedded : public LaunchTest, public testing::WithParamInterface<Configuration> {
protected:
    // Nothing: it failed.
    std::optional<Accounts> measure(const LaunchPlan& plan, LaunchSample& sample) {
        auto fleet = new_fleet({.partitions = plan.partitions});
        if (!fleet) return std::nullopt;
        auto accounts = measure_on(*fleet, plan, sample);
        if (!accounts) ADD_FAILURE() << accounts.error();
        static_cast<void>(end_fleet(std::move(fleet)));
        if (HasFailure()) return std::nullopt;
        return *accounts;
    }

    void print(const Accounts& a) const {
        if (!measures()) return;
        const double isolated = anonymous(a.workers), embedded = isolated + anonymous(a.server);
        std::printf(
            "  client %5.0f kB  isolated %6.0f kB  server %6.0f kB  embedded %6.0f kB (PSS %6.0f kB): %.1f times the workers' "
            "own\n",
            anonymous(a.client), isolated, anonymous(a.server), embedded, proportional(a.workers) + proportional(a.server),
            embedded / isolated);
        std::fflush(stdout);
    }

private:
    static test::Outcome<Accounts> measure_on(test::Fleet& fleet, const LaunchPlan& plan, LaunchSample& sample) {
        auto measured = run_launch(fleet, plan);
        if (!measured) return test::failure(measured.error());
        sample = std::move(*measured);
        // Only now, so that the server's account is that of the workers alone.
        Accounts accounts;
        const auto workers = test::read_memory(fleet.process(0).pid());
        if (!workers) return test::failure(workers.error());
        const auto server = test::read_memory(fleet.server().pid());
        if (!server) return test::failure(server.error());
        accounts.workers = *workers;
        accounts.server = *server;

        test::WorkerProcessOptions options;
        options.label = "client";
        options.args = {"--client-only"};
        auto client = test::WorkerProcess::start(fleet.server().url(), "none", fleet.folder(), options);
        if (!client) return test::failure(client.error());
        const auto live = client->memory();
        if (!live) return test::failure(live.error());
        accounts.client_live = live->live_bytes;
        const auto memory = test::read_memory(client->pid());
        if (!memory) return test::failure(memory.error());
        accounts.client = *memory;
        if (auto asked = client->request_quit(); !asked) return test::failure(asked.error());
        const auto ended = client->wait_exit(Milliseconds(10000));
        if (!ended) return test::failure(ended.error());
        if (ended->code != 0) return test::failure("the client ended with " + ended->text());
        return accounts;
    }
};

const Budget of_accounts("TestMemoryBenchmark_CompareWithEmbedded.Accounts/*", {.nightly = 30});

TEST_P(TestMemoryBenchmark_CompareWithEmbedded, Accounts) {
    const LaunchPlan plan{.workers = GetParam().workers, .partitions = GetParam().partitions};
    const std::uint64_t count = launches(5);
    set_window("10 renewals");
    print_budget(count, kSecondsEach);
    for (std::uint64_t i = 0; i < count; ++i) {
        LaunchSample sample;
        const auto accounts = measure(plan, sample);
        ASSERT_TRUE(accounts);
        print(*accounts);
        const double client = anonymous(accounts->client), workers = anonymous(accounts->workers),
                     server = anonymous(accounts->server);
        record_memory("client_rss_anon", report::Unit::kB, client, true);
        record_memory("isolated_rss_anon", report::Unit::kB, workers, true);
        record_memory("server_rss_anon", report::Unit::kB, server, false);
        record_memory("embedded_rss_anon", report::Unit::kB, workers + server, false);
        record_companion("workers_without_client", report::Unit::kB, workers - client, "isolated - client");
        record_companion("contamination", report::Unit::ratio, (workers + server) / workers,
                         "embedded / isolated: what sharing a process would add");
        record_companion("client_live_heap", report::Unit::kB, kilobytes(static_cast<double>(accounts->client_live)));
        record_companion("client_pss", report::Unit::kB, proportional(accounts->client));
        record_companion("isolated_pss", report::Unit::kB, proportional(accounts->workers));
        record_companion("embedded_pss", report::Unit::kB, proportional(accounts->workers) + proportional(accounts->server),
                         "sum over workers' and server's process");
        if (!measures()) continue;
        EXPECT_GT(workers, client) << "implausible: " << plan.workers << " workers cost no more than a connection";
        EXPECT_GT(server, 1024) << "implausible: a nats-server with JetStream in less than 1 MB";
        EXPECT_LT(accounts->client_live, sample.live_bytes) << "implausible: workers have no heap";
    }
    if (!measures()) return;
    std::printf(
        "a server in the same process would multiply what is taken for the workers' memory by %.1f (anonymous, medians of "
        "%" PRIu64 " launches); an account of its own is the only one that says what workers cost\n",
        median_of("contamination"), count);
}

INSTANTIATE_TEST_SUITE_P(, TestMemoryBenchmark_CompareWithEmbedded,
                         testing::Values(Configuration{10, 100}, Configuration{50, 500}), case_name);

}  // namespace
}  // namespace parti::stress
