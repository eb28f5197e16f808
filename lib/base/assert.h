// PARTI_ASSERT: what must hold. On in every build; for programmer errors only. What NATS or a user hands us is input and gets a
// Result.
#pragma once

namespace parti::base {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;
}

#define PARTI_ASSERT(condition) \
    ((condition) ? static_cast<void>(0) : ::parti::base::assertion_failed(#condition, __FILE__, __LINE__))
