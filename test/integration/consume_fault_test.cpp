// Consumers on a real server when something goes wrong: killed and stopped workers, restarted servers, vanished durables (P-9,
// P-10).
#include "consume_fixture.h"

#include <nats/nats.h>

#include <filesystem>
#include <thread>

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ConsumeFaults : public ConsumeTest {
protected:
    struct Line {
        long long at = 0;
        std::string partition;
        std::uint64_t number = 0;
    };
    // A consume-child and the lines it wrote; what it wrote before it was killed counts.
    class Child {
    public:
        Child(const std::string& url, int partitions, std::vector<std::string> more = {}) {
            ProcessOptions options;
            options.path = PARTI_CONSUME_CHILD_FILE;
            options.args = {url, std::to_string(partitions)};
            options.args.insert(options.args.end(), more.begin(), more.end());
            auto process = ChildProcess::start(std::move(options));
            if (!process) throw std::runtime_error(process.error());
            process_ = std::make_unique<ChildProcess>(std::move(*process));
        }
        void read(Milliseconds patience = 0ms) {
            for (;;) {
                const LineRead read = process_->read_line(patience);
                if (read.state != ReadState::line) return;
                Line line;
                std::istringstream in(read.text);
                if (in >> line.at >> line.partition >> line.number) lines.push_back(line);
            }
        }
        ChildProcess& process() { return *process_; }
        std::vector<Line> lines;

    private:
        std::unique_ptr<ChildProcess> process_;
    };
    // Per partition in the order of time: every number comes, and only the one before may come again. Counts repeats.
    std::string judge(std::vector<Line> lines, const std::vector<std::string>& partitions, std::uint64_t count,
                      std::uint64_t& repeats) {
        std::sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.at < b.at; });
        for (const std::string& id : partitions) {
            std::uint64_t due = 0;
            for (const Line& line : lines) {
                if (line.partition != id) continue;
                if (line.number == due) {
                    ++due;
                } else if (line.number + 1 == due) {
                    ++repeats;
                } else {
                    return id + ": " + std::to_string(line.number) + " came where " + std::to_string(due) + " was due";
                }
            }
            if (due != count) return id + ": " + std::to_string(due) + " of " + std::to_string(count) + " came";
        }
        return {};
    }
};

TEST_F(ConsumeFaults, AKilledWorkerLosesNothingAndOnlyItsUnackedMessagesComeAgain) {
    make_stream();
    const auto partitions = ids(10);
    std::vector<Line> lines;
    std::uint64_t repeats = 0;
    std::uint64_t count = 0;
    {
        Child a(server_->url(), 10);
        Child b(server_->url(), 10);
        // Until both are at work; then more than can be handled before the kill.
        std::uint64_t published = 0;
        ASSERT_TRUE(eventually([&] {
            publish(partitions, 1);
            ++published;
            a.read();
            b.read(10ms);
            return a.lines.size() > 20 && b.lines.size() > 20;
        }));
        publish(partitions, 100);
        a.process().kill_now();
        a.read(100ms);
        publish(partitions, 20);
        published += 120;
        const auto all = [&] {
            b.read();
            std::set<std::pair<std::string, std::uint64_t>> distinct;
            for (const auto* child : {&a, &b}) {
                for (const Line& line : child->lines) distinct.emplace(line.partition, line.number);
            }
            return distinct.size() == 10 * published;
        };
        EXPECT_TRUE(eventually(all)) << a.lines.size() << " and " << b.lines.size();
        count = published;
        lines = a.lines;
        lines.insert(lines.end(), b.lines.begin(), b.lines.end());
        ASSERT_TRUE(b.process().send_line("stop"));
        const ExitStatus ended = b.process().wait(Seconds(10)).value_or(ExitStatus{});
        EXPECT_EQ(ended.code, 0) << ended.text();
    }
    EXPECT_EQ(judge(lines, partitions, count, repeats), "");
    EXPECT_LE(repeats, 10U);  // at most one per partition of the killed one
    RecordProperty("repeats", static_cast<int>(repeats));
}

TEST_F(ConsumeFaults, AStoppedProcessDoesNotHandleWhatIsNoLongerIts) {
    make_stream();
    const auto partitions = ids(6);
    Child a(server_->url(), 6);
    Child b(server_->url(), 6);
    std::uint64_t published = 0;
    ASSERT_TRUE(eventually([&] {
        publish(partitions, 1);
        ++published;
        a.read();
        b.read(10ms);
        return !a.lines.empty() && !b.lines.empty();
    }));
    const auto all_there = [&] {
        a.read();
        b.read();
        return a.lines.size() + b.lines.size() == published * 6;
    };
    ASSERT_TRUE(eventually(all_there)) << a.lines.size() << " and " << b.lines.size();
    ASSERT_TRUE(a.process().pause());
    publish(partitions, 20);
    published += 20;
    ASSERT_TRUE(eventually(all_there)) << a.lines.size() << " and " << b.lines.size();
    const std::size_t before = a.lines.size();
    ASSERT_TRUE(a.process().resume());
    // It is back when it owns and handles something again; until then it must not have handled what b did.
    ASSERT_TRUE(eventually([&] {
        publish(partitions, 1);
        ++published;
        a.read();
        b.read(50ms);
        return a.lines.size() > before;
    }));
    ASSERT_TRUE(eventually(all_there)) << a.lines.size() << " and " << b.lines.size();
    std::vector<Line> lines = a.lines;
    lines.insert(lines.end(), b.lines.begin(), b.lines.end());
    std::uint64_t repeats = 0;
    EXPECT_EQ(judge(lines, partitions, published, repeats), "");
    EXPECT_EQ(repeats, 0U);
    for (Child* child : {&a, &b}) {
        ASSERT_TRUE(child->process().send_line("stop"));
        EXPECT_EQ(child->process().wait(Seconds(10)).value_or(ExitStatus{}).code, 0);
    }
}

// Its lease outlives the pause, so everything stays its own; but the server sends what was in hand a second time meanwhile.
TEST_F(ConsumeFaults, AProcessStoppedForLongerThanAckWaitHandlesNothingTwice) {
    make_stream();
    constexpr int count = 6;
    const auto partitions = ids(count);
    Child a(server_->url(), count, {"200"});
    const auto all_there = [&](std::uint64_t published) {
        a.read();
        return a.lines.size() == published * count;
    };
    publish(partitions, 1);
    ASSERT_TRUE(eventually([&] { return all_there(1); }));
    std::uint64_t published = 1;
    const auto sent_again = [&] {
        return std::any_of(partitions.begin(), partitions.end(), [&](const std::string& id) {
            return consumer_info("c-p_" + id.substr(2)).value("num_redelivered", 0) > 0;
        });
    };
    // Each pause in the middle of a stream of messages; how many of them are in hand then is chance, so as often as it takes, and
    // three times.
    for (int times = 0, tries = 0; times < 3; ++tries) {
        ASSERT_LT(tries, 30) << "no pause met a message in hand";
        publish(partitions, 100);
        published += 100;
        const std::size_t before = a.lines.size();
        ASSERT_TRUE(eventually([&] {
            a.read();
            return a.lines.size() > before + 50;
        }));
        ASSERT_TRUE(a.process().pause());
        const auto since = std::chrono::steady_clock::now();
        // ack_wait is 200 ms
        ASSERT_TRUE(eventually([&] { return sent_again() || std::chrono::steady_clock::now() - since > 1s; }));
        if (sent_again()) ++times;
        ASSERT_TRUE(a.process().resume());
        ASSERT_TRUE(eventually([&] { return all_there(published); })) << a.lines.size() << " of " << published * count;
    }
    std::uint64_t repeats = 0;
    EXPECT_EQ(judge(a.lines, partitions, published, repeats), "");
    EXPECT_EQ(repeats, 0U);
    ASSERT_TRUE(a.process().send_line("stop"));
    EXPECT_EQ(a.process().wait(Seconds(10)).value_or(ExitStatus{}).code, 0);
}

TEST_F(ConsumeFaults, ADeletedDurableIsMadeAgainFromWhereItWas) {
    make_stream();
    const auto partitions = ids(2);
    publish(partitions, 25);
    Context context = connect();
    ConsumerConfig config = consuming();
    auto a = member(context, source(2), seen_.handler(), config);
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().acked == 50; }));
    // nats-server 2.9.10 may write the durable's state into the folder that it removes; deleted it is all the same.
    const auto deleted = raw_->api("CONSUMER.DELETE.ORDERS.c-p_1000");
    ASSERT_TRUE(deleted || deleted.error().find("directory not empty") != std::string::npos) << deleted.error();
    publish(partitions, 25);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 100; })) << notes_.text();
    EXPECT_EQ(seen_.in_order_once(partitions, 50), "");
    EXPECT_EQ(a->consumer->stats().recreations, 1U);
    EXPECT_TRUE(notes_.has_line("had vanished; it is made again from message"));
    EXPECT_TRUE(a->consumer->troubles().empty());
}

TEST_F(ConsumeFaults, AStreamMadeAnewIsReplayedOrSkippedAsConfiguredAndReported) {
    for (const bool replay : {true, false}) {
        SCOPED_TRACE(replay ? "replay" : "skip");
        published_.clear();
        make_stream();
        Seen seen;
        publish(ids(1), 10);
        Context context = connect();
        ConsumerConfig config = consuming();
        config.unknown_floor = replay ? UnknownFloor::replay : UnknownFloor::skip;
        auto a = member(context, source(1), seen.handler(), config);
        ASSERT_TRUE(eventually([&] { return a->consumer->stats().acked == 10; }));
        ASSERT_TRUE(raw_->api("STREAM.DELETE.ORDERS"));
        ASSERT_TRUE(eventually([&] { return !a->consumer->troubles().empty(); })) << notes_.text();
        make_stream();
        ASSERT_TRUE(eventually([&] { return a->consumer->troubles().empty(); })) << notes_.text();
        EXPECT_TRUE(notes_.has_line(replay ? "unknown_floor says replay" : "unknown_floor says skip")) << notes_.text();
        publish(ids(1), 5);
        ASSERT_TRUE(eventually([&] { return seen.total() == 15; })) << seen.total();
        ASSERT_TRUE(a->worker.stop());
        a.reset();
        ASSERT_TRUE(raw_->api("STREAM.DELETE.ORDERS"));
    }
}

// What a kill of nats-server 2.9.10 leaves behind when it falls between emptying a durable's file and writing it (durable-check
// counts them).
TEST_F(ConsumeFaults, ADurableThatTheServerForgotIsNotHandledFromTheBeginningAgain) {
    make_stream();
    const auto partitions = ids(2);
    publish(partitions, 25);
    Context context = connect();
    auto a = member(context, source(2), seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().acked == 50; }));
    ASSERT_TRUE(server_->kill());
    std::size_t emptied = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(server_->store())) {
        if (file.path().filename() != "o.dat" || file.path().parent_path().filename() != "c-p_1000") continue;
        std::filesystem::resize_file(file.path(), 0);
        ++emptied;
    }
    ASSERT_EQ(emptied, 1U);
    ASSERT_TRUE(server_->restart());
    publish(partitions, 25);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 100; })) << seen_.total() << notes_.text();
    EXPECT_EQ(seen_.in_order_once(partitions, 50), "");
    EXPECT_GE(a->consumer->stats().repeated, 25U) << "the server has delivered them again";
    EXPECT_EQ(a->consumer->stats().recreations, 0U);
}

// What the pull's end waits for is lost with the connection; nobody may wait for it until the drain timeout.
TEST_F(ConsumeFaults, AStopGoesOnWhenTheServerDiesInTheMiddleOfIt) {
    make_stream();
    publish(ids(2), 5);
    Context context = connect();
    Config patient = config();
    patient.timing.ttl = 120s;
    patient.timing.margin = 15s;
    patient.timing.heartbeat = 1s;
    patient.timing.drain_timeout = 60s;
    patient.timing.shutdown_timeout = 70s;
    Worker a = worker(context, source(2), patient);
    auto consumer = Consumer::make(a, consuming(), seen_.handler());
    ASSERT_TRUE(consumer && consumer->start());
    a.start();
    ASSERT_TRUE(eventually([&] { return seen_.total() == 10 && consumer->stats().acked == 10; })) << notes_.text();
    ASSERT_TRUE(server_->pause());
    Result<void> stopped = fail(Errc::internal, "not called");
    const auto since = std::chrono::steady_clock::now();
    std::thread stopping([&] { stopped = consumer->stop(); });
    EXPECT_TRUE(eventually([&] { return consumer->stats().consuming == 0; })) << "both pulls end, and the server does not answer";
    EXPECT_TRUE(server_->kill());
    EXPECT_TRUE(server_->restart());
    stopping.join();
    EXPECT_TRUE(stopped) << stopped.error().message();
    EXPECT_LT(std::chrono::steady_clock::now() - since, patient.timing.drain_timeout);
    ASSERT_TRUE(a.stop());
}

// The durable stays behind what was acknowledged, and there is nothing to take: as after a server's kill, here by hand while a
// drain waits for a handler. It is looked at eight times at most, and for a second at most.
TEST_F(ConsumeFaults, ADrainEndsWhenTheDurableStaysBehind) {
    make_stream();
    publish(ids(1), 21);
    Hold hold;
    Context context = connect();
    auto a = member(
        context, source(1),
        [&](Message& m) -> Result<void> {
            seen_.add(m);
            if (m.payload() == "20") hold.wait();
            return {};
        },
        consuming());
    ASSERT_TRUE(eventually([&] { return hold.inside() == 1; })) << notes_.text();
    natsSubscription* looks = nullptr;
    ASSERT_EQ(natsConnection_SubscribeSync(&looks, raw_->get(), "$JS.API.CONSUMER.INFO.ORDERS.c-p_1000"), NATS_OK);
    ASSERT_TRUE(raw_->flush());
    const auto looked = [&] {
        std::uint64_t count = 0;
        natsMsg* look = nullptr;
        while (natsSubscription_NextMsg(&look, looks, 1) == NATS_OK) {
            ++count;
            natsMsg_Destroy(look);
        }
        return count;
    };
    std::thread stopping([&] { EXPECT_TRUE(a->consumer->stop()); });
    std::uint64_t first = 0;
    EXPECT_TRUE(eventually([&] { return (first += looked()) == 1; })) << "the pull has ended";
    const auto config = consumer_info("c-p_1000")["config"];
    EXPECT_TRUE(raw_->api("CONSUMER.DELETE.ORDERS.c-p_1000"));
    EXPECT_TRUE(raw_->api("CONSUMER.DURABLE.CREATE.ORDERS.c-p_1000", {{"stream_name", "ORDERS"}, {"config", config}}));
    const auto taken = raw_->request("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c-p_1000", R"({"batch":1,"expires":5000000000})");
    EXPECT_TRUE(taken && *taken == "0") << "and is not acknowledged";
    static_cast<void>(looked());  // consumer_info() is one
    hold.open();
    stopping.join();
    const std::uint64_t more = looked();
    EXPECT_GE(more, 1U);
    EXPECT_LE(more, 7U);
    natsSubscription_Destroy(looks);
    EXPECT_EQ(seen_.in_order_once(ids(1), 21), "");
}

TEST_F(ConsumeFaults, ARestartedServerIsPulledFromAgain) {
    make_stream();
    const auto partitions = ids(4);
    publish(partitions, 25);
    Context context = connect();
    auto a = member(context, source(4), seen_.handler(), consuming());
    ASSERT_TRUE(eventually([&] { return a->consumer->stats().acked == 100; }));
    ASSERT_TRUE(server_->restart());
    publish(partitions, 25);
    ASSERT_TRUE(eventually([&] { return seen_.distinct() == 200; })) << seen_.total() << notes_.text();
    EXPECT_EQ(seen_.in_order_once(partitions, 50), "");
    EXPECT_GT(a->consumer->stats().pulls_lost, 0U);
}

}  // namespace
}  // namespace parti::test
