// Violation: one broken promise, by the name of the oracle that saw it.
//
// Threads   Values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace parti::test {

enum class Oracle : std::uint8_t {
    one_owner,          // P-3: two owners of a partition at one instant
    coverage,           // a partition without an owner, or with two, when the fleet was stable
    unique_number,      // P-1
    dense_numbers,      // a number far above those in use
    monotone_version,   // P-7
    fence_order,        // a later owner with a smaller fence
    history,            // a history that cannot be judged
    log,                // an error line
    exit_status,        // a process ended otherwise than it was told to
    slow_consumer,      // counted by the server
    server_consumer,    // left on the server
    leftover,           // a process, port or temp folder
    message_lost,       // P-9; these are ledger.h's
    message_order,      // P-10
    message_duplicate,  // P-9
    message_overlap,    // P-3, as seen by handlers
    message_not_owned,  // P-3
    message_foreign,    // handled, and nobody published it
};
std::string_view name(Oracle oracle);

struct Violation {
    Oracle oracle = Oracle::history;
    std::string text;
};
// One a line, at most `limit` of them; empty: none.
std::string describe(const std::vector<Violation>& violations, std::size_t limit = 20);

}  // namespace parti::test
