// The verdict's accuracy on real launches: 1,000 sets drawn from what test/stress/alarm_proof.py recorded
// (test/stress/recordings).
//
// Model     A recording holds runs of five launches each, of the unchanged worker-host and of one that wasted 15 % of its memory.
//           A set is three runs as the baseline, a fourth as the current one and a fifth to confirm it, all different; within
//           each the launches are drawn anew. No distribution is assumed: level, noise and what lies between runs are those of
//           the machine that recorded.
#include <numeric>

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/confirm.h"
#include "testutil/diff.h"

namespace parti::report {
namespace {

constexpr int kSets = 1000;

struct Recording {
    Baseline same, wasteful;
};

Recording recording(const std::string& name) {
    const std::filesystem::path folder(RECORDINGS);
    auto same = read_baseline(folder / (name + ".json"));
    auto wasteful = read_baseline(folder / (name + "-wasteful.json"));
    EXPECT_TRUE(same.has_value()) << same.error().text;
    EXPECT_TRUE(wasteful.has_value()) << wasteful.error().text;
    if (!same || !wasteful) std::abort();
    return {std::move(*same), std::move(*wasteful)};
}

class Draw {
public:
    explicit Draw(std::uint64_t seed) : rng_(seed) {}
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(rng_.next() % n); }
    std::vector<std::size_t> some(std::size_t n, std::size_t of) {
        std::vector<std::size_t> all(of);
        std::iota(all.begin(), all.end(), std::size_t{0});
        for (std::size_t i = 0; i < n; ++i) std::swap(all[i], all[i + below(of - i)]);
        all.resize(n);
        return all;
    }
    std::vector<double> again(const std::vector<double>& launches, double factor) {
        std::vector<double> drawn;
        for (std::size_t i = 0; i < launches.size(); ++i) drawn.push_back(std::round(launches[below(launches.size())] * factor));
        return drawn;
    }

private:
    base::Rng rng_;
};

Baseline three_of(const Baseline& recorded, const std::vector<std::size_t>& chosen, Draw& draw) {
    Baseline baseline = recorded;
    for (auto& [key, metric] : baseline.metrics) {
        std::vector<std::vector<double>> three;
        for (std::size_t i = 0; i < 3; ++i) three.push_back(draw.again(metric.runs[chosen[i]], 1));
        metric.runs = std::move(three);
    }
    return baseline;
}

// A run as the suite would have measured it; memory scaled by `factor`.
TestResult run_of(const Baseline& recorded, std::size_t run, double factor, Draw& draw) {
    TestResult result;
    result.test = recorded.tests.begin()->first;
    result.status = TestStatus::passed;
    result.fingerprint = recorded.fingerprint;
    result.protocol = recorded.tests.begin()->second.protocol;
    for (const auto& [key, metric] : recorded.metrics) {
        Metric measured = metric.head;
        measured.launches = draw.again(metric.runs[run], metric.head.kind == Kind::anon_memory ? factor : 1);
        result.metrics.push_back(std::move(measured));
    }
    return result;
}

Report compared(const Baseline& baseline, const TestResult& result) {
    auto report = compare(baseline, {result});
    EXPECT_TRUE(report.has_value()) << report.error().text;
    return report ? std::move(*report) : Report{};
}

struct Counts {
    int first = 0;                       // sets with a FAIL before confirmation
    int failed = 0;                      // after it: the diff exits 97
    int memory = 0;                      // of these, because of a memory metric
    std::map<std::string, int> metrics;  // FAILs before confirmation
};

Counts many(const Baseline& recorded, const Baseline& current, double factor, std::uint64_t seed) {
    Draw draw(seed);
    Counts counts;
    const auto runs_of = [](const Baseline& baseline) { return baseline.metrics.begin()->second.runs.size(); };
    for (int i = 0; i < kSets; ++i) {
        const auto chosen = draw.some(5, runs_of(recorded));
        const auto other = draw.some(2, runs_of(current));
        const bool same = &recorded == &current;
        const Baseline baseline = three_of(recorded, chosen, draw);
        Report report = compared(baseline, run_of(current, same ? chosen[3] : other[0], factor, draw));
        counts.first += report.failed > 0 ? 1 : 0;
        for (const Row& row : report.rows) counts.metrics[row.metric] += row.verdict == Verdict::fail ? 1 : 0;
        if (report.failed == 0) continue;
        confirm(report, compared(baseline, run_of(current, same ? chosen[4] : other[1], factor, draw)), {});
        counts.failed += report.failed > 0 ? 1 : 0;
        counts.memory += std::any_of(report.rows.begin(), report.rows.end(),
                                     [](const Row& row) { return row.verdict == Verdict::fail && row.kind == Kind::anon_memory; })
                             ? 1
                             : 0;
    }
    return counts;
}

std::string text_of(const Counts& counts) {
    std::string text = std::to_string(counts.first) + " of " + std::to_string(kSets) + " sets failed at first, " +
                       std::to_string(counts.failed) + " were confirmed; before confirmation";
    for (const auto& [metric, count] : counts.metrics) text += count == 0 ? "" : "; " + metric + " " + std::to_string(count);
    std::printf("%s\n", text.c_str());
    return text;
}

class Recorded : public ::testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        for (const auto& [key, metric] : recording_.same.metrics) {
            ASSERT_GE(metric.runs.size(), 20U) << key;
            ASSERT_GE(metric.launches().size(), 20U * 5) << key;
        }
    }
    const Recording recording_ = recording(GetParam());
};

// Seen in 16 times 1,000 sets: up to 2 before confirmation (a run of which two launches of five had met a storm of other
// processes, drawn more than once), none after it. Bounds: 10, and 0.
TEST_P(Recorded, NoFailWhenNothingChanged) {
    const Counts counts = many(recording_.same, recording_.same, 1, test_seed());
    const std::string text = text_of(counts);
    EXPECT_LE(counts.first, 10) << text;
    EXPECT_EQ(counts.failed, 0) << text;
}

// Seen in 16 times 1,000 sets: up to 23 before confirmation, up to 3 after it (live heap of 10w_100p, whose baseline of three
// runs both share; 1.6 on average). More than 12 is one in a million: the promise is that +5 % fails in fewer than 1.2 % of all
// runs.
TEST_P(Recorded, FivePercentMoreMemoryDoesNotFail) {
    const Counts counts = many(recording_.same, recording_.same, 1.05, test_seed());
    const std::string text = text_of(counts);
    EXPECT_LE(counts.first, 50) << text;
    EXPECT_LE(counts.failed, 12) << text;
}

// At least one memory metric fails, and again when it is repeated; SUITE.md asks for 19 of 20.
TEST_P(Recorded, FifteenPercentMoreMemoryFails) {
    const Counts counts = many(recording_.same, recording_.same, 1.15, test_seed());
    EXPECT_GE(counts.memory, kSets * 97 / 100) << text_of(counts);
}

// Recorded, not scaled: a worker-host that wasted 15 %.
TEST_P(Recorded, ARealWasteOfFifteenPercentIsFound) {
    const Counts counts = many(recording_.same, recording_.wasteful, 1, test_seed());
    EXPECT_GE(counts.memory, kSets * 97 / 100) << text_of(counts);
}

INSTANTIATE_TEST_SUITE_P(, Recorded, ::testing::Values("10w_100p", "50w_500p"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace parti::report
