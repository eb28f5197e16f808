#include <parti/log.h>
#include <parti/result.h>

namespace parti {

namespace {

struct Row {
    std::string_view name;
    std::string_view text;
    Reaction reaction;
};

// One row per enumerator; the switch has no default, so that a new one without a row does not compile.
Row row(Errc code) {
    switch (code) {
        case Errc::timeout: return {"timeout", "no answer within the time given; the request may have happened", Reaction::retry};
        case Errc::link_down: return {"link_down", "no connection to NATS", Reaction::retry};
        case Errc::overloaded: return {"overloaded", "a bounded queue or a server limit is full", Reaction::retry};
        case Errc::not_ready: return {"not_ready", "the server cannot serve this yet", Reaction::retry};
        case Errc::wrong_revision: return {"wrong_revision", "the key changed since it was read", Reaction::reread};
        case Errc::not_found: return {"not_found", "the key, bucket or consumer does not exist", Reaction::reread};
        case Errc::lease_lost: return {"lease_lost", "the worker's lease was taken, evicted or ran out", Reaction::step_down};
        case Errc::instance_replaced:
            return {"instance_replaced", "another process with the same instance name took this worker's number", Reaction::stop};
        case Errc::stale_epoch: return {"stale_epoch", "a leader with a higher epoch exists", Reaction::step_down};
        case Errc::invalid_config: return {"invalid_config", "a configuration value breaks a rule", Reaction::reject};
        case Errc::invalid_argument: return {"invalid_argument", "an argument breaks the call's precondition", Reaction::reject};
        case Errc::bucket_mismatch:
            return {"bucket_mismatch", "a bucket exists with other settings than configured", Reaction::reject};
        case Errc::unsupported_server:
            return {"unsupported_server", "the server lacks something that is required", Reaction::reject};
        case Errc::malformed_record: return {"malformed_record", "bytes in a bucket are not a record of parti", Reaction::reject};
        case Errc::future_record: return {"future_record", "a record was written by a newer major version", Reaction::reject};
        case Errc::callback_failed: return {"callback_failed", "a user callback threw", Reaction::reject};
        case Errc::permission: return {"permission", "authentication or authorization failed", Reaction::reject};
        case Errc::stopping: return {"stopping", "the object is stopping or stopped", Reaction::stop};
        case Errc::internal: return {"internal", "a bug in parti; please report it", Reaction::stop};
    }
    return {"unknown", "not an error code of parti", Reaction::stop};
}

class Category : public std::error_category {
public:
    const char* name() const noexcept override { return "parti"; }
    std::string message(int code) const override { return std::string(text(static_cast<Errc>(code))); }
};

}  // namespace

std::string_view text(Errc code) { return row(code).text; }
std::string_view name(Errc code) { return row(code).name; }
Reaction reaction_to(Errc code) { return row(code).reaction; }

const std::error_category& error_category() {
    static const Category category;
    return category;
}

std::error_code make_error_code(Errc code) { return {static_cast<int>(code), error_category()}; }

std::string Error::message() const {
    std::string out(name(code));
    out += ": ";
    out += detail.empty() ? std::string(text(code)) : detail;
    return out;
}

std::string_view to_string(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return "debug";
        case LogLevel::info: return "info";
        case LogLevel::warning: return "warning";
        case LogLevel::error: return "error";
    }
    return "unknown";
}

}  // namespace parti
