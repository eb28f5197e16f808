// Consuming: what this process's workers do with the messages of their partitions, and the file that says what they did.
//
// Model     Every handler notes its begin, then asks its token, works, and writes one line with one write(2) before it returns,
//           that is, before anything is acknowledged: what a SIGKILL leaves behind is complete. The format is
//           testutil/ledger.h's: H <begin> <end> <partition> <sequence> <stream sequence> <delivered> <epoch> <version> <s|f|x>
//           The sequence is the payload's first word; 0 when there is none.
// Units     CLOCK_BOOTTIME in ns.
// Threads   Handlers on any thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <parti/consumer.h>

#include "options.h"

namespace parti::host {

class HandledLog {
public:
    // Errors: invalid_config, when the file cannot be opened for appending.
    static Result<std::shared_ptr<HandledLog>> open(const std::string& path);
    ~HandledLog();
    void write(const std::string& line);

private:
    explicit HandledLog(int fd) : fd_(fd) {}
    const int fd_;
    std::atomic<bool> failed_{false};
};

Handler handler_of(const ConsumeOptions& options, std::shared_ptr<HandledLog> log);

}  // namespace parti::host
