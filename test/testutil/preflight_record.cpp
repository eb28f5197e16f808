#include "testutil/preflight_record.h"

#include "testutil/json_file.h"

namespace parti::report {
namespace {

constexpr std::string_view kPreflightSchema = "parti-stress-preflight/1";
namespace fs = std::filesystem;

fs::path file_in(const fs::path& root) { return root / "preflight.json"; }
fs::path file_of_run(const fs::path& run_folder) { return run_folder / "preflight" / "preflight.json"; }

}  // namespace

Outcome<void> write_preflight(const fs::path& root, const PreflightRecord& record) {
    std::error_code error;
    fs::create_directories(root, error);
    if (error) return set_up_problem(root.string() + ": cannot be created: " + error.message());
    return write_json(
        file_in(root),
        Json{{"schema", kPreflightSchema}, {"time", record.time}, {"facts", record.facts}, {"findings", record.findings}});
}

Outcome<void> take_preflight(const fs::path& root, const fs::path& run_folder) {
    std::error_code error;
    if (!fs::exists(file_in(root), error)) return {};
    const fs::path file = file_of_run(run_folder);
    fs::create_directories(file.parent_path(), error);
    if (!error) fs::rename(file_in(root), file, error);
    if (error) return set_up_problem(file.string() + ": cannot be written: " + error.message());
    return {};
}

Outcome<std::optional<PreflightRecord>> read_preflight(const fs::path& run_folder) {
    std::error_code error;
    const fs::path file = file_of_run(run_folder);
    if (!fs::exists(file, error)) return std::optional<PreflightRecord>();
    const auto document = read_json(file);
    if (!document) return tl::unexpected<Problem>(document.error());
    std::optional<Problem> problem;
    Fields top(*document, file.string(), problem);
    check_schema(top, kPreflightSchema);
    PreflightRecord record;
    record.time = top.text("time");
    record.facts = read_texts(top.inside("facts"));
    for (const Json& finding : top.array("findings")) {
        if (finding.is_string()) record.findings.push_back(finding.get<std::string>());
        else top.fail("findings", "must hold texts, holds " + finding.dump());
    }
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return std::optional<PreflightRecord>(std::move(record));
}

}  // namespace parti::report
