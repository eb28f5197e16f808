// SimHistory: what a simulated fleet does, as the history files that worker-host writes (test/cmd/worker-host/history.h), so that
// one program judges both.
//
// Model     One file a process's life, <folder>/<process>.ndjson; times are true simulated time, deadlines as well. Each ends
//           with the "died" line of testutil/history_file.h, at the crash or at the end of the run.
// Threads   One.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/io.h"
#include "testutil/sim_scheduler.h"

namespace parti::testutil {

class SimHistory {
public:
    explicit SimHistory(std::string folder) : folder_(std::move(folder)) {}

    // `deadline`: the true time of the one in the effect, if it has one. `worker` names one life of one worker.
    void effect(Nanos now, const std::string& process, std::uint32_t worker, const core::Effect& effect, Nanos deadline);
    void released(Nanos now, const std::string& process, std::uint32_t worker, const std::vector<std::uint64_t>& grants);
    void died(Nanos now, const std::string& process);

private:
    struct Held {
        std::string session;
        std::string partition;
    };
    struct Worker {
        std::string session;
        std::map<std::uint64_t, Held> held;
    };
    std::ofstream& file(Nanos now, const std::string& process);
    void line(Nanos now, const std::string& process, const std::string& event, const std::string& rest);
    void lets_go(Nanos now, const std::string& process, std::uint32_t worker, const std::vector<std::uint64_t>& grants,
                 bool released);

    std::string folder_;
    std::map<std::string, std::ofstream> files_;
    std::map<std::uint32_t, Worker> workers_;
};

}  // namespace parti::testutil
