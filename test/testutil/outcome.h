// Outcome<T>: a value, or one sentence that names what went wrong and with which value.
//
// Role      The result type of the process side of the test utilities, which must not link the library under test.
// Model     tl::expected with a text. Tests print it: ASSERT_TRUE(x) << x.error().
// Errors    No function returning an Outcome throws.
// Threads   Values.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace parti::test {

template <class T>
using Outcome = tl::expected<T, std::string>;

inline tl::unexpected<std::string> failure(std::string why) { return tl::unexpected<std::string>(std::move(why)); }

}  // namespace parti::test
