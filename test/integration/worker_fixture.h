// WorkerTest: a nats-server, and what tests of workers need around it.
//
// Role      Workers in this process through the public API; workers in processes of their own (worker-host) for crashes and
//           pauses.
// Model     Every wait is a condition with a deadline. After each test: no process, port, folder or server-side consumer left,
//           and nothing in the server's log.
// Threads   The test's thread; what callbacks write is behind locks.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <parti/parti.h>
#include <nlohmann/json.hpp>

#include "swept_test.h"
#include "testutil/nats_server.h"
#include "testutil/process.h"

namespace parti::test {

using Seconds = std::chrono::seconds;
inline constexpr Milliseconds kPatience{20000};  // what has not happened by then does not happen

// Looks until it holds; false: it did not within the time.
bool eventually(const std::function<bool()>& condition, Milliseconds timeout = kPatience);

// Lines of a context's log, and errors of its workers.
class Notes {
public:
    LogSink sink();
    std::function<void(const Error&)> on_error();
    bool has_line(const std::string& part) const;
    std::vector<std::string> bad_lines() const;  // warnings and errors
    std::vector<Error> errors() const;
    std::string text() const;

private:
    mutable std::mutex mutex_;
    std::vector<std::pair<LogLevel, std::string>> lines_;
    std::vector<Error> errors_;
};

// Where callbacks wait, as long as the test wants them to.
class Hold {
public:
    void wait(Milliseconds limit = 10 * kPatience);
    void open();
    int inside() const;
    int entered() const;  // so far

private:
    struct State {
        std::mutex mutex;
        std::condition_variable changed;
        bool open = false;
        int inside = 0, entered = 0;
    };
    const std::shared_ptr<State> state_ = std::make_shared<State>();
};

// A worker-host and its events.
class Host {
public:
    Host(Host&&) = default;
    Host& operator=(Host&&) = default;

    static Outcome<Host> start(std::vector<std::string> args, const std::string& stderr_file = {});
    ChildProcess& process() { return process_; }
    void send(const std::string& command) { static_cast<void>(process_.send_line(command)); }
    // The next event of this name (events before it are kept in `seen`); nothing: it did not come.
    std::optional<nlohmann::json> wait(const std::string& event, Milliseconds timeout = kPatience);
    std::optional<nlohmann::json> ask(const std::string& command, const std::string& event);
    const std::vector<nlohmann::json>& seen() const { return seen_; }

private:
    explicit Host(ChildProcess process) : process_(std::move(process)) {}
    ChildProcess process_;
    std::vector<nlohmann::json> seen_;
};

class WorkerTest : public SweptTest {
protected:
    void SetUp() override;
    void TearDown() override;
    void serve(NatsServerOptions options = {});  // in place of the server that SetUp started

    Context connect(std::uint32_t callback_threads = 1);
    Config config() const;  // group "g", fast_test_timing()
    std::shared_ptr<StaticSource> source(int partitions) const;
    Worker worker(const Context& context, const std::shared_ptr<Source>& source, Callbacks callbacks = {});
    Worker worker(const Context& context, const std::shared_ptr<Source>& source, const Config& config, Callbacks callbacks = {});
    Host host(const std::vector<std::string>& more);  // with --url and --group g
    // Every partition owned by exactly one of these, and as many as there are.
    static bool covered(const std::vector<Worker*>& workers, std::size_t partitions);
    static std::vector<std::size_t> loads(const std::vector<Worker*>& workers);

    Notes notes_;
    std::unique_ptr<NatsServer> server_;
    std::vector<Allowance> allowed_;  // lines of the server's log that this test provokes
    std::optional<TempFolder> folder_;
};

std::vector<std::string> thread_names(pid_t pid);

}  // namespace parti::test
