#include "testutil/fingerprint.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/diff.h"
#include "testutil/promote.h"

namespace parti::report {
namespace {

// SUITE.md section 4, written out once more: what must agree before a stored figure of this kind may fail a run.
const std::set<std::string_view> kMemory{"arch",      "libc",      "page_size",       "compiler", "build_type",
                                         "sanitizer", "allocator", "malloc_tunables", "nats_c",   "schema"};
const std::set<std::string_view> kTimes{"arch",       "libc",      "page_size", "compiler",
                                        "build_type", "sanitizer", "allocator", "malloc_tunables",
                                        "nats_c",     "schema",    "cpu_model", "nproc"};

bool must_agree(Kind kind, std::string_view key) {
    if (kind == Kind::exact) return false;
    return kind == Kind::anon_memory ? kMemory.count(key) > 0 : kTimes.count(key) > 0;
}

Baseline baseline_of_usual() {
    std::vector<PromoteSource> sources;
    for (const char* const run : {"a", "b", "c"}) sources.push_back({run, run, {usual_result()}});
    auto promotion = promote(sources, std::nullopt, "test", false);
    EXPECT_TRUE(promotion.has_value()) << promotion.error().text;
    return std::move(promotion->baseline);
}

TEST(Fingerprint, LocalOneHasEveryKey) {
    const Fingerprint here = local_fingerprint();
    for (const auto key : kFingerprintKeys) {
        EXPECT_NE(here.get(key), kUnknown) << key;
    }
    EXPECT_EQ(here.values().size(), kFingerprintKeys.size());
}

TEST(Fingerprint, ItsTextNamesMallocTunables) {
    ASSERT_EQ(::setenv("MALLOC_ARENA_MAX", "1", 1), 0);
    EXPECT_NE(local_fingerprint().get("malloc_tunables").find("MALLOC_ARENA_MAX=1"), std::string_view::npos);
    ASSERT_EQ(::unsetenv("MALLOC_ARENA_MAX"), 0);
    EXPECT_EQ(local_fingerprint().get("malloc_tunables").find("MALLOC_ARENA_MAX"), std::string_view::npos);
}

// Every key is changed in turn, and for every kind it is checked what still gates - in the comparison itself, with metrics that
// are all much worse than the baseline, so that a row that gates is a FAIL.
TEST(Fingerprint, ChangingOneKeyLeavesExactlyTheKindsOfTheTableGating) {
    const Baseline baseline = baseline_of_usual();
    for (const auto key : kFingerprintKeys) {
        TestResult result = usual_result();
        for (Metric& metric : result.metrics) {
            for (double& value : metric.launches) value = metric.kind == Kind::throughput ? std::round(value / 3) : value * 3;
        }
        result.fingerprint.set(key, "another " + std::string(key));
        const auto report = compare(baseline, {result});
        ASSERT_TRUE(report.has_value()) << report.error().text;
        for (const Row& row : report->rows) {
            if (row.kind == Kind::advisory) continue;
            const bool gates = !must_agree(row.kind, key);
            EXPECT_EQ(row.gates, gates) << key << " " << name(row.kind);
            EXPECT_EQ(row.verdict, gates ? Verdict::fail : Verdict::inconclusive) << key << " " << name(row.kind);
            if (!gates) {
                EXPECT_NE(row.note.find(key), std::string::npos) << row.note;
            }
        }
    }
}

TEST(Fingerprint, WithoutAChangeEveryKindGates) {
    TestResult result = usual_result();
    const auto report = compare(baseline_of_usual(), {result});
    ASSERT_TRUE(report.has_value());
    for (const Row& row : report->rows) EXPECT_EQ(row.gates, row.kind != Kind::advisory) << row.metric;
}

TEST(Fingerprint, AnUnknownKeyAgreesWithNothing) {
    Fingerprint a = made_up_machine();
    a.set("compiler", std::string(kUnknown));
    EXPECT_EQ(disagreements(Kind::anon_memory, a, a).size(), 1U);
    EXPECT_TRUE(disagreements(Kind::exact, Fingerprint{}, Fingerprint{}).empty());
}

TEST(Fingerprint, ClassChangesWithEveryKeyOfTheStrictestKindOnly) {
    const std::string before = class_name(made_up_machine());
    for (const auto key : kFingerprintKeys) {
        Fingerprint changed = made_up_machine();
        changed.set(key, "other");
        EXPECT_EQ(class_name(changed) != before, kTimes.count(key) > 0) << key;
    }
}

TEST(Fingerprint, SanitizerAndDebugBuildsDoNotMeasure) {
    Fingerprint machine = made_up_machine();
    EXPECT_EQ(why_not_measured(machine), "");
    machine.set("sanitizer", "address+undefined");
    EXPECT_NE(why_not_measured(machine).find("address+undefined"), std::string::npos);
    machine.set("sanitizer", "none");
    machine.set("build_type", "Debug");
    EXPECT_NE(why_not_measured(machine).find("Debug"), std::string::npos);
}

}  // namespace
}  // namespace parti::report
