#include "tcp_text.h"

#ifndef BOOST_ASIO_DISABLE_CO_AWAIT
#define BOOST_ASIO_DISABLE_CO_AWAIT
#endif
#include <boost/asio/ip/tcp.hpp>

#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

namespace parti::test {
namespace {

using Milliseconds = std::chrono::milliseconds;
constexpr std::size_t payload_bytes_max = 64U << 20U;

template <class Number>
bool parse_number(const std::string& text, Number& value) {
    const auto end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    return result.ec == std::errc() && result.ptr == end;
}

std::vector<std::string> words_of(const std::string& line) {
    std::vector<std::string> words;
    std::size_t begin = 0;
    while ((begin = line.find_first_not_of(" \t", begin)) != std::string::npos) {
        const auto end = std::min(line.find_first_of(" \t", begin), line.size());
        words.push_back(line.substr(begin, end - begin));
        begin = end;
    }
    return words;
}

}  // namespace

Outcome<Endpoint> parse_url(const std::string& url) {
    const auto scheme = url.find("://");
    std::string rest = scheme == std::string::npos ? url : url.substr(scheme + 3);
    rest = rest.substr(0, rest.find('/'));
    if (const auto at = rest.rfind('@'); at != std::string::npos) rest = rest.substr(at + 1);
    const auto colon = rest.rfind(':');
    Endpoint to;
    if (colon == std::string::npos || colon == 0 || !parse_number(rest.substr(colon + 1), to.port) || to.port == 0) {
        return failure("url '" + url + "' must have a host and a port from 1 to 65535");
    }
    to.host = rest.substr(0, colon);
    if (to.host == "localhost") to.host = "127.0.0.1";
    return to;
}

struct TcpText::Impl {
    boost::asio::ip::tcp::iostream stream;
    std::string where;

    void deadline(Milliseconds timeout) { stream.expires_after(timeout); }
    tl::unexpected<std::string> fail(const char* what) const {
        const auto error = stream.error();
        const std::string why = error ? error.message() : "closed by the server";
        return failure(where + ": " + what + ": " + why);
    }
};

TcpText::TcpText(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TcpText::TcpText(TcpText&&) noexcept = default;
TcpText& TcpText::operator=(TcpText&&) noexcept = default;
TcpText::~TcpText() = default;

Outcome<TcpText> TcpText::connect(const Endpoint& to, Milliseconds timeout) {
    auto impl = std::make_unique<Impl>();
    impl->where = to.host + ":" + std::to_string(to.port);
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(to.host, error);
    if (error) return failure("host '" + to.host + "' must be a numeric address");
    impl->deadline(timeout);
    impl->stream.connect(boost::asio::ip::tcp::endpoint(address, to.port));
    if (!impl->stream) return impl->fail("connect");
    return TcpText(std::move(impl));
}

Outcome<void> TcpText::send(const std::string& bytes, Milliseconds timeout) {
    impl_->deadline(timeout);
    impl_->stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    impl_->stream.flush();
    if (!impl_->stream) return impl_->fail("send");
    return {};
}

Outcome<std::string> TcpText::read_line(Milliseconds timeout) {
    impl_->deadline(timeout);
    std::string line;
    if (!std::getline(impl_->stream, line) || impl_->stream.eof()) return impl_->fail("read");
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return line;
}

Outcome<std::string> TcpText::read_bytes(std::size_t count, Milliseconds timeout) {
    if (count > payload_bytes_max) return failure(impl_->where + ": a payload of " + std::to_string(count) + " bytes");
    impl_->deadline(timeout);
    std::string bytes(count, '\0');
    impl_->stream.read(bytes.data(), static_cast<std::streamsize>(count));
    if (!impl_->stream) return impl_->fail("read");
    return bytes;
}

Outcome<std::string> TcpText::read_to_end(Milliseconds timeout) {
    impl_->deadline(timeout);
    std::string bytes((std::istreambuf_iterator<char>(impl_->stream)), std::istreambuf_iterator<char>());
    const auto error = impl_->stream.error();
    if (error && error != boost::asio::error::eof) return impl_->fail("read");
    return bytes;
}

Outcome<HttpAnswer> http_get(const std::string& base, const std::string& path, Milliseconds timeout) {
    auto to = parse_url(base);
    if (!to) return failure(to.error());
    auto connection = TcpText::connect(*to, timeout);
    if (!connection) return failure(connection.error());
    auto sent = connection->send("GET " + path + " HTTP/1.0\r\nHost: " + to->host + "\r\nConnection: close\r\n\r\n", timeout);
    if (!sent) return failure(sent.error());
    auto all = connection->read_to_end(timeout);
    if (!all) return failure(all.error());
    const auto head_end = all->find("\r\n\r\n");
    const auto words = words_of(all->substr(0, all->find("\r\n")));
    HttpAnswer answer;
    if (head_end == std::string::npos || words.size() < 2 || !parse_number(words[1], answer.status)) {
        return failure(base + path + ": not an HTTP answer: '" + all->substr(0, 80) + "'");
    }
    answer.body = all->substr(head_end + 4);
    return answer;
}

Outcome<RawNats> RawNats::connect(const std::string& url, Milliseconds timeout) {
    auto to = parse_url(url);
    if (!to) return failure(to.error());
    auto connection = TcpText::connect(*to, timeout);
    if (!connection) return failure(connection.error());
    auto line = connection->read_line(timeout);
    if (!line) return failure(line.error());
    if (line->rfind("INFO ", 0) != 0 || !nlohmann::json::accept(line->substr(5))) {
        return failure(url + ": not a NATS server, it says '" + line->substr(0, 80) + "'");
    }
    return RawNats(std::move(*connection), line->substr(5));
}

bool RawNats::needs_more() const {
    const auto json = nlohmann::json::parse(info_, nullptr, false);
    const auto set = [&](const char* key) { return json.is_object() && json.contains(key) && json[key] == true; };
    return set("tls_required") || set("auth_required");
}

Outcome<void> RawNats::introduce(Milliseconds timeout) {
    if (introduced_) return {};
    introduced_ = true;
    return connection_.send(R"(CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,)"
                            R"("name":"parti-probe","lang":"raw","version":"1"})"
                            "\r\n",
                            timeout);
}

Outcome<void> RawNats::ping(Milliseconds timeout) {
    if (auto ok = introduce(timeout); !ok) return ok;
    if (auto ok = connection_.send("PING\r\n", timeout); !ok) return ok;
    while (true) {
        auto line = connection_.read_line(timeout);
        if (!line) return failure(line.error());
        if (*line == "PONG") return {};
        if (line->rfind("-ERR", 0) == 0) return failure("the server says " + *line);
    }
}

Outcome<void> RawNats::publish(const std::string& subject, const std::string& payload, Milliseconds timeout) {
    if (auto ok = introduce(timeout); !ok) return ok;
    return connection_.send("PUB " + subject + " " + std::to_string(payload.size()) + "\r\n" + payload + "\r\n", timeout);
}

Outcome<std::string> RawNats::read_message(const std::string& first_line, Milliseconds timeout) {
    const auto words = words_of(first_line);  // MSG subject sid [reply] bytes; HMSG ... header-bytes bytes
    const bool with_header = words[0] == "HMSG";
    std::size_t head = 0, total = 0;
    if (words.size() < (with_header ? 5U : 4U) || !parse_number(words.back(), total) ||
        (with_header && !parse_number(words[words.size() - 2], head)) || head > total) {
        return failure("malformed line from the server: '" + first_line + "'");
    }
    auto bytes = connection_.read_bytes(total + 2, timeout);
    if (!bytes) return bytes;
    if (head == total && bytes->rfind("NATS/1.0 503", 0) == 0) return failure("no responders");
    return bytes->substr(head, total - head);
}

Outcome<std::string> RawNats::request(const std::string& subject, const std::string& payload, Milliseconds timeout) {
    if (auto ok = introduce(timeout); !ok) return failure(ok.error());
    const std::string sid = std::to_string(next_sid_++);
    std::random_device random;
    const std::string inbox = "_INBOX.parti." + std::to_string(random()) + std::to_string(random()) + "." + sid;
    auto sent = connection_.send("SUB " + inbox + " " + sid + "\r\nUNSUB " + sid + " 1\r\nPUB " + subject + " " + inbox + " " +
                                     std::to_string(payload.size()) + "\r\n" + payload + "\r\n",
                                 timeout);
    if (!sent) return failure(sent.error());
    while (true) {
        auto line = connection_.read_line(timeout);
        if (!line) return line;
        if (line->rfind("MSG ", 0) == 0 || line->rfind("HMSG ", 0) == 0) {
            auto message = read_message(*line, timeout);
            if (!message) return failure(subject + ": " + message.error());
            return message;
        }
        if (line->rfind("-ERR", 0) == 0) return failure("the server says " + *line);
        if (*line == "PING") {
            if (auto ok = connection_.send("PONG\r\n", timeout); !ok) return failure(ok.error());
        }
    }
}

}  // namespace parti::test
