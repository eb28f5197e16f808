#include "options.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string_view>

#include "base/rng.h"

namespace parti::host {

const char* const usage =
    "worker-host: N workers of a group in one process, driven over stdin, reporting as JSON lines on stdout.\n"
    "\n"
    "worker-host --url URL --group GROUP --workers N --partitions P\n"
    "  --url URL              nats://host:port; may be given several times\n"
    "  --group GROUP          the group's name\n"
    "  --workers N            1..10000\n"
    "  --partitions P         0..1000000; named part.00000 ...\n"
    "  --id-bytes N           partitions have ids of N random letters and digits instead, the same in every host; 12..200\n"
    "  --strategy S           sticky (default), round_robin, consistent_hash, weighted_consistent_hash or rendezvous\n"
    "  --config FILE|JSON     a Config, merged over fast_test_timing()\n"
    "  --expected-workers N   a settle window ends as soon as so many are there\n"
    "  --callback-delay MS    on_assigned and on_revoked take so long\n"
    "  --history FILE         every session, deadline, grant, revoke and release, as JSON lines\n"
    "  --callback-threads N   1..64\n"
    "  --consume STREAM       consume the partitions' messages: --subject TEMPLATE, --handled FILE (lines as in "
    "testutil/ledger.h),\n"
    "                         --consume-mode per_partition (default) or per_worker, --ack automatic (default) or confirmed,\n"
    "                         --max-ack-pending N, --ack-wait MS, --work US (a handler's), --fail-every N (first deliveries)\n"
    "  --inject-memory P%     waste P % of the anonymous memory once all are Stable (to test the alarms)\n"
    "  --inject-leak BYTES    every start of a worker and change of the partitions leaks (to test the alarms); 1..1000000\n"
    "  --status PORT          health, memory, threads and counters as JSON on http://127.0.0.1:PORT/; 0: any that is free (see "
    "the\n"
    "                         event status_at)\n"
    "  --label TEXT           repeated in the ready event\n"
    "  --log LEVEL            debug, info, warning (default), error or off; to stderr\n"
    "  --user U --password P --token T --credentials FILE --nkey-public K --nkey-seed FILE\n"
    "  --tls-ca FILE --tls-cert FILE --tls-key FILE --tls-hostname NAME\n"
    "  --client-only          a nats.c connection and nothing of parti; takes the commands memory and quit\n"
    "  --autostart            as the command `start`\n"
    "\n"
    "Commands: start [K] | stop [K] | stop_worker I | cycle [REST MS] | partitions P (the source changes) | status | ownership | "
    "memory |\n"
    "stats | consumed | trim | quit. End of stdin: quit at once.\n"
    "Exit codes: 0, 100 set-up failed, 102 the parent is gone, 104 bad option.\n";

namespace {

using Text = const std::string&;

Result<std::uint64_t> number_of(Text option, Text value, std::uint64_t low, std::uint64_t high) {
    std::uint64_t out = 0;
    const char* end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, out);
    if (value.empty() || parsed.ec != std::errc() || parsed.ptr != end || out < low || out > high) {
        return fail(Errc::invalid_config,
                    option + " '" + value + "' must be a number in " + std::to_string(low) + ".." + std::to_string(high));
    }
    return out;
}

Result<double> percent_of(Text option, Text value) {
    double out = 0;
    const char* end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, out);
    if (parsed.ec != std::errc() || parsed.ptr != end - 1 || *parsed.ptr != '%' || !(out > 0) || out > 1000) {
        return fail(Errc::invalid_config, option + " '" + value + "' must be a percentage above 0, at most 1000, as in 15%");
    }
    return out / 100;
}

Result<std::string> read_file(Text path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(Errc::invalid_config, "--config '" + path + "' is neither a JSON object nor a file that can be read");
    return std::string(std::istreambuf_iterator<char>(in), {});
}

// What the command line says, over what --config says, over the test timing.
Result<Config> config_of(Text given, const Config& base) {
    if (given.empty()) {
        if (auto ok = base.validate(); !ok) return tl::unexpected(ok.error());
        return base;
    }
    std::string text = given;
    if (given.find('{') == std::string::npos) {
        auto read = read_file(given);
        if (!read) return tl::unexpected(read.error());
        text = *read;
    }
    auto merged = nlohmann::json::parse(base.to_json(), nullptr, false);
    const auto patch = nlohmann::json::parse(text, nullptr, false);
    if (!patch.is_object()) return fail(Errc::invalid_config, "--config is not a JSON object: " + text.substr(0, 80));
    merged.merge_patch(patch);
    return Config::from_json(merged.dump());
}

class Parser {
public:
    explicit Parser(const std::vector<std::string>& args) : args_(args) { define(); }

    Result<Options> run() {
        for (std::size_t i = 0; i < args_.size(); ++i) {
            const std::string& name = args_[i];
            if (name == "--help") {
                options_.help = true;
                return options_;
            }
            if (name == "--autostart" || name == "--client-only") {
                (name == "--autostart" ? options_.autostart : options_.client_only) = true;
                continue;
            }
            const auto setter = setters_.find(name);
            if (setter == setters_.end()) return fail(Errc::invalid_config, "unknown option '" + name + "'");
            if (++i == args_.size()) return fail(Errc::invalid_config, name + " needs a value");
            if (auto ok = setter->second(args_[i]); !ok) return tl::unexpected(ok.error());
        }
        return conclude();
    }

private:
    using Setter = std::function<Result<void>(Text)>;

    void text(const char* name, std::string& into) {
        setters_[name] = [&into](Text value) -> Result<void> {
            into = value;
            return {};
        };
    }
    template <class T>
    void number(const char* name, T& into, std::uint64_t low, std::uint64_t high) {
        setters_[name] = [&into, name, low, high](Text value) -> Result<void> {
            auto n = number_of(name, value, low, high);
            if (!n) return tl::unexpected(n.error());
            into = static_cast<T>(*n);
            return {};
        };
    }

    template <class T, class Unit>
    void number(const char* name, T& into, Unit unit, std::uint64_t low, std::uint64_t high) {
        setters_[name] = [&into, name, unit, low, high](Text value) -> Result<void> {
            auto n = number_of(name, value, low, high);
            if (!n) return tl::unexpected(n.error());
            into = unit * static_cast<std::int64_t>(*n);
            return {};
        };
    }
    template <class T>
    void choice(const char* name, T& into, std::map<std::string, T> known) {
        setters_[name] = [&into, name, known](Text value) -> Result<void> {
            const auto found = known.find(value);
            if (found == known.end()) {
                return fail(Errc::invalid_config, std::string(name) + " '" + value + "' must be " + known.begin()->first +
                                                      " or " + known.rbegin()->first);
            }
            into = found->second;
            return {};
        };
    }

    void define() {
        setters_["--url"] = [this](Text value) -> Result<void> {
            if (!url_given_) options_.connect.urls.clear();
            url_given_ = true;
            options_.connect.urls.push_back(value);
            return {};
        };
        text("--group", options_.config.group);
        number("--workers", options_.workers, 1, 10'000);
        number("--partitions", options_.partitions, 0, kPartitionsMax);
        number("--id-bytes", options_.id_bytes, 12, 200);
        setters_["--strategy"] = [this](Text value) -> Result<void> {
            auto s = strategy_from_name(value);
            if (!s) return fail(s.error().code, "--strategy: " + s.error().detail);
            options_.strategy = *s;
            return {};
        };
        text("--config", config_);
        number("--expected-workers", options_.config.expected_workers, 0, 100'000);
        setters_["--callback-delay"] = [this](Text value) -> Result<void> {
            auto n = number_of("--callback-delay", value, 0, 3'600'000);
            if (!n) return tl::unexpected(n.error());
            options_.callback_delay = std::chrono::milliseconds(*n);
            return {};
        };
        text("--history", options_.history);
        define_consume();
        setters_["--inject-memory"] = [this](Text value) -> Result<void> {
            auto share = percent_of("--inject-memory", value);
            if (!share) return tl::unexpected(share.error());
            options_.inject_memory = *share;
            return {};
        };
        number("--inject-leak", options_.inject_leak, 1, 1'000'000);
        setters_["--status"] = [this](Text value) -> Result<void> {
            auto n = number_of("--status", value, 0, 65'535);
            if (!n) return tl::unexpected(n.error());
            options_.status_port = static_cast<std::uint16_t>(*n);
            return {};
        };
        text("--label", options_.label);
        setters_["--log"] = [this](Text value) -> Result<void> {
            const std::vector<std::string> known = {"debug", "info", "warning", "error", "off"};
            if (std::find(known.begin(), known.end(), value) == known.end()) {
                return fail(Errc::invalid_config, "--log '" + value + "' must be debug, info, warning, error or off");
            }
            options_.log = value;
            return {};
        };
        ConnectOptions& c = options_.connect;
        text("--user", c.user);
        text("--password", c.password);
        text("--token", c.token);
        text("--credentials", c.credentials_file);
        text("--nkey-public", c.nkey_public);
        text("--nkey-seed", c.nkey_seed_file);
        text("--tls-ca", c.tls_ca_file);
        text("--tls-cert", c.tls_certificate_file);
        text("--tls-key", c.tls_key_file);
        text("--tls-hostname", c.tls_hostname);
    }

    void define_consume() {
        ConsumeOptions& c = options_.consume;
        number("--callback-threads", options_.connect.callback_threads, 1, 64);
        text("--consume", c.config.stream);
        text("--subject", c.config.subject);
        text("--handled", c.handled);
        number("--max-ack-pending", c.config.max_ack_pending, 1, 65'536);
        number("--ack-wait", c.config.ack_wait, std::chrono::milliseconds(1), 100, 3'600'000);
        number("--work", c.work, std::chrono::microseconds(1), 0, 60'000'000);
        number("--fail-every", c.fail_every, 1, 1'000'000'000);
        choice("--consume-mode", c.config.mode,
               {{"per_partition", ConsumerMode::per_partition}, {"per_worker", ConsumerMode::per_worker}});
        choice("--ack", c.config.ack, {{"automatic", AckMode::automatic}, {"confirmed", AckMode::confirmed}});
    }

    Result<Options> conclude() {
        if (!options_.consume.config.stream.empty()) {
            if (options_.consume.handled.empty()) return fail(Errc::invalid_config, "--consume needs --handled FILE");
            if (auto ok = options_.consume.config.validate(); !ok) return tl::unexpected(ok.error());
        } else if (!options_.consume.config.subject.empty() || !options_.consume.handled.empty()) {
            return fail(Errc::invalid_config, "--subject and --handled need --consume STREAM");
        }
        if (!url_given_) return fail(Errc::invalid_config, "--url is missing");
        options_.config.timing = fast_test_timing();
        options_.config.number_max = std::max(options_.config.number_max, 2 * options_.workers);
        auto config = config_of(config_, options_.config);
        if (!config) return tl::unexpected(config.error());
        options_.config = std::move(*config);
        options_.connect.name = "worker-host";
        if (auto ok = options_.connect.validate(); !ok) return tl::unexpected(ok.error());
        return options_;
    }

    const std::vector<std::string>& args_;
    std::map<std::string, Setter> setters_;
    Options options_;
    std::string config_;
    bool url_given_ = false;
};

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& args) {
    Parser parser(args);
    auto options = parser.run();
    if (options && !options->help && options->strategy == nullptr) options->strategy = sticky();
    return options;
}

std::vector<Partition> partitions_of(std::uint32_t count, std::uint32_t id_bytes) {
    constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    base::Rng rng(id_bytes);
    std::vector<Partition> out;
    out.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        std::string id(id_bytes, ' ');
        for (char& c : id) c = kLetters[rng.below(kLetters.size())];
        char name[16];
        std::snprintf(name, sizeof name, "part.%05u", i);
        if (auto p = Partition::from_id(id_bytes == 0 ? std::string_view(name) : id)) out.push_back(std::move(*p));
    }
    return out;
}

}  // namespace parti::host
