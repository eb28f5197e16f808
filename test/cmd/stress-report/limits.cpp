#include "limits.h"

#include <cstdio>
#include <fstream>
#include <sstream>

#include "test_program.h"
#include "testutil/json_file.h"
#include "testutil/run_folder.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

Outcome<void> add_baselines(Known& known, const fs::path& folder) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().extension() != ".json") continue;
        const auto baseline = read_baseline(entry.path());
        if (!baseline) return tl::unexpected<Problem>(baseline.error());
        add_known(known, *baseline);
    }
    if (error) return bad_input(folder.string() + ": cannot be read: " + error.message());
    return {};
}

Outcome<void> add_program(Known& known, const std::string& program) {
    std::error_code error;
    if (!fs::exists(program, error)) {
        std::printf("%s is not built; patterns of criteria that match no test are not refused\n", program.c_str());
        known.all_tests = false;
        return {};
    }
    const auto listing = list_tests(program);
    if (!listing) return tl::unexpected<Problem>(listing.error());
    for (std::string& test : listed_tests(*listing)) known.tests.insert(std::move(test));
    return {};
}

}  // namespace

Outcome<void> check_criteria(const CommandLine& line) {
    if (!line.has("--criteria")) {
        if (line.has("--baselines") || line.has("--program"))
            return bad_input("begin: --baselines and --program are for --criteria");
        return {};
    }
    const auto criteria = read_criteria(line.get("--criteria"));
    if (!criteria) return tl::unexpected<Problem>(criteria.error());
    Known known;
    for (const std::string& folder : line.all("--baselines")) {
        if (const auto added = add_baselines(known, folder); !added) return added;
    }
    for (const std::string& program : line.all("--program")) {
        if (const auto added = add_program(known, program); !added) return added;
    }
    return check_known(*criteria, known);
}

Outcome<void> keep_criteria(const fs::path& file, const fs::path& run_folder) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream content;
    content << stream.rdbuf();
    const fs::path kept = criteria_file(run_folder);
    std::error_code error;
    fs::create_directories(kept.parent_path(), error);
    if (error || !stream) return set_up_problem(kept.string() + ": cannot be written");
    return write_file(kept, content.str());
}

Outcome<std::optional<Criteria>> criteria_of(const CommandLine& line, const fs::path& run_folder) {
    fs::path file;
    std::error_code error;
    if (line.has("--criteria")) {
        file = line.get("--criteria");
    } else if (!run_folder.empty() && fs::exists(criteria_file(run_folder), error)) {
        file = criteria_file(run_folder);
    } else {
        return std::optional<Criteria>();
    }
    auto criteria = read_criteria(file);
    if (!criteria) return tl::unexpected<Problem>(criteria.error());
    return std::optional<Criteria>(std::move(*criteria));
}

}  // namespace parti::report
