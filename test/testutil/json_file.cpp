#include "testutil/json_file.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <sys/stat.h>
#include <unistd.h>

namespace parti::report {
namespace {

constexpr std::uintmax_t kLargestFile = 64U << 20U;

const Json& empty_object() {
    static const Json value = Json::object();
    return value;
}
const Json& empty_array() {
    static const Json value = Json::array();
    return value;
}

// Indented by one blank per level, but an array without objects or arrays in it stays on its line: launches read as rows in a
// review.
void append_readable(std::string& out, const Json& value, std::size_t level) {
    const bool nested =
        value.is_object() || std::any_of(value.begin(), value.end(), [](const Json& v) { return v.is_structured(); });
    if (!value.is_structured() || value.empty() || !nested) {
        // Bytes that are not UTF-8 (from an environment variable, say) are replaced, not thrown at the caller.
        out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
        return;
    }
    out += value.is_object() ? '{' : '[';
    const char* separator = "\n";
    for (const auto& [key, member] : value.items()) {
        out.append(separator).append(level + 1, ' ');
        if (value.is_object()) out.append(Json(key).dump(-1, ' ', false, Json::error_handler_t::replace)).append(": ");
        append_readable(out, member, level + 1);
        separator = ",\n";
    }
    out.append("\n").append(level, ' ').append(value.is_object() ? "}" : "]");
}

bool write_all(int fd, std::string_view content) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return ::fsync(fd) == 0;
}

}  // namespace

Outcome<Json> read_json(const std::filesystem::path& file) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) return bad_input(file.string() + ": cannot be read: " + error.message());
    if (size > kLargestFile) return bad_input(file.string() + ": has " + std::to_string(size) + " bytes, the limit is 64 MB");
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream content;
    content << stream.rdbuf();
    if (!stream) return bad_input(file.string() + ": cannot be read");
    try {
        auto value = Json::parse(content.str());
        if (!value.is_object()) return bad_input(file.string() + ": must hold one JSON object");
        return value;
    } catch (const Json::exception& e) {
        return bad_input(file.string() + ": is not complete, valid JSON (cut off?): " + e.what());
    }
}

Outcome<void> write_file(const std::filesystem::path& file, std::string_view content) {
    std::string temporary = file.string() + ".XXXXXX";
    const int fd = ::mkstemp(temporary.data());
    if (fd < 0) return set_up_problem(file.string() + ": cannot be written: " + std::strerror(errno));
    const bool written = ::fchmod(fd, 0644) == 0 && write_all(fd, content);
    const int write_error = errno;
    if (::close(fd) != 0 || !written || ::rename(temporary.c_str(), file.c_str()) != 0) {
        const int error = written ? errno : write_error;
        ::unlink(temporary.c_str());
        return set_up_problem(file.string() + ": cannot be written: " + std::strerror(error));
    }
    return {};
}

Outcome<void> write_json(const std::filesystem::path& file, const Json& value) {
    std::string text;
    append_readable(text, value, 0);
    return write_file(file, text.append("\n"));
}

Json json_number(double value) {
    if (value == std::floor(value) && std::fabs(value) < 9e15) return static_cast<std::int64_t>(value);
    return value;
}

Fields::Fields(const Json& object, std::string where, std::optional<Problem>& first)
    : object_(object), where_(std::move(where)), first_(first) {}

std::string Fields::path(std::string_view key) const {
    // "FILE" is followed by ": ", an object inside it by ".".
    return where_ + (where_.find(": ") == std::string::npos ? ": " : ".") + std::string(key);
}

void Fields::fail(std::string_view key, std::string_view rule) {
    if (!first_) first_ = Problem{ExitCode::bad_input, path(key) + ": " + std::string(rule)};
}

void Fields::fail_with(Problem problem) {
    if (!first_) first_ = std::move(problem);
}

bool Fields::has(const char* key) const { return object_.contains(key); }

const Json* Fields::find(const char* key, bool required) {
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (required) fail(key, "is missing");
    return nullptr;
}

std::string Fields::text(const char* key) {
    const Json* value = find(key, true);
    if (value == nullptr) return {};
    if (value->is_string()) return value->get<std::string>();
    fail(key, "must be a string, is " + value->dump());
    return {};
}

std::string Fields::text_or(const char* key, std::string otherwise) { return has(key) ? text(key) : otherwise; }

bool Fields::flag(const char* key) {
    const Json* value = find(key, true);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    fail(key, "must be true or false, is " + value->dump());
    return false;
}

double Fields::number(const char* key) {
    const Json* value = find(key, true);
    if (value == nullptr) return 0;
    if (value->is_number()) return value->get<double>();
    fail(key, "must be a number, is " + value->dump());
    return 0;
}

std::uint64_t Fields::whole_or(const char* key, std::uint64_t otherwise) {
    const Json* value = find(key, false);
    if (value == nullptr) return otherwise;
    if (value->is_number_unsigned()) return value->get<std::uint64_t>();
    fail(key, "must be a whole number >= 0, is " + value->dump());
    return otherwise;
}

std::vector<double> Fields::numbers(const char* key) {
    std::vector<double> values;
    for (const Json& item : array(key)) {
        if (item.is_number()) {
            values.push_back(item.get<double>());
        } else {
            fail(key, "must hold numbers only, holds " + item.dump());
        }
    }
    return values;
}

const Json& Fields::object(const char* key) {
    const Json* value = find(key, true);
    if (value == nullptr) return empty_object();
    if (value->is_object()) return *value;
    fail(key, "must be an object, is " + value->dump().substr(0, 60));
    return empty_object();
}

const Json& Fields::array(const char* key) {
    const Json* value = find(key, true);
    if (value == nullptr) return empty_array();
    if (value->is_array()) return *value;
    fail(key, "must be an array, is " + value->dump().substr(0, 60));
    return empty_array();
}

void check_schema(Fields& fields, std::string_view expected) {
    const std::string schema = fields.text("schema");
    if (!fields.failed() && schema != expected) {
        fields.fail("schema", "is '" + schema + "', this program reads '" + std::string(expected) + "' only");
    }
}

std::map<std::string, std::string> read_texts(Fields fields) {
    std::map<std::string, std::string> texts;
    for (const auto& [key, value] : fields.whole().items()) {
        if (value.is_string()) {
            texts[key] = value.get<std::string>();
        } else {
            fields.fail(key, "must be a string, is " + value.dump());
        }
    }
    return texts;
}

Fingerprint read_fingerprint(Fields fields) {
    Fingerprint fingerprint;
    for (const auto& [key, value] : read_texts(fields)) fingerprint.set(key, value);
    return fingerprint;
}

void read_metric_head(Fields& fields, Metric& metric) {
    const std::string unit = fields.text("unit");
    const std::string direction = fields.text("direction");
    const std::string kind = fields.text("kind");
    metric.gate = fields.flag("gate");
    metric.stat = fields.text_or("stat", "median");
    if (fields.has("floor")) metric.floor = fields.number("floor");
    if (fields.failed()) return;
    const auto unit_value = unit_of(unit);
    const auto direction_value = direction_of(direction);
    const auto kind_value = kind_of(kind);
    if (!unit_value) return fields.fail("unit", "'" + unit + "' must be one of kB us ms ns count bytes per_s ratio");
    if (!direction_value) return fields.fail("direction", "'" + direction + "' must be lower or higher");
    if (!kind_value) {
        return fields.fail("kind",
                           "'" + kind + "' must be one of exact anon-memory duration latency throughput cpu-time advisory");
    }
    metric.unit = *unit_value;
    metric.direction = *direction_value;
    metric.kind = *kind_value;
}

Json metric_head(const Metric& metric) {
    Json head{{"unit", name(metric.unit)},
              {"direction", name(metric.direction)},
              {"kind", name(metric.kind)},
              {"gate", metric.gate},
              {"stat", metric.stat}};
    if (metric.floor) head["floor"] = json_number(*metric.floor);
    return head;
}

}  // namespace parti::report
