#include "testutil/sim_history.h"

#include <utility>

namespace parti::testutil {
namespace {

std::string number(const char* key, std::uint64_t value) { return std::string(",\"") + key + "\":" + std::to_string(value); }
std::string word(const char* key, const std::string& value) { return std::string(",\"") + key + "\":\"" + value + "\""; }

}  // namespace

std::ofstream& SimHistory::file(Nanos now, const std::string& process) {
    auto& out = files_[process];
    if (!out.is_open()) {
        out.open(folder_ + "/" + process + ".ndjson", std::ios::trunc);
        out << "{\"t\":" << now << ",\"e\":\"open\",\"pid\":0,\"label\":\"" << process << "\"}\n";
    }
    return out;
}

void SimHistory::line(Nanos now, const std::string& process, const std::string& event, const std::string& rest) {
    file(now, process) << "{\"t\":" << now << ",\"e\":\"" << event << "\"" << rest << "}\n";
}

void SimHistory::lets_go(Nanos now, const std::string& process, std::uint32_t worker, const std::vector<std::uint64_t>& grants,
                         bool released) {
    auto& held = workers_[worker].held;
    for (const std::uint64_t grant : grants) {
        const auto it = held.find(grant);
        if (it == held.end()) continue;  // its drain timed out before its user was done
        line(now, process, released ? "release" : "revoke",
             word("s", it->second.session) + number("g", grant) + word("p", it->second.partition));
        if (released) held.erase(it);
    }
}

void SimHistory::effect(Nanos now, const std::string& process, std::uint32_t worker, const core::Effect& effect, Nanos deadline) {
    Worker& w = workers_[worker];
    if (const auto* started = std::get_if<core::SessionStarted>(&effect)) {
        w.session = to_string(started->session);
        line(now, process, "session",
             number("w", worker) + number("n", started->number.value) + number("i", started->incarnation.value) +
                 word("s", w.session) + number("until", static_cast<std::uint64_t>(deadline)));
    } else if (std::holds_alternative<core::LeaseExtended>(effect)) {
        line(now, process, "deadline", word("s", w.session) + number("until", static_cast<std::uint64_t>(deadline)));
    } else if (const auto* ended = std::get_if<core::SessionEnded>(&effect)) {
        line(now, process, "end", word("s", w.session) + word("reason", ended->reason));
    } else if (const auto* granted = std::get_if<core::Granted>(&effect)) {
        for (const core::Grant& g : granted->grants) {
            w.held[g.grant] = {w.session, g.partition.id()};
            line(now, process, "grant",
                 word("s", w.session) + number("g", g.grant) + word("p", g.partition.id()) + ",\"f\":[" +
                     std::to_string(g.fence.epoch.value) + "," + std::to_string(g.fence.version) + "]");
        }
    } else if (const auto* revoked = std::get_if<core::Revoked>(&effect)) {
        lets_go(now, process, worker, revoked->grants, false);
    } else if (const auto* late = std::get_if<core::DrainTimedOut>(&effect)) {
        lets_go(now, process, worker, late->grants, true);
    }
}

void SimHistory::released(Nanos now, const std::string& process, std::uint32_t worker, const std::vector<std::uint64_t>& grants) {
    lets_go(now, process, worker, grants, true);
}

void SimHistory::died(Nanos now, const std::string& process) {
    line(now, process, "died", ",\"killed\":true");
    files_.erase(process);
}

}  // namespace parti::testutil
