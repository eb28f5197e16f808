// Makes a limited group with a process in it, says where (a line for each folder, then an empty one), and waits to be killed. For
// limits_selftest.
#include <cstdio>
#include <string>

#include "testutil/limits.h"
#include "testutil/process.h"

int main(int argc, char** argv) {
    using namespace parti::test;
    const std::string wanted = argc > 1 ? argv[1] : "";
    for (const LimitMethod method : {LimitMethod::cgroup_v2, LimitMethod::cgroup_v1, LimitMethod::soft}) {
        if (name(method) != wanted) continue;
        auto group = LimitedGroup::make({1, 1ULL << 27U}, method);
        ProcessOptions options;
        if (group) options.path = group->wrap("/bin/cat").value_or("");
        auto child = ChildProcess::start(options);
        const bool inside = child && child->send_line("here") && child->read_line(Milliseconds(30000)).text == "here";
        if (!group || !inside) {
            std::printf("not here: %s\n", group ? "no process enters the group" : group.error().c_str());
        } else {
            for (const std::string& folder : group->folders()) std::puts(folder.c_str());
            std::puts("");
        }
        std::fflush(stdout);
        std::getchar();
    }
}
