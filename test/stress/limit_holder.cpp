// Makes a limited group, says where, and waits to be killed. For limits_selftest.
#include <cstdio>
#include <string>

#include "testutil/limits.h"

int main(int argc, char** argv) {
    using namespace parti::test;
    const std::string wanted = argc > 1 ? argv[1] : "";
    for (const LimitMethod method : {LimitMethod::cgroup_v2, LimitMethod::cgroup_v1, LimitMethod::soft}) {
        if (name(method) != wanted) continue;
        auto group = LimitedGroup::make({1, 1ULL << 27U}, method);
        std::puts(!group ? group.error().c_str() : group->folders().empty() ? "soft limits have none" : group->folders().front().c_str());
        std::fflush(stdout);
        std::getchar();
    }
}
