// Dashboard: a live page about a run that is going on.
//
// Role      The command `dashboard` runs one beside the suite; nothing of the suite knows of it, waits for it or ends later
//           because of it.
// Model     Follows progress.ndjson of a run folder, or of the current run of a root, also when a new run begins. The page gets
//           three kinds of server-sent events: `run` (a run began: all before is void), `progress` (a line of the file) and
//           `verdicts` (every finished test and how its metrics compare with the baseline). What a late reader has missed is sent
//           to it first.
// Units     The file's: kB, seconds, per second.
// Errors    A line that is no JSON object is left out.
// Threads   poll() by one thread; reply() by the server's, which alone knows what was told.
// Lifetime  Until stop is asked for by the command's signals.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "testutil/baseline.h"
#include "testutil/http_server.h"

namespace parti::report {

class Dashboard {
public:
    // `baseline`: a file or a folder of them.
    Dashboard(std::filesystem::path folder, std::string baseline) : folder_(std::move(folder)), baseline_(std::move(baseline)) {}

    test::HttpReply reply(const std::string& path);
    // Reads what is new and sends it.
    void poll(test::HttpServer& server);

private:
    struct Event {
        std::string name, data;
    };
    void begin(test::HttpServer& server, const std::string& run, const std::filesystem::path& folder);
    void say(test::HttpServer& server, std::string name, std::string data);
    void keep(const Event& event);
    std::string verdicts() const;

    const std::filesystem::path folder_;
    const std::string baseline_;
    std::vector<Event> told_;  // since the run began; thinned; the server's thread only
    std::string run_;
    std::filesystem::path run_folder_;
    std::uintmax_t read_ = 0;  // bytes of the file
    std::string rest_;         // a line without its end
};

extern const char* const kDashboardPage;
extern const char* const kDashboardScript;

}  // namespace parti::report
