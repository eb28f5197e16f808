// The report of one run as a page of HTML and as Markdown.
//
// Role      Lays out a ReportView. The HTML is one file that asks for nothing: its policy forbids every request, there is no
//           script, charts are inline SVG, fonts are the reader's own. It follows the reader's light or dark setting, fits 390 px
//           and prints on paper.
// Model     Both have the same sections in the same order; every value comes from the view.
// Errors    None: text is escaped, what is no number is "not measured".
// Threads   Pure functions.
#pragma once

#include <string>

#include "report_view.h"

namespace parti::report {

std::string html_page(const ReportView& view);
std::string markdown_page(const ReportView& view);

extern const char* const kStyle;  // the page's style sheet; the live page uses it too

}  // namespace parti::report
