// Result, Error, Errc: how parti reports what may happen.
//
// Model     Every fallible call returns Result<T> = tl::expected<T, Error>. No exception leaves the library but bad_alloc, which
//           ends the process on a thread of its own. Errc names the fact; reaction_to(Errc) names what the caller must do.
// Errors    Errors are values; `detail` names the offending value and the rule it breaks.
// Threads   Values: distinct objects from any thread.
#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include <tl/expected.hpp>

namespace parti {

// text(Errc) returns a sentence like these.
enum class Errc {
    timeout = 1,         // no answer within the time given; the request may have happened
    link_down,           // no connection to NATS at the moment
    overloaded,          // a bounded queue or a server limit is full
    not_ready,           // the server answered that it cannot serve this yet (no leader, starting)
    wrong_revision,      // the key changed since it was read
    not_found,           // the key, bucket or consumer does not exist
    lease_lost,          // this worker's lease was taken, evicted or ran out
    instance_replaced,   // another process with the same instance name took this worker's number; the worker stops
    stale_epoch,         // a leader with a higher epoch exists
    invalid_config,      // a configuration value breaks a rule
    invalid_argument,    // an argument of a call breaks its precondition
    bucket_mismatch,     // a bucket or stream exists with other settings than configured
    unsupported_server,  // the server lacks something that is required
    malformed_record,    // bytes in a bucket are not a record of ours
    future_record,       // a record of a newer major version
    callback_failed,     // a user callback, source or strategy threw, hangs, or broke its contract; a handler that keeps failing
    permission,          // authentication or authorization failed
    stopping,            // the object is stopping or stopped
    internal,            // a bug in parti; please report
};

enum class Reaction {
    retry,      // try the same again, later
    reread,     // look at the present value first
    step_down,  // give up ownership or leadership
    reject,     // do not use the value; a human or another input must change it
    stop,       // nothing further will work on this object
};

std::string_view text(Errc code);
std::string_view name(Errc code);
Reaction reaction_to(Errc code);
const std::error_category& error_category();
std::error_code make_error_code(Errc code);

struct [[nodiscard]] Error {
    Errc code = Errc::internal;
    std::string detail;  // names the value and the rule; empty when the code says it all
    // "invalid_config: ttl (1s) must ..." for logs and exceptions of the caller.
    std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Errc code, std::string detail = {}) {
    return tl::unexpected<Error>(Error{code, std::move(detail)});
}

}  // namespace parti

template <>
struct std::is_error_code_enum<parti::Errc> : std::true_type {};
