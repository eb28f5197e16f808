#include "arguments.h"

#include <algorithm>
#include <charconv>

namespace parti::report {

std::string CommandLine::get(const std::string& option) const {
    const auto found = options.find(option);
    return found == options.end() ? std::string() : found->second;
}

std::vector<std::string> CommandLine::all(const std::string& option) const {
    std::vector<std::string> values;
    for (auto [at, end] = options.equal_range(option); at != end; ++at) values.push_back(at->second);
    return values;
}

Outcome<CommandLine> parse_arguments(const Arguments& arguments, const std::vector<std::string>& with_value,
                                     const std::vector<std::string>& flags) {
    const auto contains = [](const std::vector<std::string>& list, const std::string& text) {
        return std::find(list.begin(), list.end(), text) != list.end();
    };
    CommandLine line;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (!argument.starts_with("--")) {
            line.positional.push_back(argument);
        } else if (contains(flags, argument)) {
            line.options.emplace(argument, "");
        } else if (contains(with_value, argument)) {
            if (i + 1 == arguments.size()) return bad_input(argument + ": needs a value");
            line.options.emplace(argument, arguments[++i]);
        } else {
            return bad_input(argument + ": is not an option of this command (--help explains them)");
        }
    }
    return line;
}

Outcome<unsigned> whole_number(const CommandLine& line, const std::string& option, unsigned otherwise, unsigned least,
                               unsigned most) {
    if (!line.has(option)) return otherwise;
    const std::string text = line.get(option);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
        return bad_input(option + ": '" + text + "' must be a whole number from " + std::to_string(least) + " to " +
                         std::to_string(most));
    }
    return value;
}

}  // namespace parti::report
