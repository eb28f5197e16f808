#include "testutil/oracles.h"

#include <algorithm>
#include <set>

namespace parti::test {
namespace {

void judge_process(const ProcessRecord& process, const OracleOptions& options, std::vector<Violation>& out) {
    const std::string who = process.label + ": ";
    if (!process.problem.empty()) out.push_back({Oracle::history, who + process.problem});
    for (const LogFinding& finding : process.log) out.push_back({Oracle::log, who + finding.where()});
    for (const std::string& error : process.errors) {
        const bool allowed = std::any_of(options.allowed_errors.begin(), options.allowed_errors.end(),
                                         [&error](const std::string& part) { return error.find(part) != std::string::npos; });
        if (!allowed) out.push_back({Oracle::log, who + "reported " + error});
    }
    const ExitStatus expected = process.history.killed ? ExitStatus{std::nullopt, 9} : ExitStatus{0, std::nullopt};
    if (!process.exit) {
        out.push_back({Oracle::exit_status, who + "has not ended"});
    } else if (!(*process.exit == expected)) {
        out.push_back({Oracle::exit_status, who + "ended with " + process.exit->text() + " instead of " + expected.text()});
    }
}

}  // namespace

std::string_view name(Oracle oracle) {
    switch (oracle) {
        case Oracle::one_owner: return "one_owner";
        case Oracle::coverage: return "coverage";
        case Oracle::unique_number: return "unique_number";
        case Oracle::dense_numbers: return "dense_numbers";
        case Oracle::monotone_version: return "monotone_version";
        case Oracle::fence_order: return "fence_order";
        case Oracle::history: return "history";
        case Oracle::log: return "log";
        case Oracle::exit_status: return "exit_status";
        case Oracle::slow_consumer: return "slow_consumer";
        case Oracle::server_consumer: return "server_consumer";
        case Oracle::leftover: return "leftover";
        case Oracle::message_lost: return "message_lost";
        case Oracle::message_order: return "message_order";
        case Oracle::message_duplicate: return "message_duplicate";
        case Oracle::message_overlap: return "message_overlap";
        case Oracle::message_not_owned: return "message_not_owned";
        case Oracle::message_foreign: return "message_foreign";
    }
    return "?";
}

std::string describe(const std::vector<Violation>& violations, std::size_t limit) {
    std::string text;
    for (std::size_t i = 0; i < violations.size() && i < limit; ++i) {
        text += "[" + std::string(name(violations[i].oracle)) + "] " + violations[i].text + "\n";
    }
    if (violations.size() > limit) text += "... and " + std::to_string(violations.size() - limit) + " more\n";
    return text;
}

Judgement judge(const FleetRecord& record, const OracleOptions& options) {
    Judgement judgement;
    std::vector<ProcessHistory> histories;
    for (const ProcessRecord& process : record.processes) histories.push_back(process.history);
    judgement.timeline = check_history(histories);
    judgement.violations = judgement.timeline.violations;
    auto& out = judgement.violations;
    for (const ProcessRecord& process : record.processes) judge_process(process, options, out);
    for (const LogFinding& finding : record.server_log) out.push_back({Oracle::log, "nats-server: " + finding.where()});
    if (record.slow_consumers != 0) {
        out.push_back({Oracle::slow_consumer, "the server counted " + std::to_string(record.slow_consumers) + " slow consumers"});
    }
    for (const std::string& consumer : record.consumers)
        out.push_back({Oracle::server_consumer, consumer + " is left on the server"});
    for (const std::string& problem : record.problems) out.push_back({Oracle::exit_status, problem});
    return judgement;
}

std::vector<Violation> check_dense(const Timeline& timeline, const Density& density) {
    std::vector<Violation> out;
    for (const SessionInterval& s : timeline.sessions) {
        std::set<std::uint32_t> taken;
        for (const SessionInterval& other : timeline.sessions) {
            const bool held = other.begin_ns <= s.begin_ns && s.begin_ns < other.end_ns + density.held_afterwards_ns;
            if (held && other.number < s.number) taken.insert(other.number);
        }
        const std::size_t skipped = s.number - density.first - std::min<std::size_t>(taken.size(), s.number - density.first);
        if (s.number >= density.first && skipped < density.choice) continue;
        out.push_back({Oracle::dense_numbers, "session " + s.session + " has number " + std::to_string(s.number) + ", and " +
                                                  std::to_string(skipped) + " smaller ones were free; at most " +
                                                  std::to_string(density.choice - 1) + " may be"});
    }
    return out;
}

std::vector<Violation> judge_leftovers(std::chrono::milliseconds timeout) {
    const Leftovers left = leftovers_after(timeout);
    if (left.empty()) return {};
    return {{Oracle::leftover, left.describe()}};
}

}  // namespace parti::test
