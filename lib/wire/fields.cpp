#include "wire/fields.h"

#include <algorithm>

#include "base/assert.h"

namespace parti::wire {

using Kind = Tape::Kind;

std::string quoted(std::string_view text) {
    constexpr std::size_t kShown = 64;
    std::string out = "'";
    for (const char c : text.substr(0, kShown)) out += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? '?' : c;
    if (text.size() > kShown) out += "...";
    out += '\'';
    return out;
}

Fields::Fields(Tape::Value object, std::string_view path) : object_(object), cursor_(object.begin()), path_(path) {
    PARTI_ASSERT(object.is(Kind::object));
}

void Fields::refuse(std::string problem) {
    if (ok()) problem_ = std::move(problem);
}

std::string Fields::named(std::string_view name) const {
    std::string out = "field '";
    if (!path_.empty()) out.append(path_).append(".");
    out.append(name).append("'");
    return out;
}

std::string Fields::wrong_kind(std::string_view name, Tape::Value value, std::string_view wanted) const {
    return named(name) + " is " + std::string(value.kind_name()) + "; it must be " + std::string(wanted);
}

std::optional<Tape::Value> Fields::find(std::string_view name, Presence presence) {
    if (!ok()) return {};
    // From where the last field ended, round to the same place again.
    const Tape::Value start = cursor_;
    bool wrapped = false;
    for (Tape::Value key = start;;) {
        if (key == object_.end()) {
            if (wrapped) break;
            wrapped = true;
            key = object_.begin();
            if (key == start) break;
            continue;
        }
        const Tape::Value value = key.next();
        if (key.text() == name) {
            PARTI_ASSERT(asked_count_ < kAskedMax);
            asked_[asked_count_++] = Asked{name, value};
            cursor_ = value.next();
            return value;
        }
        key = value.next();
        if (wrapped && key == start) break;
    }
    if (presence == Presence::required) refuse(named(name) + " is missing");
    return {};
}

bool Fields::finish() {
    if (!ok()) return false;
    std::size_t hint = 0;
    for (Tape::Value key = object_.begin(); key != object_.end();) {
        const Tape::Value value = key.next();
        const std::string_view name = key.text();
        key = value.next();
        if (hint < asked_count_ && asked_[hint]->value == value) {
            ++hint;
            continue;
        }
        for (std::size_t i = 0; i < asked_count_; ++i) {
            if (asked_[i]->name == name && !(asked_[i]->value == value)) refuse(named(name) + " occurs twice");
        }
    }
    return ok();
}

void Fields::number(std::string_view name, std::uint64_t& out, std::uint64_t min, std::uint64_t max, Presence presence) {
    const auto value = find(name, presence);
    if (!value) return;
    if (!value->is(Kind::unsigned_number)) return refuse(wrong_kind(name, *value, "an integer that is not negative"));
    if (value->number() < min || value->number() > max) {
        return refuse(named(name) + " is " + std::to_string(value->number()) + "; it must be in " + std::to_string(min) + ".." +
                      std::to_string(max));
    }
    out = value->number();
}

void Fields::number(std::string_view name, std::uint32_t& out, std::uint32_t min, std::uint32_t max, Presence presence) {
    std::uint64_t wide = out;
    number(name, wide, std::uint64_t{min}, std::uint64_t{max}, presence);
    if (ok()) out = static_cast<std::uint32_t>(wide);
}

void Fields::boolean(std::string_view name, bool& out, Presence presence) {
    const auto value = find(name, presence);
    if (!value) return;
    if (!value->is(Kind::boolean)) return refuse(wrong_kind(name, *value, "true or false"));
    out = value->boolean();
}

std::optional<std::string_view> Fields::text(std::string_view name, Presence presence) {
    const auto value = find(name, presence);
    if (!value) return {};
    if (!value->is(Kind::text)) {
        refuse(wrong_kind(name, *value, "a string"));
        return {};
    }
    return value->text();
}

void Fields::hex(std::string_view name, std::uint64_t& out) {
    const auto value = text(name);
    if (!value) return;
    const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (value->size() != 16 || !std::all_of(value->begin(), value->end(), is_hex)) {
        return refuse(named(name) + " is " + quoted(*value) + "; it must be 16 hex digits");
    }
    out = 0;
    for (const char c : *value) out = out << 4U | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
}

void Fields::session(std::string_view name, SessionId& out, bool may_be_empty) {
    const auto value = text(name);
    if (!value) return;
    if (may_be_empty && value->empty()) {
        out = {};
        return;
    }
    const auto parsed = parse_session(*value);
    if (!parsed || parsed->empty()) {
        return refuse(named(name) + " is " + quoted(*value) + "; it must be a session: 32 hex digits, not all 0");
    }
    out = *parsed;
}

void Fields::fence(std::string_view name, Fence& out) {
    const auto value = array(name);
    if (!value) return;
    std::array<std::uint64_t, 2> numbers{};
    std::size_t count = 0;
    for (Tape::Value item = value->begin(); item != value->end(); item = item.next()) {
        if (count == 2 || !item.is(Kind::unsigned_number)) return refuse(named(name) + " must be two numbers: [epoch, version]");
        numbers[count++] = item.number();
    }
    if (count != 2) return refuse(named(name) + " must be two numbers: [epoch, version]");
    out = {Epoch{numbers[0]}, numbers[1]};
}

std::optional<Tape::Value> Fields::array(std::string_view name, Presence presence) {
    auto value = find(name, presence);
    if (value && !value->is(Kind::array)) {
        refuse(wrong_kind(name, *value, "an array"));
        return {};
    }
    return value;
}

std::optional<Tape::Value> Fields::object(std::string_view name) {
    auto value = find(name);
    if (value && !value->is(Kind::object)) {
        refuse(wrong_kind(name, *value, "an object"));
        return {};
    }
    return value;
}

}  // namespace parti::wire
