// Options: partictl's command line.
//
// Errors    invalid_argument: a sentence that names the option or command, the value and the rule.
#pragma once

#include <string>
#include <vector>

#include <parti/context.h>
#include <parti/control.h>

namespace parti::ctl {

struct Options {
    ConnectOptions connect;
    std::string group;
    std::string command;
    std::string name;  // of drain and undrain
    Duration timeout = Control::kTimeout;
    bool in_advance = false;
    bool json = false;
    bool help = false;
};

extern const char* const usage;

Result<Options> parse_options(const std::vector<std::string>& args);

}  // namespace parti::ctl
