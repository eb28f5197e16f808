// Rng: portable seeded random numbers (SplitMix64). The same seed gives the same draws with every compiler and library, which the
// standard distributions do not promise.
//
// Threads   One thread per object.
// Source    Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#pragma once

#include <cstdint>

#include "base/assert.h"

namespace parti::base {

class Rng {
public:
    explicit Rng(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15ULL;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31U);
    }
    // Uniform in [0, bound). Requires: bound > 0. Unbiased (multiply-shift with rejection, Lemire 2019).
    std::uint64_t below(std::uint64_t bound) {
        PARTI_ASSERT(bound > 0);
        const std::uint64_t threshold = (0 - bound) % bound;
        for (;;) {
            __extension__ using Wide = unsigned __int128;
            const Wide product = static_cast<Wide>(next()) * bound;
            if (static_cast<std::uint64_t>(product) >= threshold) return static_cast<std::uint64_t>(product >> 64U);
        }
    }
    // Uniform in [low, high], both included. Requires: low <= high.
    std::int64_t between(std::int64_t low, std::int64_t high) {
        PARTI_ASSERT(low <= high);
        return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
    }
    // True in `numerator` of `denominator` draws.
    bool chance(std::uint64_t numerator, std::uint64_t denominator) { return below(denominator) < numerator; }
    // An independent generator.
    Rng split() { return Rng(next() ^ 0xd1b54a32d192ed03ULL); }

private:
    std::uint64_t state_;
};

}  // namespace parti::base
