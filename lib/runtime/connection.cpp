#include "runtime/connection.h"

#include <nats/nats.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "runtime/tcp_timeout.h"

namespace parti::runtime {

namespace {

// Shared with nats.c's callbacks. When nats.c does not announce the end in time it is left behind rather than freed under its
// feet.
struct CallbackState {
    Connection::OnLink on_link;
    std::shared_ptr<Logger> log;
    Duration reconnect_wait{};
    Duration silence{};  // of the other side, after which the link is lost
    std::mutex mutex;
    std::condition_variable ended;
    bool closed = false;   // nats.c has said its last word
    bool closing = false;  // by us
    std::minstd_rand jitter;
};

std::string last_error_text(natsConnection* connection) {
    const char* text = nullptr;
    if (natsConnection_GetLastError(connection, &text) == NATS_OK || text == nullptr) return {};
    return text;
}

bool closing(CallbackState& state) {
    const std::lock_guard lock(state.mutex);
    return state.closing;
}

void limit_silence(natsConnection* connection, const CallbackState& state) {
    if (const auto done = set_tcp_user_timeout(connection, state.silence); !done)
        state.log->print(LogLevel::debug, "the socket keeps its timeout: {}", done.error().message());
}

void on_disconnected(natsConnection* connection, void* closure) {
    auto& state = *static_cast<CallbackState*>(closure);
    if (closing(state)) return;
    std::string why = last_error_text(connection);
    state.log->print(LogLevel::warning, "disconnected from NATS{}{}", why.empty() ? "" : ": ", why);
    state.on_link({false, false, std::move(why)});
}

void on_reconnected(natsConnection* connection, void* closure) {
    auto& state = *static_cast<CallbackState*>(closure);
    if (closing(state)) return;
    limit_silence(connection, state);
    state.log->write(LogLevel::info, "reconnected to NATS");
    state.on_link({true, false, {}});
}

void on_closed(natsConnection* connection, void* closure) {
    auto& state = *static_cast<CallbackState*>(closure);
    if (!closing(state)) state.on_link({false, true, last_error_text(connection)});
    const std::lock_guard lock(state.mutex);
    state.closed = true;
    state.ended.notify_all();
}

void on_error(natsConnection* connection, natsSubscription*, natsStatus status, void* closure) {
    auto& state = *static_cast<CallbackState*>(closure);
    state.log->print(LogLevel::warning, "nats.c: {} ({})", natsStatus_GetText(status), last_error_text(connection));
}

// Doubled with each round of all servers, at most 2 s, half of it random: a fleet does not come back as one wave.
std::int64_t reconnect_delay_ms(natsConnection*, int attempts, void* closure) {
    auto& state = *static_cast<CallbackState*>(closure);
    const auto base =
        std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(state.reconnect_wait).count(), 1);
    const int doublings = std::clamp(attempts - 1, 0, 10);
    const std::int64_t wait = std::min<std::int64_t>(base << doublings, std::max<std::int64_t>(base, 2000));
    return wait / 2 + std::uniform_int_distribution<std::int64_t>(0, wait - wait / 2)(state.jitter);
}

struct OptionsDeleter {
    void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
};
using OptionsPtr = std::unique_ptr<natsOptions, OptionsDeleter>;

// Runs setter after setter and remembers the first that nats.c refused.
class Setup {
public:
    void step(const char* key, natsStatus status) {
        if (status == NATS_OK || !error_.empty()) return;
        const char* text = nats_GetLastError(nullptr);
        error_ =
            fmt::format("{}: {}{}{}", key, natsStatus_GetText(status), text != nullptr ? ": " : "", text != nullptr ? text : "");
    }
    const std::string& error() const { return error_; }

private:
    std::string error_;
};

std::int64_t ms(Duration d) {
    return std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count(), 1);
}

// nats.c would say that "a file" cannot be read; which one, the user must hear from us.
Result<void> readable_files(const ConnectOptions& options) {
    const std::array files = {
        std::pair("credentials_file", &options.credentials_file), std::pair("nkey_seed_file", &options.nkey_seed_file),
        std::pair("tls_ca_file", &options.tls_ca_file), std::pair("tls_certificate_file", &options.tls_certificate_file),
        std::pair("tls_key_file", &options.tls_key_file)};
    for (const auto& file : files) {
        if (file.second->empty() || ::access(file.second->c_str(), R_OK) == 0) continue;
        return fail(Errc::invalid_config,
                    fmt::format("{} '{}' cannot be read: {}", file.first, *file.second, std::strerror(errno)));
    }
    return {};
}

void set_authentication(natsOptions* o, const ConnectOptions& options, Setup& setup) {
    if (!options.user.empty()) setup.step("user", natsOptions_SetUserInfo(o, options.user.c_str(), options.password.c_str()));
    if (!options.token.empty()) setup.step("token", natsOptions_SetToken(o, options.token.c_str()));
    if (!options.credentials_file.empty()) {
        setup.step("credentials_file", natsOptions_SetUserCredentialsFromFiles(o, options.credentials_file.c_str(), nullptr));
    }
    if (!options.nkey_public.empty()) {
        setup.step("nkey_seed_file", natsOptions_SetNKeyFromSeed(o, options.nkey_public.c_str(), options.nkey_seed_file.c_str()));
    }
}

void set_tls(natsOptions* o, const ConnectOptions& options, Setup& setup) {
    const bool url_asks =
        std::any_of(options.urls.begin(), options.urls.end(), [](const auto& url) { return url.rfind("tls://", 0) == 0; });
    const bool wanted = url_asks || !options.tls_ca_file.empty() || !options.tls_certificate_file.empty() ||
                        !options.tls_hostname.empty() || options.tls_skip_verify;
    if (!wanted) return;
    setup.step("tls", natsOptions_SetSecure(o, true));
    if (!options.tls_ca_file.empty()) {
        setup.step("tls_ca_file", natsOptions_LoadCATrustedCertificates(o, options.tls_ca_file.c_str()));
    }
    if (!options.tls_certificate_file.empty()) {
        setup.step("tls_certificate_file",
                   natsOptions_LoadCertificatesChain(o, options.tls_certificate_file.c_str(), options.tls_key_file.c_str()));
    }
    if (!options.tls_hostname.empty())
        setup.step("tls_hostname", natsOptions_SetExpectedHostname(o, options.tls_hostname.c_str()));
    if (options.tls_skip_verify) setup.step("tls_skip_verify", natsOptions_SkipServerVerification(o, true));
}

void set_link(natsOptions* o, const ConnectOptions& options, CallbackState* state, Setup& setup) {
    std::vector<const char*> urls;
    for (const std::string& url : options.urls) urls.push_back(url.c_str());
    setup.step("urls", natsOptions_SetServers(o, urls.data(), static_cast<int>(urls.size())));
    setup.step("name", natsOptions_SetName(o, options.name.c_str()));
    setup.step("connect_timeout", natsOptions_SetTimeout(o, ms(options.connect_timeout)));
    setup.step("ping_interval", natsOptions_SetPingInterval(o, ms(options.ping_interval)));
    setup.step("pings out", natsOptions_SetMaxPingsOut(o, 2));  // the third without an answer
    setup.step("reconnect", natsOptions_SetAllowReconnect(o, true));
    setup.step("reconnect", natsOptions_SetMaxReconnect(o, -1));
    setup.step("reconnect_wait", natsOptions_SetCustomReconnectDelay(o, reconnect_delay_ms, state));
    setup.step("reconnect buffer", natsOptions_SetReconnectBufSize(o, 0));
    setup.step("delivery pool", natsOptions_UseGlobalMessageDelivery(o, true));
    setup.step("callbacks", natsOptions_SetErrorHandler(o, on_error, state));
    setup.step("callbacks", natsOptions_SetClosedCB(o, on_closed, state));
    setup.step("callbacks", natsOptions_SetDisconnectedCB(o, on_disconnected, state));
    setup.step("callbacks", natsOptions_SetReconnectedCB(o, on_reconnected, state));
}

// nats.c 3.4.1 sends no signature when its first byte is 0, which one server's nonce in 256 brings about: a refusal is believed
// when as many nonces have met it.
constexpr int kSignedTries = 3;

natsStatus connect(natsConnection** connection, natsOptions* o, const ConnectOptions& options) {
    const bool signs = !options.credentials_file.empty() || !options.nkey_public.empty();
    natsStatus status = natsConnection_Connect(connection, o);
    for (int tries = 1; status == NATS_CONNECTION_AUTH_FAILED && signs && tries < kSignedTries; ++tries)
        status = natsConnection_Connect(connection, o);
    return status;
}

Errc code_of(natsStatus status) {
    switch (status) {
        case NATS_CONNECTION_AUTH_FAILED:
        case NATS_NOT_PERMITTED:
        case NATS_SSL_ERROR:
        case NATS_SECURE_CONNECTION_REQUIRED:
        case NATS_SECURE_CONNECTION_WANTED: return Errc::permission;
        case NATS_INVALID_ARG:
        case NATS_ADDRESS_MISSING:
        case NATS_NO_SERVER_SUPPORT: return Errc::invalid_config;
        default: return Errc::link_down;
    }
}

std::string list_of(const std::vector<std::string>& urls) {
    std::string out;
    for (const std::string& url : urls) out += (out.empty() ? "" : ", ") + without_credentials(url);
    return out;
}

}  // namespace

struct Connection::Impl {
    natsConnection* connection = nullptr;
    std::unique_ptr<CallbackState> state;  // of a connection of our own
};

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Connection>> Connection::open(const ConnectOptions& options, std::shared_ptr<Logger> log, OnLink on_link) {
    if (auto ok = readable_files(options); !ok) return tl::unexpected(ok.error());
    Setup setup;
    setup.step("nats_Open", nats_Open(-1));
    setup.step("delivery pool", nats_SetMessageDeliveryPoolSize(1));
    if (!setup.error().empty()) return fail(Errc::internal, setup.error());

    auto impl = std::make_unique<Impl>();
    impl->state = std::make_unique<CallbackState>();
    impl->state->on_link = std::move(on_link);
    impl->state->log = std::move(log);
    impl->state->reconnect_wait = options.reconnect_wait;
    impl->state->silence = 3 * options.ping_interval;  // as long as three pings
    impl->state->jitter.seed(std::random_device{}());

    natsOptions* raw = nullptr;
    setup.step("options", natsOptions_Create(&raw));
    const OptionsPtr nats_options(raw);
    if (!setup.error().empty()) return fail(Errc::internal, setup.error());
    set_link(raw, options, impl->state.get(), setup);
    set_authentication(raw, options, setup);
    set_tls(raw, options, setup);
    if (!setup.error().empty()) return fail(Errc::invalid_config, setup.error());

    const natsStatus status = connect(&impl->connection, raw, options);
    if (status != NATS_OK) {
        const char* text = nats_GetLastError(nullptr);
        return fail(code_of(status),
                    fmt::format("cannot connect to {}: {}{}{}", list_of(options.urls), natsStatus_GetText(status),
                                text != nullptr ? ": " : "", text != nullptr ? text : ""));
    }
    limit_silence(impl->connection, *impl->state);
    return std::unique_ptr<Connection>(new Connection(std::move(impl)));
}

Result<std::unique_ptr<Connection>> Connection::borrow(natsConnection* connection) {
    if (connection == nullptr) return fail(Errc::invalid_config, "the connection is null");
    auto impl = std::make_unique<Impl>();
    impl->connection = connection;
    return std::unique_ptr<Connection>(new Connection(std::move(impl)));
}

void Connection::close() {
    if (borrowed() || impl_->connection == nullptr) return;
    CallbackState& state = *impl_->state;
    {
        const std::lock_guard lock(state.mutex);
        state.closing = true;
    }
    natsConnection_Close(impl_->connection);
    std::unique_lock lock(state.mutex);
    state.ended.wait_for(lock, std::chrono::seconds(5), [&] { return state.closed; });
}

Connection::~Connection() {
    if (borrowed() || impl_->connection == nullptr) return;
    close();
    natsConnection_Destroy(impl_->connection);
    bool ended = false;
    {
        const std::lock_guard lock(impl_->state->mutex);
        ended = impl_->state->closed;
    }
    if (!ended) static_cast<void>(impl_->state.release());
}

natsConnection* Connection::get() const { return impl_->connection; }
bool Connection::borrowed() const { return impl_->state == nullptr; }
bool Connection::connected() const { return natsConnection_Status(impl_->connection) == NATS_CONN_STATUS_CONNECTED; }
bool Connection::closed() const { return natsConnection_IsClosed(impl_->connection); }

std::string Connection::url() const {
    char url[1024];
    if (natsConnection_GetConnectedUrl(impl_->connection, url, sizeof url) != NATS_OK) return {};
    return url;
}

std::string without_credentials(const std::string& url) {
    const std::size_t scheme = url.find("://");
    const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
    const std::size_t at = url.rfind('@');
    if (at == std::string::npos || at < begin) return url;
    return url.substr(0, begin) + url.substr(at + 1);
}

}  // namespace parti::runtime
