#include <parti/context.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/config_fields.h"
#include "base/durations.h"
#include "base/rule_list.h"

namespace parti {

namespace {

using base::RuleList;
using base::to_text;

struct Url {
    std::string_view rest;  // what follows the scheme
    std::string shown;      // without user and password: an error goes into logs
    bool credentials = false;
};

bool blank_or_control(char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }

Url split_url(std::string_view url) {
    Url out;
    const std::size_t scheme = url.find("://");
    out.rest = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
    const std::string_view prefix = url.substr(0, url.size() - out.rest.size());
    const std::size_t at = out.rest.rfind('@');
    if (at != std::string_view::npos) {
        out.credentials = true;
        out.rest.remove_prefix(at + 1);
    }
    out.shown.append(prefix).append(out.credentials ? "...@" : "").append(out.rest);
    std::replace_if(out.shown.begin(), out.shown.end(), blank_or_control, '?');
    return out;
}

bool valid_port(std::string_view port) {
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
    return parsed.ec == std::errc{} && parsed.ptr == port.data() + port.size() && number >= 1 && number <= 65535;
}

void check_url(RuleList& rules, std::string_view text, const Url& url) {
    const auto refuse = [&](std::string_view rule) { rules.broken({"urls: '", url.shown, "' ", rule}); };
    if (text.substr(0, 7) != "nats://" && text.substr(0, 6) != "tls://") {
        return refuse("must begin with nats:// or tls:// (websockets are not supported)");
    }
    if (std::any_of(text.begin(), text.end(), blank_or_control)) return refuse("must not hold blanks or control characters");
    std::string_view host = url.rest;
    std::string_view tail;  // ":port" or nothing
    if (!host.empty() && host.front() == '[') {
        const std::size_t close = host.find(']');
        if (close == std::string_view::npos) return refuse("has '[' without ']'");
        tail = host.substr(close + 1);
        host = host.substr(1, close - 1);
    } else {
        const std::size_t colon = host.find(':');
        if (colon != std::string_view::npos) {
            tail = host.substr(colon);
            host = host.substr(0, colon);
        }
    }
    if (host.empty()) return refuse("names no host");
    if (host.find_first_of("/?#,") != std::string_view::npos) return refuse("must be scheme, host and port only");
    if (!tail.empty() && (tail.front() != ':' || !valid_port(tail.substr(1)))) return refuse("must have a port in 1..65535");
}

void check_urls(RuleList& rules, const ConnectOptions& options, bool& credentials) {
    rules.require(!options.urls.empty(), {"urls is empty; it must name at least one server, as in nats://127.0.0.1:4222"});
    for (const std::string& text : options.urls) {
        const Url url = split_url(text);
        credentials = credentials || url.credentials;
        check_url(rules, text, url);
    }
}

void check_authentication(RuleList& rules, const ConnectOptions& options, bool credentials_in_url) {
    std::string ways;
    int count = 0;
    const auto way = [&](bool used, std::string_view name) {
        if (!used) return;
        if (count++ > 0) ways += ", ";
        ways += name;
    };
    way(!options.user.empty() || !options.password.empty(), "user and password");
    way(!options.token.empty(), "token");
    way(!options.credentials_file.empty(), "credentials_file");
    way(!options.nkey_public.empty() || !options.nkey_seed_file.empty(), "nkey_public and nkey_seed_file");
    way(credentials_in_url, "credentials in a URL");
    rules.require(count <= 1, {"more than one way to authenticate is set (", ways, "); set at most one"});
    rules.require(options.password.empty() || !options.user.empty(), {"password is set without user; set both"});
    rules.require(
        options.nkey_public.empty() == options.nkey_seed_file.empty(),
        {options.nkey_public.empty() ? "nkey_seed_file is set without nkey_public" : "nkey_public is set without nkey_seed_file",
         "; set both"});
    rules.require(options.tls_certificate_file.empty() == options.tls_key_file.empty(),
                  {options.tls_key_file.empty() ? "tls_certificate_file is set without tls_key_file"
                                                : "tls_key_file is set without tls_certificate_file",
                   "; set both"});
}

void check_duration(RuleList& rules, std::string_view key, Duration value) {
    constexpr Duration kSmallest = std::chrono::milliseconds(1);  // what nats.c can express
    rules.require(value >= kSmallest && value <= base::kDurationMax,
                  {key, " (", to_text(value), ") must be in ", to_text(kSmallest), "..", to_text(base::kDurationMax)});
}

}  // namespace

Result<void> ConnectOptions::validate() const {
    RuleList rules;
    bool credentials_in_url = false;
    check_urls(rules, *this, credentials_in_url);
    check_authentication(rules, *this, credentials_in_url);
    check_duration(rules, "connect_timeout", connect_timeout);
    check_duration(rules, "ping_interval", ping_interval);
    check_duration(rules, "reconnect_wait", reconnect_wait);
    rules.require(callback_threads >= 1 && callback_threads <= 64,
                  {"callback_threads (", std::to_string(callback_threads), ") must be in 1..64"});
    return rules.result(Errc::invalid_config);
}

}  // namespace parti
