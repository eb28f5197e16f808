#include "wire/json_text.h"

#include <charconv>

namespace parti::wire {

void append_json(std::string& out, std::string_view text) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += '"';
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        out += text.substr(begin, i - begin);
        begin = i + 1;
        if (c >= 0x20) {
            out += '\\';
            out += text[i];
        } else {
            out += "\\u00";
            out += kDigits[c >> 4U];
            out += kDigits[c & 0xfU];
        }
    }
    out += text.substr(begin);
    out += '"';
}

void append_json(std::string& out, std::uint64_t number) {
    char buffer[20];
    out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, number).ptr);
}

}  // namespace parti::wire
