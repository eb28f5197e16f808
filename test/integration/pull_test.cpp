// Pull over a real nats-server: what goes straight on from nats.c's thread, what comes by the io thread, and the end.
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nats/nats.h>
#include <nlohmann/json.hpp>

#include "jetstream/json.h"
#include "jetstream/pull.h"
#include "kv_contract_world.h"

namespace parti::testutil {
namespace {

using jetstream::Message;
using std::chrono::seconds;

class PullTest : public testing::Test {
protected:
    void SetUp() override {
        auto link = jetstream::Link::open(world_.io(), mine_.get(), world_.options, nullptr);
        ASSERT_TRUE(link) << link.error().message();
        link_ = std::move(*link);
        const auto made = [&](const std::string& subject, const std::string& body) {
            const std::string answer = world_.ask("$JS.API." + subject, body);
            EXPECT_EQ(answer.find("\"error\""), std::string::npos) << answer;
        };
        made("STREAM.CREATE.s", R"({"name":"s","subjects":["m"],"storage":"memory"})");
        made("CONSUMER.DURABLE.CREATE.s.d",
             R"({"stream_name":"s","config":{"durable_name":"d","ack_policy":"explicit","max_ack_pending":20000}})");
        jetstream::Pull::Handlers handlers;
        handlers.on_message = [this](Message message) { note(message, indirect_); };
        handlers.on_status = [this](jetstream::PullStatus, const std::string&) { ++statuses_; };
        handlers.take_direct = [this](Message& message) {
            if (!takes_) return false;
            note(message, direct_);
            if (inside_) inside_();
            return true;
        };
        pull_ = std::make_shared<jetstream::Pull>(link_, "s", "d", jetstream::Pull::Timing{seconds(30), {}}, std::move(handlers));
        ASSERT_TRUE(pull_->open());
    }
    void TearDown() override {
        pull_.reset();
        link_->close();
    }
    // Into the stream; message k has sequence k.
    void store(std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) ASSERT_EQ(natsConnection_PublishString(its_.get(), "m", "x"), NATS_OK);
        ASSERT_EQ(natsConnection_Flush(its_.get()), NATS_OK);
    }
    void note(const Message& message, std::atomic<std::uint64_t>& count) {
        const auto info = jetstream::parse_delivery(jetstream::reply_subject(message));
        const std::lock_guard lock(mutex_);
        seen_.push_back(info ? info->stream_sequence : 0);
        ++count;
    }
    // Its socket, found by its local port.
    static void cut(natsConnection* connection) {
        char* ip = nullptr;
        int port = 0;
        ASSERT_EQ(natsConnection_GetLocalIPAndPort(connection, &ip, &port), NATS_OK);
        std::free(ip);
        int found = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            const int fd = std::atoi(entry.path().filename().c_str());
            sockaddr_in address{};
            socklen_t length = sizeof address;
            if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 || address.sin_family != AF_INET) continue;
            if (ntohs(address.sin_port) == port && shutdown(fd, SHUT_RDWR) == 0) ++found;
        }
        ASSERT_EQ(found, 1);
    }
    bool wait(const std::function<bool()>& condition) { return world_.run_until(condition, seconds(10)); }
    // 1, 2, 3 ... in the order in which they came.
    std::string in_order(std::uint64_t count) {
        const std::lock_guard lock(mutex_);
        for (std::uint64_t i = 0; i < seen_.size(); ++i) {
            if (seen_[i] != i + 1) return "message " + std::to_string(seen_[i]) + " at place " + std::to_string(i + 1);
        }
        return seen_.size() == count ? "" : std::to_string(seen_.size()) + " messages";
    }

    NatsWorld world_{contract_seed()};
    const Connection mine_ = connect(world_.server().url());
    const Connection its_ = connect(world_.server().url());
    std::shared_ptr<jetstream::Link> link_;
    std::atomic<bool> takes_{true};
    std::function<void()> inside_;  // of take_direct; set before there are messages
    std::atomic<std::uint64_t> direct_{0}, indirect_{0};
    int statuses_ = 0;
    std::mutex mutex_;
    std::vector<std::uint64_t> seen_;
    std::shared_ptr<jetstream::Pull> pull_;
};

TEST_F(PullTest, WhatGoesStraightOnIsCountedAsDelivered) {
    ASSERT_TRUE(pull_->request(10, 0));
    store(4);
    ASSERT_TRUE(wait([&] { return direct_ == 4; }));
    EXPECT_TRUE(wait([&] { return pull_->outstanding() == 6; })) << pull_->outstanding();
    takes_ = false;
    store(2);
    EXPECT_TRUE(wait([&] { return indirect_ == 2; })) << "what is not taken comes on the io thread";
    EXPECT_EQ(pull_->outstanding(), 4U);
    takes_ = true;
    pull_->take_indirect();
    store(3);
    ASSERT_TRUE(wait([&] { return indirect_ == 5; }));
    EXPECT_EQ(direct_, 4U);
    EXPECT_EQ(pull_->outstanding(), 1U);
    EXPECT_EQ(in_order(9), "");
}

TEST_F(PullTest, StatusesNeverGoStraightOn) {
    ASSERT_TRUE(pull_->request(10, 0));
    store(1);
    ASSERT_TRUE(wait([&] { return direct_ == 1; }));
    world_.ask("$JS.API.CONSUMER.DELETE.s.d", "");
    EXPECT_TRUE(wait([&] { return statuses_ == 1; }));
    EXPECT_EQ(direct_, 1U);
    EXPECT_EQ(pull_->outstanding(), 0U);
}

// Messages come in a stream while the pull is ended: what the server has sent by then comes, once and in order and before the end
// is told; what it had not sent yet, and what is stored afterwards, reaches nobody.
TEST_F(PullTest, AnEndInTheMiddleOfAStreamLeavesNoGapAndDoublesNothing) {
    constexpr std::uint32_t count = 5000;
    ASSERT_NO_FATAL_FAILURE(store(count));
    ASSERT_TRUE(pull_->request(count, 0));
    ASSERT_TRUE(wait([&] { return direct_ >= 100; }));
    int ended = 0;
    std::uint64_t seen_by_then = 0;
    pull_->end(count, [&] {
        ++ended;
        seen_by_then = direct_ + indirect_;
    });
    const std::uint64_t straight = direct_;
    EXPECT_TRUE(wait([&] { return ended == 1; }));
    EXPECT_GE(seen_by_then, straight);
    EXPECT_EQ(direct_, straight) << "after end() nothing goes straight on";
    EXPECT_EQ(in_order(seen_by_then), "");
    ASSERT_NO_FATAL_FAILURE(store(3));
    ASSERT_EQ(natsConnection_Flush(mine_.get()), NATS_OK);  // it would have been delivered by now
    world_.io().poll();
    EXPECT_EQ(in_order(seen_by_then), "");
    EXPECT_EQ(ended, 1);
}

// A server that was reconnected to counts a subscription's deliveries from 0: it would keep one that is to end after so many, and
// with it the request, which takes messages that then reach nobody.
TEST_F(PullTest, AnEndAfterAReconnectLeavesNoRequestBehind) {
    ASSERT_TRUE(pull_->request(100, 0));
    ASSERT_NO_FATAL_FAILURE(store(50));
    ASSERT_TRUE(wait([&] { return direct_ == 50; }));
    const std::uint64_t before = link_->reconnects();
    ASSERT_NO_FATAL_FAILURE(cut(mine_.get()));
    ASSERT_TRUE(wait([&] { return link_->reconnects() > before && link_->connected(); }));
    ASSERT_TRUE(pull_->request(100, 0));  // of a feed that has not looked since
    int ended = 0;
    pull_->end(1, [&] { ++ended; });
    EXPECT_TRUE(wait([&] { return ended == 1; }));
    ASSERT_EQ(natsConnection_Flush(mine_.get()), NATS_OK);
    const auto waiting = [&] {
        const auto info = nlohmann::json::parse(world_.ask("$JS.API.CONSUMER.INFO.s.d", ""), nullptr, false);
        return info.is_object() ? info.value("num_waiting", -1) : -1;
    };
    EXPECT_TRUE(wait([&] { return waiting() == 0; })) << waiting() << " requests wait";
}

// close() returns only when nobody is inside take_direct: what that works on may go then. The one inside looks for a while
// whether it does.
TEST_F(PullTest, CloseWaitsForTheMessageThatIsBeingTakenAndNoneFollows) {
    std::atomic<bool> entered{false}, closing{false}, closed{false}, closed_meanwhile{false}, left{false};
    inside_ = [&] {
        if (entered.exchange(true)) return;
        const auto until = [](const std::atomic<bool>& what, std::chrono::milliseconds patience) {
            const auto deadline = std::chrono::steady_clock::now() + patience;
            while (!what && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
            return what.load();
        };
        if (until(closing, seconds(10))) closed_meanwhile = until(closed, std::chrono::milliseconds(100));
        left = true;
    };
    constexpr std::uint32_t count = 100;
    ASSERT_TRUE(pull_->request(count, 0));
    ASSERT_NO_FATAL_FAILURE(store(count));
    ASSERT_TRUE(wait([&] { return entered.load(); }));
    closing = true;
    pull_->close();
    closed = true;
    ASSERT_TRUE(wait([&] { return left.load(); }));
    const std::uint64_t straight = direct_;
    EXPECT_FALSE(closed_meanwhile) << "closed while a message was being taken";
    ASSERT_EQ(natsConnection_Flush(mine_.get()), NATS_OK);
    world_.io().poll();
    EXPECT_EQ(direct_, straight);
    EXPECT_EQ(indirect_, 0U);
    EXPECT_EQ(in_order(straight), "");
}

}  // namespace
}  // namespace parti::testutil
