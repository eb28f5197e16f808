// The command `dashboard`, and what it serves.
#include "dashboard.h"

#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>

#include "against.h"
#include "arguments.h"
#include "commands.h"
#include "report_pages.h"
#include "testutil/diff.h"
#include "testutil/json_file.h"
#include "testutil/run_folder.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;
constexpr timespec kPoll{0, 300'000'000};
constexpr std::size_t kMostTold = 5000;

// How many tests the run will have, as tools/stress.sh wrote it; nothing where it did not.
std::optional<std::size_t> planned_tests(const fs::path& run_folder) {
    std::ifstream file(run_folder.parent_path() / "planned.txt");
    std::size_t tests = 0;
    for (std::string line; std::getline(file, line);) tests += line.empty() ? 0U : 1U;
    return tests == 0 ? std::nullopt : std::optional(tests);
}

struct DashboardOptions {
    std::string folder, baseline;
    std::uint16_t port = 0;
};

Outcome<DashboardOptions> parse_dashboard(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {"--port", "--baseline"}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    if (line->positional.size() > 1)
        return bad_input("dashboard: takes one RESULT; '" + line->positional[1] + "' is a second one");
    const auto port = whole_number(*line, "--port", 0, 0, 65535);  // 0: any that is free
    if (!port) return tl::unexpected<Problem>(port.error());
    return DashboardOptions{line->positional.empty() ? default_root().string() : line->positional[0], line->get("--baseline"),
                            static_cast<std::uint16_t>(*port)};
}

}  // namespace

test::HttpReply Dashboard::reply(const std::string& path) {
    constexpr const char* kPolicy =
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src "
        "'self'; "
        "connect-src 'self'; img-src data:\">";
    if (path == "/")
        return {
            200, "text/html; charset=utf-8",
            std::string("<!DOCTYPE html>\n<html lang=\"en\"><head>") + kPolicy + "<style>" + kStyle + "</style>" + kDashboardPage,
            false};
    if (path == "/live.js") return {200, "text/javascript; charset=utf-8", kDashboardScript, false};
    if (path != "/events") return {404, "text/plain; charset=utf-8", "there is / and /events\n", false};
    std::string past;
    for (const Event& event : told_) past += test::HttpServer::event_text(event.name, event.data);
    return {200, "", past, true};
}

// On the server's thread: who opens /events meanwhile gets it once, with the past or after it.
void Dashboard::say(test::HttpServer& server, std::string name, std::string data) {
    server.run([this, &server, event = Event{std::move(name), std::move(data)}] {
        keep(event);
        server.send_event(event.name, event.data);
    });
}

void Dashboard::keep(const Event& event) {
    if (event.name == "run") told_.clear();
    if (told_.size() >= kMostTold) {  // a long run: every second sample of the past is enough
        std::vector<Event> kept;
        for (std::size_t i = 0; i < told_.size(); ++i) {
            if (told_[i].name != "progress" || i % 2 == 0) kept.push_back(std::move(told_[i]));
        }
        told_ = std::move(kept);
    }
    if (event.name == "verdicts") std::erase_if(told_, [](const Event& old) { return old.name == "verdicts"; });
    told_.push_back(event);
}

void Dashboard::begin(test::HttpServer& server, const std::string& run, const fs::path& folder) {
    run_ = run;
    run_folder_ = folder;
    read_ = 0;
    rest_.clear();
    Json data{{"run", run}};
    if (const auto planned = planned_tests(folder)) data["planned"] = *planned;
    say(server, "run", data.dump(-1, ' ', false, Json::error_handler_t::replace));
    say(server, "verdicts", verdicts());
}

std::string Dashboard::verdicts() const {
    Json tests = Json::array();
    Run run;
    run.id = run_;
    run.folder = run_folder_;
    const auto results = read_run(run);
    if (!results)
        return Json{{"tests", tests}, {"note", results.error().text}}.dump(-1, ' ', false, Json::error_handler_t::replace);
    RunResults finished = *results;
    std::erase_if(finished.tests, [](const TestResult& test) { return test.status == TestStatus::started; });
    const auto against = baseline_for(baseline_, finished.tests);
    const auto diff = compare(against ? against->baseline : std::nullopt, finished.tests);
    for (const TestResult& test : finished.tests) {
        Json line{{"test", test.test}, {"status", name(test.status)}, {"metrics", test.metrics.size()}};
        std::map<std::string, std::size_t> count;
        if (diff) {
            for (const Row& row : diff->rows) {
                if (row.test == test.test && row.verdict != Verdict::info) ++count[std::string(report::name(row.verdict))];
            }
        }
        line["verdicts"] = count;
        tests.push_back(std::move(line));
    }
    return Json{{"tests", std::move(tests)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Dashboard::poll(test::HttpServer& server) {
    const auto run = open_run(folder_);
    if (!run) return;  // none yet
    if (run->id != run_) begin(server, run->id, run->folder);
    std::ifstream file(run_folder_ / "progress.ndjson", std::ios::binary);
    if (!file.seekg(static_cast<std::streamoff>(read_))) return;
    bool ended = false;
    std::string text((std::istreambuf_iterator<char>(file)), {});
    read_ += text.size();
    rest_ += text;
    for (std::size_t end = 0; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1)) {
        const Json line = Json::parse(rest_.substr(0, end), nullptr, false);
        if (!line.is_object()) continue;
        const auto event = line.find("event");
        ended = ended || (event != line.end() && *event == "end");
        say(server, "progress", line.dump(-1, ' ', false, Json::error_handler_t::replace));
    }
    if (ended) say(server, "verdicts", verdicts());
}

Outcome<ExitCode> run_dashboard(const Arguments& arguments) {
    const auto options = parse_dashboard(arguments);
    if (!options) return tl::unexpected<Problem>(options.error());
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);  // before the server's thread begins
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);            // it never outlives what it was started for

    Dashboard dashboard(options->folder, options->baseline);
    auto server = test::HttpServer::start(
        options->port, [&dashboard](const std::string& path) { return dashboard.reply(path); }, "dashboard");
    if (!server) return set_up_problem(server.error());
    std::printf("dashboard: %s\n", (*server)->url().c_str());
    std::fflush(stdout);
    do {
        dashboard.poll(**server);
    } while (::sigtimedwait(&stop, nullptr, &kPoll) < 0);
    return ExitCode::pass;
}

}  // namespace parti::report
