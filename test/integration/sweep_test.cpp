// The oracles around a test, each made to find something once: what survives must be reported.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <thread>

#include "swept_test.h"
#include "testutil/memory_probe.h"
#include "testutil/proc_text.h"
#include "testutil/process.h"

namespace parti::test {
namespace {

constexpr Milliseconds time{5000};

class SweepTest : public SweptTest {
protected:
    static ChildProcess start(const std::string& script) {
        ProcessOptions options;
        options.path = "sh";
        options.args = {"-c", script};
        auto child = ChildProcess::start(std::move(options));
        if (!child) throw std::runtime_error(child.error());
        return std::move(*child);
    }
    static const LeftoverProcess* find(const Leftovers& left, pid_t pid) {
        for (const LeftoverProcess& one : left.processes) {
            if (one.pid == pid) return &one;
        }
        return nullptr;
    }
    static bool is_below(pid_t pid, pid_t ancestor) {
        while (pid > 1 && pid != ancestor) {
            const std::string status = proc::read_text(proc::path_of(pid, "status")).value_or("");
            const auto at = status.find("\nPPid:\t");
            pid = at == std::string::npos ? 0 : std::atoi(status.c_str() + at + 7);
            if (pid == ancestor) return true;
        }
        return false;
    }
};

TEST_F(SweepTest, ReportsASurvivingChildAndNothingAfterItsEnd) {
    EXPECT_TRUE(leftovers().empty()) << leftovers().describe();
    ChildProcess child = start("exec sleep 1000");
    const Leftovers left = leftovers_after(Milliseconds(50));
    ASSERT_NE(find(left, child.pid()), nullptr) << left.describe();
    EXPECT_NE(left.describe().find(std::to_string(child.pid())), std::string::npos);
    child.terminate();
    EXPECT_TRUE(leftovers().empty()) << leftovers().describe();
}

TEST_F(SweepTest, ReportsAnOrphanThatLostItsParentAndItsGroup) {
    ChildProcess child = start("setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!");
    (void)child.read_line(time);
    ASSERT_TRUE(child.wait(time));
    const Leftovers left = leftovers();
    ASSERT_EQ(left.processes.size(), 1U) << left.describe();
    EXPECT_EQ(left.processes.front().zombie, false);
    ASSERT_EQ(::kill(left.processes.front().pid, SIGKILL), 0);
    EXPECT_TRUE(leftovers_after(time).empty());
}

TEST_F(SweepTest, ReportsAChildThatNobodyWaitedFor) {
    ChildProcess child = start("exit 0");
    const auto deadline = std::chrono::steady_clock::now() + time;
    const LeftoverProcess* zombie = nullptr;
    Leftovers left;
    while (zombie == nullptr && std::chrono::steady_clock::now() < deadline) {
        left = leftovers();
        zombie = find(left, child.pid());
        if (zombie != nullptr && !zombie->zombie) zombie = nullptr;  // still ending
    }
    EXPECT_NE(zombie, nullptr);
    ASSERT_TRUE(child.wait(time));
    EXPECT_TRUE(leftovers().empty());
}

TEST_F(SweepTest, ReportsAPortThatIsStillOpen) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(fd, 1), 0);
    socklen_t size = sizeof address;
    ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    const Leftovers left = leftovers();
    ASSERT_EQ(left.ports.size(), 1U) << left.describe();
    EXPECT_EQ(left.ports.front().port, ntohs(address.sin_port));
    EXPECT_EQ(left.ports.front().pid, ::getpid());
    ::close(fd);
    EXPECT_TRUE(leftovers().empty());
}

TEST_F(SweepTest, ReportsATempFolderUntilItsOwnerGoes) {
    {
        auto folder = TempFolder::make("oracle");
        ASSERT_TRUE(folder) << folder.error();
        std::filesystem::create_directory(folder->path() + "/inner");
        const Leftovers left = leftovers();
        EXPECT_EQ(left.folders, std::vector<std::string>{folder->path()});
    }
    EXPECT_TRUE(leftovers().empty());
}

// server-holder makes a folder and a server, as a test does, and is killed as a ctest kills one that takes too long: first every
// child.
TEST_F(SweepTest, NoFolderSurvivesATestThatIsKilledWithAllItsChildren) {
    const auto names = [](const std::vector<std::string>& folders, const std::string& what) {
        return std::count_if(folders.begin(), folders.end(),
                             [&](const std::string& f) { return f.find("/parti-" + what + "-") != std::string::npos; });
    };
    ProcessOptions options;
    options.path = PARTI_HOLDER_FILE;
    auto holder = ChildProcess::start(options);
    ASSERT_TRUE(holder) << holder.error();
    ASSERT_EQ(holder->read_line(Milliseconds(15000)).state, ReadState::line);
    const Leftovers before = leftovers();
    EXPECT_EQ(names(before.folders, "holder"), 1) << before.describe();
    EXPECT_EQ(names(before.folders, "nats"), 1) << before.describe();
    ASSERT_TRUE(holder->pause());
    std::vector<pid_t> below;
    for (const LeftoverProcess& one : before.processes) {
        if (is_below(one.pid, holder->pid())) below.push_back(one.pid);
    }
    EXPECT_EQ(below.size(), 3U) << "launcher, server and sleeper\n" << before.describe();
    for (const pid_t pid : below) ::kill(pid, SIGKILL);
    holder->kill_now();
    const Leftovers left = leftovers_after(std::chrono::seconds(15));
    EXPECT_TRUE(left.empty()) << left.describe();
}

TEST_F(SweepTest, MemoryProbeSeesWhatIsTouchedAndForgetsTheHighWater) {
    constexpr std::size_t bytes = 32U << 20U;
    const pid_t self = ::getpid();
    const auto before = read_memory(self);
    ASSERT_TRUE(before) << before.error();
    void* block = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(block, MAP_FAILED);
    std::memset(block, 1, bytes);
    const auto with = read_memory(self);
    ASSERT_TRUE(with) << with.error();
    EXPECT_GE(with->rss_anon, before->rss_anon + bytes - (1U << 20U));
    EXPECT_GE(with->pss_anon.value_or(0), before->pss_anon.value_or(0) + bytes - (1U << 20U));
    EXPECT_GE(with->private_dirty.value_or(0), bytes);
    EXPECT_GE(with->hwm, with->rss_anon);
    ::munmap(block, bytes);
    ASSERT_TRUE(reset_hwm(self));
    const auto after = read_memory(self, Detail::status);
    ASSERT_TRUE(after) << after.error();
    EXPECT_LT(after->hwm + bytes / 2, with->hwm);
    EXPECT_FALSE(after->pss) << "not asked for, so not measured";
}

TEST_F(SweepTest, MemoryProbeOfAPidThatIsNotThereIsAnErrorWithItsNumber) {
    ChildProcess child = start("exit 0");
    const auto deadline = std::chrono::steady_clock::now() + time;
    auto zombie = read_memory(child.pid());
    while (zombie && std::chrono::steady_clock::now() < deadline) zombie = read_memory(child.pid());
    ASSERT_FALSE(zombie);
    EXPECT_NE(zombie.error().find(std::to_string(child.pid())), std::string::npos) << zombie.error();
    ASSERT_TRUE(child.wait(time));
    const pid_t gone = child.pid();
    const std::string number = std::to_string(gone);
    const auto error_of = [](const auto& outcome) { return outcome ? std::string("no error") : outcome.error(); };
    for (const std::string& error : {error_of(read_memory(gone)), error_of(read_threads(gone)), error_of(count_fds(gone)),
                                     error_of(read_times(gone)), error_of(reset_hwm(gone))}) {
        EXPECT_NE(error.find(number), std::string::npos) << "'" << error << "'";
    }
}

TEST_F(SweepTest, MemoryProbeNamesThreadsAndCountsDescriptorsAndTimes) {
    const pid_t self = ::getpid();
    const auto fds = count_fds(self);
    ASSERT_TRUE(fds);
    std::atomic<bool> stop = false, named = false;
    std::thread busy([&] {
        ::pthread_setname_np(::pthread_self(), "probe-me");
        named = true;
        while (!stop) {
        }
    });
    const auto cpu = read_times(self);
    const auto deadline = std::chrono::steady_clock::now() + time;
    auto later = cpu;
    while (later && cpu && later->cpu_seconds < cpu->cpu_seconds + 0.02 && std::chrono::steady_clock::now() < deadline) {
        later = read_times(self);
    }
    const auto threads = read_threads(self);
    stop = true;
    busy.join();
    ASSERT_TRUE(cpu && later && threads);
    EXPECT_GE(later->cpu_seconds, cpu->cpu_seconds + 0.02);
    EXPECT_TRUE(named);
    ASSERT_TRUE(threads->count("probe-me"));
    EXPECT_EQ(threads->at("probe-me"), 1U);
    const int fd = ::dup(STDERR_FILENO);
    EXPECT_EQ(count_fds(self).value_or(0), *fds + 1);
    ::close(fd);
    const auto machine = read_machine_times();
    ASSERT_TRUE(machine) << machine.error();
    EXPECT_GT(machine->total_seconds, machine->idle_seconds);
}

}  // namespace
}  // namespace parti::test
