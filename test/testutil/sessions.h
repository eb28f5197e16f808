// Sessions: the medians of every run over months, one line of JSON per run, appended.
//
// Model     A line is self-contained and never changed: run, time, commit, machine class, and per metric unit, kind, direction,
//           median and how it was measured (profile, window, mode). A file may be concatenated with another and sorted. drifts()
//           looks at each metric of one class that was measured in one way, in order of time.
// Errors    bad_input naming file, line and rule. A last line without its end was cut off by a crash: it is skipped and said so,
//           and the next append begins a new line.
// Threads   One thread; several processes may append (one write per line, under a lock).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "testutil/change_points.h"
#include "testutil/results.h"

namespace parti::report {

inline constexpr std::string_view kSessionSchema = "parti-stress-session/1";

struct SessionMetric {
    Unit unit = Unit::count;
    Kind kind = Kind::advisory;
    Direction direction = Direction::lower;
    double median = 0;
    std::size_t n = 0;
    std::string how{};  // "nightly, 200 renewals, prod"
};

struct Session {
    std::string run, started, commit, machine;  // class_name()
    bool dirty = false;
    std::map<std::string, SessionMetric> metrics;  // by "TEST/METRIC"
};

struct Sessions {
    std::vector<Session> all;  // in order of time
    std::vector<std::string> remarks;
};

// Of the tests that passed, with the suite's own worker program. Errors: nothing was measured, or several machines.
Outcome<Session> session_of(const std::vector<TestResult>& results);
// Refuses a run that the file already holds.
Outcome<void> append_session(const std::filesystem::path& file, const Session& session);
Outcome<Sessions> read_sessions(const std::filesystem::path& file);

struct Series {
    std::string key, machine;
    SessionMetric head;  // of the newest session
    std::vector<const Session*> sessions;
    std::vector<double> values;
};
// Of metrics that are judged in some way (not advisory), one per machine class, unit and way of measuring.
std::vector<Series> series_of(const Sessions& sessions, const std::string& pattern = "*");

struct Drift {
    const Series* series = nullptr;
    ChangePoint point;
    bool worse = false;
};
std::vector<Drift> drifts(const std::vector<Series>& series, const ChangePointOptions& options = {});
// "worse: +7.0 % since 2026-01-21T02:17:00Z (commit 0123456789ab): 2000 kB -> 2140 kB, p = 1.2e-09"
std::string text_of(const Drift& drift);
// "42 series of up to 17 sessions"
std::string count_text(const std::vector<Series>& series);

}  // namespace parti::report
