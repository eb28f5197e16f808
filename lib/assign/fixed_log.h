// neg_log: the natural logarithm in whole numbers, the same on every machine (a libm's last bit is not).
//
// Units     The argument stands for the fraction x / 2^64, 0 counts as 1; the result is -ln of it, times 2^57, at most 44.4 *
//           2^57.
// Errors    Off by less than 2^-50.
// Cost      One 128-bit division and at most 20 short steps.
// Source    -ln u = 2 artanh((1 - u) / (1 + u)) for u in [1/2, 1), as a power series.
#pragma once

#include <bit>
#include <cstdint>

namespace parti::assign {

inline std::uint64_t neg_log(std::uint64_t x) {
    __extension__ using Wide = unsigned __int128;
    constexpr std::uint64_t kLn2 = 99'893'036'290'645'747ULL;  // times 2^57
    if (x == 0) x = 1;
    const auto halvings = static_cast<unsigned>(std::countl_zero(x));
    const std::uint64_t missing = 0 - (x << halvings);  // (1 - u) * 2^64, in 1..2^63
    const auto s = static_cast<std::uint64_t>((Wide{missing} << 62U) / ((Wide{1} << 65U) - missing));
    const auto square = static_cast<std::uint64_t>((Wide{s} * s) >> 62U);
    std::uint64_t sum = 0;
    std::uint64_t power = s;
    for (std::uint64_t k = 1; power != 0; k += 2) {
        sum += power / k;
        power = static_cast<std::uint64_t>((Wide{power} * square) >> 62U);
    }
    return halvings * kLn2 + (sum >> 4U);
}

}  // namespace parti::assign
