// all_of: the events of one kind among those that a core was given, in their order.
#pragma once

#include <variant>
#include <vector>

#include "core/io.h"

namespace parti::core {

template <class E>
std::vector<E> all_of(const std::vector<Event>& events) {
    std::vector<E> out;
    for (const Event& event : events) {
        if (const E* found = std::get_if<E>(&event)) out.push_back(*found);
    }
    return out;
}

}  // namespace parti::core
