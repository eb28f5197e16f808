// Digest: what a benchmark computed, as a label in its output: a faster benchmark that computes something else is no progress.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace parti::test {

inline std::string digest_label(std::uint64_t digest) {
    char text[32];
    std::snprintf(text, sizeof text, "digest %016llx", static_cast<unsigned long long>(digest));
    return text;
}
inline std::uint64_t digest_of(std::string_view bytes) {  // FNV-1a
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return hash;
}

}  // namespace parti::test
