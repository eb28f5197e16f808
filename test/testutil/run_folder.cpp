#include "testutil/run_folder.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include <sys/wait.h>

#include "testutil/json_file.h"

namespace parti::report {
namespace {

constexpr std::string_view kRunSchema = "parti-stress-run/1";
namespace fs = std::filesystem;

std::string new_run_id() {
    std::string id;
    for (const char c : utc_now()) {
        if (c != '-' && c != ':') id += c;
    }
    std::random_device entropy;
    char digits[16];
    std::snprintf(digits, sizeof digits, "-%08x", static_cast<unsigned>(entropy()));
    return id + digits;
}

// First line that `git ARGS` prints about a folder of sources; nothing when git fails.
std::optional<std::string> ask_git(const std::string& folder, const std::string& arguments) {
    // A quote in it would end the quoting.
    if (folder.find('\'') != std::string::npos) return std::nullopt;
    const std::string command = "git -c safe.directory='*' -C '" + folder + "' " + arguments + " 2>/dev/null";
    std::FILE* pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) return std::nullopt;
    std::array<char, 256> buffer{};
    std::string line;
    while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr) {
        if (line.empty()) line = buffer.data();
    }
    const int status = ::pclose(pipe);
    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    return line;
}

Outcome<Run> create_run(const fs::path& folder, std::string id, const fs::path& source = {}) {
    const std::string sources = source.empty() ? PARTI_SOURCE_FOLDER : source.string();
    Run run;
    run.id = std::move(id);
    run.folder = folder;
    run.started = utc_now();
    if (auto commit = ask_git(sources, "rev-parse HEAD"); commit && !commit->empty()) run.commit = *commit;
    if (const auto changes = ask_git(sources, "status --porcelain --untracked-files=no")) run.dirty = !changes->empty();
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return set_up_problem(folder.string() + ": cannot be created: " + error.message());
    const auto written = write_json(folder / "run.json", Json{{"schema", kRunSchema},
                                                              {"run", run.id},
                                                              {"started", run.started},
                                                              {"commit", run.commit},
                                                              {"dirty", run.dirty},
                                                              {"fingerprint", local_fingerprint().values()}});
    if (!written) return tl::unexpected<Problem>(written.error());
    return run;
}

Outcome<Run> read_run_json(const fs::path& folder) {
    const auto document = read_json(folder / "run.json");
    if (!document) return tl::unexpected<Problem>(document.error());
    std::optional<Problem> problem;
    Fields top(*document, (folder / "run.json").string(), problem);
    check_schema(top, kRunSchema);
    Run run;
    run.id = top.text("run");
    run.folder = folder;
    run.started = top.text("started");
    run.commit = top.text("commit");
    run.dirty = top.flag("dirty");
    if (!problem && run.id.empty()) top.fail("run", "must not be empty");
    if (problem) return tl::unexpected<Problem>(std::move(*problem));
    return run;
}

Outcome<std::string> read_current(const fs::path& root) {
    const fs::path pointer = root / "current";
    std::ifstream file(pointer);
    std::string id;
    if (!std::getline(file, id) || id.empty()) {
        return set_up_problem(pointer.string() + ": does not name a run; begin one with: stress-report begin " + root.string());
    }
    if (id.find('/') != std::string::npos || id.front() == '.') {
        return bad_input(pointer.string() + ": '" + id + "' must be the name of a folder beside it");
    }
    return id;
}

}  // namespace

Outcome<Run> begin_run(const fs::path& root, const fs::path& source) {
    const std::string id = new_run_id();
    auto run = create_run(root / id, id, source);
    if (!run) return run;
    const auto pointed = write_file(root / "current", id + "\n");
    if (!pointed) return tl::unexpected<Problem>(pointed.error());
    return run;
}

Outcome<Run> open_run(const fs::path& folder) {
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
        return set_up_problem(folder.string() + ": is not a folder; run the suite first (ctest -L stress)");
    }
    if (fs::exists(folder / "run.json", error)) return read_run_json(folder);
    const auto id = read_current(folder);
    if (!id) return tl::unexpected<Problem>(id.error());
    auto run = read_run_json(folder / *id);
    if (run && run->id != *id) {
        return bad_input((folder / *id / "run.json").string() + ": run: is '" + run->id + "', must be the folder's name");
    }
    return run;
}

Outcome<Run> open_current_run(const fs::path& folder) {
    auto run = open_run(folder);
    if (!run) return run;
    const auto current = read_current(fs::absolute(run->folder).lexically_normal().parent_path());
    if (!current) return tl::unexpected<Problem>(current.error());
    if (*current != run->id) {
        return bad_input(folder.string() + ": is run '" + run->id + "', the current run is '" + *current + "'");
    }
    return run;
}

Outcome<RunResults> read_run(const Run& run) {
    RunResults results;
    results.run = run;
    std::error_code error;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(run.folder, error)) {
        const fs::path& file = entry.path();
        if (file.extension() == ".json" && file.filename() != "run.json") files.push_back(file);
    }
    if (error) return set_up_problem(run.folder.string() + ": cannot be read: " + error.message());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
        auto result = read_result(file);
        if (!result) return tl::unexpected<Problem>(result.error());
        if (result->run != run.id) {
            results.ignored.push_back(file.filename().string() + " belongs to run " + result->run);
            continue;
        }
        for (const TestResult& other : results.tests) {
            if (other.test == result->test) return bad_input(file.string() + ": test: '" + result->test + "' has a second file");
        }
        results.tests.push_back(std::move(*result));
    }
    return results;
}

fs::path default_root() { return PARTI_STRESS_ROOT; }
fs::path default_baselines() { return fs::path(PARTI_SOURCE_FOLDER) / "test" / "stress" / "baselines"; }

fs::path criteria_file(const fs::path& run_folder) { return run_folder / "criteria" / "criteria.json"; }

std::string why_aborted(const fs::path& run_folder) {
    std::ifstream file(run_folder / "aborted");
    std::string why;
    std::getline(file, why);
    return why;
}

Outcome<void> abort_run(const fs::path& run_folder, const std::string& why) {
    if (!why_aborted(run_folder).empty()) return {};
    return write_file(run_folder / "aborted", why + "\n");
}

std::vector<fs::path> run_folders(const fs::path& root) {
    std::vector<fs::path> folders;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root, error)) {
        const bool is_run = fs::exists(entry.path() / "run.json", error) && entry.path().filename() != "manual";
        if (is_run) folders.push_back(entry.path());
    }
    std::sort(folders.begin(), folders.end());  // the ids begin with the time
    return folders;
}

bool is_first_of_run(const fs::path& result_file) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(result_file.parent_path(), error)) {
        const fs::path& file = entry.path();
        if (file.extension() == ".json" && file.filename() != "run.json" && file.filename() != result_file.filename())
            return false;
    }
    return true;
}

Outcome<Run> run_of_this_process() {
    static const Outcome<Run> run = []() -> Outcome<Run> {
        const char* const set = std::getenv("PARTI_STRESS_RUN_DIR");
        std::error_code error;
        if (set == nullptr || *set == '\0') return create_run(default_root() / "manual", new_run_id());
        const fs::path folder(set);
        if (fs::exists(folder / "run.json", error) || fs::exists(folder / "current", error)) return open_run(folder);
        return create_run(folder / "manual", new_run_id());
    }();
    return run;
}

}  // namespace parti::report
