#include "http_server.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <optional>
#include <set>
#include <string_view>
#include <thread>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace parti::test {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;

constexpr std::chrono::seconds kRequestTime{10};
constexpr std::uint32_t kMostHead = 8192;
constexpr std::size_t kMostUnsent = 1000;
constexpr std::chrono::seconds kLinger{2};
constexpr std::size_t kMostDrained = 1U << 20U;
constexpr std::chrono::milliseconds kAcceptPause{50};

bool is_loopback_name(std::string_view host) {
    const std::size_t colon = host.rfind(':');
    if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) host = host.substr(0, colon);
    return host.empty() || host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

class Connection;

// What the connections share; used by the server's thread only.
struct Shared {
    HttpServer::Answer answer;
    std::set<std::shared_ptr<Connection>> open;
};

class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(Tcp::socket socket, Shared& shared) : stream_(std::move(socket)), shared_(shared) {}

    void read() {
        parser_.emplace();
        parser_->header_limit(kMostHead);
        parser_->body_limit(0U);
        stream_.expires_after(kRequestTime);
        http::async_read(stream_, buffer_, *parser_,
                         [self = shared_from_this()](beast::error_code error, std::size_t) { self->answer(error); });
    }

    void send(const std::string& text) {
        if (!streaming_) return;
        if (unsent_.size() >= kMostUnsent) return close();
        unsent_.push_back(text);
        if (unsent_.size() == 1) write_event();
    }

    void close() {
        beast::error_code ignored;
        stream_.socket().close(ignored);
        streaming_ = false;
        shared_.open.erase(shared_from_this());
    }

private:
    void answer(beast::error_code error) {
        if (error == http::error::end_of_stream || error == beast::error::timeout || error == asio::error::operation_aborted ||
            error == asio::error::connection_reset || error == asio::error::eof) {
            return close();
        }
        if (error)
            return reply({400, "text/plain; charset=utf-8", "bad request: " + error.message() + "\n", false}, false, false);
        const auto& request = parser_->get();
        const auto host = request[http::field::host];
        const bool head = request.method() == http::verb::head;
        if (!is_loopback_name({host.data(), host.size()}))
            return reply({403, "text/plain; charset=utf-8", "the host must be loopback\n", false}, false, head);
        if (!head && request.method() != http::verb::get)
            return reply({405, "text/plain; charset=utf-8", "GET and HEAD only\n", false}, false, false);
        std::string path(request.target().data(), request.target().size());
        path.erase(std::min(path.find('?'), path.size()));
        reply(answer_to(path), request.keep_alive(), head);
    }

    HttpReply answer_to(const std::string& path) const {
        try {
            return shared_.answer(path);
        } catch (const std::exception& e) {  // a page must not end the program that shows it
            return {500, "text/plain; charset=utf-8", std::string("no answer: ") + e.what() + "\n", false};
        }
    }

    void reply(const HttpReply& from, bool keep, bool head) {
        if (from.stream && !head) return open_stream(from.body);
        reply_ = http::response<http::string_body>(http::status(from.status), 11);
        reply_.set(http::field::cache_control, "no-store");
        reply_.set(http::field::content_type, from.stream ? "text/event-stream" : from.type);
        reply_.set("X-Content-Type-Options", "nosniff");
        if (!head) reply_.body() = from.body;
        reply_.keep_alive(keep);
        reply_.content_length(from.body.size());
        stream_.expires_after(kRequestTime);
        http::async_write(stream_, reply_, [self = shared_from_this(), keep](beast::error_code error, std::size_t) {
            if (error || !keep) return self->finish();
            self->read();
        });
    }

    // No length: it goes on until someone closes. Events from now on follow what is written first.
    void open_stream(const std::string& past) {
        streaming_ = true;
        unsent_.push_back(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
            "nosniff\r\n\r\n" +
            past);
        write_event();
        watch_for_the_end();
    }

    // Reads and forgets what still comes, so that the answer is not lost with a connection that is reset.
    void finish() {
        beast::error_code ignored;
        stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
        stream_.expires_after(kLinger);
        drain(kMostDrained);
    }

    void drain(std::size_t most) {
        buffer_.clear();
        stream_.async_read_some(buffer_.prepare(kMostHead),
                                [self = shared_from_this(), most](beast::error_code error, std::size_t n) {
                                    if (error || n >= most) return self->close();
                                    self->drain(most - n);
                                });
    }

    // A reader of events says nothing more; what comes is its end.
    void watch_for_the_end() {
        stream_.socket().async_wait(Tcp::socket::wait_read, [self = shared_from_this()](beast::error_code) { self->close(); });
    }

    void write_event() {
        stream_.expires_after(kRequestTime);
        asio::async_write(stream_, asio::buffer(unsent_.front()),
                          [self = shared_from_this()](beast::error_code error, std::size_t) {
                              if (error) return self->close();
                              self->stream_.expires_never();
                              self->unsent_.pop_front();
                              if (self->streaming_ && !self->unsent_.empty()) self->write_event();
                          });
    }

    beast::tcp_stream stream_;
    Shared& shared_;
    beast::flat_buffer buffer_{kMostHead * 2};
    std::optional<http::request_parser<http::string_body>> parser_;
    http::response<http::string_body> reply_;
    std::deque<std::string> unsent_;
    bool streaming_ = false;
};

}  // namespace

struct HttpServer::Impl {
    asio::io_context io{1};
    Tcp::acceptor acceptor{io};
    asio::steady_timer pause{io};
    Shared shared;
    std::uint16_t port = 0;
    std::thread thread;

    void accept() {
        acceptor.async_accept([this](beast::error_code error, Tcp::socket socket) {
            if (!acceptor.is_open()) return;
            if (error) {  // no descriptor is free, or who asked is gone: others may come
                pause.expires_after(kAcceptPause);
                return pause.async_wait([this](beast::error_code) {
                    if (acceptor.is_open()) accept();
                });
            }
            if (shared.open.size() < kMostConnections) {
                const auto connection = std::make_shared<Connection>(std::move(socket), shared);
                shared.open.insert(connection);
                connection->read();
            }
            accept();
        });
    }
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Outcome<std::unique_ptr<HttpServer>> HttpServer::start(std::uint16_t port, Answer answer, const std::string& thread_name) {
    auto impl = std::make_unique<Impl>();
    const Tcp::endpoint at(asio::ip::address_v4::loopback(), port);
    beast::error_code error;
    static_cast<void>(impl->acceptor.open(at.protocol(), error));
    if (!error) static_cast<void>(impl->acceptor.set_option(Tcp::acceptor::reuse_address(true), error));
    if (!error) static_cast<void>(impl->acceptor.bind(at, error));
    if (!error) static_cast<void>(impl->acceptor.listen(Tcp::acceptor::max_listen_connections, error));
    if (error) return failure("127.0.0.1:" + std::to_string(port) + ": cannot listen: " + error.message());
    impl->port = impl->acceptor.local_endpoint().port();
    impl->shared.answer = std::move(answer);
    impl->accept();
    impl->thread = std::thread([raw = impl.get()] { raw->io.run(); });
    ::pthread_setname_np(impl->thread.native_handle(), thread_name.substr(0, 15).c_str());
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::~HttpServer() {
    asio::post(impl_->io, [this] {
        beast::error_code ignored;
        impl_->acceptor.close(ignored);
        impl_->pause.cancel();
        const auto open = impl_->shared.open;  // close() takes each out of the set
        for (const auto& connection : open) connection->close();
    });
    impl_->thread.join();
}

std::uint16_t HttpServer::port() const { return impl_->port; }

std::string HttpServer::event_text(const std::string& event, const std::string& data) {
    return "event: " + event + "\ndata: " + data + "\n\n";
}

void HttpServer::run(std::function<void()> work) { asio::post(impl_->io, std::move(work)); }

void HttpServer::send_event(const std::string& event, const std::string& data) {
    asio::dispatch(impl_->io, [this, text = event_text(event, data)] {
        const auto open = impl_->shared.open;
        for (const auto& connection : open) connection->send(text);
    });
}

}  // namespace parti::test
