// Fingerprint: what a measurement depended on besides the code, and which of it must agree before a stored figure may judge a new
// one.
//
// Model     A fixed list of keys with text values. gating_keys(kind) is the table: exact counts need nothing, anonymous memory
//           needs the same page size, C library, allocator and build, times need the same CPU as well. A key whose value is
//           "unknown" agrees with nothing, not even with another "unknown".
// Threads   Pure functions; local_fingerprint() reads /proc, the environment and the build's definitions.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "testutil/metric.h"

namespace parti::report {

inline constexpr std::string_view kResultSchema = "parti-stress-result/1";
inline constexpr std::string_view kUnknown = "unknown";

inline constexpr std::array<std::string_view, 15> kFingerprintKeys{
    "allocator", "arch",  "build_type", "compiler", "cpu_model", "kernel", "libc", "malloc_tunables",
    "nats_c",    "nproc", "page_size",  "runner",   "sanitizer", "schema", "virt"};

class Fingerprint {
public:
    std::string_view get(std::string_view key) const;  // kUnknown when absent
    void set(std::string_view key, std::string value) { values_[std::string(key)] = std::move(value); }
    const std::map<std::string, std::string, std::less<>>& values() const { return values_; }
    friend bool operator==(const Fingerprint&, const Fingerprint&) = default;

private:
    std::map<std::string, std::string, std::less<>> values_;
};

// The machine, environment and build of this very process.
Fingerprint local_fingerprint();
// The keys that must agree before a baseline may gate a metric of this kind; empty = it gates everywhere.
std::span<const std::string_view> gating_keys(Kind kind);
// Those of gating_keys(kind) that do not agree, as "KEY: BASELINE here CURRENT"; empty = it gates.
std::vector<std::string> disagreements(Kind kind, const Fingerprint& baseline, const Fingerprint& current);
// All keys of the list that differ, gating or not.
std::vector<std::string> differing_keys(const Fingerprint& a, const Fingerprint& b);
// "x86_64-1f00c2ab": names the class within which every kind gates.
std::string class_name(const Fingerprint& fingerprint);
// Memory and times of a build with sanitizers or without optimisation say nothing; empty = this build measures.
std::string why_not_measured(const Fingerprint& fingerprint);

// One line of JSON. A Google Benchmark program adds it as the custom context `parti_fingerprint`:
//     benchmark::AddCustomContext("parti_fingerprint", parti::report::to_text(parti::report::local_fingerprint()));
std::string to_text(const Fingerprint& fingerprint);

}  // namespace parti::report
