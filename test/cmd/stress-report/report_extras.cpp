#include "report_extras.h"

#include <algorithm>

#include "testutil/profiles.h"
#include "testutil/sessions.h"

namespace parti::report {
namespace {

namespace fs = std::filesystem;

// A relative reference that a browser resolves: all but letters, digits and -._/ as %XX.
std::string reference(const fs::path& file, const fs::path& page_folder) {
    std::error_code error;
    const fs::path to =
        fs::absolute(file, error).lexically_normal().lexically_relative(fs::absolute(page_folder, error).lexically_normal());
    constexpr const char* kHex = "0123456789ABCDEF";
    std::string out;
    for (const char c : to.generic_string()) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                           c == '_' || c == '/';
        if (plain) out += c;
        else out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
    return out;
}

}  // namespace

Outcome<HistoryView> history_view(const fs::path& file) {
    constexpr std::size_t kMostChanges = 20;
    HistoryView view;
    std::error_code error;
    if (!fs::exists(file, error)) return view;
    const auto sessions = read_sessions(file);
    if (!sessions) return tl::unexpected<Problem>(sessions.error());
    const auto series = series_of(*sessions);
    auto found = drifts(series);
    std::stable_sort(found.begin(), found.end(), [](const Drift& a, const Drift& b) {
        return a.series->sessions[a.point.index]->started > b.series->sessions[b.point.index]->started;
    });
    view.sentence = std::to_string(found.size()) + (found.size() == 1 ? " lasting change in " : " lasting changes in ") +
                    count_text(series) + (found.size() > kMostChanges ? "; the newest " + std::to_string(kMostChanges) : "") +
                    ". Nothing is judged by it.";
    for (const Drift& drift : found) {
        if (view.changes.size() == kMostChanges) break;
        view.changes.emplace_back(drift.series->key, text_of(drift));
    }
    return view;
}

std::vector<ProfileView> profile_views(const fs::path& run_folder, const fs::path& page_folder,
                                       std::vector<std::string>& ignored) {
    std::vector<ProfileView> views;
    for (const ProfileCapture& capture : read_profiles(run_folder, ignored)) {
        ProfileView view;
        view.title = capture.test + ", " + capture.kind;
        view.remark = capture.tool + (capture.passed ? "" : "; the rerun's test FAILED");
        for (const ProfileProcess& process : capture.processes) {
            ProfileView::Process shown{process.arguments, {}};
            for (const fs::path& file : {process.text, process.data}) {
                if (!file.empty()) shown.links.emplace_back(file.filename().string(), reference(file, page_folder));
            }
            view.processes.push_back(std::move(shown));
        }
        views.push_back(std::move(view));
    }
    return views;
}

}  // namespace parti::report
