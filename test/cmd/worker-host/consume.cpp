#include "consume.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>

#include "say.h"

namespace parti::host {

Result<std::shared_ptr<HandledLog>> HandledLog::open(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return fail(Errc::invalid_config, "--handled '" + path + "' cannot be opened: " + std::strerror(errno));
    return std::shared_ptr<HandledLog>(new HandledLog(fd));
}

HandledLog::~HandledLog() { ::close(fd_); }

void HandledLog::write(const std::string& line) {
    // One write: with O_APPEND, lines of different threads do not mix.
    if (::write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size()) || failed_.exchange(true)) return;
    Line("error").add("error", "the file of handled messages cannot be written: " + std::string(std::strerror(errno))).say();
}

Handler handler_of(const ConsumeOptions& options, std::shared_ptr<HandledLog> log) {
    return [options, log = std::move(log)](Message& message) -> Result<void> {
        const std::int64_t begin = now_ns();
        const Ownership& ownership = message.ownership();
        const bool valid = ownership.valid();
        std::uint64_t sequence = 0;
        const std::string_view payload = message.payload();
        std::from_chars(payload.data(), payload.data() + payload.size(), sequence);
        // The handler's work is to wait, as most do.
        if (valid && options.work.count() > 0) std::this_thread::sleep_for(options.work);
        const bool fails = options.fail_every != 0 && sequence % options.fail_every == 0 && message.delivered() == 1;
        const Fence fence = ownership.fence();
        std::string line = "H " + std::to_string(begin) + ' ' + std::to_string(now_ns()) + ' ' +
                           std::string(ownership.partition().id()) + ' ' + std::to_string(sequence) + ' ' +
                           std::to_string(message.sequence()) + ' ' + std::to_string(message.delivered()) + ' ' +
                           std::to_string(fence.epoch.value) + ' ' + std::to_string(fence.version) + ' ' +
                           (!valid  ? 'x'
                            : fails ? 'f'
                                    : 's') +
                           '\n';
        log->write(line);
        if (!valid) return fail(Errc::lease_lost, "the token was invalid at the handler's begin");
        if (fails) return fail(Errc::invalid_argument, "--fail-every says so");
        return {};
    };
}

}  // namespace parti::host
