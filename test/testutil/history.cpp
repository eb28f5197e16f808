#include "testutil/history.h"

#include <algorithm>
#include <limits>

namespace parti::test {
namespace {

using Kind = HistoryEvent::Kind;

std::string text(std::int64_t ns) { return std::to_string(ns / 1'000'000) + "." + std::to_string(ns / 100'000 % 10) + " ms"; }
std::string text(const FenceValue& fence) {
    return "(" + std::to_string(fence.epoch) + "," + std::to_string(fence.version) + ")";
}

// What one process did, as intervals.
class ProcessReader {
public:
    ProcessReader(std::size_t index, const ProcessHistory& process, Timeline& out)
        : index_(index), process_(process), out_(out) {}

    void read() {
        std::int64_t last = std::numeric_limits<std::int64_t>::min();
        for (const HistoryEvent& event : process_.events) {
            if (event.t_ns < last) broken("goes back in time, from " + text(last) + " to " + text(event.t_ns));
            last = event.t_ns;
            take(event);
        }
        for (auto& [id, session] : sessions_) finish(session);
        for (auto& ownership : released_) close(ownership, ownership.end_ns);
        for (auto& [key, ownership] : open_) close(ownership, std::numeric_limits<std::int64_t>::max());
        if (process_.died_ns && !process_.killed) report_unreleased();
    }

private:
    struct Session {
        SessionInterval interval;
        std::int64_t deadline_ns = 0;
        std::optional<std::int64_t> end_ns;
    };
    using GrantKey = std::pair<std::string, std::uint64_t>;

    void broken(const std::string& what) {
        out_.violations.push_back({Oracle::history, process_.label + ": the history " + what});
    }

    void take(const HistoryEvent& event) {
        if (event.kind == Kind::session) return begin(event);
        const auto found = sessions_.find(event.session);
        if (found == sessions_.end()) return broken("names the session " + event.session + " before it began");
        Session& session = found->second;
        switch (event.kind) {
            case Kind::extend: session.deadline_ns = std::max(session.deadline_ns, event.deadline_ns); break;
            case Kind::session_end:
                if (!session.end_ns) session.end_ns = event.t_ns;
                break;
            case Kind::grant: grant(event, session); break;
            case Kind::revoke:
            case Kind::release: let_go(event); break;
            case Kind::session: break;
        }
    }

    void begin(const HistoryEvent& event) {
        Session session;
        session.interval = {index_, event.worker, event.number, event.incarnation, event.session, event.t_ns, 0, false};
        session.deadline_ns = event.deadline_ns;
        if (!sessions_.emplace(event.session, session).second) broken("begins the session " + event.session + " twice");
    }

    void grant(const HistoryEvent& event, const Session& session) {
        FenceValue& highest = highest_[event.session];
        if (event.fence < highest) {
            out_.violations.push_back({Oracle::monotone_version, process_.label + ": worker number " +
                                                                     std::to_string(session.interval.number) + " was granted " +
                                                                     event.partition + " with " + text(event.fence) + " after " +
                                                                     text(highest)});
        }
        highest = std::max(highest, event.fence);
        OwnershipInterval ownership;
        ownership.partition = event.partition;
        ownership.process = index_;
        ownership.worker = session.interval.worker;
        ownership.session = event.session;
        ownership.fence = event.fence;
        ownership.begin_ns = event.t_ns;
        if (!open_.emplace(GrantKey{event.session, event.grant}, ownership).second) {
            broken("gives the grant " + std::to_string(event.grant) + " of session " + event.session + " twice");
        }
    }

    void let_go(const HistoryEvent& event) {
        const auto found = open_.find(GrantKey{event.session, event.grant});
        if (found == open_.end() || found->second.partition != event.partition) {
            return broken("lets go of " + event.partition + " (grant " + std::to_string(event.grant) +
                          "), which was not granted");
        }
        OwnershipInterval& ownership = found->second;
        if (event.kind == Kind::revoke) {
            if (!ownership.revoked_ns) ownership.revoked_ns = event.t_ns;
            return;
        }
        ownership.released = true;
        ownership.end_ns = event.t_ns;
        released_.push_back(ownership);
        open_.erase(found);
    }

    void finish(Session& session) {
        SessionInterval& interval = session.interval;
        interval.end_ns = session.deadline_ns;
        if (session.end_ns) interval.end_ns = std::min(interval.end_ns, *session.end_ns);
        if (process_.died_ns) interval.end_ns = std::min(interval.end_ns, *process_.died_ns);
        interval.ended = session.end_ns.has_value() || process_.died_ns.has_value();
        interval.end_ns = std::max(interval.end_ns, interval.begin_ns);
        out_.sessions.push_back(interval);
    }

    // A session that has ended, or is past its deadline, owns nothing any more, whenever its user lets go.
    void close(OwnershipInterval& ownership, std::int64_t released_ns) {
        const std::int64_t session_ns = sessions_.at(ownership.session).interval.end_ns;
        ownership.lapsed = session_ns < released_ns;
        ownership.end_ns = std::max(ownership.begin_ns, std::min(released_ns, session_ns));
        out_.partitions[ownership.partition].push_back(ownership);
    }

    void report_unreleased() {
        for (const auto& entry : open_) {
            broken("does not say that " + entry.second.partition + " (granted at " + text(entry.second.begin_ns) +
                   ") was released, although the process ended by itself");
        }
    }

    std::size_t index_;
    const ProcessHistory& process_;
    Timeline& out_;
    std::map<std::string, Session> sessions_;
    std::map<std::string, FenceValue> highest_;
    std::map<GrantKey, OwnershipInterval> open_;
    std::vector<OwnershipInterval> released_;
};

std::string holder(const Timeline& timeline, const OwnershipInterval& o) {
    return timeline.labels[o.process] + "/" + std::to_string(o.worker) + " " + text(o.fence) + " [" + text(o.begin_ns) + ", " +
           text(o.end_ns) + ")";
}

void check_owners(Timeline& timeline) {
    for (auto& [partition, intervals] : timeline.partitions) {
        std::sort(intervals.begin(), intervals.end(),
                  [](const auto& a, const auto& b) { return std::tie(a.begin_ns, a.fence) < std::tie(b.begin_ns, b.fence); });
        const OwnershipInterval* longest = nullptr;  // of those seen so far, the one that ends last
        for (std::size_t i = 0; i < intervals.size(); ++i) {
            const OwnershipInterval& now = intervals[i];
            if (longest != nullptr && now.begin_ns < longest->end_ns) {
                timeline.violations.push_back({Oracle::one_owner, partition + " has two owners for " +
                                                                      text(std::min(now.end_ns, longest->end_ns) - now.begin_ns) +
                                                                      ": " + holder(timeline, *longest) + " and " +
                                                                      holder(timeline, now)});
            }
            if (i > 0 && now.fence <= intervals[i - 1].fence) {
                timeline.violations.push_back({Oracle::fence_order, partition + ": " + holder(timeline, now) + " comes after " +
                                                                        holder(timeline, intervals[i - 1]) +
                                                                        " and its fence is not greater"});
            }
            if (longest == nullptr || now.end_ns > longest->end_ns) longest = &now;
        }
    }
}

void check_numbers(Timeline& timeline) {
    std::sort(timeline.sessions.begin(), timeline.sessions.end(), [](const auto& a, const auto& b) {
        return std::tie(a.begin_ns, a.incarnation) < std::tie(b.begin_ns, b.incarnation);
    });
    std::map<std::uint32_t, const SessionInterval*> before;
    const auto holder_of = [&timeline](const SessionInterval& s) {
        return timeline.labels[s.process] + "/" + std::to_string(s.worker) + " incarnation " + std::to_string(s.incarnation) +
               " [" + text(s.begin_ns) + ", " + text(s.end_ns) + ")";
    };
    for (const SessionInterval& now : timeline.sessions) {
        const SessionInterval*& last = before[now.number];
        if (last != nullptr) {
            const std::string pair = "number " + std::to_string(now.number) + ": " + holder_of(*last) + " and " + holder_of(now);
            if (now.begin_ns < last->end_ns) timeline.violations.push_back({Oracle::unique_number, pair + " hold it at once"});
            if (now.incarnation <= last->incarnation) {
                timeline.violations.push_back({Oracle::unique_number, pair + ": the incarnation does not grow"});
            }
        }
        if (last == nullptr || now.end_ns >= last->end_ns) last = &now;
    }
}

// P-7 over the incarnations of a worker: the first fence of one is not below the last of the one before.
void check_versions(Timeline& timeline) {
    struct Range {
        FenceValue low{std::numeric_limits<std::uint64_t>::max(), 0}, high;
    };
    std::map<std::string, Range> ranges;
    for (const auto& entry : timeline.partitions) {
        for (const OwnershipInterval& o : entry.second) {
            Range& range = ranges[o.session];
            range.low = std::min(range.low, o.fence);
            range.high = std::max(range.high, o.fence);
        }
    }
    std::map<std::uint32_t, FenceValue> highest;  // by number
    for (const SessionInterval& session : timeline.sessions) {
        const auto range = ranges.find(session.session);
        if (range == ranges.end()) continue;
        FenceValue& before = highest[session.number];
        if (range->second.low < before) {
            timeline.violations.push_back({Oracle::monotone_version, timeline.labels[session.process] + ": number " +
                                                                         std::to_string(session.number) + " incarnation " +
                                                                         std::to_string(session.incarnation) + " was granted " +
                                                                         text(range->second.low) + " after " + text(before)});
        }
        before = std::max(before, range->second.high);
    }
}

}  // namespace

Timeline check_history(const std::vector<ProcessHistory>& processes) {
    Timeline timeline;
    for (const ProcessHistory& process : processes) timeline.labels.push_back(process.label);
    for (std::size_t i = 0; i < processes.size(); ++i) ProcessReader(i, processes[i], timeline).read();
    check_owners(timeline);
    check_numbers(timeline);
    check_versions(timeline);
    return timeline;
}

std::vector<Violation> check_coverage(const Timeline& timeline, std::int64_t t_ns, std::size_t partitions) {
    std::vector<Violation> violations;
    std::size_t owned = 0;
    for (const auto& [partition, intervals] : timeline.partitions) {
        const auto owners = std::count_if(intervals.begin(), intervals.end(),
                                          [t_ns](const auto& o) { return o.begin_ns <= t_ns && t_ns < o.end_ns; });
        if (owners == 1) ++owned;
        if (owners > 1)
            violations.push_back({Oracle::coverage, partition + " has " + std::to_string(owners) + " owners at " + text(t_ns)});
    }
    if (owned != partitions) {
        violations.push_back({Oracle::coverage, std::to_string(owned) + " of " + std::to_string(partitions) +
                                                    " partitions have exactly one owner at " + text(t_ns)});
    }
    return violations;
}

}  // namespace parti::test
