// durable-check: what nats-server alone forgets of its durable consumers when it is killed; see `usage`.
//
// Role      Tells the server's amnesia from the library's faults: plain nats.c pull consumers, every ack confirmed by the server,
//           no parti.
// Model     Durables with max_ack_pending 1 on one file stream. Each round: threads fetch and acknowledge (confirmed), the server
//           is killed at a random moment, started again, and asked for every durable before anybody pulls. Against the last
//           confirmed ack it is
//           exact     it knows that ack
//           behind    it has forgotten the last acks; the age of the oldest forgotten one, at the kill, is printed
//           emptied   it knows nothing, though acks older than 2 s (P-9) had been confirmed: it begins at message 1 again
//           vanished  it does not exist any more
// Random    The moments of the kills, from the seed.
// Source    PROTOCOL.md P-9; docs/CONSUMING.md has the figures.
#include <nats/nats.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "testutil/nats_server.h"
#include "testutil/tcp_text.h"
#include "testutil/worker_process.h"

namespace parti {
namespace {

using nlohmann::json;
using test::failure;
using test::Milliseconds;
using test::NatsServer;
using test::Outcome;

const char* const usage =
    "usage: durable-check [--kills N] [--durables N] [--messages N] [--threads N] [--server FILE] [--seed N]\n"
    "Kills a nats-server N times while plain nats.c clients acknowledge messages of durable consumers, each ack confirmed, and "
    "counts what the\n"
    "server has forgotten of them when it is there again.\n"
    "  --kills N      default 20\n"
    "  --durables N   default 100, each with its subject\n"
    "  --messages N   of each durable, default 3000; the run ends early when all are acknowledged\n"
    "  --threads N    that fetch, default 4\n"
    "  --server FILE  another nats-server\n"
    "Exit codes: 0, 1 something failed, 104 bad option.\n";

constexpr const char* kStream = "CHECK";
constexpr Milliseconds kPatience{30000};
constexpr std::int64_t kPromised_ns = 2'000'000'000;  // P-9

struct Options {
    std::uint64_t kills = 20, durables = 100, messages = 3000, threads = 4, seed = 0;
    std::string server;
};

struct Durable {
    struct Ack {
        std::uint64_t sequence = 0;  // of the stream
        std::int64_t confirmed_ns = 0;
    };
    std::string name, subject;
    std::deque<Ack> acks;     // confirmed, ascending
    std::uint64_t floor = 0;  // the last confirmed
};

struct Counts {
    std::uint64_t exact = 0, behind = 0, emptied = 0, vanished = 0;
    std::int64_t oldest_behind_ns = 0;
};

template <class T, void (*Destroy)(T*)>
struct Destroyer {
    void operator()(T* object) const { Destroy(object); }
};
using ConnectOptions = std::unique_ptr<natsOptions, Destroyer<natsOptions, natsOptions_Destroy>>;
using Connection = std::unique_ptr<natsConnection, Destroyer<natsConnection, natsConnection_Destroy>>;
using JetStream = std::unique_ptr<jsCtx, Destroyer<jsCtx, jsCtx_Destroy>>;
using Subscription = std::unique_ptr<natsSubscription, Destroyer<natsSubscription, natsSubscription_Destroy>>;

class Check {
public:
    explicit Check(Options options) : options_(std::move(options)), random_(options_.seed), durables_(options_.durables) {}

    Outcome<void> go() {
        if (auto ok = begin(); !ok) return ok;
        std::printf("durable-check: nats-server %s, %zu durables, seed %llu\n", server_->version().c_str(), durables_.size(),
                    static_cast<unsigned long long>(options_.seed));
        std::uint64_t kills = 0;
        for (; kills < options_.kills && left() > 0; ++kills) {
            if (auto ok = round(kills + 1); !ok) return ok;
        }
        std::printf(
            "%llu kills x %zu durables: exact %llu, behind %llu (oldest forgotten ack %lld ms before the kill), EMPTIED %llu, "
            "VANISHED %llu\n",
            static_cast<unsigned long long>(kills), durables_.size(), static_cast<unsigned long long>(counts_.exact),
            static_cast<unsigned long long>(counts_.behind), static_cast<long long>(counts_.oldest_behind_ns / 1'000'000),
            static_cast<unsigned long long>(counts_.emptied), static_cast<unsigned long long>(counts_.vanished));
        if (counts_.exact + counts_.behind + counts_.emptied + counts_.vanished != kills * durables_.size())
            return failure("a durable was not counted");
        return {};
    }

private:
    Outcome<json> api(const std::string& subject, const json& body) const {
        auto nats = test::RawNats::connect(server_->url(), kPatience);
        if (!nats) return failure(nats.error());
        const auto answer = nats->request("$JS.API." + subject, body.empty() ? std::string() : body.dump(), kPatience);
        if (!answer) return failure(subject + ": " + answer.error());
        json parsed = json::parse(*answer, nullptr, false);
        if (!parsed.is_object()) return failure(subject + ": " + *answer);
        return parsed;
    }
    Outcome<void> make(const std::string& subject, const json& body) const {
        const auto made = api(subject, body);
        if (!made) return failure(made.error());
        if (made->contains("error")) return failure(subject + ": " + made->dump());
        return {};
    }

    Outcome<void> begin() {
        test::NatsServerOptions server;
        server.binary = options_.server;
        auto started = NatsServer::start(std::move(server));
        if (!started) return failure(started.error());
        server_.emplace(std::move(*started));
        if (auto ok = make(std::string("STREAM.CREATE.") + kStream,
                           {{"name", kStream}, {"subjects", {"check.*"}}, {"storage", "file"}});
            !ok)
            return ok;
        for (std::size_t i = 0; i < durables_.size(); ++i) {
            durables_[i].name = "d-" + std::to_string(i);
            if (auto ok = make_durable(durables_[i], i); !ok) return ok;
        }
        return fill();
    }
    Outcome<void> make_durable(Durable& durable, std::size_t index) const {
        durable.subject = "check." + std::to_string(index);
        const json config = {{"durable_name", durable.name}, {"filter_subject", durable.subject},
                             {"ack_policy", "explicit"},     {"deliver_policy", "all"},
                             {"max_ack_pending", 1},         {"ack_wait", 2'000'000'000}};
        return make(std::string("CONSUMER.DURABLE.CREATE.") + kStream + "." + durable.name,
                    {{"stream_name", kStream}, {"config", config}});
    }

    // A connection that does not come back: a killed server ends every fetch.
    static Outcome<Connection> connect(const std::string& url) {
        natsOptions* raw_options = nullptr;
        natsStatus status = natsOptions_Create(&raw_options);
        const ConnectOptions options(raw_options);
        if (status == NATS_OK) status = natsOptions_SetURL(options.get(), url.c_str());
        if (status == NATS_OK) status = natsOptions_SetAllowReconnect(options.get(), false);
        if (status == NATS_OK) status = natsOptions_SetSendAsap(options.get(), true);
        natsConnection* raw = nullptr;
        if (status == NATS_OK) status = natsConnection_Connect(&raw, options.get());
        if (status != NATS_OK) return failure("connect to " + url + ": " + natsStatus_GetText(status));
        return Connection(raw);
    }

    Outcome<void> fill() {
        auto connection = connect(server_->url());
        if (!connection) return failure(connection.error());
        jsCtx* raw = nullptr;
        jsOptions options;
        jsOptions_Init(&options);
        options.PublishAsync.MaxPending = 4000;
        options.PublishAsync.StallWait = kPatience.count();
        natsStatus status = natsConnection_JetStream(&raw, connection->get(), &options);
        const JetStream js(raw);
        for (std::uint64_t i = 0; i < options_.messages && status == NATS_OK; ++i) {
            for (std::size_t d = 0; d < durables_.size() && status == NATS_OK; ++d)
                status = js_PublishAsync(js.get(), durables_[d].subject.c_str(), "message", 7, nullptr);
        }
        if (status == NATS_OK) status = js_PublishAsyncComplete(js.get(), nullptr);
        if (status != NATS_OK) return failure(std::string("filling the stream: ") + natsStatus_GetText(status));
        return {};
    }

    std::uint64_t left() const {
        std::uint64_t sum = 0;
        const std::uint64_t last = options_.messages * durables_.size();
        for (const Durable& d : durables_) sum += d.floor + durables_.size() <= last ? 1U : 0U;
        return sum;
    }

    Outcome<void> round(std::uint64_t number) {
        std::atomic<bool> stopping{false};
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < options_.threads; ++t) threads.emplace_back([this, t, &stopping] { consume(t, stopping); });
        // the moment of the kill is a time, drawn from the seed
        std::this_thread::sleep_for(Milliseconds(500 + random_() % 2500));
        const std::int64_t killed_ns = test::boot_now_ns();
        const auto killed = server_->kill();
        stopping = true;
        for (std::thread& thread : threads) thread.join();
        if (!killed) return killed;
        if (auto ok = server_->restart(); !ok) return ok;
        for (std::size_t i = 0; i < durables_.size(); ++i) {
            if (auto ok = judge(number, durables_[i], i, killed_ns); !ok) return ok;
        }
        return {};
    }

    void consume(std::size_t thread, const std::atomic<bool>& stopping) {
        const auto connection = connect(server_->url());
        jsCtx* raw = nullptr;
        if (!connection || natsConnection_JetStream(&raw, connection->get(), nullptr) != NATS_OK) return;
        const JetStream js(raw);
        std::vector<std::pair<Durable*, Subscription>> mine;
        for (std::size_t i = thread; i < durables_.size(); i += options_.threads) {
            jsSubOptions sub;
            jsSubOptions_Init(&sub);
            sub.Stream = kStream;
            sub.Consumer = durables_[i].name.c_str();  // bound, never created
            natsSubscription* made = nullptr;
            if (js_PullSubscribe(&made, js.get(), durables_[i].subject.c_str(), nullptr, nullptr, &sub, nullptr) != NATS_OK)
                return;
            mine.emplace_back(&durables_[i], made);
        }
        while (!stopping && !natsConnection_IsClosed(connection->get())) {
            for (auto& [durable, subscription] : mine) take_one(*durable, subscription.get());
        }
    }

    static void take_one(Durable& durable, natsSubscription* subscription) {
        natsMsgList list{};
        if (natsSubscription_Fetch(&list, subscription, 1, 100, nullptr) != NATS_OK) return;
        for (int m = 0; m < list.Count; ++m) {
            jsMsgMetaData* meta = nullptr;
            if (natsMsg_GetMetaData(&meta, list.Msgs[m]) != NATS_OK) continue;
            const std::uint64_t sequence = meta->Sequence.Stream;
            jsMsgMetaData_Destroy(meta);
            jsErrCode error{};
            if (natsMsg_AckSync(list.Msgs[m], nullptr, &error) != NATS_OK || sequence <= durable.floor) continue;
            durable.floor = sequence;
            durable.acks.push_back({sequence, test::boot_now_ns()});
        }
        natsMsgList_Destroy(&list);
    }

    Outcome<void> judge(std::uint64_t round, Durable& durable, std::size_t index, std::int64_t killed_ns) {
        const auto info = api(std::string("CONSUMER.INFO.") + kStream + "." + durable.name, json::object());
        if (!info) return failure(info.error());
        const bool gone = info->contains("error");
        if (gone && (*info)["error"].value("err_code", 0) != 10014) return failure(info->dump());
        const std::uint64_t floor = gone ? 0 : (*info)["ack_floor"].value("stream_seq", std::uint64_t{0});
        const std::uint64_t delivered = gone ? 0 : (*info)["delivered"].value("stream_seq", std::uint64_t{0});
        std::int64_t oldest_ns = 0;
        for (const Durable::Ack& ack : durable.acks) {
            if (ack.sequence > floor && oldest_ns == 0) oldest_ns = killed_ns - ack.confirmed_ns;
        }
        if (gone) {
            ++counts_.vanished;
            std::printf("  kill %llu: %s VANISHED at floor %llu\n", static_cast<unsigned long long>(round), durable.name.c_str(),
                        static_cast<unsigned long long>(durable.floor));
            if (auto ok = make_durable(durable, index); !ok) return ok;
        } else if (floor >= durable.floor) {
            ++counts_.exact;
        } else if (delivered == 0 && oldest_ns > kPromised_ns) {
            ++counts_.emptied;
            std::printf("  kill %llu: %s EMPTIED at floor %llu, %zu acks, the oldest %lld ms before\n",
                        static_cast<unsigned long long>(round), durable.name.c_str(),
                        static_cast<unsigned long long>(durable.floor), durable.acks.size(),
                        static_cast<long long>(oldest_ns / 1'000'000));
        } else {
            ++counts_.behind;
            counts_.oldest_behind_ns = std::max(counts_.oldest_behind_ns, oldest_ns);
        }
        durable.floor = floor;
        while (!durable.acks.empty() && durable.acks.back().sequence > floor) durable.acks.pop_back();
        std::fflush(stdout);
        return {};
    }

    const Options options_;
    std::mt19937_64 random_;
    std::vector<Durable> durables_;
    std::optional<NatsServer> server_;
    Counts counts_;
};

// Empty: fine.
std::string parse(const std::vector<std::string>& args, Options& options) {
    for (std::size_t i = 0; i < args.size(); i += 2) {
        if (i + 1 == args.size()) return args[i] + " needs a value";
        const std::string& value = args[i + 1];
        std::uint64_t* into = args[i] == "--kills"      ? &options.kills
                              : args[i] == "--durables" ? &options.durables
                              : args[i] == "--messages" ? &options.messages
                              : args[i] == "--threads"  ? &options.threads
                              : args[i] == "--seed"     ? &options.seed
                                                        : nullptr;
        if (args[i] == "--server") {
            options.server = value;
            continue;
        }
        if (into == nullptr) return "unknown option '" + args[i] + "'";
        const auto parsed = std::from_chars(value.data(), value.data() + value.size(), *into);
        const bool number = parsed.ec == std::errc() && parsed.ptr == value.data() + value.size();
        if (!number || (into != &options.seed && *into == 0)) return args[i] + " '" + value + "' must be a number above 0";
    }
    return {};
}

}  // namespace
}  // namespace parti

int main(int argc, char** argv) {
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (args == std::vector<std::string>{"--help"}) {
        std::fputs(parti::usage, stdout);
        return 0;
    }
    parti::Options options;
    std::random_device entropy;
    options.seed = (std::uint64_t{entropy()} << 32U) | entropy();
    if (const std::string wrong = parti::parse(args, options); !wrong.empty()) {
        std::fprintf(stderr, "durable-check: %s\n%s", wrong.c_str(), parti::usage);
        return 104;
    }
    if (auto ok = parti::Check(options).go(); !ok) {
        std::fprintf(stderr, "durable-check: %s\n", ok.error().c_str());
        return 1;
    }
    return 0;
}
