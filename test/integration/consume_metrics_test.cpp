// metrics_text of consumers beside their workers.
#include <array>

#include "consume_fixture.h"
#include "metrics_parser.h"

namespace parti::test {
namespace {

class ConsumeMetrics : public ConsumeTest {};

TEST_F(ConsumeMetrics, TellWhatWasHandledAndWhatFailed) {
    make_stream();
    Context context = connect();
    const auto partitions = ids(4);
    const auto list = source(4);
    std::atomic<int> failures{0};
    Handler handler = [this, &failures, record = seen_.handler()](Message& message) -> Result<void> {
        if (message.payload() == "2" && message.delivered() == 1) {
            ++failures;
            return tl::unexpected<Error>(Error{Errc::internal, "meant"});
        }
        return record(message);
    };
    auto a = member(context, list, handler, consuming());
    ASSERT_TRUE(a);
    publish(partitions, 10);
    ASSERT_TRUE(eventually([&] { return seen_.total() == 40; }));
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().acked == 40 && a->consumer->stats().in_flight == 0; }));
    auto idle = Consumer::make(a->worker, consuming(), seen_.handler());
    ASSERT_TRUE(idle) << idle.error().message();

    const std::array<const Worker*, 1> workers{&a->worker};
    const std::array<const Consumer*, 2> consumers{&*a->consumer, &*idle};
    const Metrics metrics(metrics_text(workers, consumers));
    const auto at = [&](const std::string& name, int slot) {
        return metrics.value(name + "{group=\"g\",slot=\"" + std::to_string(slot) + "\",stream=\"ORDERS\"}");
    };
    EXPECT_EQ(metrics.value("parti_partitions_owned{group=\"g\",slot=\"0\"}"), 4) << "the workers are there too";
    EXPECT_EQ(failures.load(), 4);
    EXPECT_EQ(at("parti_consumer_pulled_total", 0), 44);
    EXPECT_EQ(at("parti_consumer_handled_total", 0), 40);
    EXPECT_EQ(at("parti_consumer_acked_total", 0), 40);
    EXPECT_EQ(at("parti_consumer_failed_total", 0), 4);
    EXPECT_EQ(at("parti_consumer_redelivered_total", 0), 4);
    EXPECT_EQ(at("parti_consumer_dead_lettered_total", 0), 0);
    EXPECT_EQ(at("parti_consumer_lag", 0), 0);
    EXPECT_EQ(at("parti_consumer_in_flight", 0), 0);
    EXPECT_EQ(at("parti_consumer_oldest_in_flight_seconds", 0), 0);
    EXPECT_EQ(at("parti_consumer_partitions", 0), 4);
    EXPECT_EQ(at("parti_consumer_consuming", 0), 4);
    EXPECT_EQ(at("parti_consumer_troubles", 0), 0);
    EXPECT_EQ(at("parti_consumer_pulled_total", 1), 0) << "made, not started";
    EXPECT_EQ(at("parti_consumer_partitions", 1), 0);
}

}  // namespace
}  // namespace parti::test
