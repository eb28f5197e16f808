// Durations as text: "300ms", "6s", "2m", "1h"; units ns, us, ms, s, m, h; a whole number that is not negative.
//
// Errors    invalid_argument naming the text and the form.
#pragma once

#include <string>
#include <string_view>

#include <parti/types.h>

namespace parti::base {

// The largest unit that gives a whole number; "0s" for nothing. parse_duration(to_text(d)) == d for d >= 0.
std::string to_text(Duration duration);
Result<Duration> parse_duration(std::string_view text);

}  // namespace parti::base
