// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
//
// Source    The Unicode Standard, table 3-7.
#pragma once

#include <cstddef>
#include <string_view>

namespace parti::base {

// Bytes of the character that `text` begins with (1..4), or 0 when it begins with none.
inline std::size_t utf8_length(std::string_view text) {
    const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
    const unsigned first = byte(0);
    if (text.empty()) return 0;
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        const bool second = byte(1) >= (first == 0xE0 ? 0xA0U : 0x80U) && byte(1) <= (first == 0xED ? 0x9FU : 0xBFU);
        return second && follows(2) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        const bool second = byte(1) >= (first == 0xF0 ? 0x90U : 0x80U) && byte(1) <= (first == 0xF4 ? 0x8FU : 0xBFU);
        return second && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

inline bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

}  // namespace parti::base
