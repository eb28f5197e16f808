#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace parti::base {

void assertion_failed(const char* condition, const char* file, int line) noexcept {
    std::fprintf(stderr, "parti: assertion failed: %s (%s:%d)\n", condition, file, line);
    std::abort();
}

}  // namespace parti::base
