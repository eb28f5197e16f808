#include "base/durations.h"

#include <array>
#include <charconv>
#include <limits>

namespace parti::base {

namespace {

struct Unit {
    std::string_view name;
    std::int64_t nanoseconds;
};
constexpr std::array<Unit, 6> kUnits{{
    {"h", 3'600'000'000'000},
    {"m", 60'000'000'000},
    {"s", 1'000'000'000},
    {"ms", 1'000'000},
    {"us", 1'000},
    {"ns", 1},
}};

}  // namespace

std::string to_text(Duration duration) {
    const std::int64_t count = duration.count();
    if (count == 0) return "0s";
    for (const Unit& unit : kUnits) {
        if (count % unit.nanoseconds == 0) return std::to_string(count / unit.nanoseconds).append(unit.name);
    }
    return {};  // not reached: every count is a multiple of 1 ns
}

Result<Duration> parse_duration(std::string_view text) {
    const auto bad = [text](std::string_view why) {
        std::string detail = "'";
        detail.append(text.substr(0, 64)).append("' is not a duration: ").append(why);
        return fail(Errc::invalid_argument, std::move(detail));
    };
    std::uint64_t count = 0;
    const char* end = text.data() + text.size();
    const auto number = std::from_chars(text.data(), end, count);
    if (number.ec == std::errc::result_out_of_range) return bad("it is too long");
    if (number.ec != std::errc{}) return bad("write a whole number and a unit, as in 300ms, 6s, 2m or 1h");
    const std::string_view name(number.ptr, static_cast<std::size_t>(end - number.ptr));
    for (const Unit& unit : kUnits) {
        if (unit.name != name) continue;
        constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        if (count > kLargest / static_cast<std::uint64_t>(unit.nanoseconds)) return bad("it is too long");
        return Duration(static_cast<std::int64_t>(count) * unit.nanoseconds);
    }
    return bad("the unit must be ns, us, ms, s, m or h");
}

}  // namespace parti::base
