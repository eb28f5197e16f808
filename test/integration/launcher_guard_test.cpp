// How the launcher starts and ends as a program: its lines, its exit codes, and what is left when somebody is killed -9.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <sstream>

#include "swept_test.h"
#include "testutil/nats_server.h"
#include "testutil/proc_text.h"
#include "testutil/process.h"

namespace parti::test {
namespace {

constexpr Milliseconds start_time{15000};

ProcessOptions launcher(std::vector<std::string> args = {}) {
    ProcessOptions options;
    options.path = PARTI_LAUNCHER_FILE;
    options.args = std::move(args);
    return options;
}

struct Ending {
    ExitStatus status;
    std::string errors;
};

class LauncherTest : public SweptTest {
protected:
    // All lines up to and with NATS_READY=true; empty when that does not come.
    static std::vector<std::string> read_ready(ChildProcess& child) {
        std::vector<std::string> lines;
        while (true) {
            LineRead read = child.read_line(start_time);
            if (read.state != ReadState::line) return {};
            lines.push_back(read.text);
            if (read.text == "NATS_READY=true") return lines;
        }
    }
    static std::string value(const std::vector<std::string>& lines, const std::string& key) {
        for (const std::string& line : lines) {
            if (line.rfind(key + "=", 0) == 0) return line.substr(key.size() + 1);
        }
        return {};
    }
    static Ending run_to_end(ProcessOptions options) {
        auto scratch = TempFolder::make("stderr");
        if (!scratch) throw std::runtime_error(scratch.error());
        options.stderr_file = scratch->path() + "/stderr";
        options.stdin_pipe = false;
        auto child = ChildProcess::start(options);
        if (!child) throw std::runtime_error(child.error());
        const auto status = child->wait(start_time);
        return {status.value_or(ExitStatus{}), proc::read_text(options.stderr_file).value_or("")};
    }
    static bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }
    // The process is gone, or a zombie that only its new parent can bury.
    static bool ended(pid_t pid) {
        const auto status = proc::read_text(proc::path_of(pid, "status"));
        return !status || status->find("State:\tZ") != std::string::npos;
    }
};

TEST_F(LauncherTest, SaysEverythingOnceAndObeysLineByLine) {
    auto child = ChildProcess::start(launcher());
    ASSERT_TRUE(child) << child.error();
    const auto lines = read_ready(*child);
    for (const char* key : {"NATS_SERVER", "NATS_MONITOR", "NATS_PID", "NATS_STORE", "NATS_LOG", "NATS_URL"}) {
        EXPECT_FALSE(value(lines, key).empty()) << key;
    }
    EXPECT_NE(value(lines, "NATS_SERVER").find(" VERSION="), std::string::npos);
    EXPECT_NE(value(lines, "NATS_SERVER").find(" SHA256="), std::string::npos);
    const std::string folder = value(lines, "NATS_STORE");
    EXPECT_TRUE(exists(folder));
    for (const auto& [command, answer] : std::vector<std::pair<std::string, std::string>>{
             {"status", "OK status running pid=" + value(lines, "NATS_PID") + " url=" + value(lines, "NATS_URL")},
             {"frobnicate", "ERROR frobnicate is not a command"},
             {"pause now", "ERROR pause now takes no argument, was given 'now'"},
             {"kill", "OK kill"},
             {"pause", "ERROR pause the server is down"},
             {"status", "OK status down"},
             {"stop", "OK stop"}}) {
        ASSERT_TRUE(child->send_line(command));
        const LineRead read = child->read_line(start_time);
        ASSERT_EQ(read.state, ReadState::line) << command;
        EXPECT_EQ(read.text.substr(0, answer.size()), answer);
    }
    const auto status = child->wait(start_time);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->text(), "exit 0");
    EXPECT_FALSE(exists(folder));
}

TEST_F(LauncherTest, ALineThatIsTooLongIsRefusedOnceAndAsAWhole) {
    auto child = ChildProcess::start(launcher());
    ASSERT_TRUE(child) << child.error();
    ASSERT_FALSE(read_ready(*child).empty());
    // Wherever the limit cuts, what comes behind is not taken for a command.
    ASSERT_TRUE(child->send_line(std::string(3 * 4096, 'x') + "kill"));
    ASSERT_TRUE(child->send_line("status"));
    EXPECT_EQ(child->read_line(start_time).text, "ERROR line of more than 4096 bytes");
    EXPECT_EQ(child->read_line(start_time).text.rfind("OK status running", 0), 0U);
}

TEST_F(LauncherTest, SaysThatTheServerEndedByItself) {
    auto child = ChildProcess::start(launcher());
    ASSERT_TRUE(child) << child.error();
    const auto lines = read_ready(*child);
    ASSERT_FALSE(lines.empty());
    ASSERT_EQ(::kill(std::stoi(value(lines, "NATS_PID")), SIGKILL), 0);
    EXPECT_EQ(child->read_line(start_time).text, "NATS_EXIT=signal 9");
}

TEST_F(LauncherTest, TheEndOfStdinEndsEverything) {
    auto child = ChildProcess::start(launcher());
    ASSERT_TRUE(child) << child.error();
    const auto lines = read_ready(*child);
    ASSERT_FALSE(lines.empty());
    child->close_stdin();
    const auto status = child->wait(start_time);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->text(), "exit 0");
    EXPECT_TRUE(ended(std::stoi(value(lines, "NATS_PID"))));
    EXPECT_FALSE(exists(value(lines, "NATS_STORE")));
}

TEST_F(LauncherTest, TerminationEndsEverything) {
    auto child = ChildProcess::start(launcher());
    ASSERT_TRUE(child) << child.error();
    const auto lines = read_ready(*child);
    ASSERT_FALSE(lines.empty());
    EXPECT_EQ(child->terminate().text(), "exit 0");
    EXPECT_FALSE(exists(value(lines, "NATS_STORE")));
}

TEST_F(LauncherTest, AKilledLauncherTakesServerAndStoreWithIt) {
    auto child = ChildProcess::start(launcher());
    ASSERT_TRUE(child) << child.error();
    const auto lines = read_ready(*child);
    ASSERT_FALSE(lines.empty());
    EXPECT_EQ(child->kill_now().text(), "signal 9");
    const Leftovers left = leftovers_after(std::chrono::seconds(10));
    EXPECT_TRUE(left.empty()) << left.describe();
    EXPECT_TRUE(ended(std::stoi(value(lines, "NATS_PID"))));
    EXPECT_FALSE(exists(value(lines, "NATS_STORE")));
}

TEST_F(LauncherTest, AKilledParentTakesLauncherServerAndStoreWithIt) {
    for (const bool launcher_stopped : {false, true}) {
        ProcessOptions options;
        options.path = PARTI_HOLDER_FILE;
        auto holder = ChildProcess::start(options);
        ASSERT_TRUE(holder) << holder.error();
        const LineRead read = holder->read_line(start_time);
        ASSERT_EQ(read.state, ReadState::line);
        std::istringstream words(read.text);
        pid_t server = 0, guard = 0, sleeper = 0;
        std::string store;
        words >> server >> guard >> sleeper >> store;
        ASSERT_FALSE(ended(server) || ended(guard) || ended(sleeper)) << read.text;
        ASSERT_TRUE(exists(store));
        EXPECT_GE(leftovers().processes.size(), 4U) << "the sweep must see holder, launcher, server, watcher and sleeper";
        if (launcher_stopped) {
            ASSERT_EQ(::kill(guard, SIGSTOP), 0);
        }
        EXPECT_EQ(holder->kill_now().text(), "signal 9");
        const Leftovers left = leftovers_after(std::chrono::seconds(10));
        EXPECT_TRUE(left.empty()) << left.describe();
        EXPECT_TRUE(ended(server) && ended(guard) && ended(sleeper));
        EXPECT_FALSE(exists(store));
    }
}

TEST_F(LauncherTest, AParentThatSetsNoDeathSignalIsFollowedToo) {
    // The shell holds no end of the launcher's stdin but the one this test keeps open, so only the launcher's own signal can end
    // it.
    ProcessOptions options;
    options.path = "sh";
    options.args = {"-c", std::string("exec 3<&0; '") + PARTI_LAUNCHER_FILE + "' <&3 & wait"};
    auto shell = ChildProcess::start(options);
    ASSERT_TRUE(shell) << shell.error();
    const auto lines = read_ready(*shell);
    ASSERT_FALSE(lines.empty());
    pid_t guard = 0;
    for (const LeftoverProcess& one : leftovers().processes) {
        const bool watcher = proc::read_text(proc::path_of(one.pid, "comm")).value_or("").rfind("nats-watcher", 0) == 0;
        if (one.command.rfind(PARTI_LAUNCHER_FILE, 0) == 0 && !watcher) guard = one.pid;
    }
    ASSERT_NE(guard, 0);
    ASSERT_EQ(::kill(guard, SIGUSR1), 0);  // as when a thread of the parent ends: the parent is still there
    ASSERT_TRUE(shell->send_line("status"));
    EXPECT_EQ(shell->read_line(start_time).text.rfind("OK status running", 0), 0U);
    EXPECT_EQ(shell->kill_now().text(), "signal 9");
    const Leftovers left = leftovers_after(std::chrono::seconds(10));
    EXPECT_TRUE(left.empty()) << left.describe();
}

TEST_F(LauncherTest, AMissingServerIsASetupFailureWithTheInstallLine) {
    ProcessOptions options = launcher();
    options.env["PARTI_NATS_SERVER"] = "/no/such/nats-server";
    const Ending ending = run_to_end(options);
    EXPECT_EQ(ending.status.text(), "exit 100");
    EXPECT_NE(ending.errors.find("/no/such/nats-server"), std::string::npos) << ending.errors;
    EXPECT_NE(ending.errors.find("apt-get install nats-server"), std::string::npos) << ending.errors;
    NatsServerOptions through;
    through.env = options.env;
    const auto server = NatsServer::start(through);
    ASSERT_FALSE(server);
    EXPECT_NE(server.error().find("apt-get install nats-server"), std::string::npos) << server.error();
}

TEST_F(LauncherTest, AnotherProgramIsNotTakenForAServer) {
    ProcessOptions options = launcher();
    options.env["PARTI_NATS_SERVER"] = "/bin/true";
    const Ending ending = run_to_end(options);
    EXPECT_EQ(ending.status.text(), "exit 100");
    EXPECT_NE(ending.errors.find("is not a nats-server"), std::string::npos) << ending.errors;
}

TEST_F(LauncherTest, BadOptionsAreNamedWithTheirRule) {
    for (const auto& [args, said] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"--frobnicate"}, "unknown option '--frobnicate'"},
             {{"--store", "tape"}, "--store 'tape' must be file or memory"},
             {{"--max-file", "12"}, "--max-file '12' must be a number of bytes"},
             {{"--max-mem", "1x"}, "--max-mem '1x' must be a number of bytes"},
             {{"--config-extra", ""}, "--config-extra '' must be a file"},
             {{"--max-file"}, "option --max-file needs a value"}}) {
        const Ending ending = run_to_end(launcher(args));
        EXPECT_EQ(ending.status.text(), "exit 104") << said;
        EXPECT_NE(ending.errors.find(said), std::string::npos) << ending.errors;
    }
    const Ending unreadable = run_to_end(launcher({"--config-extra", "/no/such/file"}));
    EXPECT_EQ(unreadable.status.text(), "exit 100");
    EXPECT_NE(unreadable.errors.find("'/no/such/file' cannot be read"), std::string::npos) << unreadable.errors;
}

}  // namespace
}  // namespace parti::test
