#include "launch_test.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "progress.h"

namespace parti::stress {

using report::Unit;

double kilobytes(double bytes) { return bytes / 1024; }

std::string text_of(const test::ThreadNames& threads) {
    std::string text;
    for (const auto& [name, count] : threads) text += (text.empty() ? "" : ", ") + name + " x" + std::to_string(count);
    return text;
}

std::optional<Launched> LaunchTest::launch(LaunchPlan plan, Subject subject, const std::function<void(test::Fleet&)>& then) {
    constexpr int kMostTries = 3;
    constexpr std::uint64_t kMostRepeats = 6;  // of one test: a machine that is always busy must not make it endless
    const char* injected = std::getenv("PARTI_STRESS_INJECT_MEMORY");
    if (plan.inject_memory.empty() && injected != nullptr) plan.inject_memory = injected;
    if (!plan.inject_memory.empty())
        std::printf("  worker-host wastes %s of its memory on purpose\n", plan.inject_memory.c_str());
    ++launches_begun_;
    for (int attempt = 1;; ++attempt) {
        progress().phase("launch " + std::to_string(launches_begun_) + " (" + name_of(plan) +
                         (attempt > 1 ? ", made again)" : ")"));
        progress().workers(0, plan.workers);
        auto fleet = new_fleet({.partitions = plan.partitions, .config = plan.config});
        if (!fleet) return std::nullopt;
        auto sample = run_launch(*fleet, plan);
        if (!sample) ADD_FAILURE() << name_of(plan) << ": " << sample.error();
        if (sample) {
            expect_covered(*fleet);
            EXPECT_TRUE(!measures() || sample->live_bytes > 0) << "the process does not know its live heap";
            if (then && !HasFailure()) then(*fleet);
        }
        Launched launched{sample ? std::move(*sample) : LaunchSample{}, end_fleet(std::move(fleet))};
        if (HasFailure()) return std::nullopt;
        print(plan, launched.sample);
        const bool unsettled = measures() && !launched.sample.plateau;
        if (unsettled) {
            char text[64];
            std::snprintf(text, sizeof text, "memory drifts by %+.1f %% in the window; ", launched.sample.drift * 100);
            launched.sample.contamination += text;
        }
        const bool doubtful =
            subject == Subject::memory ? launched.sample.memory_doubtful || unsettled : !launched.sample.contamination.empty();
        if (!measures() || !doubtful) return launched;
        if (attempt == kMostTries || repeats_ == kMostRepeats) return launched;
        ++repeats_;
        note_anomaly(name_of(plan) + ": a launch was made again: " + launched.sample.contamination);
        std::printf("  made again: %s\n", launched.sample.contamination.c_str());
    }
}

void LaunchTest::print(const LaunchPlan& plan, const LaunchSample& s) const {
    if (measures()) {
        std::printf(
            "  %-8s RssAnon %6.0f kB  live heap %6.0f kB  stable %4.0f ms  covered %4.0f ms  threads %llu  window %.1f s  %s\n",
            name_of(plan).c_str(), kilobytes(s.window.rss_anon.median), kilobytes(static_cast<double>(s.live_bytes)), s.stable_ms,
            s.covered_ms, static_cast<unsigned long long>(s.thread_count), s.window_seconds, s.contamination.c_str());
    } else {
        std::printf("  %-8s memory not measured; stable and covered, threads %llu\n", name_of(plan).c_str(),
                    static_cast<unsigned long long>(s.thread_count));
    }
    std::fflush(stdout);
}

void LaunchTest::record_memory_series(const LaunchSample& s) {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    if (s.memory.empty()) return;
    char note[96];
    std::snprintf(note, sizeof note, "first launch, its measured window only; it begins %.0f ms after the start of the workers",
                  Milliseconds(s.window_from - s.started).count());
    report::Curve anonymous{"rss_anon", Unit::kB, {}, {}, note};
    report::Curve resident{"rss", Unit::kB, {}, {}, note};
    for (const test::MemorySample& sample : s.memory) {
        const double at = std::round(Milliseconds(sample.time - s.started).count());
        anonymous.times_ms.push_back(at);
        anonymous.values.push_back(std::round(kilobytes(static_cast<double>(sample.rss_anon))));
        resident.values.push_back(std::round(kilobytes(static_cast<double>(sample.rss))));
    }
    resident.times_ms = anonymous.times_ms;
    record_series(std::move(anonymous));
    record_series(std::move(resident));
}

void LaunchTest::record_launch(const LaunchSample& s) {
    record_memory_series(s);
    const double live = static_cast<double>(s.live_bytes);
    // A launch that did not come to rest says nothing about memory; when fewer than four are left, the verdict is INCONCLUSIVE.
    // When none is, the metrics are not measured, which is INCONCLUSIVE too: they have not vanished.
    if (s.plateau) {
        record_memory("rss_anon", Unit::kB, kilobytes(s.window.rss_anon.median), true);
        record_memory("live_heap", Unit::kB, kilobytes(live), true);
    } else {
        char why[96];
        std::snprintf(why, sizeof why, "no launch came to rest: memory drifted by %+.1f %% in the first one's window",
                      s.drift * 100);
        for (const char* name : {"rss_anon", "live_heap"}) {
            report::Metric metric;
            metric.name = name;
            metric.unit = Unit::kB;
            metric.kind = report::Kind::anon_memory;
            not_measured(std::move(metric), why);
        }
    }
    record_companion("memory_drift", Unit::ratio, s.drift, "of anonymous memory over the window");
    record_companion("sampling_cpu", Unit::ratio, s.sampling_share, "cores: the sampler's thread and the answers of the process");
    record_companion("threads_by_name", Unit::count, static_cast<double>(s.threads.size()), text_of(s.threads));
    record_count("threads", static_cast<double>(s.thread_count));
    record_companion("rss", Unit::kB, kilobytes(s.window.rss.median));
    record_companion("pss", Unit::kB, kilobytes(s.window.pss.median));
    record_companion("uss", Unit::kB, kilobytes(s.window.uss.median));
    record_companion("hwm", Unit::kB, kilobytes(static_cast<double>(s.window.hwm)));
    record_companion("arena", Unit::kB, kilobytes(static_cast<double>(s.arena_bytes)));
    record_companion("fds", Unit::count, static_cast<double>(s.fds));
    record_companion("cpu", Unit::ms, s.cpu_ms);
    record_companion("context_switches", Unit::count, static_cast<double>(s.switches));
    record_duration("startup", s.stable_ms);
    record_duration("assignment", s.covered_ms);
    if (s.window_seconds > 0) {
        record_companion("server_in", Unit::per_s, static_cast<double>(s.server_in) / s.window_seconds);
        record_companion("server_out", Unit::per_s, static_cast<double>(s.server_out) / s.window_seconds);
        record_companion("server_api", Unit::per_s, static_cast<double>(s.server_api) / s.window_seconds);
    }
    record_companion("server_mem", Unit::kB, kilobytes(static_cast<double>(s.server_mem)));
    record_companion("contaminated", Unit::count, s.contamination.empty() ? 0 : 1, s.contamination);
}

void LaunchTest::record_server_at_rest(test::Fleet& fleet) {
    const std::int64_t length_ns = profile() == Profile::smoke ? 2'000'000'000 : 10'000'000'000;
    const auto before = test::read_server_stats(fleet.server().monitor_url());
    const auto cpu_before = test::read_times(fleet.server().pid());
    ASSERT_TRUE(before && cpu_before) << "the server does not answer, or is gone";
    const std::int64_t from = test::boot_now_ns();
    while (test::boot_now_ns() < from + length_ns) fleet.process(fleet.alive().front()).listen_for(test::Milliseconds(500));
    const auto after = test::read_server_stats(fleet.server().monitor_url());
    const auto cpu_after = test::read_times(fleet.server().pid());
    ASSERT_TRUE(after && cpu_after) << "the server does not answer, or is gone";
    const double seconds = static_cast<double>(test::boot_now_ns() - from) / 1e9;
    const auto per_second = [seconds](std::uint64_t a, std::uint64_t b) { return static_cast<double>(b - a) / seconds; };
    const double in = per_second(before->in_msgs, after->in_msgs), out = per_second(before->out_msgs, after->out_msgs);
    const double api = per_second(before->api_total, after->api_total);
    const double cpu = (cpu_after->cpu_seconds - cpu_before->cpu_seconds) * 1000 / seconds;
    const double store = kilobytes(static_cast<double>(after->store_file + after->store_memory));
    std::printf("  server at rest, %.1f s: in %.0f /s, out %.0f /s, API %.2f /s, %.1f ms CPU/s, %llu consumers, %.0f kB stored\n",
                seconds, in, out, api, cpu, static_cast<unsigned long long>(after->consumer_count), store);
    record_companion("at_rest_in", Unit::per_s, in);
    record_companion("at_rest_out", Unit::per_s, out);
    record_companion("at_rest_api", Unit::per_s, api);
    record_companion("at_rest_server_cpu", Unit::ms, cpu, "per second");
    record_companion("at_rest_store", Unit::kB, store);
    record_count("at_rest_consumers", static_cast<double>(after->consumer_count));
    EXPECT_EQ(after->slow_consumers, 0U);
    EXPECT_EQ(after->api_total, before->api_total) << "something polls the server";
}

}  // namespace parti::stress
