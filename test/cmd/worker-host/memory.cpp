#include "memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

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
