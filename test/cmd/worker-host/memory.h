// What the process knows of its own memory, and how to waste some on purpose.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

namespace parti::host {

// Says {"event":"memory",...}: mallinfo2, read before anything is allocated for the answer.
void say_memory();

// RssAnon of /proc/self/status in bytes.
std::optional<std::uint64_t> anonymous_bytes();

// Allocated on the heap and touched, so that both verdict metrics (anonymous memory, live heap) see it. Ends with the process.
class Ballast {
public:
    // The bytes allocated; nothing when /proc does not tell.
    std::optional<std::uint64_t> take(double share);

private:
    std::unique_ptr<char[]> bytes_;
};

}  // namespace parti::host
