// metrics_text of workers, read back.
#include <array>

#include "metrics_parser.h"
#include "operator_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

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
