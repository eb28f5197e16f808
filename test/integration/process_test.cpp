// ChildProcess against real children.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <sstream>
#include <thread>

#include "swept_test.h"
#include "testutil/memory_probe.h"
#include "testutil/proc_text.h"
#include "testutil/process.h"

namespace parti::test {
namespace {

constexpr Milliseconds time{5000};

class ChildProcessTest : public SweptTest {
protected:
    static ProcessOptions shell(const std::string& script) {
        ProcessOptions options;
        options.path = "sh";
        options.args = {"-c", script};
        return options;
    }
    static ChildProcess start(ProcessOptions options) {
        auto child = ChildProcess::start(std::move(options));
        if (!child) throw std::runtime_error(child.error());
        return std::move(*child);
    }
};

TEST_F(ChildProcessTest, TalksLineByLineAndReportsTheExitCode) {
    ChildProcess child = start(shell("while read line; do echo \"got $line\"; done; printf 'no line end'; exit 7"));
    ASSERT_TRUE(child.send_line("one"));
    EXPECT_EQ(child.read_line(time).text, "got one");
    EXPECT_EQ(child.read_line(Milliseconds(20)).state, ReadState::timeout);
    EXPECT_TRUE(child.running());
    ASSERT_TRUE(child.send_line("two words"));
    EXPECT_EQ(child.read_line(time).text, "got two words");
    child.close_stdin();
    EXPECT_EQ(child.read_line(time).text, "no line end");
    EXPECT_EQ(child.read_line(time).state, ReadState::end);
    const auto status = child.wait(time);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->text(), "exit 7");
    EXPECT_FALSE(child.running());
}

TEST_F(ChildProcessTest, WritingToAChildThatIsGoneIsAnErrorAndNoSignal) {
    ChildProcess child = start(shell("exit 0"));
    ASSERT_TRUE(child.wait(time));
    EXPECT_FALSE(child.send_line("hello"));
    EXPECT_FALSE(child.signal(SIGTERM));
}

TEST_F(ChildProcessTest, AMissingProgramIsAnError) {
    ProcessOptions options;
    options.path = "no-such-program-anywhere";
    const auto child = ChildProcess::start(options);
    ASSERT_FALSE(child);
    EXPECT_NE(child.error().find("no-such-program-anywhere"), std::string::npos);
    options.path = "sh";
    options.working_dir = "/no/such/folder";
    EXPECT_FALSE(ChildProcess::start(options));
}

TEST_F(ChildProcessTest, InheritsThreeDescriptorsAndNoBlockedSignals) {
    ChildProcess other = start(shell("read line"));  // its pipes must not show up in the next child
    ProcessOptions options;
    options.path = "ls";
    options.args = {"/proc/self/fd"};
    ChildProcess child = start(options);
    std::vector<std::string> fds;
    for (LineRead read = child.read_line(time); read.state == ReadState::line; read = child.read_line(time))
        fds.push_back(read.text);
    EXPECT_EQ(fds, (std::vector<std::string>{"0", "1", "2", "3"})) << "3 is the folder that ls reads";
    ChildProcess status = start(shell("grep -E 'SigBlk|SigIgn' /proc/self/status; exit 0"));
    EXPECT_EQ(status.read_line(time).text, "SigBlk:\t0000000000000000");
    // Signals 32 and 33 are glibc's own: no program can change them, and whoever started the tests may have left them ignored.
    const std::string ignored = status.read_line(time).text;
    ASSERT_EQ(ignored.rfind("SigIgn:\t", 0), 0U) << ignored;
    EXPECT_EQ(std::stoull(ignored.substr(8), nullptr, 16) & ~0x180000000ULL, 0U) << ignored;
}

TEST_F(ChildProcessTest, HandsEnvironmentAndTagToGrandchildren) {
    ProcessOptions options = shell("sh -c 'echo $PARTI_TEST_TAG $EXTRA; pwd'");
    options.env["EXTRA"] = "a b";
    options.working_dir = "/usr";
    ChildProcess child = start(options);
    EXPECT_EQ(child.read_line(time).text, test_tag() + " a b");
    EXPECT_EQ(child.read_line(time).text, "/usr");
}

TEST_F(ChildProcessTest, OutlivesTheThreadThatStartedIt) {
    std::optional<ChildProcess> child;
    std::thread starter([&] { child.emplace(start(shell("read line; echo still here"))); });
    starter.join();
    ASSERT_TRUE(child->send_line("go"));
    EXPECT_EQ(child->read_line(time).text, "still here");
}

TEST_F(ChildProcessTest, TerminationEscalatesToTheWholeGroup) {
    ChildProcess child = start(shell("trap '' TERM; sleep 1000 & echo $!; wait; while :; do sleep 1; done"));
    const pid_t grandchild = std::stoi(child.read_line(time).text);
    EXPECT_EQ(child.terminate(SIGTERM, Milliseconds(100)).text(), "signal 9");
    const Leftovers left = leftovers_after(time);
    EXPECT_TRUE(left.empty()) << left.describe();
    const auto status = proc::read_text(proc::path_of(grandchild, "status"));
    EXPECT_TRUE(!status || status->find("State:\tZ") != std::string::npos);
}

TEST_F(ChildProcessTest, APausedChildDoesNothingAndCanStillBeTerminated) {
    ChildProcess child = start(shell("while read line; do echo $line; done"));
    ASSERT_TRUE(child.pause());
    const auto status = proc::read_text(proc::path_of(child.pid(), "status"));
    ASSERT_TRUE(status);
    EXPECT_NE(status->find("State:\tT"), std::string::npos);
    ASSERT_TRUE(child.send_line("x"));
    EXPECT_EQ(child.read_line(Milliseconds(50)).state, ReadState::timeout);
    ASSERT_TRUE(child.resume());
    EXPECT_EQ(child.read_line(time).text, "x");
    ASSERT_TRUE(child.pause());
    EXPECT_EQ(child.terminate().text(), "signal 15");
}

TEST_F(ChildProcessTest, WritesToTheFileItWasGiven) {
    auto folder = TempFolder::make("stderr");
    ASSERT_TRUE(folder) << folder.error();
    ProcessOptions options = shell("echo out; echo err >&2");
    options.stderr_file = folder->path() + "/log";
    options.stdout_with_stderr = true;
    ChildProcess child = start(options);
    ASSERT_TRUE(child.wait(time));
    EXPECT_EQ(proc::read_text(options.stderr_file).value_or(""), "out\nerr\n");
}

TEST_F(ChildProcessTest, ManyChildrenStartFromManyThreads) {
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&good, i] {
            for (int n = 0; n < 5; ++n) {
                const std::string word = std::to_string(i * 100 + n);
                ChildProcess child = start(shell("echo " + word));
                if (child.read_line(time).text == word && child.wait(time)) ++good;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(good, 20);
}

TEST_F(ChildProcessTest, SamplesOfAChildFormAWindowUntilItEnds) {
    ChildProcess child = start(shell("read line"));
    Sampler sampler(child.pid(), {Milliseconds(5), 2});
    const auto begin = std::chrono::steady_clock::now();
    while (sampler.samples().size() < 6 && std::chrono::steady_clock::now() < begin + time) {
        std::this_thread::sleep_for(Milliseconds(5));  // between two looks
    }
    const Window window = sampler.window(begin - time, std::chrono::steady_clock::now());
    EXPECT_GE(window.samples, 6U);
    EXPECT_GT(window.rss_anon.minimum, 0);
    EXPECT_LE(window.rss_anon.minimum, window.rss_anon.median);
    EXPECT_LE(window.rss_anon.median, window.rss_anon.maximum);
    EXPECT_GE(window.pss.count, 3U) << "every second sample has it";
    EXPECT_LT(window.pss.count, window.samples);
    EXPECT_EQ(window.threads, 1U);
    EXPECT_TRUE(window.threads_constant);
    EXPECT_FALSE(sampler.error());
    EXPECT_EQ(sampler.window(begin - time, begin - time).samples, 0U);
    child.kill_now();
    const auto deadline = std::chrono::steady_clock::now() + time;
    // Polls until the sampler, on its own thread, has seen the end.
    while (!sampler.error() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(Milliseconds(5));
    ASSERT_TRUE(sampler.error());
    EXPECT_NE(sampler.error()->find(std::to_string(child.pid())), std::string::npos);
}

}  // namespace
}  // namespace parti::test
