// Sessions: the medians of every run over months, one line of JSON per run, appended.
//
// Model     A line is self-contained and never changed: run, time, commit, machine class, and per metric unit, kind, direction and median.
//           A file may be concatenated with another and sorted. drifts() looks at each metric of one class in order of time.
// Errors    bad_input naming file, line and rule. A last line without its end was cut off by a crash: it is skipped and said so, and the
//           next append begins a new line.
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
};

struct Session {
    std::string run, started, commit, machine;  // class_name()
    bool dirty = false;
    std::map<std::string, SessionMetric> metrics;  // by "TEST/METRIC"
};

struct Sessions {
    std::vector<Session> all;          // in order of time
    std::vector<std::string> remarks;
};

// Of the tests that passed. Errors: nothing was measured, or several machines.
Outcome<Session> session_of(const std::vector<TestResult>& results);
// Refuses a run that the file already holds.
Outcome<void> append_session(const std::filesystem::path& file, const Session& session);
Outcome<Sessions> read_sessions(const std::filesystem::path& file);

struct Series {
    std::string key, machine;
    SessionMetric head;                 // of the newest session
    std::vector<const Session*> sessions;
    std::vector<double> values;
};
// Of metrics that are judged in some way (not advisory), one per machine class and unit.
std::vector<Series> series_of(const Sessions& sessions, const std::string& pattern = "*");

struct Drift {
    const Series* series = nullptr;
    ChangePoint point;
    bool worse = false;
};
std::vector<Drift> drifts(const std::vector<Series>& series, const ChangePointOptions& options = {});

}  // namespace parti::report
