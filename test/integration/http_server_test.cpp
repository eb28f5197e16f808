// The small HTTP server: what its callers and its machine may do to it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "testutil/http_server.h"
#include "testutil/tcp_text.h"

namespace parti::test {
namespace {

constexpr std::chrono::seconds kTime{20};

HttpReply page(const std::string& path) {
    if (path == "/throws") throw std::runtime_error("what it was");
    return {200, "text/plain", "page " + path + "\n", false};
}

TEST(HttpServer, AFunctionThatThrowsIsAnAnswerAndTheNextOneIsServed) {
    const auto server = HttpServer::start(0, page, "throwing");
    ASSERT_TRUE(server) << server.error();
    const auto thrown = http_get((*server)->url(), "/throws", kTime);
    ASSERT_TRUE(thrown) << thrown.error();
    EXPECT_EQ(thrown->status, 500);
    EXPECT_EQ(thrown->body, "no answer: what it was\n");
    const auto next = http_get((*server)->url(), "/a?b=c", kTime);
    ASSERT_TRUE(next) << next.error();
    EXPECT_EQ(std::to_string(next->status) + " " + next->body, "200 page /a\n");
}

// What is told while a stream is being opened is in its body or comes as an event: once.
TEST(HttpServer, WorkRunsBetweenAnswersSoThatAStreamMissesNothingAndGetsNothingTwice) {
    std::vector<std::string> told;  // the server's thread only
    std::promise<void> opening, given;
    const auto server = HttpServer::start(0, [&](const std::string&) {
        opening.set_value();
        given.get_future().wait_for(kTime);
        std::string past;
        for (const std::string& text : told) past += HttpServer::event_text("e", text);
        return HttpReply{200, "", past, true};
    });
    ASSERT_TRUE(server) << server.error();
    const auto say = [&](const std::string& text) {
        (*server)->run([&, text] {
            told.push_back(text);
            (*server)->send_event("e", text);
        });
    };
    say("before");
    auto reader = TcpText::connect({"127.0.0.1", (*server)->port()}, kTime);
    ASSERT_TRUE(reader) << reader.error();
    ASSERT_TRUE(reader->send("GET /events HTTP/1.1\r\n\r\n", kTime));
    ASSERT_EQ(opening.get_future().wait_for(kTime), std::future_status::ready);
    say("meanwhile");
    given.set_value();
    say("last");
    std::string seen;
    for (std::string line; line != "data: last";) {
        auto read = reader->read_line(kTime);
        ASSERT_TRUE(read) << read.error() << " after " << seen;
        line = *read;
        if (line.rfind("data: ", 0) == 0) seen += line.substr(6) + " ";
    }
    EXPECT_EQ(seen, "before meanwhile last ");
}

// How often the thread of this name has gone to sleep, read through one descriptor.
class Sleeps {
public:
    explicit Sleeps(const std::string& thread) {
        for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
            std::string name;
            std::getline(std::ifstream(task.path() / "comm"), name);
            if (name == thread) fd_ = ::open((task.path() / "status").c_str(), O_RDONLY | O_CLOEXEC);
        }
    }
    Sleeps(const Sleeps&) = delete;
    Sleeps& operator=(const Sleeps&) = delete;
    ~Sleeps() { ::close(fd_); }
    long count() const {
        char text[8192];
        const ssize_t n = ::pread(fd_, text, sizeof text - 1, 0);
        if (n <= 0) return -1;
        const std::string status(text, static_cast<std::size_t>(n));
        const std::string key = "\nvoluntary_ctxt_switches:";
        const auto at = status.find(key);
        return at == std::string::npos ? -1 : std::strtol(status.c_str() + at + key.size(), nullptr, 10);
    }

private:
    int fd_ = -1;
};

TEST(HttpServer, WhereNoDescriptorIsFreeAConnectionWaitsAndIsServed) {
    const auto server = HttpServer::start(0, page, "starving");
    ASSERT_TRUE(server) << server.error();
    const Sleeps sleeps("starving");
    ASSERT_GE(sleeps.count(), 0);
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(client, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons((*server)->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    rlimit usual{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
    const int lowest_free = ::dup(client);
    ASSERT_GE(lowest_free, 0);
    ::close(lowest_free);
    rlimit none_free = usual;
    none_free.rlim_cur = static_cast<rlim_t>(lowest_free);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none_free), 0);
    const long before = sleeps.count();
    const int connected = ::connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    // It wakes, is refused a descriptor, and sleeps again.
    const auto deadline = std::chrono::steady_clock::now() + kTime;
    while (sleeps.count() <= before && std::chrono::steady_clock::now() < deadline) ::sched_yield();
    const long after = sleeps.count();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
    ASSERT_EQ(connected, 0);
    ASSERT_GT(after, before);

    const std::string request = "GET /waited HTTP/1.0\r\n\r\n";
    ASSERT_EQ(::send(client, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    const timeval limit{kTime.count(), 0};
    ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::string answer;
    char bytes[4096];
    for (ssize_t n = 0; (n = ::recv(client, bytes, sizeof bytes, 0)) > 0;) answer.append(bytes, static_cast<std::size_t>(n));
    ::close(client);
    EXPECT_NE(answer.find("page /waited\n"), std::string::npos) << "'" << answer << "'";
    const auto another = http_get((*server)->url(), "/another", kTime);
    ASSERT_TRUE(another) << another.error();
    EXPECT_EQ(another->status, 200);
}

}  // namespace
}  // namespace parti::test
