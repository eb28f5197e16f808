// end_with_leak_code: the test program's exit code is 98, "a leak was found", once all of its tests are through.
//
// Threads   The main thread, inside a test.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

namespace parti::stress {

class LeakExit : public testing::EmptyTestEventListener {
    void OnTestProgramEnd(const testing::UnitTest& /*tests*/) override { std::exit(98); }
};

inline void end_with_leak_code() {
    static const bool once = [] {
        testing::UnitTest::GetInstance()->listeners().Append(new LeakExit);  // GoogleTest owns it
        return true;
    }();
    static_cast<void>(once);
}

}  // namespace parti::stress
