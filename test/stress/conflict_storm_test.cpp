// TestScenario_ConflictStorm: more than a thousand claims, elections and updates that contradict each other; none is lost, and
// nobody owns what another one owns.
//
// Claims    120 workers in 6 processes start at once, all with the same few free numbers before them, and stop again, in rounds.
// Elections The leader is killed, and killed again; every round elects one too, as nobody is left of the one before.
// Updates   8 operators at once change one record by compare-and-set, all the while. Each keeps what it was told is stored.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <set>
#include <thread>

#include <parti/context.h>
#include <parti/control.h>

#include "stress_test.h"

namespace parti::stress {
namespace {

using report::Unit;
using test::Milliseconds;

constexpr std::uint32_t kProcesses = 6, kEach = 20, kFewEach = 5;
constexpr int kRounds = 5, kKills = 2;
constexpr std::uint32_t kOperators = 8, kUpdatesEach = 60;
constexpr std::uint64_t kFewestOperations = 1000;
constexpr Milliseconds kPatience{30000};
// Slower than the test timing: 120 workers renew on the two cores that also run the storm.
constexpr const char* kConfig =
    R"({"number_max":999,"timing":{"heartbeat":"1000ms","ttl":"5000ms","margin":"500ms","stop_budget":"800ms",
    "grant_timeout":"10000ms","leader_publish_timeout":"10000ms"}})";
// On a busy machine a worker may not renew in time; it says so, and claims once more. Whatever happens, nobody owns what another
// one owns.
const test::OracleOptions kOracles{{"lease_lost", "timeout", "link_down"}};

struct Update {
    std::int64_t begin_ns = 0, end_ns = 0;
};
struct Operator {
    std::vector<Update> done;
    std::set<std::string> names;  // what must be in the record in the end
    std::string problem;          // of the first update that was refused
};

// Drains instances that nobody has, and takes every third back.
void operate(const std::string& url, const std::string& group, std::uint32_t index, std::uint32_t updates, Operator& out) {
    auto context = Context::connect({.urls = {url}, .name = "operator"});
    if (!context) {
        out.problem = context.error().message();
        return;
    }
    const auto control = Control::open(*context, group, std::chrono::seconds(30));
    if (!control) {
        out.problem = control.error().message();
        return;
    }
    std::string last;
    for (std::uint32_t i = 0; i < updates; ++i) {
        Update update{test::boot_now_ns(), 0};
        const bool take_back = i % 3 == 2;
        const std::string name = take_back ? last : "storm-" + std::to_string(index) + "-" + std::to_string(i);
        const auto done = take_back ? control->undrain(name) : control->drain(name, DrainScope::in_advance);
        if (!done) {
            out.problem = name + ": " + done.error().message();
            return;
        }
        update.end_ns = test::boot_now_ns();
        out.done.push_back(update);
        if (take_back) {
            out.names.erase(name);
        } else {
            out.names.insert(name);
        }
        last = name;
    }
}

// Updates during which another one was under way.
std::size_t concurrent(std::vector<Update> all) {
    std::sort(all.begin(), all.end(), [](const Update& a, const Update& b) { return a.begin_ns < b.begin_ns; });
    std::vector<bool> meets(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t j = i + 1; j < all.size() && all[j].begin_ns < all[i].end_ns; ++j) meets[i] = meets[j] = true;
    }
    return static_cast<std::size_t>(std::count(meets.begin(), meets.end(), true));
}

struct Claims {
    std::uint64_t claims = 0, attempts = 0;
    double each() const { return claims == 0 ? 0 : static_cast<double>(attempts) / static_cast<double>(claims); }
};

class TestScenario_ConflictStorm : public StressTest {
protected:
    void add(std::size_t& index) {
        test::WorkerProcessOptions options;
        options.label = "p" + std::to_string(next_label_++);
        options.workers = kEach;
        const auto added = fleet_->add(options);
        ASSERT_TRUE(added) << added.error();
        index = *added;
    }

    void wait_balanced(std::uint64_t workers, const char* after) {
        const auto balance = fleet_->wait_even(kPatience, workers);
        ASSERT_TRUE(balance) << after << ": " << balance.error();
    }

    std::uint64_t attempts(std::size_t index) {
        const auto stats = fleet_->process(index).stats(kPatience);
        EXPECT_TRUE(stats) << stats.error();
        return stats ? stats->at("claims_attempted") : 0;
    }

    // Everybody starts `each` workers at once, is balanced, and stops them unless they are to `stay`.
    void round(std::uint32_t each, bool stay, Claims& sum) {
        for (const std::size_t i : fleet_->alive()) {
            const auto started = fleet_->process(i).start_workers(each);
            ASSERT_TRUE(started) << started.error();
        }
        ASSERT_NO_FATAL_FAILURE(wait_balanced(std::uint64_t{each} * kProcesses, "a round"));
        Claims now{std::uint64_t{each} * kProcesses, 0};
        for (const std::size_t i : fleet_->alive()) now.attempts += attempts(i);
        sum.claims += now.claims;
        sum.attempts += now.attempts;
        std::printf("  %llu claims at once: %llu attempts\n", static_cast<unsigned long long>(now.claims),
                    static_cast<unsigned long long>(now.attempts));
        std::fflush(stdout);
        if (stay) return;
        for (const std::size_t i : fleet_->alive()) {
            const auto stopped = fleet_->process(i).stop_workers(each);
            ASSERT_TRUE(stopped) << stopped.error();
        }
        for (const std::size_t i : fleet_->alive()) {
            const auto status = fleet_->process(i).status(kPatience);
            ASSERT_TRUE(status) << status.error();
            ASSERT_TRUE(status->workers.empty()) << "workers that were stopped are there";
        }
    }

    void kill_the_leader(Claims& sum) {
        const auto leader = fleet_->leader(kPatience);
        ASSERT_TRUE(leader) << leader.error();
        EXPECT_EQ(fleet_->kill(*leader).signal, 9);
        std::size_t index = 0;
        ASSERT_NO_FATAL_FAILURE(add(index));
        const auto started = fleet_->process(index).start_workers(0);
        ASSERT_TRUE(started) << started.error();
        ASSERT_NO_FATAL_FAILURE(wait_balanced(std::uint64_t{kEach} * kProcesses, "the leader's death"));
        sum.claims += kEach;
        sum.attempts += attempts(index);
    }

    void storm(Claims& few, Claims& many, std::vector<Operator>& operators) {
        fleet_ = new_fleet({.partitions = 2 * kProcesses * kEach, .config = kConfig});
        ASSERT_TRUE(fleet_);
        for (std::uint32_t i = 0; i < kProcesses; ++i) {
            std::size_t index = 0;
            ASSERT_NO_FATAL_FAILURE(add(index));
        }
        ASSERT_NO_FATAL_FAILURE(round(kFewEach, false, few));
        std::vector<std::jthread> threads;  // joined whatever happens
        operators.resize(kOperators);
        for (std::uint32_t i = 0; i < kOperators; ++i) {
            threads.emplace_back([this, i, &operators, url = fleet_->server().url()] {
                operate(url, fleet_->options().group, i, kUpdatesEach, operators[i]);
            });
        }
        for (int i = 1; i <= kRounds; ++i) ASSERT_NO_FATAL_FAILURE(round(kEach, i == kRounds, many));
        for (int i = 0; i < kKills; ++i) ASSERT_NO_FATAL_FAILURE(kill_the_leader(many));
    }

    // Nothing that was acknowledged is missing, and nothing came back.
    void expect_no_update_lost(const std::vector<Operator>& operators, std::uint64_t& elections) {
        ASSERT_FALSE(operators.empty());
        std::set<std::string> wanted;
        for (const Operator& one : operators) {
            EXPECT_EQ(one.problem, "");
            wanted.insert(one.names.begin(), one.names.end());
        }
        auto context = Context::connect({.urls = {fleet_->server().url()}, .name = "observer"});
        ASSERT_TRUE(context) << context.error().message();
        const auto control = Control::open(*context, fleet_->options().group, std::chrono::seconds(30));
        ASSERT_TRUE(control) << control.error().message();
        const auto status = control->status();
        ASSERT_TRUE(status) << status.error().message();
        const std::set<std::string> found(status->drain.begin(), status->drain.end());
        std::vector<std::string> differ;
        std::set_symmetric_difference(found.begin(), found.end(), wanted.begin(), wanted.end(), std::back_inserter(differ));
        EXPECT_EQ(differ, std::vector<std::string>()) << "updates were lost";
        record_count("lost_updates", static_cast<double>(differ.size()));
        EXPECT_EQ(status->drain.size(), wanted.size()) << "a name came twice";
        elections = status->epoch.value;
    }

    std::unique_ptr<test::Fleet> fleet_;
    std::uint32_t next_label_ = 0;
};

const Budget budget("TestScenario_ConflictStorm.ClaimsElectionsUpdates", {.standard = 45, .nightly = 45});

TEST_F(TestScenario_ConflictStorm, ClaimsElectionsUpdates) {
    set_window("one storm");
    Claims few, many;
    std::vector<Operator> operators;
    ASSERT_NO_FATAL_FAILURE(storm(few, many, operators));
    std::uint64_t elections = 0;
    ASSERT_NO_FATAL_FAILURE(expect_no_update_lost(operators, elections));
    expect_covered(*fleet_);
    const test::Timeline timeline = end_fleet(std::move(fleet_), kOracles);

    std::vector<Update> updates;
    for (const Operator& one : operators) updates.insert(updates.end(), one.done.begin(), one.done.end());
    std::vector<double> took;
    for (const Update& u : updates) took.push_back(static_cast<double>(u.end_ns - u.begin_ns) / 1e6);
    std::sort(took.begin(), took.end());
    const std::size_t met = concurrent(updates);
    // What was claimed, by the histories: what was asked for, and what was lost and claimed anew.
    const std::uint64_t claims = timeline.sessions.size();
    ASSERT_GE(claims, few.claims + many.claims) << "claims were lost";
    const std::uint64_t again = claims - few.claims - many.claims;
    const std::uint64_t conflicts =
        few.attempts + many.attempts - few.claims - many.claims - std::min(again, many.attempts - many.claims);
    many.claims += again;
    const std::uint64_t operations = claims + updates.size() + elections;
    std::printf(
        "%llu operations: %llu claims (%llu of them again, %llu attempts, %llu conflicts), %zu updates (%zu while another was "
        "under way), %llu elections\n",
        static_cast<unsigned long long>(operations), static_cast<unsigned long long>(claims),
        static_cast<unsigned long long>(again), static_cast<unsigned long long>(few.attempts + many.attempts),
        static_cast<unsigned long long>(conflicts), updates.size(), met, static_cast<unsigned long long>(elections));
    std::printf("attempts for each claim: %.2f with %u workers, %.2f with %u\n", few.each(), kProcesses * kFewEach, many.each(),
                kProcesses * kEach);
    EXPECT_GE(operations, kFewestOperations);
    EXPECT_EQ(updates.size(), kOperators * kUpdatesEach);
    EXPECT_GE(met * 2, updates.size()) << "the updates did not meet: this was no storm";
    EXPECT_GT(conflicts, 0U) << "no claim met another: this was no storm";
    EXPECT_GE(elections, std::uint64_t{1} + kRounds + kKills);
    // Total attempts grow with the number of workers, and not with its square: four times the workers, at most twice the attempts
    // of each.
    EXPECT_LE(many.each(), 2 * few.each());
    record_companion("operations", Unit::count, static_cast<double>(operations));
    record_companion("claims", Unit::count, static_cast<double>(claims));
    record_companion("claimed_again", Unit::count, static_cast<double>(again), "leases that were not renewed in time");
    record_companion("conflicts", Unit::count, static_cast<double>(conflicts));
    record_companion("updates", Unit::count, static_cast<double>(updates.size()));
    record_companion("elections", Unit::count, static_cast<double>(elections));
    record_companion("attempts_per_claim", Unit::ratio, many.each());
    record_companion("update_p50", Unit::us, took[took.size() / 2] * 1000);
    record_companion("update_max", Unit::us, took.back() * 1000);
}

}  // namespace
}  // namespace parti::stress
