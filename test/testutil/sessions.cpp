#include "testutil/sessions.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "testutil/criteria.h"
#include "testutil/json_file.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

std::string line_of(const Session& session) {
    Json metrics = Json::object();
    for (const auto& [key, metric] : session.metrics) {
        metrics[key] = {{"unit", name(metric.unit)},
                        {"kind", name(metric.kind)},
                        {"direction", name(metric.direction)},
                        {"median", json_number(metric.median)},
                        {"n", metric.n}};
        if (!metric.how.empty()) metrics[key]["how"] = metric.how;
    }
    return Json{{"schema", kSessionSchema},     {"run", session.run},     {"started", session.started},
                {"commit", session.commit},     {"dirty", session.dirty}, {"class", session.machine},
                {"metrics", std::move(metrics)}}
               .dump(-1, ' ', false, Json::error_handler_t::replace) +
           "\n";
}

SessionMetric read_metric(Fields fields) {
    SessionMetric metric;
    const std::string unit = fields.text("unit"), kind = fields.text("kind"), direction = fields.text("direction");
    metric.median = fields.number("median");
    metric.n = fields.whole_or("n", 0);
    metric.how = fields.text_or("how", "");
    if (fields.failed()) return metric;
    const auto known_unit = report::unit_of(unit);
    const auto known_kind = kind_of(kind);
    const auto known_direction = direction_of(direction);
    if (!known_unit) fields.fail("unit", "'" + unit + "' is no unit");
    if (!known_kind) fields.fail("kind", "'" + kind + "' is no kind");
    if (!known_direction) fields.fail("direction", "'" + direction + "' is no direction");
    if (fields.failed()) return metric;
    metric.unit = *known_unit;
    metric.kind = *known_kind;
    metric.direction = *known_direction;
    return metric;
}

Outcome<Session> read_session(const std::string& line, const std::string& where) {
    const Json document = Json::parse(line, nullptr, false);
    if (!document.is_object()) return bad_input(where + ": must be one JSON object");
    std::optional<Problem> problem;
    Fields top(document, where, problem);
    check_schema(top, kSessionSchema);
    Session session;
    session.run = top.text("run");
    session.started = top.text("started");
    session.commit = top.text("commit");
    session.dirty = top.flag("dirty");
    session.machine = top.text("class");
    for (const auto& [key, value] : top.object("metrics").items()) {
        if (!value.is_object()) top.fail("metrics." + key, "must be an object");
        if (problem) break;
        session.metrics[key] = read_metric(Fields(value, top.path("metrics." + key), problem));
    }
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return session;
}

std::string how(const TestResult& result) {
    const auto profile = result.protocol.environment.find("PARTI_STRESS_PROFILE");
    return (profile == result.protocol.environment.end() ? "" : profile->second + ", ") + result.protocol.window + ", " +
           result.protocol.mode;
}

// Somebody's own worker program, another store or strategy (protocol.mode names them: "prod, store memory") is no part of the
// history.
bool of_a_variant(const TestResult& result) { return result.protocol.mode.find(", ") != std::string::npos; }

bool is_better(const SessionMetric& metric, double change) { return (change < 0) == (metric.direction == Direction::lower); }

}  // namespace

Outcome<Session> session_of(const std::vector<TestResult>& results) {
    Session session;
    for (const TestResult& result : results) {
        if (result.status != TestStatus::passed || !why_not_measured(result.fingerprint).empty() || of_a_variant(result))
            continue;
        const std::string machine = class_name(result.fingerprint);
        if (session.machine.empty()) {
            session.run = result.run;
            session.started = result.started;
            session.commit = result.commit;
            session.machine = machine;
        } else if (session.machine != machine) {
            return bad_input(result.test + ": one session must be of one machine and build class");
        }
        session.started = std::min(session.started, result.started);
        session.dirty = session.dirty || result.dirty;
        for (const Metric& metric : result.metrics) {
            if (!metric.measured()) continue;
            session.metrics[result.key(metric)] = {
                metric.unit, metric.kind, metric.direction, median(metric.launches), metric.launches.size(), how(result)};
        }
    }
    if (session.metrics.empty()) return set_up_problem("nothing to add: no test passed in a build that measures");
    return session;
}

Outcome<void> append_session(const fs::path& file, const Session& session) {
    const int fd = ::open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    const auto failed = [&] {
        const std::string why = std::strerror(errno);
        if (fd >= 0) ::close(fd);
        return set_up_problem(file.string() + ": cannot be written: " + why);
    };
    if (fd < 0 || ::flock(fd, LOCK_EX) != 0) return failed();
    const auto present = read_sessions(file);
    if (!present) {
        ::close(fd);
        return tl::unexpected<Problem>(present.error());
    }
    for (const Session& other : present->all) {
        if (other.run != session.run) continue;
        ::close(fd);
        return bad_input(file.string() + ": holds run " + session.run + " already");
    }
    std::string line = line_of(session);
    char last = '\n';
    const off_t size = ::lseek(fd, 0, SEEK_END);
    if (size > 0 && ::pread(fd, &last, 1, size - 1) != 1) return failed();
    if (last != '\n') line.insert(0, 1, '\n');
    if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return failed();
    if (::fsync(fd) != 0) return failed();
    ::close(fd);
    return {};
}

Outcome<Sessions> read_sessions(const fs::path& file) {
    std::error_code error;
    if (fs::is_directory(file, error)) return bad_input(file.string() + ": is a folder; a history is a file");
    std::ifstream stream(file, std::ios::binary);
    if (!stream) return bad_input(file.string() + ": cannot be read");
    Sessions sessions;
    std::size_t number = 0;
    for (std::string line; std::getline(stream, line);) {
        const std::string where = file.string() + ":" + std::to_string(++number);
        if (line.empty()) continue;
        auto session = read_session(line, where);
        // A crash cuts a line; what is whole again after it begins a line of its own.
        const bool cut_off = Json::parse(line, nullptr, false).is_discarded() && line.starts_with('{');
        if (!session && cut_off) {
            sessions.remarks.push_back(where + ": was cut off and is skipped");
            continue;
        }
        if (!session) return tl::unexpected<Problem>(session.error());
        sessions.all.push_back(std::move(*session));
    }
    std::stable_sort(sessions.all.begin(), sessions.all.end(),
                     [](const Session& a, const Session& b) { return a.started < b.started; });
    return sessions;
}

std::vector<Series> series_of(const Sessions& sessions, const std::string& pattern) {
    std::map<std::string, Series> by_key;
    for (const Session& session : sessions.all) {
        for (const auto& [key, metric] : session.metrics) {
            if (metric.kind == Kind::advisory || !matches(pattern, key)) continue;
            Series& series = by_key[key + " " + session.machine + " " + std::string(name(metric.unit)) + " " + metric.how];
            series.key = key;
            series.machine = session.machine;
            series.head = metric;
            series.sessions.push_back(&session);
            series.values.push_back(metric.median);
        }
    }
    std::vector<Series> all;
    for (auto& [key, series] : by_key) all.push_back(std::move(series));
    return all;
}

std::vector<Drift> drifts(const std::vector<Series>& series, const ChangePointOptions& options) {
    std::vector<Drift> found;
    for (const Series& one : series) {
        for (const ChangePoint& point : change_points(one.values, options))
            found.push_back({&one, point, !is_better(one.head, point.change)});
    }
    return found;
}

std::string text_of(const Drift& drift) {
    const Session& session = *drift.series->sessions[drift.point.index];
    const Unit unit = drift.series->head.unit;
    char change[32], p[32];
    std::snprintf(change, sizeof change, "%+.1f %%", drift.point.change * 100);
    std::snprintf(p, sizeof p, "%.1e", drift.point.p);
    return std::string(drift.worse ? "worse: " : "better: ") + change + " since " + session.started + " (commit " +
           session.commit.substr(0, 12) + "): " + format_value(drift.point.before, unit) + " -> " +
           format_value(drift.point.after, unit) + ", p = " + p;
}

std::string count_text(const std::vector<Series>& series) {
    std::size_t longest = 0;
    for (const Series& one : series) longest = std::max(longest, one.values.size());
    return std::to_string(series.size()) + " series of up to " + std::to_string(longest) + " sessions";
}

}  // namespace parti::report
