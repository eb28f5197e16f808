// SweptTest: a fixture whose every test fails when something of it survives.
//
// Role      The last oracle: after the test body, no process, port or temp folder with this process's tag is left.
// Model     Objects of the test body are gone by then; what the kernel is still taking down gets 5 s.
// Threads   As GoogleTest's fixtures.
#pragma once

#include <gtest/gtest.h>

#include "testutil/sweep.h"

namespace parti::test {

class SweptTest : public ::testing::Test {
protected:
    void TearDown() override {
        const Leftovers left = leftovers_after(std::chrono::seconds(5));
        EXPECT_TRUE(left.empty()) << "left behind:\n" << left.describe();
    }
};

}  // namespace parti::test
