// What the process knows of its own memory, and how to waste some on purpose.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
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

// Blocks that are never given back: a leak, on purpose. They hang together, so that a leak checker at the end stays silent.
class LeakedBlocks {
public:
    void add(std::size_t bytes);

private:
    void* last_ = nullptr;
};

// mallinfo2's bytes in use.
std::uint64_t live_bytes();

// ... once `at_rest` holds and they have stayed the same for so long (threads of nats.c free a little later than the worker's
// end; a timer that was set for an answer's deadline goes when that is over). Nothing: they did not within the limit.
std::optional<std::uint64_t> settled_live_bytes(const std::function<bool()>& at_rest, std::chrono::milliseconds rest,
                                                std::chrono::milliseconds limit);

}  // namespace parti::host
