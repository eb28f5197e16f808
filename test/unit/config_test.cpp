#include <parti/config.h>

#include <cmath>
#include <functional>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/config_fields.h"
#include "base/durations.h"

namespace parti {
namespace {

using namespace std::chrono_literals;

Config valid_config() {
    Config config;
    config.group = "orders";
    return config;
}
std::string problem(const Result<void>& result) {
    if (result) return "(valid)";
    EXPECT_EQ(result.error().code, Errc::invalid_config);
    return result.error().detail;
}
std::string problem(const Config& config) { return problem(config.validate()); }
std::string json_problem(std::string_view json) {
    const auto config = Config::from_json(json);
    if (config) return "(valid)";
    EXPECT_EQ(config.error().code, Errc::invalid_config);
    return config.error().detail;
}

TEST(Durations, KeepTheirValueAsText) {
    const std::pair<Duration, std::string_view> cases[] = {{0s, "0s"},
                                                           {1ns, "1ns"},
                                                           {1500ns, "1500ns"},
                                                           {2us, "2us"},
                                                           {300ms, "300ms"},
                                                           {1500ms, "1500ms"},
                                                           {6s, "6s"},
                                                           {90s, "90s"},
                                                           {2min, "2m"},
                                                           {24h, "24h"},
                                                           {25h + 1ns, "90000000000001ns"}};
    for (const auto& [duration, text] : cases) {
        EXPECT_EQ(base::to_text(duration), text);
        EXPECT_EQ(base::parse_duration(text).value(), duration) << text;
    }
    EXPECT_EQ(base::to_text(-300ms), "-300ms");
    EXPECT_EQ(base::to_text(Duration::min()), "-9223372036854775808ns");
    EXPECT_EQ(base::parse_duration("0ms").value(), 0s);
    EXPECT_EQ(base::parse_duration("9223372036854775807ns").value(), Duration::max());
}

TEST(Durations, RefuseWhatHasNoUnitOrNoWholeNumber) {
    for (const std::string_view text :
         {"", "s", "6", "6 s", " 6s", "6s ", "-6s", "+6s", "1.5s", "6S", "6sec", "6d", "0x6s", "6ss", "1e3s"}) {
        const auto duration = base::parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_EQ(duration.error().code, Errc::invalid_argument);
        EXPECT_NE(duration.error().detail.find("'" + std::string(text) + "'"), std::string::npos) << duration.error().detail;
    }
    for (const std::string_view text : {"9223372036854775808ns", "9223372037s", "99999999999999999999999s", "2562048h"}) {
        const auto duration = base::parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_NE(duration.error().detail.find("too long"), std::string::npos) << duration.error().detail;
    }
}

TEST(Config, DefaultsNeedOnlyAGroup) {
    EXPECT_EQ(problem(valid_config()), "(valid)");
    EXPECT_EQ(problem(Config{}), "group ('', 0 bytes) must be 1..64 of [A-Za-z0-9_-]");
}

TEST(Config, FastTestTimingIsValid) {
    Config config = valid_config();
    config.timing = fast_test_timing();
    EXPECT_EQ(problem(config), "(valid)");
    EXPECT_EQ(config.timing.heartbeat, 300ms);
    EXPECT_EQ(config.timing.ttl, 1s);
    EXPECT_EQ(config.timing.margin, 200ms);
}

struct RuleCase {
    std::string_view name;
    std::function<void(Config&)> inside;
    std::function<void(Config&)> outside;
    std::vector<std::string_view> says;  // all of it must be in the error
};

void expect_rules(const std::vector<RuleCase>& cases) {
    for (const RuleCase& rule : cases) {
        SCOPED_TRACE(rule.name);
        Config good = valid_config();
        rule.inside(good);
        EXPECT_EQ(problem(good), "(valid)");
        Config bad = valid_config();
        rule.outside(bad);
        const std::string why = problem(bad);
        for (const std::string_view part : rule.says)
            EXPECT_NE(why.find(part), std::string::npos) << "no '" << part << "' in: " << why;
        EXPECT_EQ(why.find("; "), std::string::npos) << "one broken rule, several sentences: " << why;
    }
}

TEST(Config, ChecksNamesAtTheirLimits) {
    expect_rules({
        {"group length",
         [](Config& c) { c.group = std::string(64, 'g'); },
         [](Config& c) { c.group = std::string(65, 'g'); },
         {"group ('ggg", "65 bytes", "1..64 of [A-Za-z0-9_-]"}},
        {"group characters",
         [](Config& c) { c.group = "aZ09_-"; },
         [](Config& c) { c.group = "a.b"; },
         {"group ('a.b', 3 bytes)"}},
        {"group control", [](Config& c) { c.group = "a"; }, [](Config& c) { c.group = "a\n"; }, {"group ('a?', 2 bytes)"}},
        {"prefix empty",
         [](Config& c) { c.worker_prefix = "w"; },
         [](Config& c) { c.worker_prefix = ""; },
         {"worker_prefix ('', 0 bytes)"}},
        {"prefix length",
         [](Config& c) { c.worker_prefix = std::string(64, 'w'); },
         [](Config& c) { c.worker_prefix = std::string(65, 'w'); },
         {"worker_prefix", "65 bytes"}},
        {"prefix characters",
         [](Config& c) { c.worker_prefix = "w-1_a"; },
         [](Config& c) { c.worker_prefix = "w*"; },
         {"worker_prefix ('w*'"}},
        {"instance length",
         [](Config& c) { c.instance = std::string(128, 'i'); },
         [](Config& c) { c.instance = std::string(129, 'i'); },
         {"instance", "129 bytes", "0..128 of [A-Za-z0-9_.-]"}},
        {"instance characters",
         [](Config& c) { c.instance = "pod-0.svc"; },
         [](Config& c) { c.instance = "pod 0"; },
         {"instance ('pod 0'"}},
        {"zone length",
         [](Config& c) { c.zone = std::string(64, 'z'); },
         [](Config& c) { c.zone = std::string(65, 'z'); },
         {"zone", "65 bytes"}},
        {"zone characters", [](Config& c) { c.zone = "eu-1.a"; }, [](Config& c) { c.zone = "eu/1"; }, {"zone ('eu/1'"}},
    });
}

TEST(Config, ChecksNumbersAtTheirLimits) {
    expect_rules({
        {"number range",
         [](Config& c) { c.number_min = c.number_max = 5; },
         [](Config& c) { c.number_min = 6, c.number_max = 5; },
         {"number_min (6) must be at most number_max (5)"}},
        {"number_max",
         [](Config& c) { c.number_max = 99'999; },
         [](Config& c) { c.number_max = 100'000; },
         {"number_max (100000) must be at most 99999"}},
        {"capacity low",
         [](Config& c) { c.capacity = 1; },
         [](Config& c) { c.capacity = 0; },
         {"capacity (0) must be in 1..1000000"}},
        {"capacity high",
         [](Config& c) { c.capacity = 1'000'000; },
         [](Config& c) { c.capacity = 1'000'001; },
         {"capacity (1000001)"}},
        {"expected workers",
         [](Config& c) { c.number_min = 10, c.number_max = 19, c.expected_workers = 10; },
         [](Config& c) { c.number_min = 10, c.number_max = 19, c.expected_workers = 11; },
         {"expected_workers (11) must be at most the 10 numbers", "number_min (10)", "number_max (19)"}},
        {"ratio low",
         [](Config& c) { c.restart_detection_ratio = std::numeric_limits<double>::min(); },
         [](Config& c) { c.restart_detection_ratio = 0; },
         {"restart_detection_ratio (0.000000) must be above 0 and at most 1"}},
        {"ratio high",
         [](Config& c) { c.restart_detection_ratio = 1; },
         [](Config& c) { c.restart_detection_ratio = std::nextafter(1.0, 2.0); },
         {"restart_detection_ratio"}},
        {"ratio nan",
         [](Config& c) { c.restart_detection_ratio = 0.5; },
         [](Config& c) { c.restart_detection_ratio = std::numeric_limits<double>::quiet_NaN(); },
         {"restart_detection_ratio (nan)"}},
        {"replicas 3", [](Config& c) { c.replicas = 3; }, [](Config& c) { c.replicas = 2; }, {"replicas (2) must be 1, 3 or 5"}},
        {"replicas 5", [](Config& c) { c.replicas = 5; }, [](Config& c) { c.replicas = 6; }, {"replicas (6)"}},
        {"replicas 1", [](Config& c) { c.replicas = 1; }, [](Config& c) { c.replicas = 0; }, {"replicas (0)"}},
    });
}

TEST(Config, ChecksTimingRelationsAtTheirLimits) {
    expect_rules({
        {"margin share of ttl",
         [](Config& c) { c.timing.margin = 600ms; },
         [](Config& c) { c.timing.margin = 600ms - 1ns; },
         {"timing.margin (599999999ns) must be at least 10 % of timing.ttl (6s), that is 600ms"}},
        {"margin at least 100 ms",
         [](Config& c) {
             c.timing.ttl = 900ms, c.timing.heartbeat = 200ms, c.timing.stop_budget = 100ms, c.timing.margin = 100ms;
         },
         [](Config& c) {
             c.timing.ttl = 900ms, c.timing.heartbeat = 200ms, c.timing.stop_budget = 100ms, c.timing.margin = 99ms;
         },
         {"timing.margin (99ms) must be at least 100ms"}},
        {"two renewals",
         [](Config& c) { c.timing.heartbeat = 2200ms; },
         [](Config& c) { c.timing.heartbeat = 2200ms + 1ns; },
         {"2 x timing.heartbeat (2200000001ns) + timing.stop_budget (1s) = 5400000002ns must be at most timing.ttl (6s) - "
          "timing.margin "
          "(600ms) = 5400ms"}},
        {"stop budget",
         [](Config& c) { c.timing.stop_budget = 1400ms; },
         [](Config& c) { c.timing.stop_budget = 1401ms; },
         {"timing.stop_budget (1401ms) = 5401ms", "= 5400ms"}},
        {"shutdown after drain",
         [](Config& c) { c.timing.shutdown_timeout = 12s; },
         [](Config& c) { c.timing.shutdown_timeout = 12s - 1ns; },
         {"timing.shutdown_timeout (11999999999ns) must be at least timing.drain_timeout (10s) + 2s"}},
    });
}

TEST(Config, ChecksTheRangeOfEveryDuration) {
    for (const base::TimingField& field : base::kTimingFields) {
        SCOPED_TRACE(field.name);
        for (const Duration wrong : {Duration(-1ns), Duration(24h + 1ns), Duration::max(), Duration::min()}) {
            Config config = valid_config();
            config.timing.*field.member = wrong;
            const std::string why = problem(config);
            EXPECT_EQ(why.find("timing." + std::string(field.name) + " (" + base::to_text(wrong) + ") must be "), 0U) << why;
            EXPECT_EQ(why.find("; "), std::string::npos) << why;
        }
        Config zero = valid_config();
        zero.timing.*field.member = 0s;
        if (field.may_be_zero) {
            EXPECT_EQ(problem(zero), "(valid)");
        } else {
            EXPECT_NE(problem(zero).find("must be above 0s and at most 24h"), std::string::npos) << problem(zero);
        }
    }
}

TEST(Config, ListsEveryBrokenRule) {
    Config config;
    config.number_min = 9;
    config.number_max = 3;
    config.replicas = 4;
    config.timing.margin = 1ms;
    const std::string why = problem(config);
    EXPECT_EQ(why.find("group"), 0U) << why;
    for (const std::string_view part : {"number_min (9)", "replicas (4)", "timing.margin (1ms) must be at least 100ms", "10 %"}) {
        EXPECT_NE(why.find(part), std::string::npos) << part << " is not in: " << why;
    }
}

TEST(Config, PresetsAreValidAndKeepTheirOrder) {
    const std::pair<Timing, Duration> presets[] = {
        {conservative_timing(), 16500ms}, {balanced_timing(), 6600ms}, {aggressive_timing(), 3300ms}};
    for (const auto& [timing, noticed_after] : presets) {
        Config config = valid_config();
        config.timing = timing;
        EXPECT_EQ(problem(config), "(valid)");
        EXPECT_EQ(timing.ttl + timing.margin, noticed_after);
        EXPECT_TRUE(config.warnings().empty()) << config.warnings().front();
    }
    const Timing defaults;
    for (const base::TimingField& field : base::kTimingFields) {
        EXPECT_EQ(balanced_timing().*field.member, defaults.*field.member) << field.name;
    }
}

TEST(Config, AlertLevelsAscendStrictly) {
    expect_rules({
        {"info < warning",
         [](Config& c) { c.timing.alert_info = c.timing.alert_warning - 1ns; },
         [](Config& c) { c.timing.alert_info = c.timing.alert_warning; },
         {"alert_info", "alert_warning"}},
        {"warning < error",
         [](Config& c) { c.timing.alert_warning = c.timing.alert_error - 1ns; },
         [](Config& c) { c.timing.alert_warning = c.timing.alert_error; },
         {"alert_warning", "alert_error"}},
        {"error < critical",
         [](Config& c) { c.timing.alert_error = c.timing.alert_critical - 1ns; },
         [](Config& c) { c.timing.alert_error = c.timing.alert_critical; },
         {"alert_error", "alert_critical"}},
    });
}

TEST(Config, TrustNeedsAnInstanceName) {
    expect_rules({{"trust",
                   [](Config& c) { c.instance_takeover = InstanceTakeover::trust, c.instance = "pod-0"; },
                   [](Config& c) { c.instance_takeover = InstanceTakeover::trust; },
                   {"instance_takeover is 'trust' and instance is empty"}}});
}

TEST(Config, WarnsOfWhatIsAllowedAndRarelyMeant) {
    EXPECT_TRUE(valid_config().warnings().empty());
    const std::pair<std::function<void(Config&)>, std::string_view> cases[] = {
        {[](Config& c) { c.policy = Policy::keep; }, "policy is 'keep'"},
        {[](Config& c) { c.instance = "pod", c.instance_takeover = InstanceTakeover::trust; }, "instance_takeover is 'trust'"},
        {[](Config& c) { c.cold_start = ColdStart::wait; }, "cold_start is 'wait' and expected_workers is 0"},
        {[](Config& c) { c.timing.heartbeat = 999ms; }, "timing.heartbeat (999ms) is below a sixth of timing.ttl (6s)"},
        {[](Config& c) { c.timing.grant_timeout = 9999ms; }, "timing.grant_timeout (9999ms) is below timing.drain_timeout (10s)"},
        {[](Config& c) { c.timing.cold_start_window = 9999ms; },
         "timing.cold_start_window (9999ms) is below timing.planned_scale_window (10s)"},
        {[](Config& c) {
             c.timing.ttl = 999ms, c.timing.heartbeat = 300ms, c.timing.margin = 100ms, c.timing.stop_budget = 200ms;
         },
         "timing.ttl (999ms) is below 1s"},
    };
    for (const auto& [change, says] : cases) {
        Config config = valid_config();
        change(config);
        EXPECT_EQ(problem(config), "(valid)") << says;
        const auto warnings = config.warnings();
        ASSERT_EQ(warnings.size(), 1U) << says;
        EXPECT_EQ(warnings[0].find(says), 0U) << warnings[0];
    }
    Config edge = valid_config();
    edge.timing.heartbeat = 1s;
    edge.timing.grant_timeout = edge.timing.drain_timeout;
    edge.timing.cold_start_window = edge.timing.planned_scale_window;
    edge.cold_start = ColdStart::wait;
    edge.expected_workers = 3;
    EXPECT_TRUE(edge.warnings().empty()) << edge.warnings().front();
}

TEST(ConfigJson, AppliesAPresetFirstWhereverItStands) {
    for (const std::string_view timing :
         {R"({"preset":"aggressive","ttl":"2900ms"})", R"({"ttl":"2900ms","preset":"aggressive"})",
          R"({"drain_timeout":"10s","ttl":"2900ms","preset":"aggressive"})"}) {
        const auto read = Config::from_json(R"({"group":"orders","timing":)" + std::string(timing) + "}");
        ASSERT_TRUE(read) << read.error().message();
        Config expected = valid_config();
        expected.timing = aggressive_timing();
        expected.timing.ttl = 2900ms;
        EXPECT_EQ(read->to_json(), expected.to_json()) << timing;
    }
    EXPECT_EQ(Config::from_json(R"({"group":"orders","timing":{"preset":"conservative"}})")->timing.ttl, 15s);
    EXPECT_EQ(Config::from_json(R"({"group":"orders","timing":{"preset":"balanced"}})")->to_json(), valid_config().to_json());
    const std::pair<std::string_view, std::string_view> bad[] = {
        {R"({"group":"o","timing":{"preset":"quick"}})",
         "timing.preset is 'quick'; it must be conservative, balanced or aggressive"},
        {R"({"group":"o","timing":{"preset":3}})", "timing.preset is a number"},
        {R"({"group":"o","timing":{"preset":"balanced","preset":"aggressive"}})", "timing.preset occurs twice"},
        {R"({"group":"o","timing":{"pre_set":"balanced"}})",
         "unknown key 'timing.pre_set'; the nearest known key is 'timing.preset'"},
        {R"({"group":"o","instance_takeover":"force"})", "instance_takeover is 'force'; it must be wait or trust"},
    };
    for (const auto& [json, says] : bad) {
        const std::string why = json_problem(json);
        EXPECT_NE(why.find(says), std::string::npos) << json << "\n  gave: " << why;
        EXPECT_EQ(why.find(says), why.rfind(says)) << "said twice: " << why;
    }
}

TEST(ConfigJson, ReadsWhatItWrote) {
    Config config = valid_config();
    config.worker_prefix = "pod";
    config.number_min = 3;
    config.number_max = 70'000;
    config.instance = "pod-3.x";
    config.capacity = 12;
    config.zone = "eu-1";
    config.policy = Policy::keep;
    config.cold_start = ColdStart::wait;
    config.expected_workers = 50;
    config.restart_detection_ratio = 0.1;
    config.storage = Storage::memory;
    config.replicas = 3;
    config.create_buckets = CreateBuckets::never;
    config.timing = fast_test_timing();
    config.timing.min_rebalance_interval = 0s;
    const std::string json = config.to_json();
    EXPECT_TRUE(nlohmann::json::accept(json)) << json;
    const auto back = Config::from_json(json);
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(back->to_json(), json);
    EXPECT_EQ(back->group, "orders");
    EXPECT_EQ(back->worker_prefix, "pod");
    EXPECT_EQ(back->number_min, 3U);
    EXPECT_EQ(back->number_max, 70'000U);
    EXPECT_EQ(back->instance, "pod-3.x");
    EXPECT_EQ(back->capacity, 12U);
    EXPECT_EQ(back->zone, "eu-1");
    EXPECT_EQ(back->policy, Policy::keep);
    EXPECT_EQ(back->cold_start, ColdStart::wait);
    EXPECT_EQ(back->expected_workers, 50U);
    EXPECT_EQ(back->restart_detection_ratio, 0.1);
    EXPECT_EQ(back->storage, Storage::memory);
    EXPECT_EQ(back->replicas, 3U);
    EXPECT_EQ(back->create_buckets, CreateBuckets::never);
    for (const base::TimingField& field : base::kTimingFields) {
        EXPECT_EQ(back->timing.*field.member, config.timing.*field.member) << field.name;
    }
}

TEST(ConfigJson, HasTheDefaultsOfTheStruct) {
    const auto read = Config::from_json(R"({"group":"orders","timing":{"ttl":"8s","margin":"1s"}})");
    ASSERT_TRUE(read) << read.error().message();
    Config expected = valid_config();
    expected.timing.ttl = 8s;
    expected.timing.margin = 1s;
    EXPECT_EQ(read->to_json(), expected.to_json());
}

TEST(ConfigJson, NamesTheKeyAndTheRule) {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {R"({"group":"o","capactiy":2})", "unknown key 'capactiy'; the nearest known key is 'capacity'"},
        {R"({"group":"o","ttl":"6s"})", "unknown key 'ttl'; the nearest known key is 'timing.ttl'"},
        {R"({"group":"o","timing":{"heart_beat":"1s"}})",
         "unknown key 'timing.heart_beat'; the nearest known key is 'timing.heartbeat'"},
        {R"({"group":"o","timing":{"zone":"1s"}})", "unknown key 'timing.zone'; the nearest known key is 'zone'"},
        {R"({"group":"o","group":"p"})", "group occurs twice"},
        {R"({"group":7})", "group is a number; it must be a string"},
        {R"({"group":"o","capacity":"2"})", "capacity is a string; it must be a whole number"},
        {R"({"group":"o","capacity":-2})", "capacity is a negative number"},
        {R"({"group":"o","capacity":2.5})", "capacity is a number that is not an integer"},
        {R"({"group":"o","capacity":4294967296})", "capacity (4294967296) must be at most 4294967295"},
        {R"({"group":"o","capacity":0})", "capacity (0) must be in 1..1000000"},
        {R"({"group":"o","restart_detection_ratio":"half"})", "restart_detection_ratio is a string; it must be a number"},
        {R"({"group":"o","restart_detection_ratio":-1})", "restart_detection_ratio (-1.000000) must be above 0"},
        {R"({"group":"o","policy":"hold"})", "policy is 'hold'; it must be relinquish or keep"},
        {R"({"group":"o","policy":true})", "policy is a boolean; it must be relinquish or keep"},
        {R"({"group":"o","cold_start":"later"})", "cold_start is 'later'; it must be grant_now or wait"},
        {R"({"group":"o","storage":"disk"})", "storage is 'disk'; it must be file or memory"},
        {R"({"group":"o","create_buckets":"no"})", "create_buckets is 'no'; it must be always, at_start or never"},
        {R"({"group":"o","timing":[]})", "timing is an array; it must be an object"},
        {R"({"group":"o","timing":{"ttl":6}})", "timing.ttl is a number; it must be a string with a unit"},
        {R"({"group":"o","timing":{"ttl":"6"}})", "timing.ttl: '6' is not a duration: the unit must be ns, us, ms, s, m or h"},
        {R"({"group":"o","timing":{"ttl":"1.5s"}})", "timing.ttl: '1.5s' is not a duration"},
        {R"({"group":"o","timing":{"ttl":"1s"}})", "2 x timing.heartbeat (2s)"},
        {R"([1])", "the configuration is an array; it must be an object"},
        {"", "the configuration is not JSON that parti reads"},
        {"{\"group\":\"o\",\n  \"capacity\" 2}", "line 2, column 14"},
        {R"({"group":"o"} x)", "line 1, column 15"},
    };
    for (const auto& [json, says] : cases) {
        const std::string why = json_problem(json);
        EXPECT_NE(why.find(says), std::string::npos) << json << "\n  gave: " << why;
    }
}

TEST(ConfigJson, ListsEveryWrongKey) {
    const std::string why = json_problem(R"({"grup":"o","capacity":"x","timing":{"ttl":6}})");
    for (const std::string_view part :
         {"unknown key 'grup'; the nearest known key is 'group'", "capacity is a string", "timing.ttl is"}) {
        EXPECT_NE(why.find(part), std::string::npos) << part << " is not in: " << why;
    }
}

}  // namespace
}  // namespace parti
