// FolderGuard: a private folder that goes when this process goes, whatever the reason.
//
// Role      Makes and removes the launcher's folder. The only thing that works after a kill -9 of the launcher.
// Model     A watcher process, forked before there is a second thread, in its own session and nobody's child (a ctest that kills
//           a test with all its children does not reach it), holding one end of a socket. It makes the folder, is told the pid of
//           every server started, and when the socket closes it kills the last of them (through a pidfd, so never a stranger with
//           a reused pid), removes the folder and ends. An orderly end takes the same way.
// Errors    make: the folder cannot be made. Removal that does not succeed within 10 s is given up.
// Threads   From main only; make() while the process has one thread.
// Lifetime  The destructor closes the socket and waits for the watcher.
// Cost      One process of some 100 kB that sleeps.
#pragma once

#include <sys/types.h>

#include <string>

#include "options.h"

namespace parti::launcher {

class FolderGuard {
public:
    static Outcome<FolderGuard> make(const std::string& folder, bool keep);
    FolderGuard(FolderGuard&& other) noexcept;
    FolderGuard& operator=(FolderGuard&&) = delete;
    ~FolderGuard();

    const std::string& folder() const { return folder_; }
    void watch(pid_t server);

private:
    FolderGuard(std::string folder, int socket) : folder_(std::move(folder)), socket_(socket) {}
    std::string folder_;
    int socket_ = -1;
};

}  // namespace parti::launcher
