#include "commands.h"

#include <unistd.h>

#include <array>
#include <cerrno>

namespace parti::host {

bool Commands::next(std::string& line) {
    while (true) {
        if (const std::size_t end = waiting_.find('\n'); end != std::string::npos) {
            line.assign(waiting_, 0, end);
            waiting_.erase(0, end + 1);
            return true;
        }
        std::array<char, 256> part{};
        const ssize_t n = ::read(STDIN_FILENO, part.data(), part.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        waiting_.append(part.data(), static_cast<std::size_t>(n));
    }
}

}  // namespace parti::host
