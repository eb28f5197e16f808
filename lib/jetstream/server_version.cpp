#include "jetstream/server_version.h"

#include <cstdio>
#include <memory>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>

#include "jetstream/json.h"

namespace parti::jetstream {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t kGreetingBytesMax = 64U << 10U;

std::pair<std::string, std::string> host_and_port(std::string url) {
    if (const auto scheme = url.find("://"); scheme != std::string::npos) url.erase(0, scheme + 3);
    if (const auto user = url.rfind('@'); user != std::string::npos) url.erase(0, user + 1);
    url.erase(std::min(url.find('/'), url.size()));
    const auto colon = url.rfind(':');
    std::string host = url.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    return {host, colon == std::string::npos ? "4222" : url.substr(colon + 1)};
}

class GreetingReader : public std::enable_shared_from_this<GreetingReader> {
public:
    GreetingReader(asio::io_context& io, std::function<void(Result<Version>)> handler)
        : socket_(io), resolver_(io), timer_(io), buffer_(kGreetingBytesMax), handler_(std::move(handler)) {}

    void start(const std::string& url, Duration timeout) {
        const auto [host, port] = host_and_port(url);
        timer_.expires_after(timeout);
        timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (!error) self->finish(fail(Errc::timeout, "the server's greeting"));
        });
        boost::system::error_code not_an_address;
        const auto address = asio::ip::make_address(host, not_an_address);
        const auto number = parse_number(port);
        if (!number || *number > 65'535) return finish(fail(Errc::invalid_argument, "port of " + url));
        if (!not_an_address) {
            return socket_.async_connect(
                tcp::endpoint(address, static_cast<std::uint16_t>(*number)),
                [self = shared_from_this()](const boost::system::error_code& error) { self->connected(error); });
        }
        resolver_.async_resolve(
            host, port, [self = shared_from_this()](const boost::system::error_code& error, tcp::resolver::results_type found) {
                if (error) return self->connected(error);
                asio::async_connect(self->socket_, found, [self](const boost::system::error_code& failed, const tcp::endpoint&) {
                    self->connected(failed);
                });
            });
    }

private:
    void connected(const boost::system::error_code& error) {
        if (error) return finish(fail(Errc::link_down, "the server's greeting: " + error.message()));
        asio::async_read_until(
            socket_, buffer_, '\n', [self = shared_from_this()](const boost::system::error_code& failed, std::size_t size) {
                if (failed) return self->finish(fail(Errc::unsupported_server, "the server does not greet: " + failed.message()));
                const auto data = self->buffer_.data();
                const std::string line(asio::buffers_begin(data), asio::buffers_begin(data) + static_cast<std::ptrdiff_t>(size));
                if (line.rfind("INFO ", 0) != 0)
                    return self->finish(fail(Errc::unsupported_server, "the server's greeting is not an INFO line"));
                self->finish(parse_version(parse_greeting_version(std::string_view(line).substr(5))));
            });
    }
    void finish(Result<Version> result) {
        auto handler = std::exchange(handler_, nullptr);
        if (!handler) return;
        boost::system::error_code ignored;
        timer_.cancel();
        resolver_.cancel();
        socket_.close(ignored);
        handler(std::move(result));
    }

    tcp::socket socket_;
    tcp::resolver resolver_;
    asio::steady_timer timer_;
    asio::streambuf buffer_;
    std::function<void(Result<Version>)> handler_;
};

}  // namespace

Result<Version> parse_version(const std::string& text) {
    Version version;
    if (std::sscanf(text.c_str(), "%d.%d.%d", &version.major, &version.minor, &version.patch) !=
        3) {  // NOLINT: digits only, bounded by the line
        return fail(Errc::invalid_argument, "server version \"" + text + "\" is not of the form 2.9.10");
    }
    return version;
}

std::string to_string(const Version& version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor) + "." + std::to_string(version.patch);
}

void read_server_version(asio::io_context& io, const std::string& url, Duration timeout,
                         std::function<void(Result<Version>)> handler) {
    std::make_shared<GreetingReader>(io, std::move(handler))->start(url, timeout);
}

Result<std::string> replicas_supported(std::uint32_t replicas, const Version& version) {
    if (replicas <= 1 || version >= Version{2, 11, 0}) return std::string();
    if (version < Version{2, 9, 21}) {
        return fail(Errc::unsupported_server,
                    "replicas (" + std::to_string(replicas) + ") above 1 need nats-server >= 2.9.21, the connected one is " +
                        to_string(version) + ": its compare-and-set is not atomic on replicated streams");
    }
    return "replicas " + std::to_string(replicas) + " on nats-server " + to_string(version) +
           ": compare-and-set is not atomic across a change of the stream's leader before 2.11";
}

}  // namespace parti::jetstream
