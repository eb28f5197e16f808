// OwnRun: a run that a program of self-tests writes its results into, in a folder of its own.
//
// Role      For tests of what the suite records. Made before the program's first result is written; a static of the program.
// Errors    What cannot be made ends the program: nothing of it would mean anything.
// Lifetime  The folder goes with the object, and when the program is killed (FolderReaper).
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "testutil/problem.h"

namespace parti::stress {

class OwnRun {
public:
    using Step = std::function<report::Outcome<void>(const OwnRun&)>;
    // /tmp/parti-NAME-XXXXXX is the root (PARTI_STRESS_RUN_DIR from now on); `before` leaves in it what must be there when the
    // run begins, `after` what the run's folder has from its beginning.
    explicit OwnRun(std::string_view name, const Step& before = {}, const Step& after = {});
    ~OwnRun();
    OwnRun(const OwnRun&) = delete;
    OwnRun& operator=(const OwnRun&) = delete;

    const std::filesystem::path& root() const { return root_; }
    const std::filesystem::path& folder() const { return folder_; }

private:
    std::filesystem::path root_, folder_;
};

}  // namespace parti::stress
