// The report as a table for the terminal, as Markdown for a job summary, and as JSON for other programs.
//
// Threads   Pure functions.
#pragma once

#include <string>

#include "testutil/diff.h"
#include "testutil/run_folder.h"

namespace parti::report {

struct Heading {
    std::string baseline;  // which file, and why that one
    std::string result;    // which run
};

// `all`: also the rows that are recorded only (kind advisory).
std::string render_text(const Report& report, const Heading& heading, bool all);
std::string render_markdown(const Report& report, const Heading& heading);
std::string render_json(const Report& report, const Heading& heading);

std::string render_summary(const RunResults& results);  // Markdown

}  // namespace parti::report
