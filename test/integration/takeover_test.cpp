// instance_takeover: a process that comes back under its name takes its number; the one before stops.
#include "operator_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class Takeover : public OperatorTest {
protected:
    static constexpr const char* kTrust = R"({"instance":"pod-a","instance_takeover":"trust"})";

    Host named_host(const std::string& label) {
        return host({"--workers", "1", "--partitions", "8", "--autostart", "--label", label, "--config", kTrust});
    }
    static std::optional<std::uint64_t> number(Host& h) {
        const auto status = h.ask("status", "status");
        if (!status || status->at("workers").empty() || status->at("workers")[0].at("number").is_null()) return std::nullopt;
        return status->at("workers")[0].at("number").get<std::uint64_t>();
    }
};

TEST_F(Takeover, ASecondProcessTakesTheNumberAndTheFirstStops) {
    Host a = named_host("a");
    ASSERT_TRUE(a.wait("covered"));
    const auto before = number(a);
    ASSERT_TRUE(before);
    Host b = named_host("b");
    ASSERT_TRUE(b.wait("covered"));
    EXPECT_EQ(number(b), before);
    const auto error = a.wait("error");
    ASSERT_TRUE(error);
    EXPECT_NE(error->at("error").get<std::string>().find("instance_replaced: worker "), std::string::npos) << *error;
    std::string state;
    while (state != "Stopped") {
        const auto event = a.wait("state");
        ASSERT_TRUE(event) << "the first process does not stop";
        state = event->at("to").get<std::string>();
    }
    EXPECT_TRUE(a.ask("quit", "bye"));
    EXPECT_TRUE(b.ask("quit", "bye"));
}

TEST_F(Takeover, AFrozenProcessThatWakesFindsItsNumberTakenAndStops) {
    Host a = named_host("a");
    ASSERT_TRUE(a.wait("covered"));
    ASSERT_TRUE(a.process().pause());
    Host b = named_host("b");
    ASSERT_TRUE(b.wait("covered"));
    ASSERT_TRUE(a.process().resume());
    std::string error;
    while (error.find("instance_replaced") == std::string::npos) {
        const auto event = a.wait("error");
        ASSERT_TRUE(event) << "it does not notice";
        error = event->at("error").get<std::string>();
    }
    EXPECT_TRUE(a.ask("quit", "bye"));
    EXPECT_TRUE(b.ask("quit", "bye"));
}

TEST_F(Takeover, TheReplacedWorkerSaysWhyItStopped) {
    Config named = config();
    named.instance = "pod-a";
    named.instance_takeover = InstanceTakeover::trust;
    Context first = connect();
    Context second = connect();
    Worker a = started(first, source(4), named);
    ASSERT_TRUE(eventually([&] { return covered({&a}, 4); }));
    const auto number = a.number();
    Worker b = started(second, source(4), named);
    ASSERT_TRUE(eventually([&] { return a.state() == State::stopped && covered({&b}, 4); }));
    EXPECT_EQ(b.number(), number);
    const auto again = a.wait_for(State::stable, 10s);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::instance_replaced) << again.error().message();
    EXPECT_NE(again.error().detail.find("'pod-a'"), std::string::npos) << again.error().message();
    EXPECT_TRUE(a.assignment().empty());
    EXPECT_EQ(a.stats().states_entered[static_cast<std::size_t>(State::stopped)], 1U);
    ASSERT_TRUE(heartbeats_pass(b, 4));
    EXPECT_TRUE(covered({&b}, 4)) << "nobody takes it back";
}

}  // namespace
}  // namespace parti::test
