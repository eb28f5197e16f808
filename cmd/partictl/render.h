// A group's status as text for people, and as one JSON object for programs.
#pragma once

#include <string>

#include <parti/control.h>

namespace parti::ctl {

std::string as_text(const GroupStatus& status);
std::string as_json(const GroupStatus& status);

}  // namespace parti::ctl
