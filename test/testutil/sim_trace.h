// Readable lines for what goes in and out of a core: for the trace of a failing seed.
#pragma once

#include <string>

#include "core/io.h"

namespace parti::testutil {

std::string describe(const RecordValue& value);
std::string describe(const core::Event& event);
std::string describe(const core::Effect& effect);

}  // namespace parti::testutil
