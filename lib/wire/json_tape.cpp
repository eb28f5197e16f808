#include "wire/json_tape.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>

#include "base/utf8.h"

namespace parti::wire {

// Recursive descent, at most kDepthMax deep. Every function leaves the cursor after what it read, or sets a problem and answers
// false.
class Tape::Parser {
public:
    Parser(Tape& tape, std::string_view bytes) : tape_(tape), bytes_(bytes) {}

    bool parse() {
        if (!value(0)) return false;
        skip_blanks();
        return at_ == bytes_.size() || refuse("something follows the value");
    }
    std::string problem() const {
        std::size_t line = 1;
        std::size_t begin = 0;
        for (std::size_t i = 0; i < at_; ++i) {
            if (bytes_[i] != '\n') continue;
            ++line;
            begin = i + 1;
        }
        return std::string(problem_).append(" at line ").append(std::to_string(line)).append(", column ") +
               std::to_string(at_ - begin + 1) + " (byte " + std::to_string(at_ + 1) + ")";
    }

private:
    bool refuse(std::string_view why) {
        if (problem_.empty()) problem_ = why;
        return false;
    }
    char peek() const { return at_ < bytes_.size() ? bytes_[at_] : '\0'; }
    void skip_blanks() {
        while (at_ < bytes_.size() && (bytes_[at_] == ' ' || bytes_[at_] == '\n' || bytes_[at_] == '\r' || bytes_[at_] == '\t'))
            ++at_;
    }
    bool add(Kind kind, std::uint64_t payload) {
        if (tape_.nodes_.size() >= kNodesMax) return refuse("more than 4000000 values");
        tape_.nodes_.push_back({payload, static_cast<std::uint32_t>(tape_.nodes_.size() + 1), kind});
        return true;
    }

    bool value(std::size_t depth) {
        skip_blanks();
        if (at_ == bytes_.size()) return refuse("a value is missing");
        switch (bytes_[at_]) {
            case '{': return container(Kind::object, '}', depth);
            case '[': return container(Kind::array, ']', depth);
            case '"': return text();
            case 't': return word("true", Kind::boolean, 1);
            case 'f': return word("false", Kind::boolean, 0);
            case 'n': return word("null", Kind::null, 0);
            default: return number();
        }
    }
    bool word(std::string_view expected, Kind kind, std::uint64_t payload) {
        if (bytes_.substr(at_, expected.size()) != expected) return refuse("neither true, false nor null");
        at_ += expected.size();
        return add(kind, payload);
    }
    bool container(Kind kind, char close, std::size_t depth) {
        if (depth == kDepthMax) return refuse("nested more than 32 levels deep");
        const std::size_t node = tape_.nodes_.size();
        if (!add(kind, 0)) return false;
        ++at_;
        skip_blanks();
        if (peek() != close) {
            for (;;) {
                if (kind == Kind::object && !key()) return false;
                if (!value(depth + 1)) return false;
                skip_blanks();
                if (peek() != ',') break;
                ++at_;
            }
            if (peek() != close) return refuse(kind == Kind::object ? "',' or '}' is missing" : "',' or ']' is missing");
        }
        ++at_;
        tape_.nodes_[node].next = static_cast<std::uint32_t>(tape_.nodes_.size());
        return true;
    }
    bool key() {
        skip_blanks();
        if (peek() != '"') return refuse("a key is missing");
        if (!text()) return false;
        skip_blanks();
        if (peek() != ':') return refuse("':' is missing");
        ++at_;
        return true;
    }

    bool text() {
        const std::uint64_t offset = tape_.text_.size();
        std::size_t begin = ++at_;
        for (;;) {
            while (at_ < bytes_.size() && plain(bytes_[at_])) ++at_;
            if (at_ == bytes_.size()) return refuse("a string does not end");
            const auto c = static_cast<unsigned char>(bytes_[at_]);
            if (c >= 0x80) {
                const std::size_t length = base::utf8_length(bytes_.substr(at_, 4));
                if (length == 0) return refuse("a string is not UTF-8");
                at_ += length;
                continue;
            }
            tape_.text_.append(bytes_.substr(begin, at_ - begin));
            if (c < 0x20) return refuse("a string holds a control character");
            ++at_;
            if (c == '"') break;
            if (!escape()) return false;
            begin = at_;
        }
        return add(Kind::text, offset << 32U | (tape_.text_.size() - offset));
    }
    static bool plain(char c) {
        return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 && c != '"' && c != '\\';
    }

    // After the backslash.
    bool escape() {
        constexpr std::string_view kNames = "\"\\/bfnrt";
        constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
        if (peek() == 'u') {
            ++at_;
            return code_point();
        }
        const std::size_t which = at_ < bytes_.size() ? kNames.find(bytes_[at_]) : std::string_view::npos;
        if (which == std::string_view::npos) return refuse("a string holds an unknown escape");
        tape_.text_ += kMeanings[which];
        ++at_;
        return true;
    }
    bool code_point() {
        std::uint32_t code = 0;
        if (!hex(code)) return false;
        if (code >= 0xD800 && code <= 0xDFFF) {
            std::uint32_t low = 0;
            if (code >= 0xDC00 || bytes_.substr(at_, 2) != "\\u") return refuse("a string holds half a surrogate pair");
            at_ += 2;
            if (!hex(low)) return false;
            if (low < 0xDC00 || low > 0xDFFF) return refuse("a string holds half a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
        }
        const auto put = [this](std::uint32_t byte) { tape_.text_ += static_cast<char>(byte); };
        if (code < 0x80) {
            put(code);
        } else if (code < 0x800) {
            put(0xC0 | code >> 6U);
            put(0x80 | (code & 0x3FU));
        } else {
            if (code < 0x10000) {
                put(0xE0 | code >> 12U);
            } else {
                put(0xF0 | code >> 18U);
                put(0x80 | (code >> 12U & 0x3FU));
            }
            put(0x80 | (code >> 6U & 0x3FU));
            put(0x80 | (code & 0x3FU));
        }
        return true;
    }
    bool hex(std::uint32_t& out) {
        const std::string_view digits = bytes_.substr(at_, 4);
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out, 16);
        if (digits.size() != 4 || parsed.ptr != digits.data() + 4) return refuse("\\u is not followed by four hex digits");
        at_ += 4;
        return true;
    }

    std::size_t digits() {
        const std::size_t begin = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ - begin;
    }
    bool number() {
        const std::size_t begin = at_;
        const bool negative = peek() == '-';
        if (negative) ++at_;
        const bool zero = peek() == '0';
        const std::size_t whole = digits();
        if (whole == 0) return refuse("a value is missing or unknown");
        if (zero && whole > 1) return refuse("a number begins with 0");
        bool real = false;
        if (peek() == '.') {
            ++at_;
            real = true;
            if (digits() == 0) return refuse("a number has no digit after '.'");
        }
        if (peek() == 'e' || peek() == 'E') {
            ++at_;
            real = true;
            if (peek() == '+' || peek() == '-') ++at_;
            if (digits() == 0) return refuse("a number has no digit in its exponent");
        }
        const std::string_view text = bytes_.substr(begin, at_ - begin);
        if (!real) {
            const bool fits = negative ? integer<std::int64_t>(text, Kind::negative_number)
                                       : integer<std::uint64_t>(text, Kind::unsigned_number);
            if (fits || !problem_.empty()) return fits;
        }
        return real_number(text);
    }
    // False, without a problem, when it does not fit.
    template <class Integer>
    bool integer(std::string_view text, Kind kind) {
        Integer number = 0;
        if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc{}) return false;
        return add(kind, static_cast<std::uint64_t>(number));
    }
    bool real_number(std::string_view text) {
        double number = 0;
        if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc{})
            return refuse("a number is out of range");
        return add(Kind::real_number, std::bit_cast<std::uint64_t>(number));
    }

    Tape& tape_;
    std::string_view bytes_;
    std::size_t at_ = 0;
    std::string_view problem_;
};

Result<Tape> Tape::parse(std::string_view bytes) {
    Tape tape;
    tape.nodes_.reserve(std::min<std::size_t>(bytes.size() / 4 + 8, 64));
    tape.text_.reserve(std::min<std::size_t>(bytes.size(), 4096));
    Parser parser(tape, bytes);
    if (!parser.parse()) return fail(Errc::malformed_record, std::string("not JSON that parti reads: ").append(parser.problem()));
    return tape;
}

double Tape::Value::real() const {
    switch (kind()) {
        case Kind::unsigned_number: return static_cast<double>(number());
        case Kind::negative_number: return static_cast<double>(std::bit_cast<std::int64_t>(number()));
        default: return std::bit_cast<double>(number());
    }
}

std::string_view Tape::Value::text() const {
    const std::uint64_t payload = node().payload;
    return std::string_view(tape_->text_).substr(payload >> 32U, payload & 0xffffffffU);
}

std::string_view Tape::Value::kind_name() const {
    switch (kind()) {
        case Kind::null: return "null";
        case Kind::boolean: return "a boolean";
        case Kind::unsigned_number: return "a number";
        case Kind::negative_number: return "a negative number";
        case Kind::real_number: return "a number that is not an integer (or too large)";
        case Kind::text: return "a string";
        case Kind::object: return "an object";
        case Kind::array: return "an array";
    }
    return "unknown";
}

}  // namespace parti::wire
