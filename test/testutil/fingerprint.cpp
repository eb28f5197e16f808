#include "testutil/fingerprint.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include <gnu/libc-version.h>
#include <nats/version.h>
#include <sys/utsname.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <nlohmann/json.hpp>

namespace parti::report {
namespace {

// What the allocator does and how the code was built decide how much memory is used; CPU and load do not (S-6.3).
constexpr std::array<std::string_view, 9> kMemoryKeys{"arch",      "libc",      "page_size",       "compiler", "build_type",
                                                      "sanitizer", "allocator", "malloc_tunables", "nats_c"};
constexpr auto with_schema = [] {
    std::array<std::string_view, kMemoryKeys.size() + 1> keys{};
    std::copy(kMemoryKeys.begin(), kMemoryKeys.end(), keys.begin());
    keys.back() = "schema";
    return keys;
}();
constexpr auto with_cpu = [] {
    std::array<std::string_view, with_schema.size() + 2> keys{};
    std::copy(with_schema.begin(), with_schema.end(), keys.begin());
    keys[with_schema.size()] = "cpu_model";
    keys[with_schema.size() + 1] = "nproc";
    return keys;
}();

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

// Value of the first line "name : value" of /proc/cpuinfo.
std::string cpuinfo(std::string_view wanted) {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        const auto end = line.find_last_not_of(" \t", colon - 1);
        if (end == std::string::npos || std::string_view(line).substr(0, end + 1) != wanted) continue;
        const auto begin = line.find_first_not_of(' ', colon + 1);
        return begin == std::string::npos ? std::string() : line.substr(begin);
    }
    return {};
}

std::string cpu_model() {
    if (auto model = cpuinfo("model name"); !model.empty()) return model;
    const std::string implementer = cpuinfo("CPU implementer");  // aarch64 has numbers only
    const std::string part = cpuinfo("CPU part");
    return implementer.empty() || part.empty() ? std::string(kUnknown) : "arm " + implementer + " " + part;
}

std::string kernel_major_minor(const char* release) {
    int major = 0;
    int minor = 0;
    if (std::sscanf(release, "%d.%d", &major, &minor) != 2) return std::string(kUnknown);
    return std::to_string(major) + "." + std::to_string(minor);
}

std::string compiler() {
#if defined(__clang__)
    return "clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__);
#elif defined(__GNUC__)
    return "gcc " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__);
#else
    return std::string(kUnknown);
#endif
}

std::string allocator() {
    const std::string preload = environment("LD_PRELOAD");
    for (const char* name : {"jemalloc", "tcmalloc", "mimalloc"}) {
        if (preload.find(name) != std::string::npos) return name;
    }
    return "glibc";
}

std::string malloc_tunables() {
    std::vector<std::string> found;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        if (text.starts_with("GLIBC_TUNABLES=") || text.starts_with("MALLOC_")) found.emplace_back(text);
    }
    if (found.empty()) return "default";
    std::sort(found.begin(), found.end());
    std::string all;
    for (const auto& entry : found) all += (all.empty() ? "" : " ") + entry;
    return all;
}

std::string runner() {
    if (environment("GITHUB_ACTIONS").empty()) return "local";
    const std::string image = environment("ImageOS");
    return image.empty() ? "github" : "github-" + image;
}

}  // namespace

std::string_view Fingerprint::get(std::string_view key) const {
    const auto found = values_.find(key);
    return found == values_.end() || found->second.empty() ? kUnknown : std::string_view(found->second);
}

Fingerprint local_fingerprint() {
    utsname system{};
    const bool named = ::uname(&system) == 0;
    const std::string build_type = PARTI_BUILD_TYPE;
    const std::string sanitizer = PARTI_SANITIZE_NAME;
    Fingerprint here;
    here.set("arch", named ? system.machine : std::string(kUnknown));
    here.set("kernel", named ? kernel_major_minor(system.release) : std::string(kUnknown));
    here.set("cpu_model", cpu_model());
    here.set("nproc", std::to_string(std::thread::hardware_concurrency()));
    here.set("page_size", std::to_string(::sysconf(_SC_PAGESIZE)));
    here.set("libc", std::string("glibc ") + ::gnu_get_libc_version());
    here.set("allocator", allocator());
    here.set("malloc_tunables", malloc_tunables());
    here.set("build_type", build_type.empty() ? std::string(kUnknown) : build_type);
    here.set("compiler", compiler());
    here.set("sanitizer", sanitizer.empty() ? "none" : sanitizer);
    here.set("nats_c", NATS_VERSION_STRING);
    here.set("schema", std::string(kResultSchema));
    here.set("virt", cpuinfo("flags").find("hypervisor") != std::string::npos ? "vm" : "none");
    here.set("runner", runner());
    return here;
}

std::span<const std::string_view> gating_keys(Kind kind) {
    switch (kind) {
        case Kind::exact: return {};
        case Kind::anon_memory: return with_schema;
        case Kind::duration:
        case Kind::latency:
        case Kind::throughput:
        case Kind::cpu_time:
        case Kind::advisory: return with_cpu;
    }
    return with_cpu;
}

std::vector<std::string> disagreements(Kind kind, const Fingerprint& baseline, const Fingerprint& current) {
    std::vector<std::string> found;
    for (const std::string_view key : gating_keys(kind)) {
        const auto before = baseline.get(key);
        const auto now = current.get(key);
        if (before == now && now != kUnknown) continue;
        found.push_back(std::string(key) + ": baseline '" + std::string(before) + "', here '" + std::string(now) + "'");
    }
    return found;
}

std::vector<std::string> differing_keys(const Fingerprint& a, const Fingerprint& b) {
    std::vector<std::string> found;
    for (const std::string_view key : kFingerprintKeys) {
        if (a.get(key) != b.get(key)) found.emplace_back(key);
    }
    return found;
}

std::string class_name(const Fingerprint& fingerprint) {
    std::string text;
    for (const std::string_view key : gating_keys(Kind::duration)) {
        text += std::string(key) + "=" + std::string(fingerprint.get(key)) + "\n";
    }
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(XXH64(text.data(), text.size(), 0)));
    std::string arch(fingerprint.get("arch"));
    std::replace(arch.begin(), arch.end(), '/', '_');
    return arch + "-" + std::string(digits).substr(0, 8);
}

std::string why_not_measured(const Fingerprint& fingerprint) {
    if (fingerprint.get("sanitizer") != "none")
        return "the build has sanitizers (" + std::string(fingerprint.get("sanitizer")) + ")";
    if (fingerprint.get("build_type") == "Debug") return "it is a Debug build";
    return {};
}

std::string to_text(const Fingerprint& fingerprint) {
    return nlohmann::json(fingerprint.values()).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace parti::report
