// Operators' commands, and what they do to a group of real workers.
#include <algorithm>
#include <atomic>
#include <thread>

#include "operator_fixture.h"
#include "raw_nats.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ControlTest : public OperatorTest {};

TEST_F(ControlTest, FreezeStopsMovesButOrphansAreAdopted) {
    Context context = connect();
    const auto list = source(20);
    Worker a = started(context, list, config());
    Worker b = started(context, list, config());
    ASSERT_TRUE(eventually([&] { return owns({&a, &b}, {10, 10}); }));
    const Control operators = control(context);
    ASSERT_TRUE(operators.freeze());
    ASSERT_TRUE(eventually([&] { return (a.is_leader() ? a : b).leader_phase() == LeaderPhase::frozen; }));
    EXPECT_EQ(status(operators).phase, LeaderPhase::frozen);

    Worker c = started(context, list, config());
    ASSERT_TRUE(eventually([&] { return c.state() == State::stable; }));
    ASSERT_TRUE(heartbeats_pass(c, 6));
    EXPECT_TRUE(owns({&a, &b, &c}, {10, 10, 0}));

    const auto before = a.assignment();
    ASSERT_TRUE(b.stop());
    ASSERT_TRUE(eventually([&] { return covered({&a, &c}, 20); })) << "orphans are adopted";
    EXPECT_TRUE(all_valid(before));
    EXPECT_TRUE(owns({&a, &c}, {10, 10}));
    ASSERT_TRUE(operators.freeze()) << "again: nothing to do";
    EXPECT_TRUE(status(operators).frozen);

    Worker d = started(context, list, config());
    ASSERT_TRUE(eventually([&] { return d.state() == State::stable; }));
    ASSERT_TRUE(heartbeats_pass(d, 4));
    EXPECT_EQ(d.assignment().size(), 0U);
    ASSERT_TRUE(operators.unfreeze());
    EXPECT_TRUE(eventually([&] { return covered({&a, &c, &d}, 20) && d.assignment().size() >= 6; }));
    EXPECT_TRUE(eventually([&] { return status(operators).phase == LeaderPhase::idle; }));
}

TEST_F(ControlTest, DrainEmptiesOneWorkerAndUndrainFillsItAgain) {
    Context context = connect();
    const auto list = source(30);
    Worker a = started(context, list, config());
    Worker b = started(context, list, config());
    Worker c = started(context, list, config());
    ASSERT_TRUE(eventually([&] { return owns({&a, &b, &c}, {10, 10, 10}); }));
    const auto kept_a = a.assignment();
    const auto kept_c = c.assignment();
    const Control operators = control(context);
    const WorkerNumber number = b.number().value();
    ASSERT_TRUE(operators.drain(std::to_string(number.value)));
    ASSERT_TRUE(eventually([&] { return b.assignment().empty() && covered({&a, &c}, 30); }));
    EXPECT_TRUE(all_valid(kept_a) && all_valid(kept_c)) << "what does not move is not touched";
    EXPECT_EQ(b.state(), State::stable);
    GroupStatus s = status(operators);
    ASSERT_NE(find(s, number), nullptr);
    EXPECT_TRUE(find(s, number)->drained);
    EXPECT_EQ(s.drain, std::vector<std::string>{to_string(find(s, number)->session)});
    ASSERT_TRUE(heartbeats_pass(b, 4));
    EXPECT_TRUE(b.assignment().empty());

    ASSERT_TRUE(operators.undrain(std::to_string(number.value)));
    EXPECT_TRUE(eventually([&] { return owns({&a, &b, &c}, {10, 10, 10}); }));
    EXPECT_TRUE(status(operators).drain.empty());
}

TEST_F(ControlTest, NamesToDrainAreCheckedAndEndedSessionsAreForgotten) {
    Context context = connect();
    Config named = config();
    named.instance = "pod-a";
    Worker a = started(context, source(4), named);
    ASSERT_TRUE(eventually([&] { return covered({&a}, 4); }));
    const Control operators = control(context);
    for (const std::string& unknown :
         {std::string("pod-b"), std::string("77"), std::string("0123456789abcdef0123456789abcdef")}) {
        const auto refused = operators.drain(unknown);
        ASSERT_FALSE(refused) << unknown;
        EXPECT_EQ(refused.error().code, Errc::not_found) << refused.error().message();
        EXPECT_NE(refused.error().detail.find("'" + unknown + "'"), std::string::npos) << refused.error().message();
    }
    EXPECT_EQ(operators.drain("0123456789abcdef0123456789abcdef", DrainScope::in_advance).error().code, Errc::not_found);
    EXPECT_EQ(operators.undrain("pod-a").error().code, Errc::not_found);
    for (const std::string& bad : {std::string(), std::string("two words"), std::string(129, 'x')}) {
        EXPECT_EQ(operators.drain(bad, DrainScope::in_advance).error().code, Errc::invalid_argument) << bad;
        EXPECT_EQ(operators.undrain(bad).error().code, Errc::invalid_argument) << bad;
    }

    // In advance: the worker that comes with this name owns nothing.
    ASSERT_TRUE(operators.drain("pod-b", DrainScope::in_advance));
    Config late = config();
    late.instance = "pod-b";
    Worker b = started(context, source(4), late);
    ASSERT_TRUE(eventually([&] { return b.state() == State::stable; }));
    ASSERT_TRUE(heartbeats_pass(b, 4));
    EXPECT_TRUE(owns({&a, &b}, {4, 0}));

    Worker c = started(context, source(4), config());
    ASSERT_TRUE(eventually([&] { return c.assignment().size() == 2; }));
    const std::string session = to_string(find(status(operators), c.number().value())->session);
    ASSERT_TRUE(operators.drain(session));
    EXPECT_EQ(status(operators).drain, (std::vector<std::string>{"pod-b", session}));
    ASSERT_TRUE(c.stop());
    ASSERT_TRUE(operators.drain("pod-z", DrainScope::in_advance));
    EXPECT_EQ(status(operators).drain, (std::vector<std::string>{"pod-b", "pod-z"})) << "the ended session is forgotten";
    ASSERT_TRUE(operators.undrain("pod-z"));
    ASSERT_TRUE(operators.undrain(std::to_string(b.number()->value))) << "drained by its instance, named by its number";
    EXPECT_TRUE(eventually([&] { return owns({&a, &b}, {2, 2}); }));
}

TEST_F(ControlTest, RebalanceEndsTheSettleWindow) {
    Config slow = config();
    slow.timing.planned_scale_window = 1h;
    slow.timing.settle_pause = 1h;
    slow.timing.cold_start_window = 100ms;
    Context context = connect();
    const auto list = source(20);
    Worker a = started(context, list, slow);
    ASSERT_TRUE(eventually([&] { return covered({&a}, 20) && a.leader_phase() == LeaderPhase::idle; }));
    Worker b = started(context, list, slow);
    ASSERT_TRUE(eventually([&] { return b.state() == State::stable; }));
    ASSERT_TRUE(heartbeats_pass(b, 4));
    EXPECT_TRUE(owns({&a, &b}, {20, 0})) << "the window is open";
    const Control operators = control(context);
    ASSERT_TRUE(operators.rebalance());
    EXPECT_TRUE(eventually([&] { return owns({&a, &b}, {10, 10}); }));
    EXPECT_TRUE(eventually([&] { return !status(operators).rebalance_pending; }));
    EXPECT_EQ(a.stats().plans_by[static_cast<std::size_t>(PlanReason::request)], 1U);
    ASSERT_TRUE(operators.rebalance());
    EXPECT_TRUE(eventually([&] { return a.stats().plans_by[static_cast<std::size_t>(PlanReason::request)] == 2; }))
        << "asked again, planned again";
}

TEST_F(ControlTest, RefreshReachesTheSourceOfEveryWorker) {
    struct Counted {
        std::atomic<int> asked{0};
        std::atomic<int> partitions{4};
    };
    const auto counted = [](Counted& state) {
        return function_source([&state]() -> Result<std::vector<Partition>> {
            ++state.asked;
            std::vector<Partition> out;
            for (int i = 0; i < state.partitions; ++i) out.push_back(*Partition::from_id("p." + std::to_string(i)));
            return out;
        });
    };
    Counted first;
    Counted second;
    Context context = connect();
    Context other = connect();
    Worker a = started(context, counted(first), config());
    Worker b = started(other, counted(second), config());
    ASSERT_TRUE(eventually([&] { return owns({&a, &b}, {2, 2}); }));
    const int before_a = first.asked;
    const int before_b = second.asked;
    first.partitions = second.partitions = 10;
    const Control operators = control(context);
    ASSERT_TRUE(operators.refresh());
    EXPECT_TRUE(eventually([&] { return owns({&a, &b}, {5, 5}); }));
    ASSERT_TRUE(eventually([&] { return first.asked > before_a && second.asked > before_b; }));
    ASSERT_TRUE(operators.refresh());
    ASSERT_TRUE(eventually([&] { return first.asked > before_a + 1 && second.asked > before_b + 1; }));
    ASSERT_TRUE(heartbeats_pass(a, 3));
    EXPECT_EQ(first.asked, before_a + 2);
    EXPECT_EQ(second.asked, before_b + 2);
}

TEST_F(ControlTest, ConcurrentOperatorsLoseNothing) {
    constexpr int kOperators = 4;
    constexpr int kNames = 8;
    Context context = connect();
    Worker a = started(context, source(4), config());
    ASSERT_TRUE(eventually([&] { return covered({&a}, 4); }));
    std::vector<std::thread> threads;
    std::atomic<int> failures{0};
    for (int o = 0; o < kOperators; ++o) {
        threads.emplace_back([&, o] {
            const Control operators = control(context, 30s);
            for (int n = 0; n < kNames; ++n) {
                const std::string name = "pod-" + std::to_string(o) + "-" + std::to_string(n);
                if (!operators.drain(name, DrainScope::in_advance)) ++failures;
                if (n % 2 == 1 && !operators.undrain(name)) ++failures;
                if (!(n % 2 == 0 ? operators.freeze() : operators.unfreeze())) ++failures;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(failures, 0);
    auto drain = status(control(context)).drain;
    std::sort(drain.begin(), drain.end());
    std::vector<std::string> wanted;
    for (int o = 0; o < kOperators; ++o) {
        for (int n = 0; n < kNames; n += 2) wanted.push_back("pod-" + std::to_string(o) + "-" + std::to_string(n));
    }
    EXPECT_EQ(drain, wanted);
}

TEST_F(ControlTest, AnUnreadableRecordIsReportedAndReset) {
    Context context = connect();
    Worker a = started(context, source(4), config());
    ASSERT_TRUE(eventually([&] { return covered({&a}, 4); }));
    const Control operators = control(context);
    ASSERT_TRUE(operators.rebalance());
    ASSERT_TRUE(eventually([&] { return !status(operators).rebalance_pending; }));
    ASSERT_TRUE(operators.freeze());
    ASSERT_TRUE(operators.refresh());
    auto raw = RawNats::connect(server_->url());
    ASSERT_TRUE(raw) << raw.error();
    ASSERT_TRUE(raw->put("parti_g_assignment", "control", "not a record"));
    const auto refused = operators.unfreeze();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::malformed_record);
    EXPECT_NE(refused.error().detail.find("reset replaces it"), std::string::npos) << refused.error().message();
    const GroupStatus s = status(operators);
    ASSERT_EQ(s.unreadable.size(), 1U);
    EXPECT_EQ(s.unreadable[0].bucket + " " + s.unreadable[0].key, "parti_g_assignment control");
    EXPECT_EQ(s.unreadable[0].error.code, Errc::malformed_record);
    EXPECT_EQ(s.workers.size(), 1U);
    EXPECT_EQ(a.leader_phase(), LeaderPhase::frozen) << "an unreadable record changes nothing";

    ASSERT_TRUE(operators.reset());
    EXPECT_TRUE(eventually([&] { return a.leader_phase() == LeaderPhase::idle; }));
    const auto after = raw->get("parti_g_assignment", "control");
    ASSERT_TRUE(operators.reset()) << "a readable record is left alone";
    EXPECT_EQ(raw->get("parti_g_assignment", "control").value(), after.value());
    const auto plans = a.stats().plans;
    ASSERT_TRUE(operators.rebalance());
    EXPECT_TRUE(eventually([&] { return a.stats().plans > plans; })) << "requests go on after a reset";

    ASSERT_TRUE(raw->put("parti_g_assignment", "control", R"({"v":9})"));
    for (const auto& result : {operators.freeze(), operators.reset()}) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, Errc::future_record) << result.error().message();
    }
}

TEST_F(ControlTest, SaysWhyItCannotBeOpenedOrCalled) {
    Context context = connect();
    const auto missing = Control::open(context, "nobody");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_NE(missing.error().detail.find("group 'nobody' does not exist"), std::string::npos) << missing.error().message();
    EXPECT_EQ(Control::open(context, "no.group").error().code, Errc::invalid_argument);
    EXPECT_EQ(Control::open(context, "g", 0s).error().code, Errc::invalid_argument);

    // Fine inside callbacks, an error inside a log sink.
    std::atomic<bool> from_callback{false};
    std::atomic<int> from_sink{0};
    std::atomic<bool> armed{false};
    std::optional<Context> with_sink;
    ConnectOptions options;
    options.urls = {server_->url()};
    options.log = [&](LogLevel, std::string_view) {
        if (!armed.exchange(false)) return;
        const auto opened = Control::open(*with_sink, "g", 5s);
        from_sink = opened ? -1 : static_cast<int>(opened.error().code);
    };
    with_sink.emplace(Context::connect(std::move(options)).value());
    Callbacks callbacks;
    callbacks.on_assigned = [&](std::span<const Ownership>) {
        const auto opened = Control::open(*with_sink, "g", 5s);
        from_callback = opened && opened->freeze().has_value();
    };
    armed = true;
    Worker w = started(*with_sink, source(2), config(), std::move(callbacks));
    EXPECT_TRUE(eventually([&] { return from_callback.load(); }));
    EXPECT_TRUE(eventually([&] { return from_sink == static_cast<int>(Errc::invalid_argument); })) << from_sink;
    EXPECT_TRUE(w.stop());
    w = started(context, source(2), config());  // the last handle of the other context may go
}

TEST_F(ControlTest, StatusTellsEveryWorker) {
    Context context = connect();
    Config named = config();
    named.instance = "pod-a";
    named.zone = "eu-1";
    named.capacity = 3;
    const auto list = source(12);
    Worker a = started(context, list, named);
    ASSERT_TRUE(eventually([&] { return covered({&a}, 12); }));
    Worker b = started(context, list, config());
    ASSERT_TRUE(eventually([&] { return owns({&a, &b}, {9, 3}); }));
    const Control operators = control(context);
    GroupStatus s;
    ASSERT_TRUE(eventually([&] {
        s = status(operators);
        return s.phase == LeaderPhase::idle && s.workers.size() == 2 && find(s, b.number().value())->standby;
    }));
    EXPECT_EQ(s.leader, a.number());
    EXPECT_EQ(s.partition_count, 12U);
    EXPECT_EQ(s.without_owner, 0U);
    EXPECT_EQ(s.policy, Policy::relinquish);
    EXPECT_EQ(s.record_major, 1U);
    const WorkerStatus* first = find(s, a.number().value());
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(first->instance, "pod-a");
    EXPECT_EQ(first->zone, "eu-1");
    EXPECT_EQ(first->capacity, 3U);
    EXPECT_EQ(first->owned, 9U);
    EXPECT_TRUE(first->leader && first->acknowledged && !first->standby && !first->drained);
    EXPECT_EQ(first->lease, LeaseState::live);
    EXPECT_GE(first->applied, first->published);
    EXPECT_EQ(first->published.epoch, s.epoch);
    ASSERT_TRUE(b.stop());
    s = status(operators);
    const auto ended =
        std::count_if(s.workers.begin(), s.workers.end(), [](const auto& w) { return w.lease == LeaseState::released; });
    EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace parti::test
