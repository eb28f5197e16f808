// The canary: a history in which two workers own one partition at once. It must fail (ctest: WILL_FAIL). When it passes, the
// oracle, the assertion or the runner no longer tells right from wrong.
#include <gtest/gtest.h>

#include "testutil/history.h"

namespace parti::test {
namespace {

ProcessHistory owner(const std::string& session, const std::string& number, const std::string& epoch) {
    const std::string head = ",\"s\":\"" + session + "\",";
    const std::string text = "{\"t\":0,\"e\":\"session\"" + head + "\"w\":0,\"n\":" + number + ",\"i\":1,\"until\":900000000}\n" +
                             "{\"t\":10000000,\"e\":\"grant\"" + head + "\"g\":1,\"p\":\"p0\",\"f\":[1," + epoch + "]}\n";
    auto events = parse_history(session, text, false);
    EXPECT_TRUE(events) << (events ? std::string() : events.error());
    ProcessHistory process;
    process.label = session;
    if (events) process.events = std::move(*events);
    process.died_ns = 500'000'000;
    return process;
}

TEST(Canary, MustFail) {
    const Timeline timeline = check_history({owner("a", "1", "1"), owner("b", "2", "2")});
    EXPECT_TRUE(timeline.violations.empty()) << describe(timeline.violations);
}

}  // namespace
}  // namespace parti::test
