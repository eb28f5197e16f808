// log_scan: finds the lines of a log that no healthy run writes.
//
// Role      An oracle of every test: the logs of all processes are scanned before the test may pass.
// Model     A line is bad when it contains one of the marks below and no allowance matches it. An allowance needs a reason.
//           Marks: ERROR [ERR] [FTL] [error] [critical], AddressSanitizer LeakSanitizer ThreadSanitizer, "terminate called", and
//           in any case of letters: panic, fatal, runtime error, data race, "assertion ... failed".
// Errors    A file that cannot be read is a finding itself: an unread log proves nothing. So is an allowance that is not a
//           regular expression or has no reason.
// Threads   Free functions, any thread.
// Cost      One pass; regular expressions only on bad lines.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace parti::test {

struct Allowance {
    std::string pattern;  // ECMAScript regular expression, searched in the line
    std::string reason;   // why such a line is right in this test
};

struct LogFinding {
    std::string file;
    std::size_t line = 0;  // from 1; 0: the file as a whole
    std::string text;
    std::string where() const;  // "file:line: text"
};

bool is_bad_line(std::string_view line);
std::vector<LogFinding> scan_log_text(const std::string& name, std::string_view text, const std::vector<Allowance>& allowed = {});
std::vector<LogFinding> scan_log_file(const std::string& path, const std::vector<Allowance>& allowed = {});
std::string describe(const std::vector<LogFinding>& findings);  // one a line; empty: none

}  // namespace parti::test
