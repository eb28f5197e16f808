// history: judges what all workers of a fleet did, from the history files of their processes.
//
// Role      The oracle behind P-1, P-3 and P-7: an interval is what a worker was entitled to, not what it said when asked.
// Model     parse_history reads one worker-host's NDJSON file. check_history puts all processes on one time axis (CLOCK_BOOTTIME
//           is common to the processes of a machine) and makes intervals of it:
//             a session   holds its number from its start to the earliest of its end, its last deadline and its process's death;
//             an ownership lasts from its grant to the earliest of its release and the end of its session.
//           An interval never ends at a revoke alone: between revoke and release the loser's work may still run.
//           Deadlines count as the latest a session ever had, so that a session which lives again after its deadline is not
//           excused.
// Rules     one_owner (P-3), unique_number (P-1: intervals, and incarnations that grow with time), monotone_version (P-7: the
//           fences a worker is granted never go back, not even over incarnations), fence_order (each owner of a partition has a
//           greater fence than the one before), history (a file that is malformed, or goes back in time, proves nothing).
// Units     Nanoseconds of CLOCK_BOOTTIME.
// Threads   Pure functions and values.
// Cost      O(n log n) in the number of events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/outcome.h"
#include "testutil/violation.h"

namespace parti::test {

struct FenceValue {
    std::uint64_t epoch = 0;
    std::uint64_t version = 0;
    friend auto operator<=>(const FenceValue&, const FenceValue&) = default;
};

struct HistoryEvent {
    enum class Kind : std::uint8_t { session, extend, session_end, grant, revoke, release };
    Kind kind = Kind::session;
    std::int64_t t_ns = 0;
    std::uint64_t worker = 0;       // session: counts the workers its process has made
    std::uint32_t number = 0;       // session
    std::uint64_t incarnation = 0;  // session
    std::string session;
    std::int64_t deadline_ns = 0;  // session, extend
    std::uint64_t grant = 0;       // grant, revoke, release: names one grant of a session
    std::string partition;         // grant, revoke, release
    FenceValue fence;              // grant
};

struct ProcessHistory {
    std::string label;
    std::optional<std::int64_t> died_ns;  // seen dead at this time; absent: it lives
    bool killed = false;                  // died by a signal: it had no time to release anything
    std::vector<HistoryEvent> events;     // in the order of the file
};

// `cut_off`: the last line may be incomplete, as a killed process leaves it. Errors name the line and what is wrong with it.
Outcome<std::vector<HistoryEvent>> parse_history(const std::string& name, std::string_view text, bool cut_off);

struct SessionInterval {
    std::size_t process = 0;
    std::uint64_t worker = 0;
    std::uint32_t number = 0;
    std::uint64_t incarnation = 0;
    std::string session;
    std::int64_t begin_ns = 0, end_ns = 0;
    bool ended = false;  // by an end of its own or its process's death, not by a deadline alone
};

struct OwnershipInterval {
    std::string partition;
    std::size_t process = 0;
    std::uint64_t worker = 0;
    std::string session;
    FenceValue fence;
    std::int64_t begin_ns = 0, end_ns = 0;
    std::optional<std::int64_t> revoked_ns;
    bool released = false;
    bool lapsed = false;  // its session ended first: nothing was handed over
};

struct Timeline {
    std::vector<std::string> labels;                                   // of the processes
    std::vector<SessionInterval> sessions;                             // by begin
    std::map<std::string, std::vector<OwnershipInterval>> partitions;  // by begin
    std::vector<Violation> violations;

    // Owner of every partition that has one at that instant.
    std::map<std::string, const OwnershipInterval*> owners_at(std::int64_t t_ns) const;
    // Grants with from < begin <= to.
    std::size_t grants_between(std::int64_t from_ns, std::int64_t to_ns) const;
    // The last begin of an ownership within (from, to]; nullopt: none began.
    std::optional<std::int64_t> last_grant_between(std::int64_t from_ns, std::int64_t to_ns) const;
    // For partitions owned by `process` at t: when the last of them had its next owner. nullopt: one never had; `partitions`
    // counts them.
    struct Succession {
        std::size_t partitions = 0;
        std::optional<std::int64_t> all_owned_ns;
    };
    Succession succession(std::size_t process, std::int64_t t_ns) const;
    // Longest time a partition had no owner, among gaps that begin after `from` and end before `to`.
    std::int64_t longest_gap_ns(std::int64_t from_ns, std::int64_t to_ns) const;
};

Timeline check_history(const std::vector<ProcessHistory>& processes);

// Every one of `partitions` names has exactly one owner at t.
std::vector<Violation> check_coverage(const Timeline& timeline, std::int64_t t_ns, std::size_t partitions);

}  // namespace parti::test
