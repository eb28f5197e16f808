// CommandLine: the arguments of one command, options apart from the rest.
//
// Model     "--name value" for options with a value, "--name" for flags; everything else is positional. An option may be given
//           again.
// Errors    An option the command does not have, or one without its value: bad_input that names it.
// Threads   Values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "commands.h"

namespace parti::report {

struct CommandLine {
    std::vector<std::string> positional;
    std::multimap<std::string, std::string> options;

    bool has(const std::string& option) const { return options.count(option) > 0; }
    std::string get(const std::string& option) const;               // empty: not given
    std::vector<std::string> all(const std::string& option) const;  // in the order given
};

Outcome<CommandLine> parse_arguments(const Arguments& arguments, const std::vector<std::string>& with_value,
                                     const std::vector<std::string>& flags);
// The option's value as a whole number from `least` to `most`, or `otherwise` when it is not given.
Outcome<unsigned> whole_number(const CommandLine& line, const std::string& option, unsigned otherwise, unsigned least,
                               unsigned most);

}  // namespace parti::report
