#include "memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "say.h"

namespace parti::host {

void say_memory() {
    const struct mallinfo2 m = ::mallinfo2();
    Line("memory")
        .add("t_ns", now_ns())
        .add("live_bytes", static_cast<std::uint64_t>(m.uordblks + m.hblkhd))
        .add("heap_live_bytes", static_cast<std::uint64_t>(m.uordblks))
        .add("mapped_bytes", static_cast<std::uint64_t>(m.hblkhd))
        .add("arena_bytes", static_cast<std::uint64_t>(m.arena))
        .add("free_bytes", static_cast<std::uint64_t>(m.fordblks))
        .add("releasable_bytes", static_cast<std::uint64_t>(m.keepcost))
        .say();
}

std::uint64_t live_bytes() {
    const struct mallinfo2 m = ::mallinfo2();
    return static_cast<std::uint64_t>(m.uordblks + m.hblkhd);
}

void LeakedBlocks::add(std::size_t bytes) {
    void* block = ::operator new(bytes < sizeof last_ ? sizeof last_ : bytes);
    std::memset(block, 0x5a, bytes);  // touched, so that anonymous memory sees it too
    std::memcpy(block, &last_, sizeof last_);
    last_ = block;
}

std::optional<std::uint64_t> settled_live_bytes(const std::function<bool()>& at_rest, std::chrono::milliseconds rest,
                                                std::chrono::milliseconds limit) {
    constexpr int kSame = 20;  // looks in a row
    const std::chrono::milliseconds poll = rest / kSame + std::chrono::milliseconds(1);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::uint64_t last = 0;
    for (int same = 0; std::chrono::steady_clock::now() < deadline;) {
        const bool nothing_pending = at_rest();
        const std::uint64_t now = live_bytes();
        same = nothing_pending && now == last ? same + 1 : 0;
        last = now;
        if (same == kSame) return last;
        std::this_thread::sleep_for(poll);  // the interval of a poll with a deadline
    }
    return std::nullopt;
}

std::optional<std::uint64_t> anonymous_bytes() {
    const int fd = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    char text[8192];
    const ssize_t n = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    if (n <= 0) return std::nullopt;
    text[n] = '\0';
    const char* line = std::strstr(text, "RssAnon:");
    if (line == nullptr) return std::nullopt;
    return std::strtoull(line + std::strlen("RssAnon:"), nullptr, 10) * 1024;
}

std::optional<std::uint64_t> Ballast::take(double share) {
    const auto present = anonymous_bytes();
    if (!present) return std::nullopt;
    const auto size = static_cast<std::size_t>(static_cast<double>(*present) * share);
    bytes_ = std::make_unique<char[]>(size);
    std::memset(bytes_.get(), 0x5a, size);
    return size;
}

}  // namespace parti::host
