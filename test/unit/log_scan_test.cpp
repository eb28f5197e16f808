#include "testutil/log_scan.h"

#include <gtest/gtest.h>

namespace parti::test {
namespace {

TEST(LogScan, FindsEveryKindOfBadLine) {
    for (const char* line : {
             "2026-01-01 ERROR something broke",
             "[123] 2026/01/01 00:00:00 [ERR] 127.0.0.1:5000 - cid:1 - parser error",
             "[123] 2026/01/01 00:00:00 [FTL] cannot listen",
             "[2026-01-01] [parti] [error] lost",
             "[2026-01-01] [parti] [critical] lost",
             "panic: runtime error: index out of range",
             "PANIC in handler",
             "Fatal: no memory",
             "file.cpp:12:3: runtime error: signed integer overflow",
             "==12==ERROR: AddressSanitizer: heap-use-after-free",
             "SUMMARY: LeakSanitizer: 16 byte(s) leaked",
             "WARNING: ThreadSanitizer: data race (pid=1)",
             "prog: a.cpp:3: int main(): Assertion `x == 1' failed.",
             "assertion failed: x",
             "terminate called after throwing an instance of 'std::bad_alloc'",
         }) {
        EXPECT_TRUE(is_bad_line(line)) << line;
    }
}

TEST(LogScan, LeavesHealthyLinesAlone) {
    for (const char* line : {
             "[123] 2026/01/01 00:00:00 [INF] Server is ready",
             "[123] 2026/01/01 00:00:00 [WRN] Healthcheck",
             "stats: errors=0 error_rate=0.0",
             "assertions are on; 3 checks passed",
             "",
         }) {
        EXPECT_FALSE(is_bad_line(line)) << line;
    }
}

TEST(LogScan, NamesFileAndLine) {
    const auto findings = scan_log_text("a.log", "fine\nERROR one\n\nalso fine\nlast is fatal");
    ASSERT_EQ(findings.size(), 2U);
    EXPECT_EQ(findings[0].where(), "a.log:2: ERROR one");
    EXPECT_EQ(findings[1].where(), "a.log:5: last is fatal");
    EXPECT_EQ(describe(findings), "a.log:2: ERROR one\na.log:5: last is fatal\n");
}

TEST(LogScan, AnAllowanceTakesOutItsOwnLinesOnly) {
    const std::string text = "ERROR slow disk 12 ms\nERROR disk gone\n";
    const std::vector<Allowance> allowed = {{"slow disk \\d+ ms", "this test has a slow disk"}};
    const auto findings = scan_log_text("a.log", text, allowed);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].line, 2U);
}

TEST(LogScan, AnAllowanceNeedsAReasonAndARegularExpression) {
    const std::string text = "ERROR one\n";
    EXPECT_EQ(scan_log_text("a.log", text, {{"one", ""}}).size(), 2U);
    const auto findings = scan_log_text("a.log", text, {{"(one", "not closed"}});
    ASSERT_EQ(findings.size(), 2U);
    EXPECT_NE(findings[0].text.find("'(one' must be a regular expression"), std::string::npos) << findings[0].text;
}

TEST(LogScan, AFileThatCannotBeReadIsAFinding) {
    const auto findings = scan_log_file("/no/such/log");
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].where(), "/no/such/log:0: this log cannot be read");
}

}  // namespace
}  // namespace parti::test
