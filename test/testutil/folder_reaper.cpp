#include "folder_reaper.h"

#include <memory>
#include <mutex>

#include "process.h"

namespace parti::test {
namespace {

constexpr Milliseconds kStartTime{10000};

// The near end of the pipe: the reaper is its child's child.
Outcome<std::unique_ptr<ChildProcess>> start_reaper() {
    ProcessOptions options;
    options.path = "env";
    options.args = {"-u", test_tag_variable, "setsid", "-f", "sh", PARTI_FOLDER_REAPER};
    options.working_dir = "/";
    options.stdout_to = StdoutTo::null;
    options.stderr_file = "/dev/null";
    auto child = ChildProcess::start(options);
    if (!child) return failure(child.error());
    const auto ended = child->wait(kStartTime);
    if (!ended || ended->code != 0) return failure("setsid: " + (ended ? ended->text() : "did not end"));
    return std::make_unique<ChildProcess>(std::move(*child));
}

}  // namespace

Outcome<void> remove_at_end(const std::string& folder) {
    static std::mutex mutex;
    static auto& reaper = *new std::unique_ptr<ChildProcess>;  // never destroyed: the kernel closes the pipe
    const std::lock_guard lock(mutex);
    if (!reaper) {
        auto started = start_reaper();
        if (!started) return failure("nobody to remove '" + folder + "' after a kill: " + started.error());
        reaper = std::move(*started);
    }
    auto told = reaper->send_line(folder);
    if (!told) return failure("nobody to remove '" + folder + "' after a kill: " + told.error());
    return {};
}

}  // namespace parti::test
