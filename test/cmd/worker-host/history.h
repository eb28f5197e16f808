// History: every session, deadline, grant, revoke and release of this process, as JSON lines, for a checker of P-3.
//
// Model     Written with one write(2) per event, at its moment, before anybody can act on it: what a SIGKILL leaves behind is
//           complete.
//           {"t":ns,"e":"open","pid":1,"label":""}
//           {"t":ns,"e":"session","w":0,"n":7,"i":3,"s":"<hex>","until":ns}     its tokens are valid until `until`
//           {"t":ns,"e":"deadline","s":"<hex>","until":ns}                      a renewal moves it on
//           {"t":ns,"e":"grant","s":"<hex>","g":1,"p":"part.00001","f":[epoch,version]}
//           {"t":ns,"e":"revoke","s":"<hex>","g":1,"p":"part.00001"}            the token is invalid from now on
//           {"t":ns,"e":"release","s":"<hex>","g":1,"p":"part.00001"}           the callback is through, or the drain is over
//           {"t":ns,"e":"end","s":"<hex>","reason":"..."}                       all tokens of the session are invalid from now on
//           w counts the workers this process has made. An ownership ends at the earliest of its revoke, its session's end, the
//           session's deadline and the process's death.
// Units     t and until: CLOCK_BOOTTIME in ns, comparable between the processes of one machine.
// Threads   Called on the io thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "runtime/observer.h"

namespace parti::host {

class History final : public runtime::Observer {
public:
    // Errors: invalid_config, when the file cannot be opened for appending.
    static Result<std::shared_ptr<History>> open(const std::string& path, const std::string& label);
    ~History() override;

    bool failed() const { return failed_; }  // a write did not succeed: the history is not complete

    void session_started(const runtime::SessionInfo& session, core::Instant deadline) override;
    void lease_extended(const runtime::SessionInfo& session, core::Instant deadline) override;
    void session_ended(const runtime::SessionInfo& session, const std::string& reason) override;
    void granted(const runtime::SessionInfo& session, std::span<const runtime::Holding> gained) override;
    void revoked(const runtime::SessionInfo& session, std::span<const runtime::Holding> lost) override;
    void released(const runtime::SessionInfo& session, std::span<const runtime::Holding> gone) override;

private:
    explicit History(int fd) : fd_(fd) {}
    void begin(const char* event);
    void field(const char* key, const std::string& json);
    void end();
    void holdings(const char* event, const runtime::SessionInfo& session, std::span<const runtime::Holding> list,
                  bool with_fence);
    void write_out();

    const int fd_;
    std::string buffer_;
    std::atomic<bool> failed_{false};
};

}  // namespace parti::host
