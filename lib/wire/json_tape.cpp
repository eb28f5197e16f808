#include "wire/json_tape.h"

#include <array>
#include <bit>

#include <nlohmann/json.hpp>

namespace parti::wire {

// nlohmann's SAX interface; returning false stops the parser.
class Tape::Builder {
public:
    explicit Builder(Tape& tape) : tape_(tape) {}
    const std::string& problem() const { return problem_; }

    bool null() { return add(Kind::null, 0); }
    bool boolean(bool value) { return add(Kind::boolean, value ? 1 : 0); }
    bool number_integer(std::int64_t value) { return add(Kind::negative_number, std::bit_cast<std::uint64_t>(value)); }
    bool number_unsigned(std::uint64_t value) { return add(Kind::unsigned_number, value); }
    bool number_float(double value, const std::string&) { return add(Kind::real_number, std::bit_cast<std::uint64_t>(value)); }
    bool string(const std::string& value) {
        const std::uint64_t offset = tape_.text_.size();
        tape_.text_ += value;
        return add(Kind::text, offset << 32U | value.size());
    }
    bool key(const std::string& value) { return string(value); }
    bool binary(const std::vector<std::uint8_t>&) { return refuse("binary value"); }
    bool start_object(std::size_t) { return open(Kind::object); }
    bool start_array(std::size_t) { return open(Kind::array); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& why) {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without nlohmann's own number.
        const std::string_view text = why.what();
        const std::size_t begin = text.find("] ");
        problem_ = text.substr(begin == std::string_view::npos ? 0 : begin + 2);
        problem_ += " (byte " + std::to_string(position) + ")";
        return false;
    }

private:
    bool add(Kind kind, std::uint64_t payload) {
        if (tape_.nodes_.size() >= kNodesMax) return refuse("more than " + std::to_string(kNodesMax) + " values");
        tape_.nodes_.push_back({payload, static_cast<std::uint32_t>(tape_.nodes_.size() + 1), kind});
        return true;
    }
    bool open(Kind kind) {
        if (depth_ == kDepthMax) return refuse("nested more than " + std::to_string(kDepthMax) + " levels deep");
        open_[depth_++] = static_cast<std::uint32_t>(tape_.nodes_.size());
        return add(kind, 0);
    }
    bool close() {
        tape_.nodes_[open_[--depth_]].next = static_cast<std::uint32_t>(tape_.nodes_.size());
        return true;
    }
    bool refuse(std::string why) {
        problem_ = std::move(why);
        return false;
    }

    Tape& tape_;
    std::array<std::uint32_t, kDepthMax> open_{};
    std::size_t depth_ = 0;
    std::string problem_;
};

Result<Tape> Tape::parse(std::string_view bytes) {
    Tape tape;
    tape.nodes_.reserve(std::min<std::size_t>(bytes.size() / 4 + 8, 64));
    tape.text_.reserve(std::min<std::size_t>(bytes.size(), 4096));
    Builder builder(tape);
    if (!nlohmann::json::sax_parse(bytes.data(), bytes.data() + bytes.size(), &builder)) {
        return fail(Errc::malformed_record, "not JSON that parti reads: " + builder.problem());
    }
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
