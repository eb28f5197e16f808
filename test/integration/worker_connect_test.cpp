// Ways to connect: user and password, token, NKey, TLS with and without client certificate, a connection of the user's.
#include <fstream>
#include <functional>

#include <nats/nats.h>
#include <parti/nats.h>

#include "raw_nats.h"
#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

// NKeys: base32 over prefix, raw key and CRC-16/XMODEM, as NATS writes Ed25519 keys.
std::string base32(const std::string& bytes) {
    static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    std::string out;
    unsigned bits = 0;
    unsigned count = 0;
    for (const char c : bytes) {
        bits = (bits << 8U) | static_cast<unsigned char>(c);
        for (count += 8; count >= 5; count -= 5) out += kDigits[(bits >> (count - 5)) & 31U];
    }
    if (count > 0) out += kDigits[(bits << (5 - count)) & 31U];
    return out;
}

std::string with_crc(std::string bytes) {
    unsigned crc = 0;
    for (const char c : bytes) {
        crc ^= static_cast<unsigned>(static_cast<unsigned char>(c)) << 8U;
        for (int i = 0; i < 8; ++i) crc = ((crc & 0x8000U) != 0 ? (crc << 1U) ^ 0x1021U : crc << 1U) & 0xffffU;
    }
    bytes += static_cast<char>(crc & 0xffU);
    bytes += static_cast<char>(crc >> 8U);
    return bytes;
}

struct NKey {
    std::string user_public, seed;
};
NKey make_nkey(const std::string& public_key, const std::string& seed) {
    constexpr unsigned kSeed = 18U << 3U;
    constexpr unsigned kUser = 20U << 3U;
    const std::string prefix = {static_cast<char>(kSeed | (kUser >> 5U)), static_cast<char>((kUser & 31U) << 3U)};
    return {base32(with_crc(static_cast<char>(kUser) + public_key)), base32(with_crc(prefix + seed))};
}

class WorkerConnect : public WorkerTest {
protected:
    const Allowance greeting_only_{"TLS handshake error",
                                   "whoever refuses the certificate, or reads the server's greeting only, hangs up"};

    std::string file(const std::string& name) const { return folder_->path() + "/" + name; }
    void write(const std::string& name, const std::string& text) const { std::ofstream(file(name), std::ios::binary) << text; }
    std::string read(const std::string& name) const {
        std::ifstream in(file(name), std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(in), {});
    }
    void openssl(const std::vector<std::string>& args) {
        ProcessOptions options;
        options.path = "openssl";
        options.args = args;
        options.stdin_pipe = false;
        options.working_dir = folder_->path();
        options.stderr_file = file("openssl.log");
        options.stdout_with_stderr = true;
        auto process = ChildProcess::start(options);
        ASSERT_TRUE(process) << process.error();
        const auto status = process->wait(kPatience);
        ASSERT_TRUE(status && status->code == 0) << read("openssl.log");
    }
    // A CA, and a certificate of it for `name`, valid for 127.0.0.1 as well.
    void make_certificates() {
        openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                 "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE"});
        for (const std::string name : {"server", "client"}) {
            openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
                     "-keyout", name + ".key", "-out", name + ".csr"});
            write(name + ".ext", "subjectAltName=DNS:" + name + ",IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
            openssl({"x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                     "-extfile", name + ".ext", "-out", name + ".pem"});
        }
    }
    void serve_with(const std::string& extra) {
        NatsServerOptions options;
        options.extra_config = extra;
        serve(options);
    }
    ConnectOptions options() {
        ConnectOptions out;
        out.urls = {server_->url()};
        out.log = notes_.sink();
        return out;
    }
    // Its seed is in the file "seed".
    ConnectOptions serve_with_nkey() {
        const NKey nkey = new_nkey();
        write("seed", nkey.seed + "\n");
        serve_with("authorization { users = [ { nkey: " + nkey.user_public + " } ] }\n");
        allowed_.push_back({"authentication error", "nats.c leaves out one signature in 256; and a test changes the seed"});
        ConnectOptions with = options();
        with.nkey_public = nkey.user_public;
        with.nkey_seed_file = file("seed");
        return with;
    }
    void expect_works(const ConnectOptions& with) {
        auto context = Context::connect(with);
        ASSERT_TRUE(context) << context.error().message();
        EXPECT_TRUE(context->connected());
        Worker w = worker(*context, source(3));
        w.start();
        ASSERT_TRUE(w.wait_for(State::stable, 20s)) << notes_.text();
        EXPECT_TRUE(eventually([&] { return covered({&w}, 3); }));
        EXPECT_TRUE(w.stop());
    }
    NKey new_nkey() {
        openssl({"genpkey", "-algorithm", "ed25519", "-outform", "DER", "-out", "key.der"});
        openssl({"pkey", "-inform", "DER", "-in", "key.der", "-pubout", "-outform", "DER", "-out", "public.der"});
        const std::string seed = read("key.der");
        const std::string key = read("public.der");
        EXPECT_GE(seed.size(), 32U);
        EXPECT_GE(key.size(), 32U);
        return make_nkey(key.substr(key.size() - 32), seed.substr(seed.size() - 32));
    }
    void expect_ended(Worker& w) {
        ASSERT_TRUE(w.wait_for(State::stopped, 20s)) << notes_.text();
        const auto again = w.wait_for(State::stable, 10s);
        ASSERT_FALSE(again);
        EXPECT_EQ(again.error().code, Errc::link_down);
        EXPECT_NE(again.error().detail.find("closed for good"), std::string::npos) << again.error().detail;
        EXPECT_TRUE(w.assignment().empty());
    }
    static void expect_refused(const ConnectOptions& with) {
        const auto context = Context::connect(with);
        ASSERT_FALSE(context);
        EXPECT_EQ(context.error().code, Errc::permission) << context.error().message();
    }
};

TEST_F(WorkerConnect, UserAndPassword) {
    serve_with("authorization { user: alice, password: secret }\n");
    allowed_.push_back({"authentication error", "the test connects with a wrong password"});
    ConnectOptions with = options();
    with.user = "alice";
    with.password = "secret";
    expect_works(with);
    with.password = "wrong";
    expect_refused(with);
    expect_refused(options());
}

TEST_F(WorkerConnect, Token) {
    serve_with("authorization { token: \"s3cr3t\" }\n");
    ConnectOptions with = options();
    with.token = "s3cr3t";
    expect_works(with);
}

TEST_F(WorkerConnect, NKey) { expect_works(serve_with_nkey()); }

// nats.c reads the seed at every connect, and closes a connection whose server refuses it twice.
TEST_F(WorkerConnect, AReconnectThatIsRefusedTwiceEndsItsWorkersWithTheReason) {
    auto context = Context::connect(serve_with_nkey());
    ASSERT_TRUE(context) << context.error().message();
    Worker w = worker(*context, source(3));
    w.start();
    ASSERT_TRUE(eventually([&] { return covered({&w}, 3); })) << notes_.text();
    write("seed", new_nkey().seed + "\n");
    ASSERT_TRUE(server_->restart());
    expect_ended(w);
}

TEST_F(WorkerConnect, TlsWithAKnownAuthority) {
    make_certificates();
    serve_with("tls { cert_file: \"" + file("server.pem") + "\", key_file: \"" + file("server.key") + "\" }\n");
    allowed_.push_back(greeting_only_);
    ConnectOptions with = options();
    with.tls_ca_file = file("ca.pem");
    with.tls_hostname = "server";
    expect_works(with);
    with.tls_hostname = "somebody-else";
    expect_refused(with);
}

TEST_F(WorkerConnect, TlsWithAClientCertificate) {
    make_certificates();
    serve_with("tls { cert_file: \"" + file("server.pem") + "\", key_file: \"" + file("server.key") + "\", ca_file: \"" +
               file("ca.pem") + "\", verify: true }\n");
    allowed_.push_back(greeting_only_);
    ConnectOptions with = options();
    with.tls_ca_file = file("ca.pem");
    with.tls_hostname = "server";
    with.tls_certificate_file = file("client.pem");
    with.tls_key_file = file("client.key");
    expect_works(with);
}

TEST_F(WorkerConnect, AConnectionOfTheUsers) {
    auto mine = RawNats::connect(server_->url());
    ASSERT_TRUE(mine) << mine.error();
    {
        ConnectOptions with;
        with.log = notes_.sink();
        auto context = use_connection(mine->get(), with);
        ASSERT_TRUE(context) << context.error().message();
        EXPECT_EQ(context->server_version(), server_->version());
        Worker w = worker(*context, source(3));
        w.start();
        ASSERT_TRUE(eventually([&] { return covered({&w}, 3); }));
        EXPECT_TRUE(w.stop());
    }
    // It is still the user's, and still open.
    EXPECT_EQ(natsConnection_Status(mine->get()), NATS_CONN_STATUS_CONNECTED);
    EXPECT_TRUE(mine->api("INFO"));
    const auto none = use_connection(nullptr);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::invalid_config);
}

TEST_F(WorkerConnect, AConnectionThatIsClosedForGoodEndsItsWorkersWithTheReason) {
    auto mine = RawNats::connect(server_->url());
    ASSERT_TRUE(mine) << mine.error();
    ConnectOptions with;
    with.log = notes_.sink();
    auto context = use_connection(mine->get(), with);
    ASSERT_TRUE(context) << context.error().message();
    Worker w = worker(*context, source(3));
    w.start();
    ASSERT_TRUE(eventually([&] { return covered({&w}, 3); }));
    natsConnection_Close(mine->get());
    expect_ended(w);
}

TEST_F(WorkerConnect, TellsTheServersVersion) {
    Context context = connect();
    EXPECT_EQ(context.server_version(), server_->version());
}

}  // namespace
}  // namespace parti::test
