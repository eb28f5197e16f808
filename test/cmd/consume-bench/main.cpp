// consume-bench: parti's Consumer against nats.c's own pull consumer, alternately, in one run; see `usage`.
#include <charconv>
#include <cstdio>
#include <functional>
#include <map>
#include <random>

#include "bench.h"

namespace parti::bench {

const char* const usage =
    "usage: consume-bench run [--shape NAME ...] [--repeats N] [--window MS] [--seed N] [--server FILE] [--reference-only] "
    "[--quick]\n"
    "Measures throughput and latency of parti's Consumer and of the reference (js_PullSubscribe and Fetch of nats.c with its "
    "best batch of\n"
    "1, 16, 100, 256), alternately on the same store, and prints both and their ratios; results also as a file for "
    "stress-report.\n"
    "  --shape NAME      ordered/1 pipelined/1 ordered/100 pipelined/100 ordered/1000 (max_ack_pending 1 or 1000, partitions); "
    "default all\n"
    "  --server FILE     another nats-server\n"
    "  --quick           one batch, one repeat, a small store: shows that it works, measures nothing\n"
    "Exit codes: 0, 1 something failed, 104 bad option.\n";

namespace {

constexpr int exit_bad_option = 104;

class Parser {
public:
    explicit Parser(std::vector<std::string> args) : args_(std::move(args)) {}

    template <class T>
    void number(const char* name, T& into, std::uint64_t low, std::uint64_t high) {
        setters_[name] = [this, name, &into, low, high](const std::string& value) {
            std::uint64_t out = 0;
            const auto parsed = std::from_chars(value.data(), value.data() + value.size(), out);
            if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || out < low || out > high) {
                error_ = std::string(name) + " '" + value + "' must be a number in " + std::to_string(low) + ".." +
                         std::to_string(high);
            }
            into = T(out);
        };
    }
    void text(const char* name, std::function<void(const std::string&)> take) { setters_[name] = std::move(take); }
    void flag(const char* name, bool& into) { flags_[name] = &into; }

    // Empty: fine.
    std::string parse(std::size_t first) {
        for (std::size_t i = first; i < args_.size() && error_.empty(); ++i) {
            if (const auto flag = flags_.find(args_[i]); flag != flags_.end()) {
                *flag->second = true;
                continue;
            }
            const auto setter = setters_.find(args_[i]);
            if (setter == setters_.end()) return "unknown option '" + args_[i] + "'";
            if (i + 1 == args_.size()) return args_[i] + " needs a value";
            setter->second(args_[i + 1]);
            ++i;
        }
        return error_;
    }

private:
    std::vector<std::string> args_;
    std::map<std::string, std::function<void(const std::string&)>> setters_;
    std::map<std::string, bool*> flags_;
    std::string error_;
};

int complain(const std::string& why) {
    std::fprintf(stderr, "consume-bench: %s\n%s", why.c_str(), usage);
    return exit_bad_option;
}

int child(const std::vector<std::string>& args) {
    ChildOptions options;
    options.library = args.size() > 1 ? args[1] : "";
    if (options.library != "reference" && options.library != "parti") return complain("a child is 'reference' or 'parti'");
    Parser parser(args);
    parser.text("--url", [&](const std::string& v) { options.url = v; });
    parser.number("--partitions", options.partitions, 1, 100'000);
    parser.number("--pending", options.pending, 1, 100'000);
    parser.number("--batch", options.batch, 1, 100'000);
    parser.number("--threads", options.threads, 1, 1000);
    parser.number("--warmup", options.warmup, 0, 60'000);
    parser.number("--window", options.window, 1, 600'000);
    parser.number("--expected", options.expected, 0, 1ULL << 40U);
    parser.number("--server-pid", options.server_pid, 0, 1ULL << 31U);
    parser.flag("--latency", options.latency);
    if (const std::string wrong = parser.parse(2); !wrong.empty()) return complain(wrong);
    return run_child(options);
}

int drive(const std::vector<std::string>& args) {
    DriverOptions options;
    std::random_device entropy;
    options.seed = (std::uint64_t{entropy()} << 32U) | entropy();
    Parser parser(args);
    parser.text("--shape", [&](const std::string& v) { options.shapes.push_back(v); });
    parser.text("--server", [&](const std::string& v) { options.server = v; });
    parser.number("--repeats", options.repeats, 1, 1000);
    parser.number("--window", options.window, 100, 600'000);
    parser.number("--seed", options.seed, 0, ~0ULL);
    parser.flag("--reference-only", options.reference_only);
    parser.flag("--quick", options.quick);
    if (const std::string wrong = parser.parse(1); !wrong.empty()) return complain(wrong);
    return run_driver(options);
}

}  // namespace
}  // namespace parti::bench

int main(int argc, char** argv) {
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (!args.empty() && args[0] == "child") return parti::bench::child(args);
    if (!args.empty() && args[0] == "run") return parti::bench::drive(args);
    if (!args.empty() && args[0] == "--help") {
        std::fputs(parti::bench::usage, stdout);
        return 0;
    }
    return parti::bench::complain("expected 'run'");
}
