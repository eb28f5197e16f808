#include "runtime/logger.h"

namespace parti::runtime {

void Logger::write(LogLevel level, std::string_view line) noexcept {
    if (!on()) return;
    try {
        const std::lock_guard lock(mutex_);
        sink_(level, line);
    } catch (...) {  // the contract of LogSink: what it throws is swallowed
    }
}

}  // namespace parti::runtime
