// Commands: lines of stdin, without iostreams, whose buffers would be 120 kB of the process that is measured.
//
// Threads   One.
#pragma once

#include <string>

namespace parti::host {

class Commands {
public:
    // False at the end.
    bool next(std::string& line);

private:
    std::string waiting_;
};

}  // namespace parti::host
