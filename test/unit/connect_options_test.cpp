#include <parti/context.h>

#include <functional>

#include <gtest/gtest.h>

namespace parti {
namespace {

using namespace std::chrono_literals;

std::string problem(const std::function<void(ConnectOptions&)>& change) {
    ConnectOptions options;
    change(options);
    const auto result = options.validate();
    if (result) return "(valid)";
    EXPECT_EQ(result.error().code, Errc::invalid_config);
    return result.error().detail;
}
std::string url_problem(const std::string& url) {
    return problem([&](ConnectOptions& o) { o.urls = {url}; });
}

TEST(ConnectOptions, DefaultsAreValid) {
    EXPECT_EQ(problem([](ConnectOptions&) {}), "(valid)");
}

TEST(ConnectOptions, AcceptsServerUrls) {
    for (const char* url :
         {"nats://localhost", "nats://127.0.0.1:1", "nats://h:65535", "tls://n.example.org:4222", "nats://[::1]:4222",
          "nats://[::1]", "nats://user:secret@h:4222", "nats://token@h", "nats://u:p%40ss@h"}) {
        EXPECT_EQ(url_problem(url), "(valid)") << url;
    }
}

TEST(ConnectOptions, NamesTheUrlAndTheRule) {
    EXPECT_EQ(problem([](ConnectOptions& o) { o.urls.clear(); }),
              "urls is empty; it must name at least one server, as in nats://127.0.0.1:4222");
    const std::pair<const char*, std::string_view> cases[] = {
        {"", "must begin with nats:// or tls://"},
        {"localhost:4222", "urls: 'localhost:4222' must begin with nats:// or tls://"},
        {"ws://h:80", "urls: 'ws://h:80' must begin with nats:// or tls://"},
        {"http://h", "must begin with"},
        {"nats://", "names no host"},
        {"nats://:4222", "names no host"},
        {"nats://user@", "names no host"},
        {"nats://h:0", "urls: 'nats://h:0' must have a port in 1..65535"},
        {"nats://h:65536", "port in 1..65535"},
        {"nats://h:", "port in 1..65535"},
        {"nats://h:42x", "port in 1..65535"},
        {"nats://h:4222/path", "port in 1..65535"},
        {"nats://h/path", "scheme, host and port only"},
        {"nats://a,b", "scheme, host and port only"},
        {"nats://[::1", "'[' without ']'"},
        {"nats://[::1]4222", "port in 1..65535"},
        {"nats://h o", "blanks or control"},
        {"nats://h\n", "blanks or control"},
    };
    for (const auto& [url, says] : cases) {
        const std::string why = url_problem(url);
        EXPECT_NE(why.find(says), std::string::npos) << url << "\n  gave: " << why;
    }
}

TEST(ConnectOptions, ShowsNoSecretInAnError) {
    for (const char* url :
         {"nats://user:secret@h:0", "nats://secret@h:0", "user:secret@h", "ws://secret@h", "nats://a:sec@secret@:1"}) {
        const std::string why = url_problem(url);
        EXPECT_NE(why, "(valid)") << url;
        EXPECT_EQ(why.find("secret"), std::string::npos) << why;
    }
    const std::string why = problem([](ConnectOptions& o) {
        o.password = "secret";
        o.token = "secret";
    });
    EXPECT_EQ(why.find("secret"), std::string::npos) << why;
}

TEST(ConnectOptions, AllowsOneWayToAuthenticate) {
    const std::pair<std::string_view, std::function<void(ConnectOptions&)>> ways[] = {
        {"user and password", [](ConnectOptions& o) { o.user = "u", o.password = "p"; }},
        {"token", [](ConnectOptions& o) { o.token = "t"; }},
        {"credentials_file", [](ConnectOptions& o) { o.credentials_file = "a.creds"; }},
        {"nkey_public and nkey_seed_file", [](ConnectOptions& o) { o.nkey_public = "U1", o.nkey_seed_file = "seed"; }},
        {"credentials in a URL",
         [](ConnectOptions& o) {
             o.urls = {"nats://h", "nats://u:p@h2"};
         }},
    };
    for (std::size_t i = 0; i < std::size(ways); ++i) {
        EXPECT_EQ(problem(ways[i].second), "(valid)") << ways[i].first;
        for (std::size_t k = i + 1; k < std::size(ways); ++k) {
            const std::string why = problem([&](ConnectOptions& o) {
                ways[i].second(o);
                ways[k].second(o);
            });
            const std::string both = std::string(ways[i].first).append(", ").append(ways[k].first);
            EXPECT_EQ(why, std::string("more than one way to authenticate is set (").append(both).append("); set at most one"));
        }
    }
}

TEST(ConnectOptions, WantsBothHalvesOfAPair) {
    EXPECT_EQ(problem([](ConnectOptions& o) { o.password = "p"; }), "password is set without user; set both");
    EXPECT_EQ(problem([](ConnectOptions& o) { o.nkey_public = "U"; }), "nkey_public is set without nkey_seed_file; set both");
    EXPECT_EQ(problem([](ConnectOptions& o) { o.nkey_seed_file = "s"; }), "nkey_seed_file is set without nkey_public; set both");
    EXPECT_EQ(problem([](ConnectOptions& o) { o.tls_certificate_file = "c"; }),
              "tls_certificate_file is set without tls_key_file; set both");
    EXPECT_EQ(problem([](ConnectOptions& o) { o.tls_key_file = "k"; }),
              "tls_key_file is set without tls_certificate_file; set both");
    EXPECT_EQ(problem([](ConnectOptions& o) { o.tls_certificate_file = "c", o.tls_key_file = "k"; }), "(valid)");
    EXPECT_EQ(problem([](ConnectOptions& o) { o.user = "u"; }), "(valid)");
}

TEST(ConnectOptions, ChecksDurationsAndThreadsAtTheirLimits) {
    for (const auto& [key, member] : {std::pair{"connect_timeout", &ConnectOptions::connect_timeout},
                                      std::pair{"ping_interval", &ConnectOptions::ping_interval},
                                      std::pair{"reconnect_wait", &ConnectOptions::reconnect_wait}}) {
        const auto field = member;
        const auto with = [field](Duration value) { return problem([field, value](ConnectOptions& o) { o.*field = value; }); };
        EXPECT_EQ(with(1ms), "(valid)");
        EXPECT_EQ(with(24h), "(valid)");
        EXPECT_EQ(with(0s), std::string(key).append(" (0s) must be in 1ms..24h"));
        EXPECT_EQ(with(1ms - 1ns), std::string(key).append(" (999999ns) must be in 1ms..24h"));
        EXPECT_EQ(with(24h + 1s), std::string(key).append(" (86401s) must be in 1ms..24h"));
    }
    const auto threads = [](std::uint32_t count) { return problem([count](ConnectOptions& o) { o.callback_threads = count; }); };
    EXPECT_EQ(threads(1), "(valid)");
    EXPECT_EQ(threads(64), "(valid)");
    EXPECT_EQ(threads(0), "callback_threads (0) must be in 1..64");
    EXPECT_EQ(threads(65), "callback_threads (65) must be in 1..64");
}

TEST(ConnectOptions, ListsEveryBrokenRule) {
    const std::string why = problem([](ConnectOptions& o) {
        o.urls = {"ws://a", "nats://b:0"};
        o.password = "p";
        o.callback_threads = 0;
    });
    for (const std::string_view part : {"ws://a", "nats://b:0", "password is set without user", "callback_threads (0)"}) {
        EXPECT_NE(why.find(part), std::string::npos) << part << " is not in: " << why;
    }
}

}  // namespace
}  // namespace parti
