// A connection whose server stops reading: the writer that fills the socket comes back, and the link is known to be lost.
#include "runtime/connection.h"

#include <gtest/gtest.h>
#include <nats/nats.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "testutil/nats_server.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

template <class Condition>
bool eventually(Condition condition) {
    const auto deadline = Clock::now() + 30s;
    while (!condition()) {
        if (Clock::now() > deadline) return false;
        std::this_thread::sleep_for(5ms);  // between two looks
    }
    return true;
}

class FullSocket : public testing::Test {
protected:
    void SetUp() override {
        auto server = NatsServer::start({});
        ASSERT_TRUE(server) << server.error();
        server_.emplace(std::move(*server));
        ConnectOptions options;
        options.urls = {server_->url()};
        options.ping_interval = 200ms;
        auto made = runtime::Connection::open(options, std::make_shared<runtime::Logger>(nullptr),
                                              [this](auto link) { link.up ? ++ups_ : ++downs_; });
        ASSERT_TRUE(made) << made.error().message();
        connection_ = std::move(*made);
    }
    void TearDown() override {
        connection_.reset();
        if (server_) {
            EXPECT_TRUE(server_->stop());
        }
    }
    // Publishes until that fails; more than the buffers of both sides hold.
    void fill() {
        const std::string payload(256 * 1024, 'x');
        for (int i = 0; i < 1000; ++i) {
            if (natsConnection_PublishString(connection_->get(), "to.nobody", payload.c_str()) != NATS_OK) return;
        }
        ADD_FAILURE() << "nothing was ever full";
    }
    std::optional<NatsServer> server_;
    std::unique_ptr<runtime::Connection> connection_;
    std::atomic<int> ups_{0}, downs_{0};
};

TEST_F(FullSocket, ItsWriterComesBackAndTheLinkIsLost) {
    ASSERT_TRUE(server_->pause());
    std::atomic<bool> back{false};
    std::thread writer([&] {
        fill();
        back = true;
    });
    EXPECT_TRUE(eventually([&] { return back && downs_ > 0; })) << "nats.c waits with its lock held, and its pings with it";
    EXPECT_TRUE(server_->resume());  // without which the writer would never be joined
    writer.join();
    EXPECT_TRUE(eventually([&] { return ups_ > 0 && connection_->connected(); }));
    // The new socket is limited as well.
    const int downs = downs_;
    ASSERT_TRUE(server_->pause());
    std::atomic<bool> again{false};
    std::thread second([&] {
        fill();
        again = true;
    });
    EXPECT_TRUE(eventually([&] { return again && downs_ > downs; }));
    EXPECT_TRUE(server_->resume());
    second.join();
    EXPECT_TRUE(eventually([&] { return connection_->connected(); }));
}

}  // namespace
}  // namespace parti::test
