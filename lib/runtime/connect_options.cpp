#include <parti/context.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "runtime/connection.h"

namespace parti {

namespace {

// Collects every broken rule, so that one run shows them all.
class Rules {
public:
    void broken(std::string what) { text_ += (text_.empty() ? "" : "; ") + std::move(what); }
    void file(std::string_view key, const std::string& path) {
        if (!path.empty() && ::access(path.c_str(), R_OK) != 0) {
            broken(fmt::format("{} '{}' cannot be read: {}", key, path, std::strerror(errno)));
        }
    }
    void pair(std::string_view key, const std::string& value, std::string_view other_key, const std::string& other) {
        if (value.empty() != other.empty()) broken(fmt::format("{} and {} must be set together", key, other_key));
    }
    void positive(std::string_view key, Duration value) {
        if (value >= std::chrono::milliseconds(1)) return;
        broken(fmt::format("{} ({} ns) must be at least 1 ms", key, value.count()));
    }
    Result<void> result() const {
        if (text_.empty()) return {};
        return fail(Errc::invalid_config, text_);
    }

private:
    std::string text_;
};

void check_urls(const std::vector<std::string>& urls, Rules& rules) {
    if (urls.empty()) rules.broken("urls is empty; at least one is needed");
    for (const std::string& url : urls) {
        const std::size_t scheme = url.find("://");
        const std::string_view name = scheme == std::string::npos ? std::string_view() : std::string_view(url).substr(0, scheme);
        if (scheme != std::string::npos && name != "nats" && name != "tls") {
            rules.broken(fmt::format("url '{}' has scheme '{}'; nats:// and tls:// are known", runtime::without_credentials(url), name));
        }
        const std::size_t host = scheme == std::string::npos ? 0 : scheme + 3;
        if (host >= url.size()) rules.broken(fmt::format("url '{}' names no host", runtime::without_credentials(url)));
        for (const char c : url) {
            if (static_cast<unsigned char>(c) > 0x20 && c != 0x7f) continue;
            rules.broken(fmt::format("url '{}' holds a blank or control character", runtime::without_credentials(url)));
            break;
        }
    }
}

}  // namespace

Result<void> ConnectOptions::validate() const {
    Rules rules;
    check_urls(urls, rules);
    const std::array ways = {!user.empty() || !password.empty(), !token.empty(), !credentials_file.empty(),
                             !nkey_public.empty() || !nkey_seed_file.empty()};
    if (std::count(ways.begin(), ways.end(), true) > 1) {
        rules.broken("more than one of user/password, token, credentials_file and nkey is set; at most one way to authenticate");
    }
    if (user.empty() && !password.empty()) rules.broken("password is set without user");
    rules.pair("nkey_public", nkey_public, "nkey_seed_file", nkey_seed_file);
    rules.pair("tls_certificate_file", tls_certificate_file, "tls_key_file", tls_key_file);
    rules.file("credentials_file", credentials_file);
    rules.file("nkey_seed_file", nkey_seed_file);
    rules.file("tls_ca_file", tls_ca_file);
    rules.file("tls_certificate_file", tls_certificate_file);
    rules.file("tls_key_file", tls_key_file);
    rules.positive("connect_timeout", connect_timeout);
    rules.positive("ping_interval", ping_interval);
    rules.positive("reconnect_wait", reconnect_wait);
    if (callback_threads < 1 || callback_threads > 64) {
        rules.broken(fmt::format("callback_threads ({}) must be in 1..64", callback_threads));
    }
    return rules.result();
}

namespace runtime {

std::string without_credentials(const std::string& url) {
    const std::size_t scheme = url.find("://");
    const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
    const std::size_t at = url.rfind('@');
    if (at == std::string::npos || at < begin) return url;
    return url.substr(0, begin) + url.substr(at + 1);
}

}  // namespace runtime

}  // namespace parti
