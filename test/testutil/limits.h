// LimitedGroup: processes that together may use so much memory and so many processors, as on a small machine.
//
// Role      TestScenario_Constrained runs workers and server in one.
// Model     Three methods; the best one that works here is taken, and "works" means that it was done: a group was made and its
//           limits were written and read back.
//             cgroup_v2   where its root offers memory and cpu: memory.max, memory.swap.max 0, cpu.max
//             cgroup_v1   memory.limit_in_bytes (with swap), cpu.cfs_quota_us
//             soft        taskset and RLIMIT_DATA of each process by itself; nobody kills anything, an allocation is refused. A
//                         label, not a wall: page cache and shared pages do not count, and several processes may use the limit
//                         several times
//           wrap() writes a script that enters the group and then becomes the program, so that not one page is charged elsewhere.
// Units     Bytes; processors, as 1.5.
// Errors    Outcome with the path, and the kernel's reason.
// Threads   One thread at a time per object.
// Lifetime  end() or the destructor removes the group; its processes must have ended, else end() says which are there. When this
//           process is killed, folder_reaper.h removes the group.
// Cost      A few writes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "testutil/outcome.h"
#include "testutil/sweep.h"

namespace parti::test {

enum class LimitMethod : std::uint8_t { cgroup_v2, cgroup_v1, soft };
std::string name(LimitMethod method);  // "cgroup v2", "cgroup v1", "soft"

struct Limits {
    double cpus = 1;
    std::uint64_t memory_bytes = 0;
};

struct LimitUse {  // what the kernel counted; absent: this method, or this kernel, does not count it
    std::optional<std::uint64_t> peak_bytes;
    std::optional<std::uint64_t> oom_kills;
    std::optional<std::uint64_t> throttled_periods;
    std::optional<double> throttled_seconds;
};

class LimitedGroup {
public:
    // `only`: this method or none. Else $PARTI_LIMIT_METHOD (v2, v1, soft), else the best.
    static Outcome<LimitedGroup> make(Limits limits, std::optional<LimitMethod> only = std::nullopt);
    LimitedGroup(LimitedGroup&&) noexcept;
    LimitedGroup& operator=(LimitedGroup&&) = delete;
    ~LimitedGroup();

    LimitMethod method() const { return method_; }
    const std::string& why() const { return why_; }  // why it is no better method; empty: there is none
    const std::vector<std::string>& folders() const { return folders_; }
    Outcome<std::string> wrap(const std::string& program);
    bool holds(pid_t pid) const;  // it is in the group, says the kernel; soft: true, nothing tells
    Outcome<LimitUse> use() const;
    Outcome<void> end();

private:
    LimitedGroup(Limits limits, LimitMethod method, TempFolder scripts)
        : limits_(limits), method_(method), scripts_(std::move(scripts)) {}
    Outcome<void> set_up(const std::string& group_name);
    Outcome<void> set_up_v2(const std::string& group_name);
    Outcome<void> set_up_v1(const std::string& group_name);
    Outcome<void> set_up_soft();

    Limits limits_;
    LimitMethod method_;
    TempFolder scripts_;
    std::string why_;
    std::string memory_, cpu_;          // folders; the same one under v2
    std::vector<std::string> folders_;  // made by us, still there
    std::string processors_;            // soft: "0" or "0,1"
    int wrapped_ = 0;
};

}  // namespace parti::test
