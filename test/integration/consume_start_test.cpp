// What Consumer::make and start refuse, and what their errors say.
#include <future>
#include <stdexcept>

#include "consume_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ConsumeStart : public ConsumeTest {
protected:
    // The error of start(), or of make().
    Error refused(const ConsumerConfig& config, const std::shared_ptr<Source>& partitions) {
        Context context = connect();
        Worker w = worker(context, partitions);
        auto consumer = Consumer::make(w, config, seen_.handler());
        if (!consumer) return consumer.error();
        const auto started = consumer->start();
        EXPECT_FALSE(started) << "it started";
        return started ? Error{} : started.error();
    }
    static bool says(const Error& error, const std::string& part) { return error.detail.find(part) != std::string::npos; }
};

TEST_F(ConsumeStart, AMissingStreamIsNamedWithTheSubjectItNeeds) {
    const Error error = refused(consuming(), source(2));
    EXPECT_EQ(error.code, Errc::not_found);
    EXPECT_TRUE(says(error, "'ORDERS'") && says(error, "orders.*")) << error.detail;
}

TEST_F(ConsumeStart, ASubjectTheStreamDoesNotListenToIsRefused) {
    make_stream();
    ConsumerConfig config = consuming();
    config.subject = "invoices.{1}";
    const Error error = refused(config, source(2));
    EXPECT_EQ(error.code, Errc::invalid_config);
    EXPECT_TRUE(says(error, "invoices.*") && says(error, "'orders.*'")) << error.detail;
}

TEST_F(ConsumeStart, TwoPartitionsWithOneSubjectAreRefusedByName) {
    make_stream();
    ConsumerConfig config = consuming();
    config.subject = "orders.{0}";  // "p" for all of them
    const Error error = refused(config, source(3));
    EXPECT_EQ(error.code, Errc::invalid_config);
    EXPECT_TRUE(says(error, "'p.1000'") && says(error, "'p.1001'") && says(error, "'orders.p'")) << error.detail;
}

TEST_F(ConsumeStart, MorePartitionsThanConsumersNamesTheCapAndTheRemedy) {
    make_stream();
    const Error error = refused(consuming(), source(1001));
    EXPECT_EQ(error.code, Errc::invalid_config);
    EXPECT_TRUE(says(error, "1001 partitions") && says(error, "1000") &&
                says(error, "hash the keys into a fixed number of partition tokens"))
        << error.detail;
}

TEST_F(ConsumeStart, TheStreamsOwnLimitOfConsumersCounts) {
    make_stream({{"max_consumers", 3}});
    const Error error = refused(consuming(), source(4));
    EXPECT_EQ(error.code, Errc::invalid_config);
    EXPECT_TRUE(says(error, "max_consumers") && says(error, "may have 3")) << error.detail;
}

TEST_F(ConsumeStart, PerWorkerOnAnOldServerSaysWhichOneIsNeeded) {
    make_stream({{"retention", "workqueue"}});
    ConsumerConfig config = consuming();
    config.mode = ConsumerMode::per_worker;
    // not an old one
    if (server_->version().find("2.9.") == std::string::npos) GTEST_SKIP() << "the server is " << server_->version();
    const Error error = refused(config, source(2));
    EXPECT_EQ(error.code, Errc::unsupported_server);
    EXPECT_TRUE(says(error, "2.10") && says(error, "2.9.") && says(error, "per_partition")) << error.detail;
}

TEST_F(ConsumeStart, BadSettingsAreNamedWithTheirRules) {
    ConsumerConfig config = consuming();
    config.subject = "orders.*";
    config.max_ack_pending = 0;
    config.pull_expires = 30s;
    config.pull_heartbeat = 20s;
    const Error error = refused(config, source(2));
    EXPECT_EQ(error.code, Errc::invalid_config);
    EXPECT_TRUE(says(error, "subject ('orders.*')") && says(error, "max_ack_pending (0)") && says(error, "pull_heartbeat (20s)"))
        << error.detail;
    config = consuming();
    config.concurrency = 2;  // of 1 callback thread
    EXPECT_TRUE(says(refused(config, source(2)), "callback_threads (1)"));
}

TEST_F(ConsumeStart, AHeartbeatAloneIsHeldAgainstThePullThatTheTimingGives) {
    make_stream();
    ConsumerConfig config = consuming();
    config.pull_heartbeat = 20s;
    EXPECT_TRUE(says(refused(config, source(2)), "pull_heartbeat (20s) must be at most half of pull_expires ("));
    Context context = connect();
    config.pull_heartbeat = 100ms;
    auto a = member(context, source(2), seen_.handler(), config);
    EXPECT_TRUE(eventually([&] { return a->consumer->stats().consuming == 2; })) << notes_.text();
}

TEST_F(ConsumeStart, ASourceThatThrowsOrDoesNotAnswerIsNamed) {
    make_stream();
    using List = Result<std::vector<Partition>>;
    EXPECT_EQ(refused(consuming(), function_source([]() -> List { throw std::runtime_error("no"); })).code,
              Errc::callback_failed);
    std::promise<void> release;
    const auto hangs = function_source([waits = release.get_future().share()]() -> List {
        waits.wait();
        return std::vector<Partition>();
    });
    Context context = connect();
    Config config = this->config();
    config.timing.startup_timeout = 300ms;
    Worker w = worker(context, hangs, config);
    auto consumer = Consumer::make(w, consuming(), seen_.handler());
    ASSERT_TRUE(consumer) << consumer.error().message();
    const auto started = consumer->start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, Errc::timeout);
    EXPECT_TRUE(says(started.error(), "startup_timeout (300ms)")) << started.error().detail;
    release.set_value();
}

TEST_F(ConsumeStart, AWorkerThatHasEndedIsNamed) {
    make_stream();
    Context context = connect();
    Worker w = worker(context, source(1));
    w.start();
    ASSERT_TRUE(w.wait_for(State::stable, 20s));
    ASSERT_TRUE(w.stop());
    auto consumer = Consumer::make(w, consuming(), seen_.handler());
    ASSERT_TRUE(consumer) << consumer.error().message();
    const auto started = consumer->start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, Errc::stopping);
    EXPECT_TRUE(says(started.error(), "the worker has ended")) << started.error().detail;
}

TEST_F(ConsumeStart, ADeadLetterSubjectThatAPartitionCannotFillIsRefused) {
    make_stream();
    ConsumerConfig config = consuming();
    config.dead_letter_subject = "dead.{5}";
    EXPECT_TRUE(says(refused(config, source(2)), "dead_letter_subject: "));
}

TEST_F(ConsumeStart, DeadLettersMayNotBeConsumedAgain) {
    make_stream();
    ConsumerConfig config = consuming();
    config.dead_letter_subject = "orders.dead";
    EXPECT_TRUE(says(refused(config, source(2)), "dead_letter_subject ('orders.dead')"));
}

TEST_F(ConsumeStart, ADurableOfSomebodyElsesIsNotTouched) {
    make_stream();
    nlohmann::json foreign{{"durable_name", "c-p_1000"}, {"ack_policy", "explicit"}, {"filter_subject", "orders.1"}};
    ASSERT_TRUE(raw_->api("CONSUMER.DURABLE.CREATE.ORDERS.c-p_1000", {{"stream_name", "ORDERS"}, {"config", foreign}}));
    publish(ids(2), 5);
    Context context = connect();
    auto a = member(context, source(2), seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return seen_.of("p.1001").size() == 5 && !a->consumer->troubles().empty(); })) << notes_.text();
    EXPECT_EQ(a->consumer->troubles().front().first, "p.1000");
    EXPECT_TRUE(notes_.has_line("'orders.1'"));
    EXPECT_EQ(consumer_info("c-p_1000")["config"]["filter_subject"], "orders.1");
    // Once it is out of the way, the partition goes on by itself.
    ASSERT_TRUE(raw_->api("CONSUMER.DELETE.ORDERS.c-p_1000"));
    EXPECT_TRUE(eventually([&] { return seen_.of("p.1000").size() == 5; }));
}

}  // namespace
}  // namespace parti::test
