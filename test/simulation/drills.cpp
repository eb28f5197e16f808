#include "drills.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace parti::testutil {
namespace {

using std::chrono::milliseconds;

const std::vector<std::string> kThree = {"A", "B", "C"};

SimScenario::Options options(void (*adjust)(Config&), std::uint32_t partitions = 6) {
    SimScenario::Options out;
    out.partitions = partitions;
    out.adjust = adjust;
    return out;
}

void begin(SimScenario& s, const std::vector<std::string>& names) {
    for (const std::string& name : names) s.start(name);
    s.run_for(15 * kSecond);
    s.summary();
}

std::string follower(const SimScenario& s) { return s.leader() == "A" ? "B" : "A"; }
std::string worker_key(const SimScenario& s, const std::string& name) { return "worker." + std::to_string(s.number(name)); }

// An operator removes the lease of a worker that is cut off and lives on; the only free number is now its own.
void marker_of_a_living_lease(SimScenario& s) {
    begin(s, kThree);
    const std::string victim = follower(s);
    s.cut_off(victim, 20 * kSecond);
    s.remove(Bucket::lease, worker_key(s, victim));
    s.start("D");
    s.run_for(40 * kSecond);
}

// A leader resigns while its last grant is on its way; it arrives between its successor's look at the record and the sealing of
// it.
void late_grant_of_a_resigned_leader(SimScenario& s) {
    begin(s, kThree);
    const std::string leader = s.leader();
    for (const std::string& slow : {leader, std::string("C")}) s.callbacks_take(slow, 500 * kMilli);
    s.start("D");
    s.run_until({"store", "revoking"});
    const std::string key = worker_key(s, "D");
    s.hold(leader, Bucket::assignment, key);
    s.run_until([&] { return s.held() > 0; });
    s.callbacks_take("D", 3 * kSecond);
    s.leave(leader);
    s.run_until({"store", "head: epoch 2"});
    s.let_go();
    s.run_for(40 * kSecond);
}

// The head that makes room for a number never arrives, and its leader dies; a record for that number arrives long afterwards.
void record_beyond_the_head(SimScenario& s) {
    for (const char* name : {"A", "B"}) s.start(name, [](Config& config) { config.number_max = 1; });
    s.run_for(5 * kSecond);
    const std::string leader = s.leader();
    s.hold(leader, Bucket::assignment, "head");
    s.hold(leader, Bucket::assignment, "worker.2");
    s.start("D", [](Config& config) { config.number_min = 2; });
    s.run_until([&] { return s.held() > 0; });
    s.run_for(1500 * kMilli);
    s.crash(leader);
    s.run_until({"store", "record", "(2,"});
    s.run_for(kMilli / 2);  // its successor hears that it has sealed everything, and what it writes then is on its way
    s.let_go();
    s.run_for(40 * kSecond);
}

// Both buckets come back empty. Before the victim has heard of it, another claims its number in the new history, and by chance
// its lease is at the very revision that the victim's next renewal expects; then it is cut off.
void stale_renewal_that_fits(SimScenario& s) {
    begin(s, kThree);
    const std::string victim = follower(s);
    s.leave(victim);
    s.run_until({victim, "is Stopped"});
    s.run_for(kSecond);
    s.start(victim);
    s.run_for(15 * kSecond);
    const std::string key = worker_key(s, victim);
    const std::uint32_t number = s.number(victim);
    const std::uint64_t renewed = s.revision(Bucket::lease, key);
    s.run_until([&] { return s.revision(Bucket::lease, key) > renewed; });
    s.run_for(100 * kMilli);
    const std::uint64_t expected = s.revision(Bucket::lease, key);
    s.server_stops();
    for (const Bucket bucket : {Bucket::lease, Bucket::assignment}) {
        s.store().wipe(s.bucket(bucket));
        s.lost(bucket, 0);
    }
    s.run_for(kSecond);
    s.server_starts();
    s.start("D", [number](Config& config) { config.number_min = config.number_max = number; });
    s.run_until({"D", "owns"});
    const std::string leases = s.bucket(Bucket::lease);
    while (s.store().find(leases)->last_sequence + 1 < expected) {
        s.store().overwrite(leases, "notes", std::make_shared<const std::string>("anything"));
    }
    const std::uint64_t claimed = s.revision(Bucket::lease, key);
    s.run_until([&] { return s.revision(Bucket::lease, key) > claimed; }, 5 * kSecond);
    s.cut_off("D", 20 * kSecond);
    s.run_for(40 * kSecond);
}

// The assignments go back to before D joined, while somebody still has to let go of what D is to have: the old records list it
// again.
void given_back_while_it_drains(SimScenario& s) {
    begin(s, kThree);
    const auto old = s.store().snapshot(s.bucket(Bucket::assignment));
    for (const std::string& slow : kThree) s.callbacks_take(slow, 5 * kSecond);
    s.start("D");
    s.run_until({"store", "revoking"});
    s.run_for(100 * kMilli);
    s.server_stops();
    s.store().restore(old);
    s.lost(Bucket::assignment, old.last_sequence);
    s.run_for(kSecond);
    s.server_starts();
    s.run_for(60 * kSecond);
}

const std::array<Drill, 6>& drills() {
    static const std::array<Drill, 6> kDrills = {{
        {"claim_marker_at_once", "the lease of a living worker is removed", options([](Config& c) { c.number_max = 2; }),
         marker_of_a_living_lease},
        {"sealing_blind", "a resigned leader's grant arrives while its record is sealed",
         options([](Config& c) { c.number_max = 4; }, 16), late_grant_of_a_resigned_leader},
        {"no_sealing", "a resigned leader's grant arrives after its successor has begun",
         options([](Config& c) { c.number_max = 4; }, 16), late_grant_of_a_resigned_leader},
        {"slots_before_head", "a record arrives without the head that makes room for it", options([](Config& c) {
             c.number_max = 2;
             c.cold_start = ColdStart::wait;
             c.expected_workers = 3;
         }),
         record_beyond_the_head},
        {"history_loss_ignored", "a renewal from before a loss fits by chance", options([](Config& c) {
             c.number_max = 2;
             c.timing.drain_timeout = milliseconds(500);
         }),
         stale_renewal_that_fits},
        {"regained_without_release", "a store goes back while a partition drains", options([](Config&) {}),
         given_back_while_it_drains},
    }};
    return kDrills;
}

}  // namespace

const Drill* find_drill(std::string_view breakage) {
    const auto& all = drills();
    const auto found = std::find_if(all.begin(), all.end(), [&](const Drill& drill) { return drill.breakage == breakage; });
    return found == all.end() ? nullptr : &*found;
}

}  // namespace parti::testutil
