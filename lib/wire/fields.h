// Fields: checked reading of the known fields of one JSON object.
//
// Model     Each getter names a field, a rule and where to put the value. The first broken rule is kept; what follows does
//           nothing. finish() refuses known fields that occur twice. Unknown fields are ignored.
// Errors    problem(): "field 'capacity' is 0; it must be in 1..1000000".
// Cost      Reading fields in document order is one pass; any other order costs one scan per field.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <parti/types.h>

#include "wire/json_tape.h"

namespace parti::wire {

enum class Presence : std::uint8_t { required, optional };

class Fields {
public:
    explicit Fields(Tape::Value object, std::string_view path = {});

    bool ok() const { return problem_.empty(); }
    const std::string& problem() const { return problem_; }
    void refuse(std::string problem);
    // "field 'head.leader' "
    std::string named(std::string_view name) const;

    // The value, or nothing: absent, or something was refused before.
    std::optional<Tape::Value> find(std::string_view name, Presence presence = Presence::required);

    void number(std::string_view name, std::uint64_t& out, std::uint64_t min = 0,
                std::uint64_t max = std::numeric_limits<std::uint64_t>::max(), Presence presence = Presence::required);
    void number(std::string_view name, std::uint32_t& out, std::uint32_t min, std::uint32_t max,
                Presence presence = Presence::required);
    void boolean(std::string_view name, bool& out, Presence presence = Presence::required);
    std::optional<std::string_view> text(std::string_view name, Presence presence = Presence::required);
    void hex(std::string_view name, std::uint64_t& out);
    // Empty text = the empty session, where allowed.
    void session(std::string_view name, SessionId& out, bool may_be_empty = false);
    // [epoch, version]
    void fence(std::string_view name, Fence& out);
    std::optional<Tape::Value> array(std::string_view name, Presence presence = Presence::required);
    std::optional<Tape::Value> object(std::string_view name);

    // True when nothing was refused.
    bool finish();

private:
    struct Asked {
        std::string_view name;
        Tape::Value value;
    };
    static constexpr std::size_t kAskedMax = 16;

    std::string wrong_kind(std::string_view name, Tape::Value value, std::string_view wanted) const;

    Tape::Value object_;
    Tape::Value cursor_;  // where the next field is expected
    std::string_view path_;
    std::array<std::optional<Asked>, kAskedMax> asked_;
    std::size_t asked_count_ = 0;
    std::string problem_;
};

// "A is V; rule" with V shortened and made printable.
std::string quoted(std::string_view text);

}  // namespace parti::wire
