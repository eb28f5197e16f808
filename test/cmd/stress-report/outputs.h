// The files a comparison is written to: --text, --markdown, --json, --summary.
//
// Errors    ExitCode::setup when one cannot be written.
// Threads   One thread.
#pragma once

#include "arguments.h"
#include "render.h"

namespace parti::report {

// `measured`: what --summary lists; may be null.
Outcome<void> write_outputs(const CommandLine& line, const Report& report, const Heading& heading, const RunResults* measured);

}  // namespace parti::report
