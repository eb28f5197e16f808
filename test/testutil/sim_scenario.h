// SimScenario: a few workers, a script, and what happened as lines that a human reads.
//
// Role      The simulated world without chance: a process a worker, one latency, no fault that the script does not ask for;
//           judged by the same invariants. test/simulation/transcripts compares the lines.
// Model     A line is virtual time, who, what: what a worker tells its user (numbers, ownership, leadership, warnings), and what
//           the store was told beyond renewals ("store"). Partitions are single letters: "owns abc". The script's own lines begin
//           with "--".
// Lifetime  Everything ends with the object.
// Threads   One.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "testutil/sim_shell.h"

namespace parti::testutil {

class SimScenario {
public:
    struct Options {
        std::uint32_t partitions = 6;  // named a, b, c, ...
        Config config{};               // default timing
        bool instances = false;        // a worker's name is its instance name too
        std::function<void(Config&)> adjust = {};
        std::string history = {};  // a folder: see SimHistory
    };
    explicit SimScenario(Options options);
    ~SimScenario();
    SimScenario(const SimScenario&) = delete;
    SimScenario& operator=(const SimScenario&) = delete;

    void say(const std::string& text);
    void start(const std::string& name, const std::function<void(Config&)>& adjust = {});
    void leave(const std::string& name);
    void crash(const std::string& name);
    void pause(const std::string& name, Nanos duration);
    void cut_off(const std::string& name, Nanos duration);
    void callbacks_take(const std::string& name, Nanos duration) { delays_[name] = duration; }
    void control(const ControlRecord& record);           // as an operator writes it
    void remove(Bucket bucket, const std::string& key);  // as an operator does: a marker
    // What this worker puts under this key from now on waits on its way until let_go(), whatever becomes of the worker.
    void hold(const std::string& name, Bucket bucket, const std::string& key);
    std::size_t held() const { return shared_->network.held(); }
    void let_go();
    void server_stops() { shared_->network.server_down(); }
    void server_starts() { shared_->network.server_start(); }
    SimStore& store() { return shared_->store; }
    std::string bucket(Bucket bucket) const;
    void lost(Bucket bucket, Revision kept);  // the store was put back to this revision, or emptied (0)

    void run_for(Nanos duration);
    // Until a worker's effect or a stored record makes a line that contains all the words, at most so long. False: it did not.
    bool run_until(const std::vector<std::string>& words, Nanos at_most = 120 * kSecond);
    // Until the condition holds.
    bool run_until(const std::function<bool()>& condition, Nanos at_most = 120 * kSecond);
    std::string leader() const;  // its name; empty: none
    std::uint32_t number(const std::string& name) const;
    std::uint64_t revision(Bucket bucket, const std::string& key) const;  // 0: not there
    const std::optional<Violation>& violation() const { return shared_->judge.violation(); }
    // Who owns what now.
    void summary();

    const std::vector<std::string>& lines() const { return lines_; }

private:
    void line(const std::string& who, const std::string& what);
    void on_effect(const SimWorker& worker, const core::Effect& effect);
    void on_stored(const SimStore::Stream& stream, const std::string& key, const SimMessage& message);
    std::string letters(const std::vector<Partition>& partitions) const;

    std::unique_ptr<SimShared> shared_;
    bool instances_;
    std::map<std::string, std::unique_ptr<SimProcess>> processes_;
    std::map<std::string, std::uint32_t> slots_;
    std::map<std::string, Nanos> delays_;
    struct Hold {
        const SimClient* from = nullptr;
        std::string bucket;
        std::string key;
    };
    std::vector<Hold> holds_;
    std::map<std::string, std::map<std::uint64_t, std::string>> grants_;  // by worker: letter of a grant
    std::map<std::uint32_t, std::string> told_leases_;
    std::vector<std::string> lines_;
};

}  // namespace parti::testutil
