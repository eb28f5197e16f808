// Operators at work while leaders die and servers go away; policy keep through an outage.
#include <thread>

#include "operator_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ControlFaults : public OperatorTest {};

TEST_F(ControlFaults, CommandsAreCarriedOutByTheNextLeader) {
    Host a = host({"--workers", "1", "--partitions", "12", "--autostart", "--label", "a"});
    ASSERT_TRUE(a.wait("covered"));
    Context context = connect();
    std::vector<Partition> list;  // as worker-host names them
    for (int i = 0; i < 12; ++i)
        list.push_back(*Partition::from_id("part.000" + std::string(i < 10 ? "0" : "") + std::to_string(i)));
    const std::shared_ptr<Source> same = *StaticSource::make(list);
    Config named = config();
    named.instance = "pod-c";
    Worker b = started(context, same, config());
    Worker c = started(context, same, named);
    ASSERT_TRUE(eventually([&] { return owns({&b, &c}, {4, 4}); }));
    const Control operators = control(context);
    const GroupStatus before = status(operators);
    ASSERT_TRUE(before.leader);
    a.process().kill_now();
    ASSERT_TRUE(operators.drain("pod-c"));
    ASSERT_TRUE(operators.rebalance());
    EXPECT_EQ(status(operators).leader, before.leader) << "nobody knows yet";
    ASSERT_TRUE(eventually([&] { return owns({&b, &c}, {12, 0}); }));
    GroupStatus after;
    ASSERT_TRUE(eventually([&] {
        after = status(operators);
        return !after.rebalance_pending && after.phase == LeaderPhase::idle;
    }));
    EXPECT_GT(after.epoch, before.epoch);
    EXPECT_EQ(after.without_owner, 0U);
    EXPECT_NE(after.leader, before.leader);
}

TEST_F(ControlFaults, ACommandOutlastsARestartOfTheServer) {
    Context context = connect();
    Worker a = started(context, source(6), config());
    ASSERT_TRUE(eventually([&] { return covered({&a}, 6); }));
    const Control patient = control(context, 30s);
    const Control hasty = control(context, 300ms);
    ASSERT_TRUE(server_->kill());
    ASSERT_TRUE(eventually([&] { return !context.connected(); }));
    const auto refused = hasty.freeze();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::timeout) << refused.error().message();
    EXPECT_NE(refused.error().detail.find("300 ms"), std::string::npos) << refused.error().message();
    const auto blind = hasty.status();
    ASSERT_FALSE(blind);
    EXPECT_EQ(blind.error().code, Errc::timeout) << blind.error().message();

    std::vector<Result<void>> results(3, fail(Errc::internal));
    std::vector<std::thread> threads;
    threads.emplace_back([&] { results[0] = patient.freeze(); });
    threads.emplace_back([&] { results[1] = patient.drain("pod-x", DrainScope::in_advance); });
    threads.emplace_back([&] { results[2] = patient.rebalance(); });
    const auto restarted = server_->restart();
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(restarted) << restarted.error();
    for (const auto& result : results) EXPECT_TRUE(result) << result.error().message();
    const GroupStatus s = status(patient);
    EXPECT_TRUE(s.frozen);
    EXPECT_EQ(s.drain, std::vector<std::string>{"pod-x"});
    EXPECT_TRUE(eventually([&] { return covered({&a}, 6) && a.leader_phase() == LeaderPhase::frozen; }));
}

TEST_F(ControlFaults, KeepGoesOnThroughAnOutageAndTheAlertRises) {
    std::mutex mutex;
    std::vector<AlertLevel> alerts;
    Callbacks callbacks;
    callbacks.on_alert = [&](AlertLevel level, Duration) {
        const std::lock_guard lock(mutex);
        alerts.push_back(level);
    };
    const auto told = [&] {
        const std::lock_guard lock(mutex);
        return alerts;
    };
    Config keep = config();
    keep.policy = Policy::keep;
    keep.timing.alert_info = 200ms;
    keep.timing.alert_warning = 400ms;
    keep.timing.alert_error = 600ms;
    keep.timing.alert_critical = 800ms;
    Context context = connect();
    const auto list = source(6);
    Worker a = started(context, list, keep, std::move(callbacks));
    Worker b = started(context, list, keep);
    ASSERT_TRUE(eventually([&] { return owns({&a, &b}, {3, 3}); }));
    const auto owned = a.assignment();
    const std::size_t at_start = told().size();  // claiming may have taken longer than alert_info on a busy machine
    ASSERT_TRUE(server_->kill());
    ASSERT_TRUE(eventually([&] { return a.state() == State::degraded && b.state() == State::degraded; }));
    ASSERT_TRUE(eventually([&] { return a.alert_level() == AlertLevel::critical; }));
    EXPECT_TRUE(all_valid(owned)) << "policy keep: available, not exclusive";
    EXPECT_TRUE(owns({&a, &b}, {3, 3}));
    const WorkerStats during = a.stats();
    EXPECT_EQ(during.alert, AlertLevel::critical);
    ASSERT_TRUE(during.since_renewal);
    EXPECT_GT(*during.since_renewal, keep.timing.alert_critical);
    ASSERT_TRUE(server_->restart());
    ASSERT_TRUE(eventually([&] { return a.state() == State::stable && b.state() == State::stable; }));
    EXPECT_TRUE(all_valid(owned));
    EXPECT_TRUE(eventually([&] { return told().size() >= at_start + 5; }));
    auto levels = told();
    levels.erase(levels.begin(), levels.begin() + static_cast<std::ptrdiff_t>(at_start));
    EXPECT_EQ(levels, (std::vector<AlertLevel>{AlertLevel::info, AlertLevel::warning, AlertLevel::error, AlertLevel::critical,
                                               AlertLevel::none}));
    EXPECT_EQ(a.stats().sessions_lost + b.stats().sessions_lost, 0U);
    EXPECT_GT(a.stats().unreliable_time, keep.timing.alert_critical);
}

}  // namespace
}  // namespace parti::test
