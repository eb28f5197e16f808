// history-check: judges the histories of one fleet, real (worker-host) or simulated (simulate --history), by the same rules.
//
//   history-check FILE...       all processes of the fleet, one file each; see testutil/history_file.h
//
// Exit      0: no promise was broken. 1: violations, printed. 2: a file that cannot be read, or no ownership at all.
#include <cstdio>
#include <string>
#include <vector>

#include "testutil/history_file.h"

int main(int argc, char** argv) {
    std::vector<parti::test::ProcessHistory> processes;
    for (int i = 1; i < argc; ++i) {
        auto process = parti::test::read_process_history(argv[i]);
        if (!process) {
            std::fprintf(stderr, "history-check: %s\n", process.error().c_str());
            return 2;
        }
        processes.push_back(std::move(*process));
    }
    const auto timeline = parti::test::check_history(processes);
    std::size_t ownerships = 0;
    for (const auto& entry : timeline.partitions) ownerships += entry.second.size();
    std::printf("%zu processes, %zu sessions, %zu partitions, %zu ownerships, %zu violations\n", processes.size(),
                timeline.sessions.size(), timeline.partitions.size(), ownerships, timeline.violations.size());
    if (!timeline.violations.empty()) {
        std::printf("%s\n", parti::test::describe(timeline.violations).c_str());
        return 1;
    }
    if (ownerships == 0) {
        std::fprintf(stderr, "history-check: these histories hold nothing that could be judged\n");
        return 2;
    }
    return 0;
}
