#include <cstdio>
#include <cstdlib>

#include "commands.h"
#include "testutil/preflight.h"
#include "testutil/preflight_record.h"
#include "testutil/results.h"

namespace parti::report {
namespace {

std::string gigabytes(const std::optional<std::uint64_t>& bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes.value_or(0)) / (1ULL << 30U));
    return text;
}

std::string seconds(std::chrono::milliseconds time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(time).count());
    return text;
}

Environment facts_of(const test::PreflightFacts& facts) {
    return {{"preflight: nats-server", facts.nats_server.value_or("none") + " " + facts.nats_server_version.value_or("")},
            {"preflight: memory free", gigabytes(facts.free_memory)},
            {"preflight: free for results", gigabytes(facts.free_disk)},
            {"preflight: free for temporary files", gigabytes(facts.free_temp)},
            {"preflight: wait for a quiet machine",
             seconds(facts.waited) + (facts.busy.share > test::kQuiet ? ", and it stayed busy" : "")}};
}

}  // namespace

Outcome<ExitCode> run_preflight(const Arguments& arguments) {
    if (arguments.size() != 2)
        return bad_input("preflight: takes the folder of all runs, and seconds to wait for a quiet machine");
    char* end = nullptr;
    const unsigned long patience = std::strtoul(arguments[1].c_str(), &end, 10);
    if (arguments[1].empty() || *end != '\0' || patience > 600)
        return bad_input("preflight: '" + arguments[1] + "' must be 0..600 seconds");
    const test::PreflightFacts facts =
        test::look_before_run(arguments[0], std::chrono::seconds(patience), [&](const test::Busy& busy) {
            std::printf("preflight: waits up to %lu s for a quiet machine: %s, at most %.0f %% is quiet\n", patience,
                        test::text_of(busy).c_str(), test::kQuiet * 100);
            std::fflush(stdout);
        });
    std::printf(
        "preflight: %s %s; %s of memory free, %s for results, %s for temporary files; looked for %s whether the machine is "
        "quiet\n",
        facts.nats_server.value_or("no nats-server").c_str(), facts.nats_server_version.value_or("").c_str(),
        gigabytes(facts.free_memory).c_str(), gigabytes(facts.free_disk).c_str(), gigabytes(facts.free_temp).c_str(),
        seconds(facts.waited).c_str());
    PreflightRecord record{utc_now(), facts_of(facts), {}};
    std::string stops;
    for (const test::PreflightFinding& finding : test::judge_preflight(facts)) {
        if (finding.stops) {
            stops += (stops.empty() ? "preflight: " : "\npreflight: ") + finding.text;
        } else {
            std::printf("preflight: %s\n", finding.text.c_str());
            record.findings.push_back(finding.text);
        }
    }
    if (!stops.empty()) return set_up_problem(stops);
    if (const auto written = write_preflight(arguments[0], record); !written) return tl::unexpected<Problem>(written.error());
    return ExitCode::pass;
}

}  // namespace parti::report
