#include "budget.h"

#include <fnmatch.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include <gtest/gtest.h>

namespace parti::stress {
namespace {

struct Declaration {
    std::string tests, label;
    Seconds seconds;
};
std::vector<Declaration>& declarations() {
    static std::vector<Declaration> all;
    return all;
}

std::vector<const Declaration*> found(const std::string& test) {
    std::vector<const Declaration*> out;
    for (const Declaration& d : declarations()) {
        if (::fnmatch(d.tests.c_str(), test.c_str(), 0) == 0) out.push_back(&d);
    }
    return out;
}

// Names of tests and labels are those of GoogleTest and of this code: nothing to escape but by mistake.
std::string json_quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

std::string json_of(const std::string& test) {
    const auto all = found(test);
    std::string text = "    {\"name\": " + json_quoted(test) + ", \"declarations\": " + std::to_string(all.size());
    text += ", \"label\": " + json_quoted(all.size() == 1 ? all.front()->label : "stress") + ", \"budget\": {";
    bool first = true;
    for (const Profile p : kAllProfiles) {
        const int seconds = all.size() == 1 ? all.front()->seconds.of(p) : 0;
        if (seconds == 0) continue;
        text += (first ? "" : ", ") + json_quoted(std::string(name(p))) + ": " + std::to_string(seconds);
        first = false;
    }
    return text + "}}";
}

}  // namespace

std::string_view name(Profile profile) {
    switch (profile) {
        case Profile::smoke: return "smoke";
        case Profile::standard: return "standard";
        case Profile::nightly: return "nightly";
        case Profile::soak: return "soak";
        case Profile::soak4h: return "soak4h";
    }
    return "?";
}

std::optional<Profile> profile_of(std::string_view text) {
    for (const Profile p : kAllProfiles) {
        if (name(p) == text) return p;
    }
    return std::nullopt;
}

Profile profile() {
    const char* const text = std::getenv("PARTI_STRESS_PROFILE");
    if (text == nullptr || *text == '\0') return Profile::standard;
    if (const auto known = profile_of(text)) return *known;
    std::string choices;
    for (const Profile p : kAllProfiles) choices += (choices.empty() ? "" : ", ") + std::string(name(p));
    std::fprintf(stderr, "PARTI_STRESS_PROFILE='%s' must be one of %s\n", text, choices.c_str());
    std::exit(104);
}

std::chrono::seconds soak_length() {
    switch (profile()) {
        case Profile::smoke: return std::chrono::seconds(10);
        case Profile::standard: return std::chrono::seconds(20);
        case Profile::nightly: return std::chrono::minutes(15);
        case Profile::soak: return std::chrono::hours(1);
        case Profile::soak4h: return std::chrono::hours(4);
    }
    return {};
}

int Seconds::of(Profile profile) const {
    switch (profile) {
        case Profile::smoke: return smoke;
        case Profile::standard: return standard;
        case Profile::nightly: return nightly;
        case Profile::soak: return soak;
        case Profile::soak4h: return soak4h;
    }
    return 0;
}

Budget::Budget(const char* tests, Seconds seconds, const char* label) { declarations().push_back({tests, label, seconds}); }

std::optional<Seconds> budget_of(const std::string& test) {
    const auto all = found(test);
    return all.size() == 1 ? std::optional(all.front()->seconds) : std::nullopt;
}

std::size_t declarations_of(const std::string& test) { return found(test).size(); }

std::string list_budgets() {
    std::string text = "{\"tests\": [\n";
    bool first = true;
    const testing::UnitTest& all = *testing::UnitTest::GetInstance();
    for (int s = 0; s < all.total_test_suite_count(); ++s) {
        const testing::TestSuite& suite = *all.GetTestSuite(s);
        for (int t = 0; t < suite.total_test_count(); ++t) {
            text += (first ? "" : ",\n") + json_of(std::string(suite.name()) + "." + suite.GetTestInfo(t)->name());
            first = false;
        }
    }
    return text + "\n]}\n";
}

}  // namespace parti::stress

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (argc == 2 && std::string_view(argv[1]) == "--list-budgets") {
        std::fputs(parti::stress::list_budgets().c_str(), stdout);
        return 0;
    }
    if (argc > 1) {
        std::fprintf(stderr, "'%s' must be --list-budgets or an option of GoogleTest (--help)\n", argv[1]);
        return 104;
    }
    parti::stress::profile();  // refuses a wrong one before anything starts
    return RUN_ALL_TESTS();
}
