// Budget: in which profiles a test of the suite runs, and how long it may take there, declared next to the test.
//
// Role      Every test of a stress program has exactly one declaration, at namespace scope beside it:
//               const Budget budget("TestScale_RapidScaling.Cycles", {.smoke = 15, .standard = 60, .nightly = 60});
//           `PROGRAM --list-budgets` prints them all as JSON. ctest's registration (test/stress/stress_fixtures.cmake) takes from
//           it which tests a profile has, their label and their TIMEOUT; check_budgets adds them up.
// Model     A profile is chosen once, by the build folder's PARTI_STRESS_PROFILE, and reaches the test in its environment. A test
//           that declares nothing for a profile is not part of it. Label `stress` is what `ctest -L stress` runs; tests that
//           climb until something breaks (`ladder`), go through combinations (`matrix`) or last (`soak`) have those labels
//           instead. main() is this library's: it answers --list-budgets and refuses a wrong profile with exit code 104.
// Units     Seconds, of the whole test on 2 idle cores, start and end of its processes included; 0: not part of the profile.
// Errors    A test without, or with two, declarations is listed so; check_budgets fails.
// Threads   Declarations are made before main(); after it everything is immutable.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace parti::stress {

enum class Profile : std::uint8_t { smoke, standard, nightly, soak, soak4h };
inline constexpr std::array kAllProfiles{Profile::smoke, Profile::standard, Profile::nightly, Profile::soak, Profile::soak4h};
std::string_view name(Profile profile);
std::optional<Profile> profile_of(std::string_view name);
// Of this process: PARTI_STRESS_PROFILE, standard when it is not set.
Profile profile();
// How long a soak test lasts, and no longer than its budget: 10 s, 20 s, 15 min, 1 h, 4 h.
std::chrono::seconds soak_length();

struct Seconds {
    int smoke = 0, standard = 0, nightly = 0, soak = 0, soak4h = 0;
    int of(Profile profile) const;
};

class Budget {
public:
    // `tests`: "Suite.Case" or "Prefix/Suite.Case/parameter" as ctest shows it; * stands for any characters.
    Budget(const char* tests, Seconds seconds, const char* label = "stress");
};

// The declaration of a test; nullopt: none, or more than one. The second: how many.
std::optional<Seconds> budget_of(const std::string& test);
std::size_t declarations_of(const std::string& test);
// The tests of this program, after InitGoogleTest.
std::string list_budgets();

}  // namespace parti::stress
