// server-holder: holds a NatsServer, a plain child and a temp folder until its stdin ends or it is killed. A test kills it -9 to
// see what survives.
#include <unistd.h>

#include <cstdio>
#include <string>

#include "testutil/nats_server.h"
#include "testutil/sweep.h"

int main() {
    using namespace parti::test;
    auto server = NatsServer::start();
    if (!server) {
        std::fprintf(stderr, "%s\n", server.error().c_str());
        return 100;
    }
    auto folder = TempFolder::make("holder");
    if (!folder) {
        std::fprintf(stderr, "%s\n", folder.error().c_str());
        return 100;
    }
    ProcessOptions sleeper;
    sleeper.path = "sleep";
    sleeper.args = {"1000"};
    auto child = ChildProcess::start(sleeper);
    if (!child) {
        std::fprintf(stderr, "%s\n", child.error().c_str());
        return 100;
    }
    std::printf("%d %d %d %s\n", server->pid(), server->launcher_pid(), child->pid(), server->store().c_str());
    std::fflush(stdout);
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
}
