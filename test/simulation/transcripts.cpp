// transcripts: plays the scenarios and compares what happened with the files in transcripts/, line by line.
//
//   transcripts FOLDER [NAME...] [--rewrite]     all, or the named ones; --rewrite writes the files anew
//
// Exit      0: all are as written. 1: one differs (the first difference is shown), or an invariant was broken. 2: bad arguments.
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "testutil/sim_scenario.h"

namespace {

using parti::Config;
using parti::ControlRecord;
using parti::testutil::kMilli;
using parti::testutil::kSecond;
using parti::testutil::SimScenario;

const std::vector<std::string> kThree = {"A", "B", "C"};
const std::vector<std::string> kFive = {"A", "B", "C", "D", "E"};

SimScenario::Options options(std::uint32_t partitions) {
    SimScenario::Options out;
    out.partitions = partitions;
    out.adjust = [](Config& config) { config.number_max = 4; };
    return out;
}

void begin(SimScenario& s, const std::vector<std::string>& names) {
    s.say("a new group; " + std::to_string(names.size()) + " workers start together");
    for (const std::string& name : names) s.start(name);
    s.run_for(15 * kSecond);
    s.summary();
}

void end(SimScenario& s, parti::testutil::Nanos after = 40 * kSecond) {
    s.run_for(after);
    s.say("in the end");
    s.summary();
}

void cold_start(SimScenario& s) { begin(s, kThree); }

void rolling_restart(SimScenario& s) {
    begin(s, kThree);
    for (const std::string& name : kThree) {
        s.say(name + " is restarted");
        s.leave(name);
        s.run_until({name, "is Stopped"});
        s.run_for(kSecond);
        s.start(name);
        s.run_for(15 * kSecond);
    }
    end(s);
}

void leader_paused(SimScenario& s) {
    begin(s, kThree);
    const std::string leader = s.leader();
    s.say("D joins, everybody takes 2 s to release; the leader is paused as soon as it has revoked");
    for (const std::string& name : kThree) s.callbacks_take(name, 2 * kSecond);
    s.start("D");
    s.run_until({"store", "revoking"});
    s.pause(leader, 20 * kSecond);
    end(s);
}

void split_network(SimScenario& s) {
    begin(s, kFive);
    const std::string leader = s.leader();
    const std::string other = leader == "A" ? "B" : "A";
    s.say("the leader and another worker lose the server, for longer than their leases last");
    s.cut_off(leader, 20 * kSecond);
    s.cut_off(other, 20 * kSecond);
    end(s, 60 * kSecond);
}

void slow_loser(SimScenario& s) {
    begin(s, {"A", "B"});
    s.say("C joins; A never releases within the drain timeout, B takes 300 ms: what B loses must not wait for A");
    s.callbacks_take("A", 60 * kSecond);
    s.callbacks_take("B", 300 * kMilli);
    s.start("C");
    end(s);
}

void mass_failure(SimScenario& s) {
    begin(s, kFive);
    const std::string leader = s.leader();
    s.say("everybody but the leader crashes, and comes back 12 s later: the recovery grace waits for them");
    for (const std::string& name : kFive) {
        if (name != leader) s.crash(name);
    }
    s.run_for(12 * kSecond);
    for (const std::string& name : kFive) {
        if (name != leader) s.start(name);
    }
    end(s, 60 * kSecond);
}

void freeze(SimScenario& s) {
    begin(s, kThree);
    s.say("an operator freezes the group; D joins and gets nothing, the orphans of a crashed worker are adopted all the same");
    ControlRecord control;
    control.frozen = true;
    s.control(control);
    s.start("D");
    s.run_for(15 * kSecond);
    s.summary();
    s.crash(s.leader() == "B" ? "C" : "B");
    s.run_for(20 * kSecond);
    s.summary();
    s.say("and thaws it");
    s.control(ControlRecord{});
    end(s);
}

void static_restart(SimScenario& s) {
    begin(s, kThree);
    s.say(
        "all crash at once and come back under their instance names: each waits for its own number, and gets its own work back");
    for (const std::string& name : kThree) s.crash(name);
    s.run_for(kSecond);
    for (const std::string& name : kThree) s.start(name);
    end(s);
}

void store_rolled_back(SimScenario& s) {
    begin(s, kThree);
    const auto leases = s.store().snapshot(s.bucket(parti::Bucket::lease));
    const auto assignments = s.store().snapshot(s.bucket(parti::Bucket::assignment));
    s.say("D joins");
    s.start("D");
    s.run_for(15 * kSecond);
    s.summary();
    s.say("the server stops, and comes back with the copy of its store from before D joined");
    s.server_stops();
    s.store().restore(leases);
    s.store().restore(assignments);
    s.lost(parti::Bucket::lease, leases.last_sequence);
    s.lost(parti::Bucket::assignment, assignments.last_sequence);
    s.run_for(kSecond);
    s.server_starts();
    end(s, 60 * kSecond);
}

void store_wiped(SimScenario& s) {
    begin(s, kThree);
    s.say("the server stops, and comes back with empty buckets");
    s.server_stops();
    s.store().wipe(s.bucket(parti::Bucket::lease));
    s.store().wipe(s.bucket(parti::Bucket::assignment));
    s.lost(parti::Bucket::lease, 0);
    s.lost(parti::Bucket::assignment, 0);
    s.run_for(kSecond);
    s.server_starts();
    end(s, 60 * kSecond);
}

struct Story {
    std::string_view name;
    std::uint32_t partitions;
    bool instances;
    void (*play)(SimScenario&);
};
constexpr Story kStories[] = {
    {"cold_start", 6, false, cold_start},
    {"rolling_restart", 6, false, rolling_restart},
    {"leader_paused", 8, false, leader_paused},
    {"split_network", 10, false, split_network},
    {"slow_loser", 12, false, slow_loser},
    {"mass_failure", 10, false, mass_failure},
    {"freeze", 6, false, freeze},
    {"static_restart", 6, true, static_restart},
    {"store_rolled_back", 6, false, store_rolled_back},
    {"store_wiped", 6, false, store_wiped},
};

std::string first_difference(const std::vector<std::string>& now, const std::vector<std::string>& written) {
    for (std::size_t i = 0; i < std::max(now.size(), written.size()); ++i) {
        const std::string was = i < written.size() ? written[i] : "(end)";
        const std::string is = i < now.size() ? now[i] : "(end)";
        if (was != is) return "line " + std::to_string(i + 1) + "\n  written: " + was + "\n  now:     " + is;
    }
    return {};
}

bool play(const Story& story, const std::string& path, bool rewrite) {
    auto with = options(story.partitions);
    with.instances = story.instances;
    SimScenario scenario(with);
    story.play(scenario);
    bool good = true;
    for (const std::string& line : scenario.lines()) {
        if (line.find("  judge ") == std::string::npos && line.find("  script ") == std::string::npos) continue;
        std::printf("FAILED %s: %s\n", std::string(story.name).c_str(), line.c_str());
        good = false;
    }
    if (rewrite) {
        std::ofstream out(path);
        for (const std::string& line : scenario.lines()) out << line << '\n';
        return good;
    }
    std::vector<std::string> written;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) written.push_back(line);
    const std::string difference = first_difference(scenario.lines(), written);
    if (difference.empty()) return good;
    std::printf("FAILED %s differs from %s, %s\n  if that is meant: transcripts FOLDER %s --rewrite, and read what changed\n",
                std::string(story.name).c_str(), path.c_str(), difference.c_str(), std::string(story.name).c_str());
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    bool rewrite = false;
    std::vector<std::string> names;
    std::string folder;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--rewrite") rewrite = true;
        else if (folder.empty()) folder = argument;
        else names.push_back(argument);
    }
    std::size_t played = 0;
    bool good = true;
    for (const Story& story : kStories) {
        bool wanted = names.empty();
        for (const std::string& name : names) wanted = wanted || name == story.name;
        if (!wanted) continue;
        ++played;
        good = play(story, folder + "/" + std::string(story.name) + ".txt", rewrite) && good;
    }
    if (folder.empty() || played < std::max<std::size_t>(names.size(), 1)) {
        std::fprintf(stderr, "usage: transcripts FOLDER [NAME...] [--rewrite]; names:");
        for (const Story& story : kStories) std::fprintf(stderr, " %s", std::string(story.name).c_str());
        std::fprintf(stderr, "\n");
        return 2;
    }
    if (good) std::printf("%zu transcripts\n", played);
    return good ? 0 : 1;
}
