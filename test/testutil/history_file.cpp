#include "testutil/history_file.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

namespace parti::test {
namespace {

Outcome<std::string> read_all(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return failure(path + " cannot be read");
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

}  // namespace

Outcome<ProcessHistory> read_process_history(const std::string& path) {
    auto text = read_all(path);
    if (!text) return failure(text.error());
    ProcessHistory process;
    process.label = std::filesystem::path(path).stem().string();
    const auto last = text->find_last_not_of('\n');
    const auto begin = last == std::string::npos ? 0 : text->rfind('\n', last) + 1;  // npos + 1 is 0
    const auto line = nlohmann::json::parse(text->substr(begin), nullptr, false);
    if (line.is_object() && line.value("e", "") == "died") {
        if (!line.contains("t") || !line["t"].is_number_integer()) return failure(path + ": the last line lacks 't'");
        process.died_ns = line["t"].get<std::int64_t>();
        process.killed = line.value("killed", false);
        text->erase(begin);
    }
    auto events = parse_history(path, *text, false);
    if (!events) return failure(events.error());
    process.events = std::move(*events);
    return process;
}

Outcome<void> append_death(const std::string& path, std::int64_t died_ns, bool killed) {
    auto text = read_all(path);
    if (!text) return failure(text.error());
    text->erase(text->rfind('\n') + 1);
    *text += "{\"t\":" + std::to_string(died_ns) + ",\"e\":\"died\",\"killed\":" + (killed ? "true" : "false") + "}\n";
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << *text;
    if (!out.flush()) return failure(path + " cannot be written");
    return {};
}

}  // namespace parti::test
