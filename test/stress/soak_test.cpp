// TestMemoryBenchmark_Soak: a fleet at work for a long time keeps nothing. Renewals go on all the time, and the set of partitions
// changes once a second.
//
// The verdict is testutil/trend.h's: growth that is suspected over the run and again over an extension of equal length. A third
// part, at twice the rate of changes, then tells whether the growth follows the changes. PARTI_SOAK_MINUTES sets another length,
// to try it; PARTI_SOAK_LEAK=BYTES lets every change leak, which the test must then find (and passes when it does): the self-test
// parti_soak_selftest.
#include <gtest/gtest.h>

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "soak_watch.h"
#include "stress_test.h"

namespace parti::stress {
namespace {

using Clock = std::chrono::steady_clock;
using test::Milliseconds;

constexpr std::uint32_t kWorkers = 20;
constexpr std::uint32_t kPartitions = 200;
constexpr std::uint32_t kFewer = 180;
constexpr double kChangesPerSecond = 1;
constexpr Milliseconds kChange{30000};

struct Part : SoakWatch {
    double seconds = 0;
    std::uint64_t changes = 0;
    double rate() const { return static_cast<double>(changes) / seconds; }
};

class TestMemoryBenchmark_Soak : public StressTest {
protected:
    static double minutes() {
        const char* given = std::getenv("PARTI_SOAK_MINUTES");
        return given != nullptr ? std::strtod(given, nullptr) : profile() == Profile::nightly ? 3 : 6;
    }

    // Changes and samples for so long; empty points: it failed.
    Part run(test::Fleet& fleet, test::WorkerProcess& process, double seconds, double rate) {
        Part part;
        const auto begin = Clock::now();
        const auto since = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
        const double interval = std::min(1.0, seconds / 600);
        double next_sample = 0, next_change = 0;
        while (since() < seconds && !HasFailure()) {
            if (since() >= next_change) {
                next_change = std::max(next_change + 1 / rate, since());  // a change that takes longer is not made up for
                const auto took = process.change_partitions(part.changes % 2 == 0 ? kFewer : kPartitions, kChange);
                if (!took) ADD_FAILURE() << "change " << part.changes + 1 << ": " << took.error();
                ++part.changes;
            }
            if (since() >= next_sample) {
                next_sample = std::max(next_sample + interval, since());
                const double at = since();
                const auto sampled = part.sample(fleet, at);
                if (!sampled) ADD_FAILURE() << "sample at " << at << " s: " << sampled.error();
            }
            const double pause = std::min(next_sample, next_change) - since();
            if (pause > 0) process.listen_for(Milliseconds(static_cast<int>(std::ceil(pause * 1000))));
        }
        part.seconds = since();
        if (part.changes % 2 == 1 && !HasFailure()) {
            const auto back = process.change_partitions(kPartitions, kChange);
            EXPECT_TRUE(back) << back.error();
        }
        return part;
    }

    static Trends judged(const char* what, const Part& part, double skip) {
        std::printf("%s: %.0f s, %" PRIu64 " changes (%.2f a second)\n", what, part.seconds, part.changes, part.rate());
        return judge_growth(part, skip);
    }

    void record_part(const Part& part, const std::vector<report::Trend>& trends) {
        for (std::size_t i = 0; i < std::size(kWatched); ++i) {
            const std::string series = kWatched[i].name;
            record_companion(series + "_median", kWatched[i].unit(), trends[i].median);
            record_companion(series + "_per_hour", kWatched[i].unit(), trends[i].slope * 3600, trends[i].why);
        }
        record_companion("seconds", report::Unit::count, part.seconds);
        record_companion("changes", report::Unit::count, static_cast<double>(part.changes));
    }
};

struct Verdict {
    bool leak = false;
    std::string text;
};

// Anonymous memory alone may also be the allocator's drift: then it must follow the changes.
Verdict conclude(const std::vector<report::Trend>& run, const std::vector<report::Trend>& extension,
                 const std::vector<report::Trend>& twice, double rate, double rate_twice) {
    Verdict verdict;
    for (std::size_t i = 0; i < std::size(kWatched); ++i) {
        const auto soak = report::judge_soak(run[i], extension[i]);
        if (soak == report::SoakVerdict::steady) continue;
        const bool follows = report::proportional(extension[i].slope, rate, twice[i].slope, rate_twice);
        const bool drift = std::string(kWatched[i].name) == "rss_anon" && !follows;
        const bool leak = soak == report::SoakVerdict::leak && kWatched[i].gate && !drift;
        verdict.leak = verdict.leak || leak;
        char text[256];
        std::snprintf(text, sizeof text, "%s: %s, %s; %.1f a change; %s\n", kWatched[i].name,
                      std::string(report::name(soak)).c_str(), leak ? "a leak" : "not confirmed as one",
                      extension[i].slope / rate,
                      follows ? "it follows the changes of the partitions" : "it does not follow the changes of the partitions");
        verdict.text += text;
    }
    return verdict;
}

// The long profiles' hours belong to TestScenario_Sustained; PARTI_SOAK_MINUTES=240 makes this one as long. Of a run without
// suspicion; its extension and the third part still fit into the TIMEOUT.
const Budget of_soak("TestMemoryBenchmark_Soak.Churn", {.nightly = 190, .soak = 380, .soak4h = 380}, "soak");

TEST_F(TestMemoryBenchmark_Soak, Churn) {
    const double seconds = minutes() * 60;
    const char* leak = std::getenv("PARTI_SOAK_LEAK");
    // the alarm has nothing to look at
    if (leak != nullptr && !measures()) GTEST_SKIP() << "a leak cannot be found: this build's memory says nothing";
    set_window(std::to_string(static_cast<int>(seconds)) + " s");
    std::printf("budget: %.0f s, up to three times that when growth is suspected\n", seconds);
    auto fleet = new_fleet({.partitions = kPartitions});
    ASSERT_TRUE(fleet);
    test::WorkerProcessOptions options;
    options.workers = kWorkers;
    options.expected_workers = kWorkers;
    if (leak != nullptr) options.args = {"--inject-leak", leak};
    const auto index = fleet->add(options);
    ASSERT_TRUE(index) << index.error();
    test::WorkerProcess& process = fleet->process(*index);
    ASSERT_TRUE(process.start_workers(0));
    const auto covered = process.wait_milestone("covered", kChange);
    ASSERT_TRUE(covered) << covered.error();

    const Part part = run(*fleet, process, seconds, kChangesPerSecond);
    ASSERT_FALSE(HasFailure());
    Verdict verdict;
    const Trends trends = judged("run", part, report::kWarmUp);
    if (trends.suspect && measures()) {
        const Part extension = run(*fleet, process, seconds, kChangesPerSecond);
        const Trends again = judged("extension", extension, 0);
        if (again.suspect) {
            const Part twice = run(*fleet, process, std::min(seconds / 2, 900.0), 2 * kChangesPerSecond);
            const Trends at_twice = judged("at twice the rate", twice, 0);
            verdict = conclude(trends.each, again.each, at_twice.each, extension.rate(), twice.rate());
        } else {
            verdict.text = "WARN: growth was suspected once, and not again in the extension\n";
        }
    }
    std::printf("%s", verdict.text.empty() ? "steady\n" : verdict.text.c_str());
    if (!verdict.text.empty() && !verdict.leak) note_anomaly("growth was suspected and is no leak", verdict.text);
    record_part(part, trends.each);
    static_cast<void>(fleet->wait_balanced(kChange, kWorkers));
    end_fleet(std::move(fleet));
    if (leak != nullptr) {
        EXPECT_TRUE(verdict.leak) << "the leak of " << leak << " bytes a change was not found";
        return;
    }
    if (verdict.leak) fail_as_leak(verdict.text);
}

}  // namespace
}  // namespace parti::stress
