// Which charts each section of the report has: chosen by what the results hold.
//
// Model     A row chart of a metric has the tests that measured it (several metrics of one test where a test measures by itself);
//           there are as many fit and curve charts as the results have fits and series. Charts of one section form one block.
//           Nothing to draw: an empty string.
// Threads   Pure functions.
#pragma once

#include <string>

#include "report_view.h"

namespace parti::report {

std::string memory_charts(const ReportView& view);   // anonymous memory, live heap, fits, curves in kB or bytes
std::string latency_charts(const ReportView& view);  // distributions
std::string scaling_charts(const ReportView& view);  // durations, threads, curves of other units

}  // namespace parti::report
