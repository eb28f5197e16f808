// Reading JSON files with errors that name file, key and rule, and writing them so that a reader never sees half of one.
//
// Model     read_json() parses a whole file. Fields reads one object's members; the first broken rule is kept in a shared Problem
//           slot and later reads return defaults, so that a caller reads everything and checks once.
// Errors    A missing file, a file that is cut off, a member of another type: Problem with ExitCode::bad_input.
// Threads   One thread per Fields; files of different names from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "testutil/fingerprint.h"
#include "testutil/metric.h"
#include "testutil/problem.h"

namespace parti::report {

using Json = nlohmann::json;  // members sorted by key, which keeps files readable in a diff

Outcome<Json> read_json(const std::filesystem::path& file);
// Writes to a temporary file in the same folder, then renames. The old content survives every failure.
Outcome<void> write_file(const std::filesystem::path& file, std::string_view content);
Outcome<void> write_json(const std::filesystem::path& file, const Json& value);
// Whole numbers without a fraction; everything else as it is.
Json json_number(double value);

class Fields {
public:
    // `where` = "FILE: path.of.object". `first` collects the first problem; it must outlive this object.
    Fields(const Json& object, std::string where, std::optional<Problem>& first);

    bool has(const char* key) const;
    std::string text(const char* key);
    std::string text_or(const char* key, std::string otherwise);
    bool flag(const char* key);
    double number(const char* key);
    std::uint64_t whole_or(const char* key, std::uint64_t otherwise);
    std::vector<double> numbers(const char* key);
    const Json& object(const char* key);  // an empty object after an error
    const Json& array(const char* key);
    const Json& whole() const { return object_; }
    Fields inside(const char* key) { return Fields(object(key), path(key), first_); }

    void fail(std::string_view key, std::string_view rule);
    void fail_with(Problem problem);
    bool failed() const { return first_.has_value(); }
    std::string path(std::string_view key) const;

private:
    const Json* find(const char* key, bool required);

    const Json& object_;
    std::string where_;
    std::optional<Problem>& first_;
};

// `schema` must be exactly "NAME/MAJOR".
void check_schema(Fields& fields, std::string_view expected);

Fingerprint read_fingerprint(Fields fields);
std::map<std::string, std::string> read_texts(Fields fields);  // every member must be a string

// The members of a metric that results and baselines share (all but launches and note).
void read_metric_head(Fields& fields, Metric& metric);
Json metric_head(const Metric& metric);

}  // namespace parti::report
