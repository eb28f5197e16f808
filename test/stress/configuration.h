// Configuration: a parameter of the memory tests, "10w_500p".
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <ostream>
#include <string>

#include "launch.h"

namespace parti::stress {

struct Configuration {
    std::uint32_t workers = 0, partitions = 0;
};

inline std::string case_name(const testing::TestParamInfo<Configuration>& info) {
    return name_of({.workers = info.param.workers, .partitions = info.param.partitions});
}

inline void PrintTo(const Configuration& c, std::ostream* out) { *out << c.workers << "w_" << c.partitions << "p"; }

}  // namespace parti::stress
