#include "options.h"

#include <algorithm>
#include <charconv>
#include <map>

namespace parti::ctl {

const char* const usage =
    "partictl: watch and steer a group of parti workers\n"
    "\n"
    "  partictl [options] --group G COMMAND\n"
    "\n"
    "  status                 what the group's records say: leader, phase, partitions, every worker\n"
    "  freeze                 nothing moves any more, but for partitions without an owner and for drains\n"
    "  unfreeze               moves are planned again\n"
    "  drain NAME             the worker will own nothing; NAME is its session, its instance or its number\n"
    "  undrain NAME           it may own partitions again\n"
    "  rebalance              a full plan at once\n"
    "  refresh                every worker lists its source of partitions again\n"
    "  reset                  replace a control record that cannot be read by an empty one\n"
    "\n"
    "  --server URL           of a nats-server; may be repeated; nats://127.0.0.1:4222 by default\n"
    "  --group G              the group's name\n"
    "  --json                 status as one JSON object\n"
    "  --in-advance           drain: NAME is an instance that need not be there yet\n"
    "  --timeout SECONDS      for connecting and for the command, each; 1..3600, 10 by default\n"
    "  --user U --password P --token T --credentials FILE --nkey-public K --nkey-seed FILE\n"
    "  --tls-ca FILE --tls-cert FILE --tls-key FILE --tls-hostname NAME\n"
    "  --help\n"
    "\n"
    "A command is asked for when partictl ends; `status` shows how far the group is with it.\n"
    "Exit codes: 0 done; 1 something else went wrong; 2 bad usage or a bad value; 3 no such group or name; 4 no connection, no "
    "permission\n"
    "or no answer in time; 5 a record cannot be read.\n";

namespace {

using Text = const std::string&;

tl::unexpected<Error> refuse(std::string why) { return fail(Errc::invalid_argument, std::move(why)); }

bool known_command(Text name) {
    for (const char* known : {"status", "freeze", "unfreeze", "drain", "undrain", "rebalance", "refresh", "reset"}) {
        if (name == known) return true;
    }
    return false;
}

bool takes_name(Text command) { return command == "drain" || command == "undrain"; }

Result<Duration> seconds_of(Text value) {
    int seconds = 0;
    const char* end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, seconds);
    if (parsed.ec != std::errc() || parsed.ptr != end || seconds < 1 || seconds > 3600) {
        return refuse("--timeout '" + value + "' must be a whole number of seconds in 1..3600");
    }
    return std::chrono::seconds(seconds);
}

// What is not an option: the command, then its name.
Result<void> take_word(Options& out, Text word) {
    if (out.command.empty()) {
        if (!known_command(word)) {
            return refuse("unknown command '" + word +
                          "'; it must be status, freeze, unfreeze, drain, undrain, rebalance, refresh or reset");
        }
        out.command = word;
        return {};
    }
    if (takes_name(out.command) && out.name.empty() && !word.empty()) {
        out.name = word;
        return {};
    }
    return refuse("'" + word + "' after '" + out.command +
                  "': " + (takes_name(out.command) ? "it takes one NAME" : "it takes no argument"));
}

Result<Options> conclude(Options out) {
    if (out.command.empty())
        return refuse("a command is missing: status, freeze, unfreeze, drain, undrain, rebalance, refresh or reset");
    if (out.group.empty()) return refuse("--group is missing");
    if (takes_name(out.command) && out.name.empty()) {
        return refuse("'" + out.command + "' needs a NAME: a session, an instance or a worker's number");
    }
    if (out.json && out.command != "status") return refuse("--json goes with status, not with '" + out.command + "'");
    if (out.in_advance && out.command != "drain") return refuse("--in-advance goes with drain, not with '" + out.command + "'");
    out.connect.name = "partictl";
    out.connect.connect_timeout = std::min(out.connect.connect_timeout, out.timeout);
    if (auto ok = out.connect.validate(); !ok) return refuse(ok.error().detail);
    return out;
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& args) {
    Options out;
    ConnectOptions& c = out.connect;
    std::vector<std::string> servers;
    std::string timeout;
    const std::map<std::string, std::string*> texts = {{"--group", &out.group},
                                                       {"--user", &c.user},
                                                       {"--password", &c.password},
                                                       {"--token", &c.token},
                                                       {"--credentials", &c.credentials_file},
                                                       {"--nkey-public", &c.nkey_public},
                                                       {"--nkey-seed", &c.nkey_seed_file},
                                                       {"--tls-ca", &c.tls_ca_file},
                                                       {"--tls-cert", &c.tls_certificate_file},
                                                       {"--tls-key", &c.tls_key_file},
                                                       {"--tls-hostname", &c.tls_hostname},
                                                       {"--timeout", &timeout}};
    for (std::size_t i = 0; i < args.size(); ++i) {
        const std::string& word = args[i];
        if (word == "--help") {
            out.help = true;
            return out;
        }
        if (word == "--json") {
            out.json = true;
        } else if (word == "--in-advance") {
            out.in_advance = true;
        } else if (word.rfind("--", 0) == 0) {
            const auto text = texts.find(word);
            if (text == texts.end() && word != "--server") return refuse("unknown option '" + word + "'");
            if (++i == args.size()) return refuse(word + " needs a value");
            if (text != texts.end()) *text->second = args[i];
            else servers.push_back(args[i]);
        } else if (auto ok = take_word(out, word); !ok) {
            return tl::unexpected(ok.error());
        }
    }
    if (!servers.empty()) c.urls = std::move(servers);
    if (!timeout.empty()) {
        auto seconds = seconds_of(timeout);
        if (!seconds) return tl::unexpected(seconds.error());
        out.timeout = *seconds;
    }
    return conclude(std::move(out));
}

}  // namespace parti::ctl
