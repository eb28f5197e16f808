#include "history.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "say.h"

namespace parti::host {

using runtime::Holding;
using runtime::SessionInfo;

namespace {

std::string ns(core::Instant t) { return std::to_string(t.time_since_epoch().count()); }
std::string name_of(const SessionInfo& session) { return '"' + to_string(session.session) + '"'; }

}  // namespace

Result<std::shared_ptr<History>> History::open(const std::string& path, const std::string& label) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return fail(Errc::invalid_config, "--history '" + path + "' cannot be opened: " + std::strerror(errno));
    std::shared_ptr<History> history(new History(fd));
    history->begin("open");
    history->field("pid", std::to_string(::getpid()));
    history->field("label", json_quoted(label));
    history->end();
    history->write_out();
    return history;
}

History::~History() { ::close(fd_); }

void History::begin(const char* event) {
    buffer_ += "{\"t\":";
    buffer_ += std::to_string(now_ns());
    buffer_ += ",\"e\":\"";
    buffer_ += event;
    buffer_ += '"';
}

void History::field(const char* key, const std::string& json) {
    buffer_ += ",\"";
    buffer_ += key;
    buffer_ += "\":";
    buffer_ += json;
}

void History::end() { buffer_ += "}\n"; }

void History::write_out() {
    std::size_t done = 0;
    while (done < buffer_.size() && !failed_) {
        const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
        if (n >= 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            failed_ = true;
            Line("error").add("error", "the history cannot be written: " + std::string(std::strerror(errno))).say();
        }
    }
    buffer_.clear();
}

void History::session_started(const SessionInfo& session, core::Instant deadline) {
    begin("session");
    field("w", std::to_string(session.worker));
    field("n", std::to_string(session.number.value));
    field("i", std::to_string(session.incarnation.value));
    field("s", name_of(session));
    field("until", ns(deadline));
    end();
    write_out();
}

void History::lease_extended(const SessionInfo& session, core::Instant deadline) {
    begin("deadline");
    field("s", name_of(session));
    field("until", ns(deadline));
    end();
    write_out();
}

void History::session_ended(const SessionInfo& session, const std::string& reason) {
    begin("end");
    field("s", name_of(session));
    field("reason", json_quoted(reason));
    end();
    write_out();
}

void History::holdings(const char* event, const SessionInfo& session, std::span<const Holding> list, bool with_fence) {
    for (const Holding& h : list) {
        begin(event);
        field("s", name_of(session));
        field("g", std::to_string(h.grant));
        field("p", json_quoted(h.partition->id()));
        if (with_fence) field("f", '[' + std::to_string(h.fence.epoch.value) + ',' + std::to_string(h.fence.version) + ']');
        end();
    }
    write_out();
}

void History::granted(const SessionInfo& session, std::span<const Holding> gained) { holdings("grant", session, gained, true); }
void History::revoked(const SessionInfo& session, std::span<const Holding> lost) { holdings("revoke", session, lost, false); }
void History::released(const SessionInfo& session, std::span<const Holding> gone) { holdings("release", session, gone, false); }

}  // namespace parti::host
