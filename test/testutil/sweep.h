// sweep: proves that nothing of this test survived.
//
// Role      The last oracle of every test: no process, listening port or temp folder left behind.
// Model     Every child carries PARTI_TEST_TAG=<tag of this test process> in its environment and hands it on to its own children,
//           so /proc/*/environ tells who is ours, whoever is its parent now; a direct child is ours with or without it. Temp
//           folders carry the tag in their name: parti-<what>-<tag>-<random>. Consumers on a server: server_monitor.h.
// Errors    A process that ends while it is looked at is no leftover.
// Threads   Free functions, any thread.
// Lifetime  The sweep only looks; it kills nothing and removes nothing. TempFolder removes its folder when it goes, and
//           folder_reaper.h when this process is killed.
// Cost      Some 10 us a process of the machine.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "outcome.h"

namespace parti::test {

struct LeftoverProcess {
    pid_t pid = 0;
    std::string command;
    bool zombie = false;  // an own child that was not waited for
};
struct ListeningPort {
    pid_t pid = 0;
    std::uint16_t port = 0;
};
struct Leftovers {
    std::vector<LeftoverProcess> processes;
    std::vector<ListeningPort> ports;  // of those processes and of this one
    std::vector<std::string> folders;
    bool empty() const { return processes.empty() && ports.empty() && folders.empty(); }
    std::string describe() const;
};

Leftovers leftovers();                                         // now
Leftovers leftovers_after(std::chrono::milliseconds timeout);  // as soon as there are none, else what is left at the end
// Processes of any test that ended without them: they carry a tag, and process 1 has adopted them.
std::vector<LeftoverProcess> orphans();
std::vector<std::uint16_t> listening_ports(pid_t pid);  // TCP, IPv4 and IPv6

// $TMPDIR or /tmp; where the folders are made and looked for (and /dev/shm).
std::string temp_root();
// "<root>/parti-<what>-<tag>-<random>"; not created.
std::string temp_folder_name(const std::string& root, const std::string& what);

class TempFolder {
public:
    static Outcome<TempFolder> make(const std::string& what);
    TempFolder(TempFolder&& other) noexcept;
    TempFolder& operator=(TempFolder&& other) noexcept;
    ~TempFolder();
    const std::string& path() const { return path_; }

private:
    explicit TempFolder(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

}  // namespace parti::test
