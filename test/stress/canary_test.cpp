// The canary: a history in which two workers own one partition at once. It must fail (ctest: WILL_FAIL). When it passes, the
// oracle, the assertion or the runner no longer tells right from wrong.
//
// WILL_FAIL takes any failure for the expected one. So everything but that one, which must be seen by the right oracle, ends with
// exit code 0, which ctest then calls a failure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "testutil/history.h"

namespace parti::test {
namespace {

[[noreturn]] void not_the_expected_failure(const std::string& what) {
    std::printf("the canary did not get as far as its failure: %s\n", what.c_str());
    std::fflush(stdout);
    std::_Exit(0);
}

ProcessHistory owner(const std::string& session, const std::string& number, const std::string& epoch) {
    const std::string head = ",\"s\":\"" + session + "\",";
    const std::string text = "{\"t\":0,\"e\":\"session\"" + head + "\"w\":0,\"n\":" + number + ",\"i\":1,\"until\":900000000}\n" +
                             "{\"t\":10000000,\"e\":\"grant\"" + head + "\"g\":1,\"p\":\"p0\",\"f\":[1," + epoch + "]}\n";
    auto events = parse_history(session, text, false);
    if (!events) not_the_expected_failure(events.error());
    ProcessHistory process;
    process.label = session;
    process.events = std::move(*events);
    process.died_ns = 500'000'000;
    process.killed = true;  // else it ought to have released the partition, and that oracle would fail too
    return process;
}

TEST(Canary, MustFail) {
    const Timeline timeline = check_history({owner("a", "1", "1"), owner("b", "2", "2")});
    const bool only_two_owners = std::all_of(timeline.violations.begin(), timeline.violations.end(),
                                             [](const Violation& v) { return v.oracle == Oracle::one_owner; });
    if (!only_two_owners) not_the_expected_failure(describe(timeline.violations));
    EXPECT_TRUE(timeline.violations.empty()) << describe(timeline.violations);
}

}  // namespace
}  // namespace parti::test
