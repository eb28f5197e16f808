// Progress: what a running stress test is doing, for a person who watches: lines in the terminal and lines in a file.
//
// Role      StressTest owns one; whatever makes up a test says what it does through progress(), which is never null. The measured
//           process is only read (its /proc/PID/status, a few microseconds a second).
// Model     Every second one JSON object is appended to progress.ndjson of the run's folder, which `stress-report dashboard`
//           follows; every five seconds one line goes to stdout, with the time left of the budget. Memory is the sum of RssAnon
//           of this process' children named worker-host. PARTI_STRESS_PROGRESS: 0 neither, file, or both (the default).
// Errors    None: a file that cannot be written is left out, what is not known is absent.
// Threads   One of its own while a test runs; the functions from any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace parti::stress {

class Progress {
public:
    Progress();
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // `folder`: of the run; empty: no file. `memory`: whether memory says something in this build.
    void begin(const std::string& test, const std::filesystem::path& folder, bool memory);
    void end(const std::string& status);

    void phase(const std::string& text);
    void budget(double seconds);  // of the whole test; counts from begin()
    void workers(std::uint64_t stable, std::uint64_t all);
    void counted(const std::string& what, std::uint64_t so_far);  // its growth is shown as a rate
    // The same, asked for by the progress' own thread while the object lives.
    class Counter {
    public:
        Counter(Progress& progress, std::string what, std::function<std::uint64_t()> so_far);
        ~Counter();
        Counter(const Counter&) = delete;
        Counter& operator=(const Counter&) = delete;

    private:
        Progress& progress_;
    };

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The process' one.
Progress& progress();

}  // namespace parti::stress
