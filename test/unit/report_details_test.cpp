// The optional part of a result file: what is written is read back, and each broken rule names file, key and rule.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "report_helpers.h"
#include "testutil/details.h"
#include "testutil/environment.h"
#include "testutil/json_file.h"
#include "testutil/results.h"

namespace parti::report {
namespace {

TestResult detailed_result() {
    TestResult result = usual_result();
    Details& details = result.details;
    details.series.push_back({"rss_anon", Unit::kB, {0, 100, 200.5}, {1000, 1500, 1504}, "launch 1 of 5"});
    details.fits.push_back({"rss_anon", "workers", Unit::kB, {{1, 110}, {5, 150}}, 100, 10, 0.5, 0.01});
    details.distributions.push_back({"publish_to_handled", Unit::us, 12'000, {{50, 300}, {99.9, 2100}, {100, 4000}}, ""});
    details.anomalies.push_back({"2026-01-02T03:04:05Z", "steal 4 %", "line one\nline <two>"});
    details.environment = {{"free memory", "9 GB"}};
    return result;
}

// Reads back the detailed result after one edit of its `details`.
Outcome<TestResult> read_edited(const std::function<void(Json&)>& edit) {
    const TempFolder folder;
    EXPECT_TRUE(write_result(folder / "r.json", detailed_result()).has_value());
    Json document = Json::parse(slurp(folder / "r.json"));
    edit(document["details"]);
    spill(folder / "r.json", document.dump());
    return read_result(folder / "r.json");
}

void expect_refused(const std::vector<std::string>& parts, const std::function<void(Json&)>& edit) {
    const auto outcome = read_edited(edit);
    ASSERT_FALSE(outcome.has_value()) << parts.front();
    EXPECT_EQ(outcome.error().code, ExitCode::bad_input);
    for (const auto& part : parts)
        EXPECT_NE(outcome.error().text.find(part), std::string::npos) << part << "\n" << outcome.error().text;
}

TEST(ResultDetails, ReadBackAsWritten) {
    const auto read = read_edited([](Json&) {});
    ASSERT_TRUE(read) << read.error().text;
    const Details& details = read->details;
    ASSERT_EQ(details.series.size(), 1U);
    EXPECT_EQ(details.series[0].times_ms, (std::vector<double>{0, 100, 200.5}));
    EXPECT_EQ(details.series[0].values, (std::vector<double>{1000, 1500, 1504}));
    EXPECT_EQ(details.series[0].unit, Unit::kB);
    EXPECT_EQ(details.series[0].note, "launch 1 of 5");
    ASSERT_EQ(details.fits.size(), 1U);
    EXPECT_EQ(details.fits[0].points, (std::vector<std::pair<double, double>>{{1, 110}, {5, 150}}));
    EXPECT_EQ(details.fits[0].slope, 10);
    EXPECT_EQ(details.fits[0].bound, 0.5);
    ASSERT_EQ(details.distributions.size(), 1U);
    EXPECT_EQ(details.distributions[0].percentiles, (std::map<double, double>{{50, 300}, {99.9, 2100}, {100, 4000}}));
    EXPECT_EQ(details.distributions[0].n, 12'000U);
    ASSERT_EQ(details.anomalies.size(), 1U);
    EXPECT_EQ(details.anomalies[0].excerpt, "line one\nline <two>");
    EXPECT_EQ(details.environment, (Environment{{"free memory", "9 GB"}}));
}

TEST(ResultDetails, AbsentPartsAreEmpty) {
    const auto none = read_edited([](Json& d) { d = Json{{"schema", kDetailsSchema}}; });
    ASSERT_TRUE(none) << none.error().text;
    EXPECT_TRUE(none->details.empty());
    const TempFolder folder;
    ASSERT_TRUE(write_result(folder / "r.json", usual_result()));
    EXPECT_EQ(slurp(folder / "r.json").find("details"), std::string::npos)
        << "a result without details is what it was before there were any";
}

TEST(ResultDetails, EachBrokenRuleNamesFileKeyAndRule) {
    expect_refused({"r.json: details.schema", "parti-stress-details/1"}, [](Json& d) { d["schema"] = "parti-stress-details/2"; });
    expect_refused({"r.json: details.schema", "missing"}, [](Json& d) { d.erase("schema"); });
    expect_refused({"details.series", "must be an array"}, [](Json& d) { d["series"] = 7; });
    expect_refused({"details.series[0]", "must be an object"}, [](Json& d) { d["series"][0] = 7; });
    expect_refused({"details.series[0].unit", "'MB'"}, [](Json& d) { d["series"][0]["unit"] = "MB"; });
    expect_refused({"details.series[0]: name", "blank"}, [](Json& d) { d["series"][0]["name"] = "with blank"; });
    expect_refused({"details.series[0]: values: 2 values for 3 times"}, [](Json& d) { d["series"][0]["values"] = {1, 2}; });
    expect_refused({"details.series[0]: times: 5 comes after 100", "ascend"}, [](Json& d) {
        d["series"][0]["times"] = {0, 100, 5};
    });
    expect_refused({"details.series[0].values", "numbers only"}, [](Json& d) { d["series"][0]["values"][1] = nullptr; });
    expect_refused({"details.series[1]: name: 'rss_anon' must be unique"},
                   [](Json& d) { d["series"].push_back(Json(d["series"][0])); });
    expect_refused({"details.fits[0].points", "[1]"}, [](Json& d) { d["fits"][0]["points"][0] = {1}; });
    expect_refused({"details.fits[0]: points: 1 points"}, [](Json& d) { d["fits"][0]["points"] = Json{{1, 2}}; });
    expect_refused({"details.fits[0].slope", "missing"}, [](Json& d) { d["fits"][0].erase("slope"); });
    expect_refused({"details.fits[0]: bound: -1"}, [](Json& d) { d["fits"][0]["bound"] = -1; });
    expect_refused({"details.fits[0]: x: must say"}, [](Json& d) { d["fits"][0]["x"] = ""; });
    expect_refused({"details.distributions[0].percentiles", "'p50'"},
                   [](Json& d) { d["distributions"][0]["percentiles"]["p50"] = 1; });
    expect_refused({"details.distributions[0].percentiles.50", "\"1\""},
                   [](Json& d) { d["distributions"][0]["percentiles"]["50"] = "1"; });
    expect_refused({"percentiles: p99.9: 1 is below a lower percentile's 300"},
                   [](Json& d) { d["distributions"][0]["percentiles"]["99.9"] = 1; });
    expect_refused({"p99.9: needs at least 10000 observations, n is 9999"}, [](Json& d) { d["distributions"][0]["n"] = 9999; });
    expect_refused({"details.anomalies[0]: text"}, [](Json& d) { d["anomalies"][0]["text"] = ""; });
    expect_refused({"details.anomalies[0].time", "missing"}, [](Json& d) { d["anomalies"][0].erase("time"); });
    expect_refused({"details.environment.free memory", "string"}, [](Json& d) { d["environment"]["free memory"] = 9; });
}

TEST(ResultDetails, TheWriterRefusesTheSame) {
    const TempFolder root;
    ::setenv("PARTI_STRESS_RUN_DIR", root.path().c_str(), 1);
    ResultWriter writer("TestScale_Small/3w");
    writer.add_series({"memory", Unit::kB, {0, 1}, {1, std::numeric_limits<double>::quiet_NaN()}, ""});
    const auto written = writer.finish(true);
    ASSERT_FALSE(written);
    EXPECT_NE(written.error().text.find("TestScale_Small/3w/memory: values: nan must be a finite number"), std::string::npos)
        << written.error().text;
    const auto read = read_result(writer.file());
    ASSERT_TRUE(read) << read.error().text;
    EXPECT_EQ(read->status, TestStatus::failed);
    EXPECT_TRUE(read->details.series.empty());
}

TEST(ResultDetails, AFitHasItsLinesPointsAndTheWiderHalfOfItsInterval) {
    // 1 MB + 10 kB a worker, in bytes, with one point off the line by 2 kB.
    std::vector<Point> points;
    for (const double workers : {1.0, 5.0, 10.0, 20.0, 30.0}) points.push_back({workers, 1024 * (1000 + 10 * workers)});
    points.push_back({30, 1024 * 1302});
    Line line = theil_sen(points);
    line.lower = 9 * 1024;
    line.upper = 10.5 * 1024;
    const Fit fit = fit_of("rss_anon", "workers", Unit::kB, points, line, 1.0 / 1024);
    EXPECT_EQ(check(fit), "");
    EXPECT_EQ(fit.name + " " + fit.x, "rss_anon workers");
    EXPECT_NEAR(fit.slope, 10, 0.1);
    EXPECT_NEAR(fit.intercept, 1000, 1);
    ASSERT_EQ(fit.points.size(), points.size());
    EXPECT_EQ(fit.points.front(), (std::pair<double, double>(1, 1010)));
    EXPECT_NEAR(*fit.bound, 1, 0.1) << "the interval is 9 to 10.5 around 10";
    EXPECT_NEAR(fit.residual, 2.0 / 1302, 0.001);
}

TEST(ResultDetails, TheEnvironmentIsReadFromTheKernel) {
    const Environment facts = read_environment(std::filesystem::temp_directory_path());
    for (const char* fact : {"memory in all", "memory available", "disk available", "load average"}) {
        ASSERT_EQ(facts.count(fact), 1U) << fact;
        EXPECT_NE(facts.at(fact), "");
    }
    EXPECT_EQ(read_environment("/no/such/folder").count("disk available"), 0U) << "what is not known is absent";
}

TEST(ResultDetails, ThinningKeepsTheLowestAndTheHighest) {
    const std::uint64_t seed = test_seed();
    base::Rng rng(seed);
    Curve series{"memory", Unit::kB, {}, {}, "note"};
    for (int i = 0; i < 12'345; ++i) {
        series.times_ms.push_back(i * 100.0);
        series.values.push_back(static_cast<double>(rng.next() % 1'000'000));
    }
    const auto [low, high] = std::minmax_element(series.values.begin(), series.values.end());
    const Curve kept = thinned(series);
    EXPECT_EQ(check(kept), "");
    EXPECT_GT(kept.values.size(), kMostPoints / 2);
    EXPECT_LE(kept.values.size(), kMostPoints);
    EXPECT_NE(std::find(kept.values.begin(), kept.values.end(), *low), kept.values.end());
    EXPECT_NE(std::find(kept.values.begin(), kept.values.end(), *high), kept.values.end());
    EXPECT_EQ(kept.note, "note");
    const Curve few{"memory", Unit::kB, {1, 2, 3}, {4, 5, 6}, ""};
    EXPECT_EQ(thinned(few).values, few.values);
}

}  // namespace
}  // namespace parti::report
