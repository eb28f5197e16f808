#include "own_run.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

#include "testutil/folder_reaper.h"
#include "testutil/run_folder.h"

namespace parti::stress {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::abort();
}

template <class T>
void need(const report::Outcome<T>& outcome) {
    if (!outcome) give_up(outcome.error().text);
}

}  // namespace

OwnRun::OwnRun(std::string_view name, const Step& before, const Step& after) {
    // Without this process's tag: the tests that write here are swept, and it outlives them.
    std::string pattern = (fs::temp_directory_path() / ("parti-" + std::string(name) + "-XXXXXX")).string();
    if (::mkdtemp(pattern.data()) == nullptr) give_up("cannot make " + pattern);
    if (const auto kept = test::remove_at_end(pattern); !kept) give_up(kept.error());
    root_ = pattern;
    ::setenv("PARTI_STRESS_RUN_DIR", pattern.c_str(), 1);
    if (before) need(before(*this));
    const auto begun = report::begin_run(root_);
    need(begun);
    folder_ = begun->folder;
    if (after) need(after(*this));
}

OwnRun::~OwnRun() {
    std::error_code error;
    fs::remove_all(root_, error);
}

}  // namespace parti::stress
