#include "kv_contract_world.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <nats/nats.h>
#include <nlohmann/json.hpp>

#include "jetstream/handover.h"
#include "jetstream/nats_client.h"

namespace parti::testutil {
namespace {

using SteadyClock = std::chrono::steady_clock;

void check(natsStatus status, const std::string& what) {
    if (status != NATS_OK) throw std::runtime_error(what + ": " + natsStatus_GetText(status));
}
void check(const test::Outcome<void>& outcome, const std::string& what) {
    if (!outcome) throw std::runtime_error(what + ": " + outcome.error());
}

test::NatsServer start_server(test::NatsServerOptions options) {
    auto server = test::NatsServer::start(std::move(options));
    if (!server) throw std::runtime_error("nats-server: " + server.error());
    return std::move(*server);
}

}  // namespace

void ConnectionDeleter::operator()(natsConnection* connection) const { natsConnection_Destroy(connection); }

Connection connect(const std::string& url, const std::string& user, const std::string& password) {
    natsOptions* raw = nullptr;
    check(nats_SetMessageDeliveryPoolSize(1), "delivery pool");
    check(natsOptions_Create(&raw), "options");
    const std::unique_ptr<natsOptions, decltype(&natsOptions_Destroy)> options(raw, natsOptions_Destroy);
    natsStatus status = natsOptions_SetURL(raw, url.c_str());
    if (status == NATS_OK) status = natsOptions_UseGlobalMessageDelivery(raw, true);
    if (status == NATS_OK) status = natsOptions_SetAllowReconnect(raw, true);
    if (status == NATS_OK) status = natsOptions_SetMaxReconnect(raw, -1);
    if (status == NATS_OK) status = natsOptions_SetReconnectWait(raw, 20);
    if (status == NATS_OK) status = natsOptions_SetReconnectJitter(raw, 10, 10);
    // 0 would mean 8 MB and -1 is refused: one byte is the smallest buffer there is.
    if (status == NATS_OK) status = natsOptions_SetReconnectBufSize(raw, 1);
    if (status == NATS_OK && !user.empty()) status = natsOptions_SetUserInfo(raw, user.c_str(), password.c_str());
    // Without one, nats.c prints connection errors to stderr.
    if (status == NATS_OK)
        status = natsOptions_SetErrorHandler(
            raw, [](natsConnection*, natsSubscription*, natsStatus, void*) {}, nullptr);
    check(status, "options");
    natsConnection* connection = nullptr;
    check(natsConnection_Connect(&connection, raw), "connection to " + url);
    return Connection(connection);
}

NatsWorld::NatsWorld(std::uint64_t seed, test::NatsServerOptions server_options)
    : server_(start_server(std::move(server_options))) {
    options.watch_heartbeat = std::chrono::milliseconds(150);
    options.seed = seed;
    if (std::getenv("PARTI_TEST_LOG") != nullptr) {
        options.log = [](LogLevel level, std::string_view line) {
            std::printf("%s %.*s\n", std::string(to_string(level)).c_str(), static_cast<int>(line.size()), line.data());
        };
    }
}

NatsWorld::~NatsWorld() {
    for (Member& member : members_) {
        if (!member.client) continue;
        bool stopped = false;
        member.client->stop([&] { stopped = true; });
        if (!run_until([&] { return stopped; }, std::chrono::seconds(5))) ADD_FAILURE() << "a client did not stop within 5 s";
        member.client.reset();
        member.connection.reset();
    }
    io_.restart();
    io_.poll();
}

jetstream::Client& NatsWorld::client(std::size_t index) {
    Member& member = members_.at(index);
    if (member.client) return *member.client;
    member.connection = connect(server_.url());
    jetstream::ClientHooks hooks;
    hooks.lose_answer = [&member](std::string_view subject) {
        return member.lose_put && subject.substr(0, 4) == "$KV." && std::exchange(member.lose_put, false);
    };
    auto made = jetstream::make_nats_client(io_, member.connection.get(), options, std::move(hooks));
    if (!made) throw std::runtime_error("client: " + made.error().message());
    member.client = std::move(*made);
    return *member.client;
}

bool NatsWorld::run_until(const std::function<bool()>& condition, Duration limit) {
    // Conditions may ask the server, so they are asked after each handler, and every 20 ms at least.
    const auto deadline = SteadyClock::now() + limit;
    while (!condition()) {
        const auto now = SteadyClock::now();
        if (now >= deadline) return false;
        if (io_.stopped()) io_.restart();
        const auto work = boost::asio::make_work_guard(io_);
        io_.run_one_until(std::min<SteadyClock::time_point>(deadline, now + std::chrono::milliseconds(20)));
    }
    return true;
}

void NatsWorld::lose_next_put_answer(std::size_t index) {
    client(index);
    members_.at(index).lose_put = true;
}

std::string NatsWorld::ask(const std::string& subject, const std::string& body, const std::string& header,
                           const std::string& value) {
    const Connection connection = connect(server_.url());
    natsMsg* raw = nullptr;
    check(natsMsg_Create(&raw, subject.c_str(), nullptr, body.data(), static_cast<int>(body.size())), subject);
    const jetstream::Message request(raw);
    if (!header.empty()) check(natsMsgHeader_Set(raw, header.c_str(), value.c_str()), subject);
    natsMsg* answer = nullptr;
    check(natsConnection_RequestMsg(&answer, connection.get(), raw, 5000), subject);
    const jetstream::Message keep(answer);
    return std::string(natsMsg_GetData(answer), static_cast<std::size_t>(natsMsg_GetDataLength(answer)));
}

std::vector<std::string> NatsWorld::consumer_names(const std::string& bucket) {
    const auto answer = nlohmann::json::parse(ask("$JS.API.CONSUMER.NAMES.KV_" + bucket, "{}"));
    if (answer.contains("error") || !answer["consumers"].is_array()) return {};
    return answer["consumers"].get<std::vector<std::string>>();
}

std::size_t NatsWorld::watch_consumers(const std::string& bucket) { return consumer_names(bucket).size(); }

std::size_t NatsWorld::delete_watch_consumers(const std::string& bucket) {
    const auto names = consumer_names(bucket);
    for (const std::string& name : names) ask("$JS.API.CONSUMER.DELETE.KV_" + bucket + "." + name, {});
    return names.size();
}

void NatsWorld::server_down() { check(server_.kill(), "kill"); }
void NatsWorld::server_up() { check(server_.restart(), "restart"); }
void NatsWorld::wipe_store() { check(server_.wipe(), "wipe"); }
void NatsWorld::take_snapshot() { check(server_.snapshot("then"), "snapshot"); }
void NatsWorld::restore_snapshot() { check(server_.restore("then"), "restore"); }

void NatsWorld::make_loose_bucket(const std::string& bucket) {
    const nlohmann::json config{
        {"name", "KV_" + bucket}, {"subjects", {"$KV." + bucket + ".>"}}, {"max_msgs_per_subject", 1}, {"storage", "file"}};
    const auto answer = nlohmann::json::parse(ask("$JS.API.STREAM.CREATE.KV_" + bucket, config.dump()));
    if (answer.contains("error")) throw std::runtime_error("loose bucket: " + answer.dump());
}

void NatsWorld::vanish_key(const std::string& bucket, const std::string& key) {
    const nlohmann::json filter{{"filter", "$KV." + bucket + "." + key}};
    const auto answer = nlohmann::json::parse(ask("$JS.API.STREAM.PURGE.KV_" + bucket, filter.dump()));
    if (answer.value("purged", 0) != 1) throw std::runtime_error("purge of " + key + ": " + answer.dump());
}

void NatsWorld::put_marker(const std::string& bucket, const std::string& key, MarkerKind kind) {
    const auto answer = nlohmann::json::parse(
        ask("$KV." + bucket + "." + key, {}, "KV-Operation", kind == MarkerKind::deleted ? "DEL" : "PURGE"));
    if (answer.contains("error")) throw std::runtime_error("marker on " + key + ": " + answer.dump());
}

}  // namespace parti::testutil
