// A connection whose server stops reading: the writer that fills the socket comes back, and the link is known to be lost. And
// one that signs a nonce for which nats.c sends no signature.
#include "runtime/connection.h"

#include <gtest/gtest.h>
#include <nats/nats.h>
#include <boost/asio.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "testutil/nats_server.h"
#include "testutil/sweep.h"

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

// A server's first words, on loopback: each connection has the next nonce to sign, and is let in or refused.
class Greeter {
public:
    enum class Welcomes { whoever_signs, nobody };
    Greeter(std::vector<std::string> nonces, Welcomes welcomes)
        : nonces_(std::move(nonces)), welcomes_(welcomes), thread_([this] { serve(); }) {}
    ~Greeter() {
        over_ = true;
        boost::asio::ip::tcp::iostream(acceptor_.local_endpoint());  // wakes it
        thread_.join();
    }
    std::string url() const { return "nats://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
    int asked() const { return asked_; }

private:
    void serve() {
        for (;;) {
            auto& client = clients_.emplace_back();
            acceptor_.accept(client.socket());
            if (over_) return;
            client.expires_after(20s);
            const std::string& nonce = nonces_.at(static_cast<std::size_t>(asked_++) % nonces_.size());
            client << R"(INFO {"server_id":"x","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576,)"
                   << R"("auth_required":true,"nonce":")" << nonce << "\"}\r\n"
                   << std::flush;
            std::string connects, pings;
            std::getline(client, connects);
            std::getline(client, pings);
            const std::size_t at = connects.find("\"sig\":\"");
            const bool is_signed = at != std::string::npos && connects[at + 7] != '"';
            if (is_signed && welcomes_ == Welcomes::whoever_signs) {
                client << "PONG\r\n" << std::flush;
            } else {
                client << "-ERR 'Authorization Violation'\r\n" << std::flush;
                client.close();
            }
        }
    }

    const std::vector<std::string> nonces_;
    const Welcomes welcomes_;
    boost::asio::io_context io_;
    boost::asio::ip::tcp::acceptor acceptor_{io_, {boost::asio::ip::make_address("127.0.0.1"), 0}};
    std::list<boost::asio::ip::tcp::iostream> clients_;
    std::atomic<int> asked_{0};
    std::atomic<bool> over_{false};
    std::thread thread_;
};

class SignedNonce : public testing::Test {
protected:
    static constexpr const char* kSeed = "SUAC7QIXVEO3HYISDFDM6RULJOXSEK5YN4IEV2EARAQQQIUA37SYHEIJ34";

    void SetUp() override {
        ASSERT_EQ(nats_Open(-1), NATS_OK);
        auto folder = TempFolder::make("nkey");
        ASSERT_TRUE(folder) << folder.error();
        folder_.emplace(std::move(*folder));
        std::ofstream(folder_->path() + "/seed") << kSeed << "\n";
    }
    // The first nonce whose signature begins with a byte of 0, or with another one.
    static std::string nonce(bool with_zero) {
        for (int i = 0; i < 10'000; ++i) {
            const std::string text = "nonce" + std::to_string(i);
            unsigned char* signature = nullptr;
            int size = 0;
            if (nats_Sign(kSeed, text.c_str(), &signature, &size) != NATS_OK || size == 0) break;
            const bool zero = signature[0] == 0;
            std::free(signature);
            if (zero == with_zero) return text;
        }
        ADD_FAILURE() << "no such nonce";
        return {};
    }
    Result<std::unique_ptr<runtime::Connection>> open(const Greeter& server) {
        ConnectOptions options;
        options.urls = {server.url()};
        options.nkey_public = "UBMXI53SWJBEITBUE7PR7QX2XI4FJ4YKIFQPGPYAS247DMYIESPAIKAA";
        options.nkey_seed_file = folder_->path() + "/seed";
        return runtime::Connection::open(options, std::make_shared<runtime::Logger>(nullptr), [](auto) {});
    }
    std::optional<TempFolder> folder_;
};

TEST_F(SignedNonce, OneThatNatsCSendsNoSignatureForIsFollowedByAnother) {
    const Greeter server({nonce(true), nonce(false)}, Greeter::Welcomes::whoever_signs);
    const auto connection = open(server);
    ASSERT_TRUE(connection) << connection.error().message();
    EXPECT_LE(server.asked(), 2);  // once, where nats.c sends it
}

TEST_F(SignedNonce, ARefusalOfThreeIsBelieved) {
    const Greeter server({nonce(false)}, Greeter::Welcomes::nobody);
    const auto connection = open(server);
    ASSERT_FALSE(connection);
    EXPECT_EQ(connection.error().code, Errc::permission) << connection.error().message();
    EXPECT_EQ(server.asked(), 3);
}

}  // namespace
}  // namespace parti::test
