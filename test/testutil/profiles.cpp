#include "testutil/profiles.h"

#include <algorithm>

#include "testutil/json_file.h"

namespace parti::report {
namespace {

constexpr std::string_view kProfileSchema = "parti-profile/1";
namespace fs = std::filesystem;

// Empty unless it is the plain name of a file in the folder.
fs::path file_in(const fs::path& folder, const std::string& name) {
    std::error_code error;
    const bool plain = !name.empty() && name.find('/') == std::string::npos;
    return plain && fs::is_regular_file(folder / name, error) ? folder / name : fs::path();
}

Outcome<ProfileCapture> read_profile(const fs::path& folder) {
    const fs::path file = folder / "profile.json";
    const auto document = read_json(file);
    if (!document) return tl::unexpected<Problem>(document.error());
    std::optional<Problem> problem;
    Fields top(*document, file.string(), problem);
    check_schema(top, kProfileSchema);
    ProfileCapture capture;
    capture.test = top.text("test");
    capture.kind = top.text("kind");
    capture.tool = top.text("tool");
    capture.passed = top.number("exit_code") == 0;
    std::size_t index = 0;
    for (const Json& item : top.array("processes")) {
        const std::string place = "processes[" + std::to_string(index++) + "]";
        if (!item.is_object()) {
            top.fail(place, "must be an object");
            break;
        }
        Fields process(item, top.path(place), problem);
        capture.processes.push_back(
            {file_in(folder, process.text("text")), file_in(folder, process.text("data")), process.text("arguments")});
    }
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return capture;
}

}  // namespace

std::vector<ProfileCapture> read_profiles(const fs::path& run_folder, std::vector<std::string>& ignored) {
    std::vector<fs::path> folders;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run_folder / "profiles", error)) {
        if (fs::exists(entry.path() / "profile.json", error)) folders.push_back(entry.path());
    }
    std::sort(folders.begin(), folders.end());
    std::vector<ProfileCapture> captures;
    for (const fs::path& folder : folders) {
        auto capture = read_profile(folder);
        if (capture) captures.push_back(std::move(*capture));
        else ignored.push_back(capture.error().text);
    }
    return captures;
}

}  // namespace parti::report
