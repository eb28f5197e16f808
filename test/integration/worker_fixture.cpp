#include "worker_fixture.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "testutil/server_monitor.h"

namespace parti::test {

bool eventually(const std::function<bool()>& condition, Milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= deadline) return false;
        // The pause between two looks; the deadline bounds the wait.
        std::this_thread::sleep_for(Milliseconds(2));
    }
    return true;
}

LogSink Notes::sink() {
    return [this](LogLevel level, std::string_view line) {
        const std::lock_guard lock(mutex_);
        lines_.emplace_back(level, line);
    };
}

std::function<void(const Error&)> Notes::on_error() {
    return [this](const Error& error) {
        const std::lock_guard lock(mutex_);
        errors_.push_back(error);
    };
}

bool Notes::has_line(const std::string& part) const {
    const std::lock_guard lock(mutex_);
    return std::any_of(lines_.begin(), lines_.end(),
                       [&](const auto& line) { return line.second.find(part) != std::string::npos; });
}

std::vector<std::string> Notes::bad_lines() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const auto& line : lines_) {
        if (line.first >= LogLevel::warning) out.push_back(line.second);
    }
    return out;
}

std::vector<Error> Notes::errors() const {
    const std::lock_guard lock(mutex_);
    return errors_;
}

std::string Notes::text() const {
    const std::lock_guard lock(mutex_);
    std::string out;
    for (const auto& line : lines_) out += std::string(to_string(line.first)) + ' ' + line.second + '\n';
    for (const Error& error : errors_) out += "on_error " + error.message() + '\n';
    return out;
}

void Hold::wait(Milliseconds limit) {
    const auto s = state_;  // the test may end as soon as nobody is inside
    std::unique_lock lock(s->mutex);
    ++s->inside;
    ++s->entered;
    s->changed.wait_for(lock, limit, [&] { return s->open; });
    --s->inside;
}

void Hold::open() {
    const std::lock_guard lock(state_->mutex);
    state_->open = true;
    state_->changed.notify_all();
}

int Hold::inside() const {
    const std::lock_guard lock(state_->mutex);
    return state_->inside;
}

int Hold::entered() const {
    const std::lock_guard lock(state_->mutex);
    return state_->entered;
}

Outcome<Host> Host::start(std::vector<std::string> args, const std::string& stderr_file) {
    ProcessOptions options;
    options.path = PARTI_WORKER_HOST_FILE;
    options.args = std::move(args);
    options.stderr_file = stderr_file;
    auto process = ChildProcess::start(std::move(options));
    if (!process) return failure(process.error());
    return Host(std::move(*process));
}

std::optional<nlohmann::json> Host::wait(const std::string& event, Milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        const auto left = std::chrono::duration_cast<Milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return std::nullopt;
        const LineRead read = process_.read_line(left);
        if (read.state != ReadState::line) return std::nullopt;
        auto json = nlohmann::json::parse(read.text, nullptr, false);
        EXPECT_TRUE(json.is_object()) << "not a JSON object: " << read.text;
        if (!json.is_object()) return std::nullopt;
        seen_.push_back(json);
        if (json.value("event", "") == event) return json;
    }
}

std::optional<nlohmann::json> Host::ask(const std::string& command, const std::string& event) {
    send(command);
    return wait(event);
}

void WorkerTest::SetUp() {
    auto folder = TempFolder::make("worker");
    ASSERT_TRUE(folder) << folder.error();
    folder_ = std::move(*folder);
    serve();
}

void WorkerTest::serve(NatsServerOptions options) {
    server_.reset();
    auto server = NatsServer::start(std::move(options));
    ASSERT_TRUE(server) << server.error();
    server_ = std::make_unique<NatsServer>(std::move(*server));
}

void WorkerTest::TearDown() {
    if (server_) {
        if (server_->pid() != 0) {
            const auto none = wait_for_consumers(server_->monitor_url(), 0, Seconds(10));
            EXPECT_TRUE(none) << none.error();
        }
        EXPECT_TRUE(server_->stop());
        for (const LogFinding& finding : server_->scan_log(allowed_)) ADD_FAILURE() << "server log: " << finding.text;
        server_.reset();
    }
    folder_.reset();
    if (HasFailure()) std::fprintf(stderr, "--- log of the context\n%s---\n", notes_.text().c_str());
    SweptTest::TearDown();
}

Context WorkerTest::connect(std::uint32_t callback_threads) {
    ConnectOptions options;
    options.urls = {server_->url()};
    options.callback_threads = callback_threads;
    options.log = notes_.sink();
    auto context = Context::connect(std::move(options));
    if (!context) throw std::runtime_error(context.error().message());
    return std::move(*context);
}

Config WorkerTest::config() const {
    Config c;
    c.group = "g";
    c.timing = fast_test_timing();
    return c;
}

std::shared_ptr<StaticSource> WorkerTest::source(int partitions) const {
    std::vector<Partition> list;
    for (int i = 0; i < partitions; ++i) list.push_back(*Partition::from_id("p." + std::to_string(1000 + i)));
    return *StaticSource::make(std::move(list));
}

Worker WorkerTest::worker(const Context& context, const std::shared_ptr<Source>& source, Callbacks callbacks) {
    return worker(context, source, config(), std::move(callbacks));
}

Worker WorkerTest::worker(const Context& context, const std::shared_ptr<Source>& source, const Config& config,
                          Callbacks callbacks) {
    if (!callbacks.on_error) callbacks.on_error = notes_.on_error();
    auto made = Worker::make(context, config, source, nullptr, std::move(callbacks));
    if (!made) throw std::runtime_error(made.error().message());
    return std::move(*made);
}

Host WorkerTest::host(const std::vector<std::string>& more) {
    std::vector<std::string> args = {"--url", server_->url(), "--group", "g"};
    args.insert(args.end(), more.begin(), more.end());
    auto host = Host::start(std::move(args));
    if (!host) throw std::runtime_error(host.error());
    return std::move(*host);
}

bool WorkerTest::covered(const std::vector<Worker*>& workers, std::size_t partitions) {
    std::set<std::string> seen;
    std::size_t total = 0;
    for (const Worker* worker : workers) {
        for (const Ownership& owned : worker->assignment()) {
            if (!owned.valid()) return false;
            seen.insert(owned.partition().id());
            ++total;
        }
    }
    return total == partitions && seen.size() == partitions;
}

std::vector<std::size_t> WorkerTest::loads(const std::vector<Worker*>& workers) {
    std::vector<std::size_t> out;
    for (const Worker* worker : workers) out.push_back(worker->assignment().size());
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<std::string> thread_names(pid_t pid) {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
        std::ifstream comm(task.path() / "comm");
        std::string name;
        if (std::getline(comm, name)) out.push_back(name);
    }
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace parti::test
