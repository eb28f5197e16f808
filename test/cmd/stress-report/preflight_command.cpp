#include <cstdio>
#include <cstdlib>

#include "commands.h"
#include "testutil/preflight.h"

namespace parti::report {

Outcome<ExitCode> run_preflight(const Arguments& arguments) {
    if (arguments.size() != 2) return bad_input("preflight: takes the folder of all runs, and seconds to wait for a quiet machine");
    char* end = nullptr;
    const unsigned long seconds = std::strtoul(arguments[1].c_str(), &end, 10);
    if (arguments[1].empty() || *end != '\0' || seconds > 600) return bad_input("preflight: '" + arguments[1] + "' must be 0..600 seconds");
    const test::PreflightFacts facts = test::look_before_run(arguments[0], std::chrono::seconds(seconds));
    const auto gigabytes = [](const std::optional<std::uint64_t>& bytes) { return static_cast<double>(bytes.value_or(0)) / (1ULL << 30U); };
    std::printf("preflight: %s %s; %.1f GB of memory free, %.1f GB for results, %.1f GB for temporary files\n",
                facts.nats_server.value_or("no nats-server").c_str(), facts.nats_server_version.value_or("").c_str(), gigabytes(facts.free_memory),
                gigabytes(facts.free_disk), gigabytes(facts.free_temp));
    std::string stops;
    for (const test::PreflightFinding& finding : test::judge_preflight(facts)) {
        if (finding.stops) {
            stops += (stops.empty() ? "preflight: " : "\npreflight: ") + finding.text;
        } else {
            std::printf("preflight: %s\n", finding.text.c_str());
        }
    }
    if (!stops.empty()) return set_up_problem(stops);
    return ExitCode::pass;
}

}  // namespace parti::report
