// metrics_text, read back by a small parser that knows OpenMetrics' rules.
#include <array>
#include <charconv>
#include <map>
#include <sstream>

#include "operator_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

// Series ("name{labels}") -> value. Whatever breaks a rule of the format is a failure.
class Metrics {
public:
    explicit Metrics(const std::string& text) {
        EXPECT_TRUE(text.ends_with("# EOF\n"));
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) {
            EXPECT_FALSE(ended_) << "after EOF: " << line;
            if (line == "# EOF") ended_ = true;
            else if (line.rfind("# ", 0) == 0) describe(line);
            else sample(line);
        }
        for (const auto& [name, type] : types_) EXPECT_TRUE(helped_.contains(name)) << name << " has no HELP";
    }
    std::optional<double> value(const std::string& series) const {
        const auto it = series_.find(series);
        return it == series_.end() ? std::nullopt : std::optional(it->second);
    }
    const std::map<std::string, double>& series() const { return series_; }
    std::size_t families() const { return types_.size(); }

private:
    void describe(const std::string& line) {
        std::istringstream in(line);
        std::string hash, what, name, rest;
        in >> hash >> what >> name >> rest;
        EXPECT_FALSE(rest.empty()) << line;
        if (what == "TYPE") {
            EXPECT_TRUE(name.rfind("parti_", 0) == 0 && !name.ends_with("_total")) << line;
            EXPECT_TRUE(rest == "counter" || rest == "gauge" || rest == "summary" || rest == "info") << line;
            EXPECT_TRUE(types_.emplace(name, rest).second) << "twice: " << line;
            family_ = name;
        } else if (what == "HELP") {
            EXPECT_TRUE(name == family_ && helped_.insert(name).second) << line;
            EXPECT_TRUE(line.ends_with(".")) << line;
        } else {
            EXPECT_TRUE(what == "UNIT" && name == family_ && rest == "seconds" && name.ends_with("_seconds")) << line;
        }
    }
    void sample(const std::string& line) {
        const std::size_t open = line.find('{');
        const std::size_t close = line.find("} ");
        ASSERT_TRUE(open != std::string::npos && close != std::string::npos) << line;
        const std::string name = line.substr(0, open);
        ASSERT_TRUE(name.rfind(family_, 0) == 0) << line << " in the family " << family_;
        const std::string suffix = name.substr(family_.size());
        const std::string& type = types_[family_];
        const bool fits = type == "counter" ? suffix == "_total"
                          : type == "info"  ? suffix == "_info"
                          : type == "gauge" ? suffix.empty()
                                            : suffix == "_sum" || suffix == "_count";
        EXPECT_TRUE(fits) << line << " is not a sample of a " << type;
        EXPECT_NE(line.find("group=\"g\",slot=\""), std::string::npos) << line;
        double value = -1;
        const std::string digits = line.substr(close + 2);
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        EXPECT_TRUE(parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size() && value >= 0) << line;
        EXPECT_TRUE(series_.emplace(line.substr(0, close + 1), value).second) << "twice: " << line;
    }

    bool ended_ = false;
    std::string family_;
    std::map<std::string, std::string> types_;
    std::set<std::string> helped_;
    std::map<std::string, double> series_;
};

class MetricsTest : public OperatorTest {};

TEST_F(MetricsTest, OneTextTellsEveryWorker) {
    Context context = connect();
    const auto list = source(20);
    Worker a = started(context, list, config());
    ASSERT_TRUE(eventually([&] { return covered({&a}, 20); }));
    Worker b = started(context, list, config());
    ASSERT_TRUE(eventually([&] { return owns({&a, &b}, {10, 10}) && a.leader_phase() == LeaderPhase::idle; }));
    Worker never = worker(context, list);  // not started
    const std::array<const Worker*, 3> workers{&a, &b, &never};
    ASSERT_TRUE(heartbeats_pass(a, 2));
    const Metrics metrics(metrics_text(workers));
    EXPECT_GT(metrics.families(), 30U);
    const auto at = [&](const std::string& name, int slot, const std::string& more = {}) {
        return metrics.value(name + "{group=\"g\",slot=\"" + std::to_string(slot) + "\"" + more + "}");
    };
    EXPECT_EQ(at("parti_worker_info", 0, ",worker=\"" + a.id() + "\""), 1);
    EXPECT_EQ(at("parti_worker_info", 2, ",worker=\"\""), 1);
    EXPECT_EQ(at("parti_state", 0, ",state=\"Stable\""), 1);
    EXPECT_EQ(at("parti_state", 0, ",state=\"Degraded\""), 0);
    EXPECT_EQ(at("parti_state", 2, ",state=\"Init\""), 1);
    EXPECT_EQ(at("parti_state_entries_total", 1, ",state=\"Stable\""), 1);
    EXPECT_EQ(at("parti_partitions_owned", 0), 10);
    EXPECT_EQ(at("parti_leader", 0), 1);
    EXPECT_EQ(at("parti_leader", 1), 0);
    EXPECT_EQ(at("parti_leaderships_total", 0), 1);
    EXPECT_EQ(at("parti_plans_total", 0, ",reason=\"request\""), 0);
    EXPECT_GE(at("parti_plans_total", 0, ",reason=\"membership\"").value_or(0), 1);
    EXPECT_EQ(at("parti_partitions_moved_total", 0), 10);
    EXPECT_EQ(at("parti_workers_joined_total", 0), 1);
    EXPECT_EQ(at("parti_workers_lost_total", 0), 0);
    EXPECT_EQ(at("parti_group_partitions", 0), 20);
    EXPECT_EQ(at("parti_group_partitions_orphaned", 0), 0);
    EXPECT_EQ(at("parti_group_workers", 0), 2);
    EXPECT_EQ(at("parti_group_partitions", 1), std::nullopt) << "only a leader knows";
    EXPECT_EQ(at("parti_alert_level", 0), 0);
    EXPECT_GE(at("parti_renewal_seconds_count", 0).value_or(0), 2);
    EXPECT_GT(at("parti_renewal_seconds_sum", 0).value_or(0), 0);
    EXPECT_LE(at("parti_renewal_max_seconds", 0).value_or(9e9), at("parti_renewal_seconds_sum", 0).value_or(0));
    EXPECT_GE(at("parti_rebalance_seconds_count", 0).value_or(0), 1);
    EXPECT_GT(at("parti_publish_seconds_sum", 0).value_or(0), 0);
    const Timing t = fast_test_timing();
    EXPECT_LE(at("parti_renewal_age_seconds", 0).value_or(9e9), std::chrono::duration<double>(t.ttl).count());
    EXPECT_EQ(at("parti_renewal_age_seconds", 2), std::nullopt);

    // Nothing that counts goes back.
    ASSERT_TRUE(b.stop());
    ASSERT_TRUE(eventually([&] { return covered({&a}, 20); }));
    const Metrics later(metrics_text(workers));
    for (const auto& [series, value] : metrics.series()) {
        const bool counts = series.find("_total{") != std::string::npos || series.find("_sum{") != std::string::npos ||
                            series.find("_count{") != std::string::npos;
        if (!counts) continue;
        EXPECT_GE(later.value(series).value_or(-1), value) << series;
    }
    EXPECT_EQ(later.value("parti_workers_lost_total{group=\"g\",slot=\"0\"}"), 1);
    EXPECT_EQ(later.value("parti_state{group=\"g\",slot=\"1\",state=\"Stopped\"}"), 1);
}

TEST_F(MetricsTest, OfNobodyIsAnEmptyText) {
    const Metrics metrics(metrics_text({}));
    EXPECT_TRUE(metrics.series().empty());
}

}  // namespace
}  // namespace parti::test
