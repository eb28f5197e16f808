#include "testutil/environment.h"

#include <cstdio>
#include <fstream>
#include <sstream>

namespace parti::report {
namespace {

std::string first_line(const char* file) {
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);
    return line;
}

std::string in_unit(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f GB", bytes / (1024.0 * 1024 * 1024));
    return text;
}

void read_memory_facts(Environment& facts) {
    std::ifstream stream("/proc/meminfo");
    for (std::string line; std::getline(stream, line);) {
        std::istringstream fields(line);
        std::string key;
        double kb = 0;
        if (!(fields >> key >> kb)) continue;
        if (key == "MemTotal:") facts["memory in all"] = in_unit(kb * 1024);
        if (key == "MemAvailable:") facts["memory available"] = in_unit(kb * 1024);
        if (key == "SwapTotal:") facts["swap in all"] = in_unit(kb * 1024);
    }
}

}  // namespace

Environment read_environment(const std::filesystem::path& folder) {
    Environment facts;
    read_memory_facts(facts);
    std::error_code error;
    const auto space = std::filesystem::space(folder, error);
    if (!error) facts["disk available"] = in_unit(static_cast<double>(space.available));
    const auto keep = [&](const char* fact, const char* file) {
        if (const std::string line = first_line(file); !line.empty()) facts[fact] = line;
    };
    keep("load average", "/proc/loadavg");
    keep("cpu pressure", "/proc/pressure/cpu");
    keep("memory pressure", "/proc/pressure/memory");
    keep("transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled");
    keep("address randomisation", "/proc/sys/kernel/randomize_va_space");
    keep("clock source", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    return facts;
}

}  // namespace parti::report
